"""A step of Adam that holds the rows of a decoder at norm 1."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


def hold_(W: Tensor, gradient: Tensor) -> Tensor:
    """Take out of the gradient what lies along the rows of ``W``; return the sum of squares that is left."""
    along = torch.einsum("lw,lw->l", gradient, W)
    return gradient.addcmul_(W, along[:, None], value=-1).square().sum()


@torch.no_grad()
def step_held_(
    optimizer: torch.optim.Adam,
    W: nn.Parameter,
    step: int,  # noqa: ARG001
    limit: float = math.inf,
    hold: Callable[[Tensor, Tensor], Tensor] = hold_,
) -> Tensor:
    """Take a step and return the norm of the whole gradient.

    What lies along the rows of ``W`` is taken out of its gradient, the whole gradient is clipped, Adam takes
    its step, and the rows are divided by their norms.

    Args:
        optimizer: of ``W`` and other parameters.
        W: [latent, output], rows of norm 1, with a gradient.
        step: the number of the step, from 1 on, for engines that do without the optimizer's own.
        limit: the largest norm of the gradient.
        hold: does what :func:`hold_` does.
    """
    assert W.grad is not None
    held = hold(W, W.grad)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    others = [parameter.grad for parameter in parameters if parameter is not W and parameter.grad is not None]
    norm = torch.hypot(held.sqrt(), nn.utils.get_total_norm(others))
    if W.device.type != "cpu" or not norm <= limit:  # a GPU would have to be waited for
        nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    optimizer.step()
    nn.functional.normalize(W, dim=1, out=W)
    return norm
