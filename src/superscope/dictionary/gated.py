"""Gated: what fires and how strongly are decided apart (Rajamanoharan et al. 2024, arXiv 2404.16014)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from superscope.dictionary.auxiliary import auxiliary_loss, carried_auxiliary
from superscope.dictionary.config import DictionaryConfig
from superscope.dictionary.dictionary import Conditions, Dictionary, Losses, faint
from superscope.dictionary.sparse.engine import Engine


class Gated(Dictionary):
    """f = [gate > 0] · relu(magnitude), gate = x W_enc + b_enc, magnitude = e^r (x W_enc) + b_mag.

    The loss is the mean squared error of an entry, ``sparsity`` · Σ relu(gate) / width, and the mean squared
    error of what relu(gate) decodes to, by a decoder that feels nothing of it.
    """

    def __init__(
        self,
        config: DictionaryConfig,
        width: int,
        output_width: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(config, width, output_width, generator)
        self.r_mag = nn.Parameter(torch.zeros(config.n_latents))
        self.b_mag = nn.Parameter(torch.zeros(config.n_latents))

    def encode(self, x: Float[Tensor, "*sample width"]) -> Float[Tensor, "*sample latent"]:
        """Return the magnitudes whose gates are open."""
        return self._magnitudes(self.preactivations(x))

    def _magnitudes(self, gate: Tensor) -> Tensor:
        return ((gate - self.b_enc) * self.r_mag.exp() + self.b_mag).relu() * (gate > 0)

    def losses(self, x: Tensor, y: Tensor, at: Conditions) -> Losses:
        """Return what a step loses."""
        gate = self.preactivations(x)
        f = self._magnitudes(gate)
        error = self.decode(f) - y
        opened = gate.relu()
        by_gate = opened @ self.W_dec.detach() + self.b_dec.detach() - y
        reconstruction = error.square().mean()
        total = reconstruction + by_gate.square().mean() + at.sparsity * opened.sum() / y.numel()
        extra = auxiliary_loss(self, x, error, at)
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
            scale = codes.spread(self.r_mag.exp())
            product = codes.keep(codes.values - codes.spread(self.b_enc))
            f = codes.keep((product * scale + codes.spread(self.b_mag)).relu_())
            fit = codes.fit(f, self.W_dec, self.b_dec, y)
            gate = codes.fit(codes.values, self.W_dec, self.b_dec, y)
            by_magnitude = codes.keep(fit.value_gradients.mul_(f > 0))
            by_gate = codes.keep(gate.value_gradients.add_(at.sparsity / y.numel()))
            self._set_gradients(codes, f, by_magnitude * scale + by_gate, x, fit)
            self.b_enc.grad = codes.sums(by_gate)
            self.b_mag.grad = codes.sums(by_magnitude)
            self.r_mag.grad = codes.sums(by_magnitude.mul_(product).mul_(scale))
            penalty = at.sparsity * codes.values.sum() / y.numel()
        return Losses(
            total=fit.loss + gate.loss + penalty + carried_auxiliary(self, x, fit, at),
            reconstruction=fit.loss,
            l0=(f > 0).sum() / len(x),
            fired=codes.fired(f, faint(f)),
        )

    def rescale_(self, factor: float, shift: Float[Tensor, " latent"]) -> None:
        """Multiply and shift the magnitudes too."""
        super().rescale_(factor, shift)
        self.b_mag.mul_(factor).sub_(shift * self.r_mag.exp())
