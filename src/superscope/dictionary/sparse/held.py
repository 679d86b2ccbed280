"""A step of Adam that holds the rows of a decoder at norm 1."""

import math

import torch
from torch import Tensor, nn


@torch.no_grad()
def step_held_(optimizer: torch.optim.Adam, W: nn.Parameter, step: int, limit: float = math.inf) -> Tensor:  # noqa: ARG001
    """Take a step and return the norm of the whole gradient.

    What lies along the rows of ``W`` is taken out of its gradient, the whole gradient is clipped, Adam takes
    its step, and the rows are divided by their norms.

    Args:
        optimizer: of ``W`` and other parameters.
        W: [latent, output], rows of norm 1, with a gradient.
        step: the number of the step, from 1 on, for engines that do without the optimizer's own.
        limit: the largest norm of the gradient.
    """
    assert W.grad is not None
    along = torch.einsum("lw,lw->l", W.grad, W)
    W.grad.addcmul_(W, along[:, None], value=-1)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, limit)
    optimizer.step()
    nn.functional.normalize(W, dim=1, out=W)
    return norm
