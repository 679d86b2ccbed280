"""Readings as they were published, faults and all.

They are offered as ``as_published`` beside the right ones, so that a published table can be had and the
difference shown, and for nothing else.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from superscope.core.errors import InputError
from superscope.measures.spectrum import count_below

_AT_ONCE = 2**22
"""Values that become float64 at one time."""


def count_below_as_published(
    activation: Float[Tensor, "sample channel height width"], threshold: float = 0.99
) -> int:
    """Return the count below 99 % of a convolution's activations as the course's notebook prints it.

    The maps are reshaped to [channel, −1] in the order in which they lie in memory, without first moving the
    channels to the front; the rows are not centred; s are the singular values of that matrix, and the answer
    is #{r : Σ_{i≤r} s_i²/Σs² < threshold}.

    So a row is not a channel. The numbers of all maps, sample after sample, are cut into as many equal chunks
    as there are channels: where there are at least as many samples as channels, and a multiple, a row is all
    channels of some of the samples; the count is then about how alike groups of images are in one order of
    arrival, and falls as wider layers get fewer images a chunk. Only for one sample is it the uncentred
    count of the channels. The right one is ``count_below`` of ``Moments.update(activation, unit_axis=1)``.

    Here by the eigenvalues of the Gram matrix of the rows in float64, where the notebook takes
    ``numpy.linalg.svd`` in float32; the counts differ only where a cumulative share is within about 10⁻⁶
    of the threshold. Memory is O(channel²) beyond the maps.

    Raises:
        InputError: when the activation is not [sample, channel, height, width], is empty, or has a value that
            is not finite (the notebook's SVD fails on it).

    >>> maps = torch.zeros(2, 2, 1, 2)
    >>> maps[0, 0], maps[1, 1] = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> count_below_as_published(maps)  # the rows are the two samples, [1, 0, 0, 0] and [0, 0, 0, 1]
    1
    """
    if activation.ndim != 4 or activation.numel() == 0:
        raise InputError(
            f"activation has shape {tuple(activation.shape)}, expected maps [sample, channel, height, width]"
        )
    if not bool(activation.isfinite().all()):
        raise InputError(
            "activation has values that are not finite; the published reading has no answer there"
        )
    chunks = activation.detach().reshape(activation.shape[1], -1)
    gram = torch.zeros(len(chunks), len(chunks), dtype=torch.float64, device=chunks.device)
    for part in chunks.split(max(1, _AT_ONCE // len(chunks)), dim=1):
        gram.addmm_(part.double(), part.double().T)
    return int(count_below(torch.linalg.eigvalsh(gram).clamp(min=0).sqrt(), threshold))


def mean_over_padding(hidden: Float[Tensor, "sample token width"]) -> Float[Tensor, "sample width"]:
    """Return the mean over all places of a padded batch, as published: padding counts like a token.

    A text's mean then depends on the longest text of its batch. The right one is :func:`masked_mean`.

    >>> mean_over_padding(torch.tensor([[[2.0], [4.0], [9.0]]]))
    tensor([[5.]])
    """
    return hidden.mean(1)


def masked_mean(
    hidden: Float[Tensor, "sample token width"],
    mask: Bool[Tensor, "sample token"] | Int[Tensor, "sample token"],
) -> Float[Tensor, "sample width"]:
    """Return the mean over the tokens that ``mask`` marks; NaN for a text of which it marks none.

    What stands at the other places does not matter, NaN and infinities included.

    Raises:
        InputError: when the mask is not [sample, token] of the hidden states.

    >>> masked_mean(torch.tensor([[[2.0], [4.0], [9.0]]]), torch.tensor([[1, 1, 0]]))
    tensor([[3.]])
    """
    if hidden.ndim != 3 or mask.shape != hidden.shape[:2]:
        raise InputError(
            f"mask has shape {tuple(mask.shape)} for hidden states of shape {tuple(hidden.shape)}, "
            "expected [sample, token] for [sample, token, width]"
        )
    marked = mask.bool()[:, :, None]
    return torch.where(marked, hidden, 0).sum(1) / marked.sum(1)
