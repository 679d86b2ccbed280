"""Adam for a decoder whose rows are held at norm 1, on CUDA, by Triton kernels."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from superscope.dictionary.sparse.triton import on, power_of_two

_BETAS, _EPSILON = (0.9, 0.999), 1e-8


@torch.no_grad()
def step_held_(optimizer: torch.optim.Adam, W: nn.Parameter, step: int, limit: float = math.inf) -> Tensor:
    """Clip the whole gradient, take a step of Adam, hold the rows of ``W``, and return the gradient's norm.

    What :func:`torch.nn.utils.clip_grad_norm_`, ``optimizer.step()`` and a division of the rows by their norm
    do, after what lies along the rows has been taken out of their gradient; but ``W`` is updated here, in two
    launches, and its gradient is used up.

    Args:
        optimizer: of ``W`` and other parameters, with the default decays and epsilon. Its state of ``W`` is
            what it would keep itself.
        W: a matrix with rows of norm 1, and a gradient.
        step: the number of the step, from 1 on.
        limit: the largest norm of the gradient.
    """
    assert W.grad is not None
    gradient, W.grad = W.grad, None
    others = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in others if p.grad is not None])
    norm = torch.hypot(norm, held_squares(W, gradient).sum().sqrt())
    nn.utils.clip_grads_with_norm_(others, limit, norm)
    optimizer.step()
    state = optimizer.state[W]
    if not state:
        state["step"] = torch.zeros((), device=W.device)
        state["exp_avg"], state["exp_avg_sq"] = (
            torch.zeros_like(W, memory_format=torch.preserve_format) for _ in range(2)
        )
    state["step"] += 1
    lr, scale = optimizer.param_groups[0]["lr"], (limit / (norm + 1e-6)).clamp(max=1)
    held_adam_(W, gradient, state["exp_avg"], state["exp_avg_sq"], step=step, lr=lr, scale=scale)
    return norm


def held_squares(
    W: Float[Tensor, "latent width"], gradient: Float[Tensor, "latent width"]
) -> Float[Tensor, " latent"]:
    """Return |g − (g · w) w|² of each row: what the clipping of the whole gradient adds up.

    Args:
        W: rows of norm 1.
        gradient: of W.
    """
    from superscope.dictionary.sparse import triton_adam_kernels as kernels

    latents, width = W.shape
    out = torch.empty(latents, device=W.device)
    if latents:
        with on(W.device):
            kernels.held_squares[(latents,)](out, W, gradient.contiguous(), width, **_row(width))
    return out


def held_adam_(
    W: Float[Tensor, "latent width"],
    gradient: Float[Tensor, "latent width"],
    first: Float[Tensor, "latent width"],
    second: Float[Tensor, "latent width"],
    *,
    step: int,
    lr: float,
    scale: Float[Tensor, ""],
) -> None:
    """Take a step of Adam in place on rows that keep norm 1.

    In each row g' = ``scale`` · (g − (g · w) w), m ← β₁ m + (1 − β₁) g', v ← β₂ v + (1 − β₂) g'²,
    w ← w − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε), and w ← w/|w|. The gradient is left as it is.

    Args:
        W: rows of norm 1, contiguous.
        gradient: of W.
        first: m, contiguous.
        second: v, contiguous.
        step: t, which counts from 1.
        lr: the learning rate.
        scale: what clipping multiplies the gradient with, on W's device: nothing waits for it.
    """
    from superscope.dictionary.sparse import triton_adam_kernels as kernels

    assert W.is_contiguous()
    assert first.is_contiguous()
    assert second.is_contiguous()
    latents, width = W.shape
    if latents:
        with on(W.device):
            kernels.held_adam[(latents,)](
                W,
                gradient.contiguous(),
                first,
                second,
                scale,
                lr / (1 - _BETAS[0] ** step),
                (1 - _BETAS[1] ** step) ** -0.5,
                width,
                BETA_1=_BETAS[0],
                BETA_2=_BETAS[1],
                EPSILON=_EPSILON,
                **_row(width),
            )


def _row(width: int) -> dict[str, int]:
    """Return a block for a whole row, with sixteen columns a thread or fewer."""
    columns = power_of_two(width)
    return {"COLUMNS": columns, "num_warps": max(1, min(16, columns // 512))}
