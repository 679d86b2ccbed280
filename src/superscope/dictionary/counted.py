"""Architectures whose L0 is counted: the k largest pre-activations, of a sample or of a batch."""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from superscope.dictionary.auxiliary import auxiliary_loss, carried_auxiliary
from superscope.dictionary.dictionary import Conditions, Dictionary, Losses, faint
from superscope.dictionary.sparse.engine import Codes, Engine


class Counted(Dictionary):
    """Keeps the largest pre-activations, positive ones only: f = pre where it is kept, else 0.

    The loss is the mean squared error of an entry, and the loss of the dead latents.
    """

    @property
    def sizes(self) -> tuple[int, ...] | None:
        """The groups of latents whose prefixes reconstruct by themselves; None for one group of all."""
        return None

    @abstractmethod
    def kept(self, pre: Float[Tensor, "sample latent"], k: float) -> Float[Tensor, "sample latent"]:
        """Return f from the pre-activations of a training batch."""

    @abstractmethod
    def select(self, engine: Engine, x: Tensor, k: float) -> Codes:
        """Return the same by an engine."""

    def follow_(self, least: Tensor) -> None:
        """Take note of the smallest code that was kept in a training batch."""

    def losses(self, x: Tensor, y: Tensor, at: Conditions) -> Losses:
        """Return what a step loses."""
        f = self.kept(self.preactivations(x), at.k)
        sizes = [self.n_latents] if self.sizes is None else list(self.sizes)
        decoded, misses, error = self.b_dec - y, [], None
        for part, weights in zip(f.split(sizes, 1), self.W_dec.split(sizes), strict=True):
            decoded = decoded + part @ weights
            misses.append(decoded.square().mean())
            error = decoded
        assert error is not None
        reconstruction = torch.stack(misses).mean()
        extra = auxiliary_loss(self, x, error, at)
        with torch.no_grad():
            self.follow_(least_positive(f))
        return Losses(
            total=reconstruction if extra is None else reconstruction + extra,
            reconstruction=error.detach().square().mean(),
            l0=(f > 0).sum() / len(x),
            fired=(f > faint(f)).any(0),
        )

    def gradients(self, engine: Engine, x: Tensor, y: Tensor, at: Conditions) -> Losses:
        """Put the gradients of a step into the parameters and return what it loses."""
        with torch.no_grad():
            codes = self.select(engine, x, at.k)
            fit = codes.fit(codes.values, self.W_dec, self.b_dec, y, self.sizes)
            pulled = codes.keep(fit.value_gradients)
            self._set_gradients(codes, codes.values, pulled, x, fit, self.sizes)
            self.follow_(least_positive(codes.values))
        return Losses(
            total=fit.loss + carried_auxiliary(self, x, fit, at),
            reconstruction=fit.loss if self.sizes is None else fit.error.square().mean(),
            l0=(codes.values > 0).sum() / len(x),
            fired=codes.fired(codes.values, faint(codes.values)),
        )


def least_positive(f: Tensor) -> Tensor:
    """Return the smallest positive entry, infinity where there is none."""
    return f.masked_fill(f <= 0, torch.inf).amin() if f.numel() else f.new_tensor(torch.inf)
