"""JumpReLU: a threshold of its own for each latent (Rajamanoharan et al. 2024, arXiv 2407.14435)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from superscope.dictionary.auxiliary import auxiliary_loss, carried_auxiliary
from superscope.dictionary.config import DictionaryConfig
from superscope.dictionary.dictionary import Conditions, Dictionary, Losses, faint
from superscope.dictionary.sparse.engine import Engine


class JumpReLU(Dictionary):
    """f = pre where pre > θ, else 0, with thresholds θ > 0 that are learned.

    The loss is the mean squared error of an entry and ``sparsity`` · L0 / width. θ has no gradient of its own
    from a step, so it takes that of a step blurred over a window of width ``bandwidth`` ε:
    ∂f/∂θ = −(θ/ε) [|pre − θ| < ε/2] and ∂L0/∂θ = −(1/ε) [|pre − θ| < ε/2].
    """

    def __init__(
        self,
        config: DictionaryConfig,
        width: int,
        output_width: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(config, width, output_width, generator)
        self.log_thresholds = nn.Parameter(torch.full((config.n_latents,), config.bandwidth).log())
        self.bandwidth = config.bandwidth

    @property
    def thresholds(self) -> Float[Tensor, " latent"]:
        """What a pre-activation has to pass, by latent."""
        return self.log_thresholds.exp()

    def encode(self, x: Float[Tensor, "*sample width"]) -> Float[Tensor, "*sample latent"]:
        """Return the pre-activations that pass their thresholds."""
        pre = self.preactivations(x)
        return pre * (pre > self.thresholds)

    def losses(self, x: Tensor, y: Tensor, at: Conditions) -> Losses:
        """Return what a step loses."""
        pre, thresholds = self.preactivations(x), self.thresholds
        f = _Jump.apply(pre, thresholds, self.bandwidth)
        error = self.decode(f) - y
        reconstruction = error.square().mean()
        l0 = _Step.apply(pre, thresholds, self.bandwidth).sum() / len(x)
        extra = auxiliary_loss(self, x, error, at)
        total = reconstruction + at.sparsity * l0 / y.shape[1]
        return Losses(
            total=total if extra is None else total + extra,
            reconstruction=reconstruction.detach(),
            l0=l0.detach(),
            fired=(f > faint(f)).any(0),
        )

    def gradients(self, engine: Engine, x: Tensor, y: Tensor, at: Conditions) -> Losses:
        """Put the gradients of a step into the parameters and return what it loses."""
        with torch.no_grad():
            thresholds = self.thresholds
            codes = engine.above(x, self.encoder, self.b_enc, thresholds - self.bandwidth / 2)
            own = codes.spread(thresholds)
            passed = codes.values > own
            near = (
                codes.values < own + self.bandwidth / 2
            )  # what was selected lies over the window's lower end
            f = codes.values * passed
            fit = codes.fit(f, self.W_dec, self.b_dec, y)
            pulled = fit.value_gradients
            felt = pulled * own + at.sparsity / y.numel()
            felt = codes.keep(felt.mul_(near).mul_(-1 / self.bandwidth))
            self.log_thresholds.grad = codes.sums(felt) * thresholds
            self._set_gradients(codes, f, codes.keep(pulled * passed), x, fit)
            l0 = codes.keep(passed.float()).sum() / len(x)
        return Losses(
            total=fit.loss + at.sparsity * l0 / y.shape[1] + carried_auxiliary(self, x, fit, at),
            reconstruction=fit.loss,
            l0=l0,
            fired=codes.fired(f, faint(f)),
        )

    def rescale_(self, factor: float, shift: Float[Tensor, " latent"]) -> None:
        """Multiply the thresholds too."""
        super().rescale_(factor, shift)
        self.log_thresholds.add_(torch.tensor(factor).log())
        self.bandwidth *= factor


class _Jump(torch.autograd.Function):
    """f = pre [pre > θ], with the blurred gradient by θ."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, thresholds: Tensor, bandwidth: float) -> Tensor:
        """Return the codes."""
        ctx.save_for_backward(pre, thresholds)
        ctx.bandwidth = bandwidth
        return pre * (pre > thresholds)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients by pre-activations and thresholds."""
        (gradient,), (pre, thresholds) = grad_outputs, ctx.saved_tensors
        near = (pre - thresholds).abs() < ctx.bandwidth / 2
        return gradient * (pre > thresholds), -(gradient * near * thresholds / ctx.bandwidth).sum(0), None


class _Step(torch.autograd.Function):
    """[pre > θ], with the blurred gradient by θ and none by pre."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, thresholds: Tensor, bandwidth: float) -> Tensor:
        """Return 1 where a pre-activation passes."""
        ctx.save_for_backward(pre, thresholds)
        ctx.bandwidth = bandwidth
        return (pre > thresholds).float()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[None, Tensor, None]:
        """Return the gradient by thresholds."""
        (gradient,), (pre, thresholds) = grad_outputs, ctx.saved_tensors
        near = (pre - thresholds).abs() < ctx.bandwidth / 2
        return None, -(gradient * near / ctx.bandwidth).sum(0), None
