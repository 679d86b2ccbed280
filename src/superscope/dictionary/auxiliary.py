"""Dead latents: a loss of their own, by which they learn what the living ones leave over."""

import torch
from jaxtyping import Float
from torch import Tensor

from superscope.dictionary.dictionary import Conditions, Dictionary
from superscope.dictionary.sparse.engine import Fit


def auxiliary_loss(
    dictionary: Dictionary,
    x: Float[Tensor, "sample width"],
    error: Float[Tensor, "sample output"],
    at: Conditions,
) -> Tensor | None:
    """Return the loss of the dead latents, None where there are none.

    In each sample the min(dead, output width / 2) dead latents with the largest pre-activations reconstruct
    the error that the others leave, e = y − x̂, which is taken as given: a mean of (e − ê)² over samples and
    outputs, in units of the mean of e², times ``at.auxiliary`` (AuxK of Gao et al. 2024, arXiv 2406.04093).
    """
    if at.dead is None or at.auxiliary == 0 or not bool(at.dead.any()):
        return None
    index = at.dead.nonzero().flatten()
    pre = torch.addmm(dictionary.b_enc[index], x, dictionary.encoder[index].T)
    most = max(1, dictionary.output_width // 2)
    if len(index) > most:
        found = pre.topk(most, dim=1)
        pre = torch.zeros_like(pre).scatter(1, found.indices, found.values)
    left = -error.detach()
    miss = (pre.relu() @ dictionary.W_dec[index] - left).square().mean()
    return at.auxiliary * miss / left.square().mean().clamp(min=1e-12)


def carried_auxiliary(dictionary: Dictionary, x: Tensor, fit: Fit, at: Conditions) -> Tensor | float:
    """Add the gradients of :func:`auxiliary_loss` to those that are there, and return the loss."""
    if at.dead is None:
        return 0.0
    with torch.enable_grad():
        extra = auxiliary_loss(dictionary, x, fit.error, at)
    if extra is None:
        return 0.0
    extra.backward()
    return extra.detach()
