"""Jumps in quantities that are recorded over training, and whether the loss falls where they are.

Elhage et al. 2022, "Toy Models of Superposition" (arXiv 2209.10652), see the dimensionality of features jump
between levels while the loss drops. Here a jump is what straight lines through some records before and some
after it leave between them, so that a steady slope is none. It may take a few records, its gap.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from superscope.core.errors import InputError

_TO_DEVIATION = 1.4826
"""Standard deviation of normal numbers over their median absolute deviation."""


@dataclass(frozen=True)
class Coincidence:
    """How fast the loss falls where something else jumps."""

    enrichment: float
    """Mean fall of log loss around the jumps, over its mean around all records; 1 by chance."""
    shifted: tuple[float, ...]
    """The same with the jumps shifted in time, in a circle, by every number of records above 2 · reach."""

    @property
    def p_value(self) -> float:
        """Share of the shifts, none included, with an enrichment as high as without a shift."""
        as_high = sum(each >= self.enrichment for each in self.shifted)
        return (1 + as_high) / (1 + len(self.shifted))


def jump_heights(
    values: Float[Tensor, "record *series"], window: int = 4, gap: int = 0
) -> Float[Tensor, "record *series"]:
    """Return how far each series jumps between each record and the one before.

    Two differences are taken between the ``window`` records before t − gap and those from t + gap on: that of
    the least-squares lines through them, both read at t − ½, and that of their means. J_t is the smaller of
    the two in size, or 0 where their signs differ: lines alone overshoot when a window holds the jump, means
    alone take a slope for one. In the unit of the values, positive upwards. A line has J = 0, a parabola
    too, by symmetry; a change by h between two levels, within the gap, has J = h. The first and the last
    ``window + gap`` records, where a window lacks records, have J = 0.

    Args:
        values: what was recorded.
        window: records on either side that a line is laid through.
        gap: records on either side that are left out between, for a change that takes its time.

    Raises:
        InputError: when the window is below 2, the gap negative, or there are fewer than twice as many
            records as both together.

    >>> jump_heights(torch.tensor([0.0, 1, 2, 3, 9, 10, 11, 12])).tolist()  # a slope of 1, and a jump by 5
    [0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0]
    """
    if window < 2 or gap < 0:
        raise InputError(f"window is {window} and gap {gap}; a line needs two records, a gap none or more")
    side = window + gap
    if len(values) < 2 * side:
        raise InputError(f"there are {len(values)} records; a jump needs {2 * side} with this window and gap")
    place = torch.arange(window, dtype=torch.float64)
    from_centre = place - place.mean()
    # weights that read the line through the later window half a record before the gap ends
    ahead = 1 / window - (place.mean() + gap + 0.5) * from_centre / from_centre.square().sum()
    rows = values.double().unfold(0, 2 * side, 1)  # [start, *series, record]
    heights = torch.zeros_like(values, dtype=torch.float64)
    after, before = rows[..., -window:], rows[..., :window]
    lines, means = after @ ahead - before @ ahead.flip(0), after.mean(-1) - before.mean(-1)
    agree = (lines.sign() == means.sign()).double()
    heights[side : side + len(lines)] = agree * lines.sign() * torch.minimum(lines.abs(), means.abs())
    return heights.to(values.dtype)


def find_jumps(
    values: Float[Tensor, "record *series"], height: float, window: int = 4, gap: int = 0
) -> Bool[Tensor, "record *series"]:
    """Return where each series jumps, up or down: |J_t| of :func:`jump_heights` is ``height`` or more.

    Of several such records within ``window + gap`` of each other, the one of largest |J_t| is the jump.

    Args:
        values: what was recorded.
        height: least height of a jump, in the unit of the values.
        window: as in :func:`jump_heights`.
        gap: as in :func:`jump_heights`.

    Raises:
        InputError: when the height is not positive, or as :func:`jump_heights`.

    >>> find_jumps(torch.tensor([0.0] * 6 + [1.0] * 6), 0.1).nonzero().flatten().tolist()
    [6]
    """
    if not height > 0:
        raise InputError(f"height is {height}; a jump needs one above 0")
    return _peaks(jump_heights(values, window, gap).abs(), height, window + gap)


def find_drops(
    loss: Float[Tensor, " record"], deviations: float = 5.0, window: int = 4, gap: int = 0
) -> Bool[Tensor, " record"]:
    """Return where a loss drops at once: log loss jumps down by more than its noise does.

    −J_t of log loss is above ``deviations`` times the deviation that J has of noise alone, and the largest
    within ``window + gap``. The noise of a record is estimated from the median absolute second difference,
    which no slope and no single drop enters.

    Args:
        loss: positive values.
        deviations: how far a drop stands out.
        window: as in :func:`jump_heights`.
        gap: as in :func:`jump_heights`.

    Raises:
        InputError: when a loss is not positive and finite, deviations not positive, or as
            :func:`jump_heights`.

    >>> loss = torch.exp(-0.01 * torch.arange(40)) * (1 + 0.001 * torch.sin(torch.arange(40.0) ** 2))
    >>> find_drops(torch.where(torch.arange(40) < 25, loss, 0.9 * loss)).nonzero().flatten().tolist()
    [25]
    """
    _positive(loss)
    if not deviations > 0:
        raise InputError(f"deviations is {deviations}; a drop needs to stand out by more than 0")
    logs = loss.double().log()
    heights = -jump_heights(logs, window, gap)
    noise = _TO_DEVIATION * float(logs.diff(n=2).abs().median()) / math.sqrt(6)
    reach = (window / 2 + gap) ** 2 / (window * (window**2 - 1) / 12)
    of_noise = noise * math.sqrt(2 * (1 / window + reach))  # of the difference of the two lines
    return _peaks(heights, max(deviations * of_noise, torch.finfo(torch.float32).eps), window + gap)


def coincidence(
    jumps: Bool[Tensor, "record *series"], loss: Float[Tensor, " record"], reach: int = 1
) -> Coincidence:
    """Return how much faster than elsewhere the loss falls where something jumps.

    The fall around record t is f_t = ln L_{t−1−reach} − ln L_{t+reach}. The enrichment is (Σ_t c_t f_t / Σ_t
    c_t) / mean_t f_t, c_t being how many series jump there, over the records that have both ends of f_t.
    Shifting the jumps in a circle keeps how they cluster among themselves and takes away where they are; by 2
    · reach or less, f_t still has a part of the same fall.

    Args:
        jumps: of any number of series; each counts.
        loss: positive values. What falls for other reasons, such as at the start, is to be cut off.
        reach: records on either side of a jump in which the loss may fall.

    Raises:
        InputError: when there is no jump, a loss is not positive and finite, the loss does not fall at all,
            the records differ in number or are too few, or reach is negative.

    >>> jumps = torch.zeros(60).bool()
    >>> jumps[[10, 30]] = True
    >>> found = coincidence(jumps, torch.exp(-jumps.cumsum(0).float()))
    >>> round(found.enrichment, 2), round(found.p_value, 3)
    (9.5, 0.019)
    """
    _positive(loss)
    if len(jumps) != len(loss) or reach < 0 or len(loss) < 6 * reach + 3:
        raise InputError(
            f"there are {len(jumps)} records of jumps, {len(loss)} of the loss, and reach is {reach}; give "
            "as many of both, 6 · reach + 3 or more, and a reach of at least 0"
        )
    logs = loss.double().log()
    fall = logs[: len(logs) - 2 * reach - 1] - logs[2 * reach + 1 :]
    counts = jumps.reshape(len(jumps), -1).sum(1)[reach + 1 : len(logs) - reach].double()
    if not counts.any():
        raise InputError("there is no jump at which the loss could fall")
    if not fall.mean() > 0:
        raise InputError("the loss does not fall from its first record to the last; there is no drop in it")
    shares = [float((counts.roll(k) * fall).sum() / counts.sum() / fall.mean()) for k in range(len(counts))]
    return Coincidence(shares[0], tuple(shares[2 * reach + 1 : len(shares) - 2 * reach]))


def _positive(loss: Tensor) -> None:
    if not bool((loss.isfinite() & (loss > 0)).all()):
        raise InputError("a loss is not positive and finite and has no logarithm; leave those records out")


def _peaks(
    sizes: Float[Tensor, "record *series"], least: float, window: int
) -> Bool[Tensor, "record *series"]:
    """Tell which records have ``least`` or more and the most within ``window``, the first of equal ones."""
    flat = sizes.reshape(len(sizes), -1)
    padded = torch.nn.functional.pad(flat, (0, 0, window, window), value=-torch.inf)
    around = padded.unfold(0, 2 * window + 1, 1)  # [record, series, place]
    before, after = around[..., :window].amax(-1), around[..., window + 1 :].amax(-1)
    return ((flat > before) & (flat >= after) & (flat >= least)).reshape(sizes.shape)
