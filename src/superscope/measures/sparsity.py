"""How sparsely units fire, and whether the axes of a space are special.

Activations are [*row, unit]: rows are samples, tokens or positions, on any number of leading axes. Answers
come in the dtype of the activations (half precision in float32).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from superscope.core.errors import InputError


def activation_frequency(x: Float[Tensor, "*row unit"], threshold: float = 0.0) -> Float[Tensor, " unit"]:
    """Return the share of rows on which each unit is active: #{rows : x_u > ``threshold``} / #rows.

    In [0, 1]. After a ReLU the threshold 0 asks whether the unit is on; for activations that are rarely
    exactly 0, as after a GELU, it asks for the sign only. Values that are not finite are kept out of both
    numbers, unit by unit; a unit with no finite value has NaN.

    Raises:
        InputError: when x has no rows or no units.

    >>> activation_frequency(torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 0.0], [0.0, 3.0]]))
    tensor([0.5000, 0.2500])
    """
    active, seen = _counts(x, threshold)
    return (active.double() / seen).to(torch.promote_types(x.dtype, torch.float32))


def dead_fraction(x: Float[Tensor, "*row unit"], threshold: float = 0.0) -> Float[Tensor, ""]:
    """Return the share of units that are above ``threshold`` on no row, in [0, 1].

    It can only fall as rows are added, so a unit is dead on these rows and not beyond them. Values that are
    not finite are kept out; a unit with no finite value is neither dead nor alive and not counted, and with
    no other unit the share is NaN.

    Raises:
        InputError: when x has no rows or no units.

    >>> dead_fraction(torch.tensor([[1.0, 0.0, -1.0, 0.0], [0.0, 2.0, -1.0, 0.0]]))
    tensor(0.5000)
    """
    active, seen = _counts(x, threshold)
    dead = (active == 0) & (seen > 0)
    return (dead.sum().double() / (seen > 0).sum()).to(torch.promote_types(x.dtype, torch.float32))


def kurtosis(x: Float[Tensor, "*row unit"]) -> Float[Tensor, "*row"]:
    """Return the fourth standardised moment over the units of each row: mean((x−μ)⁴)/σ⁴.

    μ and σ are the row's own. Without unit, from 1 (half the units at one value, half at another) to about
    the number of units (one unit alone); the moment itself and not the excess, so 3 for a Gaussian. A
    representation that does not prefer the axes of its space has the kurtosis of a random direction, about 3;
    a larger one says that single units carry more than their share: the basis is privileged. Source: Elhage,
    Lasenby and Olah 2023, "Privileged Bases in the Transformer Residual Stream".

    A row whose units are all equal has no spread, and its kurtosis is NaN, as is that of a row with a value
    that is not finite. Others are not touched by it.

    Raises:
        InputError: when x has no units.

    >>> kurtosis(torch.tensor([[1.0, -1.0, 1.0, -1.0], [0.0, 0.0, 0.0, 1.0], [2.0, 2.0, 2.0, 2.0]]))
    tensor([1.0000, 2.3333,    nan])
    """
    if x.ndim == 0 or x.shape[-1] == 0:
        raise InputError(f"x has shape {tuple(x.shape)}, expected [*row, unit] with at least one unit")
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    largest = x.detach().abs().amax(-1, keepdim=True)
    x = x / largest.masked_fill(largest == 0, 1)  # the fourth power of 1e-10 or 1e10 leaves float32
    deviations = x - x.mean(-1, keepdim=True)  # exactly 0 where all are equal, as they are now ±1 or 0
    return deviations.pow(4).mean(-1) / deviations.square().mean(-1).square()


def _counts(x: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Return how many finite values of each unit are above the threshold, and how many there are."""
    if x.ndim == 0 or x.numel() == 0:
        raise InputError(
            f"x has shape {tuple(x.shape)}, expected [*row, unit] with at least one row and one unit"
        )
    rows = x.reshape(-1, x.shape[-1])
    finite = rows.isfinite()
    return (finite & (rows > threshold)).sum(0), finite.sum(0)
