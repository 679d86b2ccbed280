"""Standard: ReLU and an L1 penalty (Bricken et al. 2023, "Towards Monosemanticity")."""

import torch
from jaxtyping import Float
from torch import Tensor

from superscope.dictionary.auxiliary import auxiliary_loss, carried_auxiliary
from superscope.dictionary.dictionary import Conditions, Dictionary, Losses, faint
from superscope.dictionary.sparse.engine import Engine


class Standard(Dictionary):
    """f = relu(pre).

    The loss is the mean squared error of an entry and ``sparsity`` · Σ f / width, a mean over samples; the
    decoder's rows have norm 1.
    """

    def encode(self, x: Float[Tensor, "*sample width"]) -> Float[Tensor, "*sample latent"]:
        """Return relu(x W_enc + b_enc)."""
        return self.preactivations(x).relu()

    def losses(self, x: Tensor, y: Tensor, at: Conditions) -> Losses:
        """Return what a step loses."""
        f = self.encode(x)
        error = self.decode(f) - y
        reconstruction = error.square().mean()
        extra = auxiliary_loss(self, x, error, at)
        total = reconstruction + at.sparsity * f.sum() / y.numel()
        return Losses(
            total=total if extra is None else total + extra,
            reconstruction=reconstruction.detach(),
            l0=(f > 0).sum() / len(x),
            fired=(f > faint(f)).any(0),
        )

    def gradients(self, engine: Engine, x: Tensor, y: Tensor, at: Conditions) -> Losses:
        """Put the gradients of a step into the parameters and return what it loses."""
        with torch.no_grad():
            codes = engine.above(x, self.encoder, self.b_enc)
            f = codes.values
            fit = codes.fit(f, self.W_dec, self.b_dec, y)
            pulled = codes.keep(fit.value_gradients.add_(at.sparsity / y.numel()))
            self._set_gradients(codes, f, pulled, x, fit)
        return Losses(
            total=fit.loss + at.sparsity * f.sum() / y.numel() + carried_auxiliary(self, x, fit, at),
            reconstruction=fit.loss,
            l0=(f > 0).sum() / len(x),
            fired=codes.fired(f, faint(f)),
        )
