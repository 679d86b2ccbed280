"""Cosine similarity over all pairs of rows: exact mean and spread from one pass, without the matrix of pairs.

With unit rows x̂_i, their mean m and scatter C = Σ_i (x̂_i − m)(x̂_i − m)ᵀ, the n(n−1) cosines between
different rows have

    mean = 1 − tr C/(n−1)
    variance = (‖C‖²_F + 2n mᵀCm − (tr C)²/(n−1)) / (n(n−1))
    standard error of the mean = 2/(n−2) · √(n mᵀCm/(n−1))

This is (‖Σx̂‖² − n)/(n(n−1)), and the same of ‖X̂ᵀX̂‖²_F for the second moment, with the large equal parts
taken out by hand: x̂_i·x̂_j = ‖m‖² + m·r_i + m·r_j + r_i·r_j for r = x̂ − m, so rows that are nearly parallel
lose no digits. The standard error is the delete-one jackknife's: leaving out row i moves the mean by its sum
of cosines, n(‖m‖² + m·r_i) − 1, whose spread over i is n²mᵀCm.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from superscope.core.errors import InputError
from superscope.core.random import generator
from superscope.measures.moments import WIDE, shifted_sums

_BLOCK = 2048
"""Rows and columns of a block of cosines."""

_PARALLEL = 0.1
"""Unit rows whose mean square distance from their mean is below this one are nearly parallel."""


@dataclass(frozen=True)
class CosineStatistics:
    """The cosines between all pairs of different rows."""

    mean: float
    """In [−1/(n−1), 1]; NaN for fewer than two usable rows."""
    std: float
    """Population standard deviation over the pairs, in [0, 1]; NaN for fewer than two usable rows."""
    count: int
    """Unordered pairs: n(n−1)/2 for n usable rows."""
    left_out: int
    """Rows without a direction: all zero, or with a value that is not finite."""
    standard_error: float
    """Of the mean, by the jackknife over rows as independent draws; NaN for fewer than three usable rows."""


class CosineState:
    """The cosines of rows that come in batches: float64, O(width²) memory whatever the number of rows.

    States of two parts of the data merge into the state of the whole. The tensors live on the device of the
    last batch.

    >>> state = CosineState(2).update(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    >>> state = state.update(torch.tensor([[-3.0, 0.0], [0.0, 0.0]]))
    >>> state.result().count, state.result().left_out, round(state.result().mean, 6)
    (3, 1, -0.333333)
    """

    def __init__(self, width: int) -> None:
        if width < 1:
            raise InputError(f"width is {width}, expected the number of units, at least 1")
        self.count = 0
        self.left_out = 0
        self.mean_direction = torch.zeros(width, dtype=torch.float64)
        self.scatter = torch.zeros(width, width, dtype=torch.float64)

    @property
    def width(self) -> int:
        """The number of units in a row."""
        return len(self.mean_direction)

    @torch.no_grad()
    def update(self, x: Float[Tensor, "row width"]) -> "CosineState":
        """Take in the rows of x and return the state itself.

        Raises:
            InputError: when x is not [row, width] for the width of this state.
        """
        if x.ndim != 2 or x.shape[1] != self.width:
            raise InputError(
                f"x has shape {tuple(x.shape)}, expected [row, {self.width}] as this state was made for"
            )
        rows, mean, left_out = _centred_directions(x)
        return self._add(len(rows), mean, _scatter(rows), left_out)

    def merge(self, other: "CosineState") -> "CosineState":
        """Take in the rows that ``other`` has seen and return this state itself.

        Raises:
            InputError: when the widths differ.
        """
        if other.width != self.width:
            raise InputError(
                f"a state of width {other.width} cannot merge into one of {self.width}; make them alike"
            )
        return self._add(other.count, other.mean_direction, other.scatter, other.left_out)

    def result(self) -> CosineStatistics:
        """Return the statistics of the rows so far, in O(width²)."""
        along = self.mean_direction @ self.scatter @ self.mean_direction
        return _statistics(
            self.count, self.scatter.trace(), self.scatter.square().sum(), along, self.left_out
        )

    def _add(self, count: int, mean: Tensor, scatter: Tensor, left_out: int) -> "CosineState":
        """Add a part by Chan, Golub and LeVeque's update of the mean and the scatter (1983)."""
        self.left_out += left_out
        if count == 0:
            return self
        total = self.count + count
        step = mean - self.mean_direction.to(mean.device)
        if self.count == 0:
            self.scatter = scatter.clone()  # another state's, where it comes by a merge
        else:
            both = self.scatter.to(mean.device) + scatter
            self.scatter = torch.addr(both, step, step, alpha=self.count * count / total)
        self.mean_direction = mean - step * (self.count / total)
        self.count = total
        return self


@torch.no_grad()
def merged_cosines(
    states: Sequence[CosineState], chosen: Float[Tensor, "subset state"]
) -> list[CosineStatistics]:
    """Return the statistics of each subset of the states, which ``chosen`` marks with ones, as of their rows.

    As merging the states of a subset, and many subsets at the cost of few: with n_g rows of mean m_g and
    scatter C_g in part g, the whole has the mean m = Σ n_g m_g/n and the scatter
    Σ C_g + n_g (m_g − m)(m_g − m)ᵀ.
    """
    device = next((state.scatter.device for state in states if state.count), states[0].scatter.device)
    weights = chosen.double().to(device)
    counts = torch.tensor([float(state.count) for state in states], dtype=torch.float64, device=device)
    parts = torch.stack([state.mean_direction.to(device) for state in states])
    scatters = torch.tensordot(weights, torch.stack([state.scatter.to(device) for state in states]), 1)
    found = []
    for subset, scatter in zip(weights, scatters, strict=True):
        shares = subset * counts
        n = int(shares.sum())
        mean = shares @ parts / max(n, 1)
        apart = parts - mean
        whole = scatter + (apart * shares[:, None]).T @ apart
        left_out = sum(
            state.left_out for state, marked in zip(states, subset.tolist(), strict=True) if marked
        )
        found.append(_statistics(n, whole.trace(), whole.square().sum(), mean @ whole @ mean, left_out))
    return found


@torch.no_grad()
def pairwise_cosine(x: Float[Tensor, "row width"]) -> CosineStatistics:
    """Return the mean and spread of cos(x_i, x_j) over all pairs of different rows.

    In [−1, 1], without unit. Exact, in float64, through the smaller of the row by row and the unit by unit
    products; the statistics are those of :class:`CosineState` after one batch. The cosine ignores the rows'
    lengths and is unmoved by a rotation of the space, but not by a shift: activations that are all positive
    have positive cosines, and centring them gives others.

    Rows that are all zero or not finite have no direction; they are left out and counted. With fewer
    than two rows left, mean and std are NaN and the count is 0.

    Raises:
        InputError: when x is not [row, width] with a width of at least 1.

    >>> result = pairwise_cosine(torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]))
    >>> round(result.mean, 6), round(result.std, 6), result.count
    (0.333333, 0.471405, 3)
    """
    if x.ndim != 2 or x.shape[1] == 0:
        raise InputError(f"x has shape {tuple(x.shape)}, expected [row, width] with a width of at least 1")
    rows, mean, left_out = _centred_directions(x)
    products = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    along = (rows @ mean).square().sum()
    return _statistics(len(rows), products.trace(), products.square().sum(), along, left_out)


def pairwise_cosine_between_units(x: Float[Tensor, "row unit"]) -> CosineStatistics:
    """Return the mean and spread of the cosine over all pairs of different units.

    ``pairwise_cosine(x.T)``: each unit is the vector of its values on the rows, and one that is zero on every
    row, or not finite on any, is left out and counted.

    Raises:
        InputError: when x is not [row, unit] with at least one row.

    >>> pairwise_cosine_between_units(torch.tensor([[1.0, -1.0, 0.0], [2.0, -2.0, 0.0]])).left_out
    1
    """
    return pairwise_cosine(x.T)


@torch.no_grad()
def cosine_histogram(
    x: Float[Tensor, "row width"], bins: int = 100, *, pairs: int = 1_000_000, seed: int = 0
) -> tuple[Int[Tensor, " bins"], Float[Tensor, " edges"]]:
    """Return how many pairs of different rows have a cosine in each of ``bins`` equal parts of [−1, 1].

    The counts, which sum to the pairs looked at, and the bins + 1 edges. A cosine on an edge counts above
    it, and 1 in the last bin. Between units instead of rows: ``cosine_histogram(x.T)``. Rows without a
    direction are left out, as in :func:`pairwise_cosine`; with fewer than two left, all counts are 0.

    All n(n−1)/2 pairs are taken up to 16 times ``pairs`` of them, because a product of whole blocks is that
    much cheaper than single cosines. Beyond that, ``pairs`` different ones are drawn by ``seed``: the rows
    are shuffled in a ring, and each is paired with the row so many places on, for places drawn without
    return. Every pair is as likely as any other and every row comes equally often (but for the last place,
    which is cut short). Memory is O(row · width) in either case.

    float64 rows are multiplied in float64, others in float32, so that a cosine within 10⁻⁷ of an edge may
    count on its other side.

    Raises:
        InputError: when x is not [row, width] with a width of at least 1, or bins or pairs are below 1.

    >>> counts, edges = cosine_histogram(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]), bins=4)
    >>> counts.tolist(), edges.tolist()
    ([1, 0, 2, 0], [-1.0, -0.5, 0.0, 0.5, 1.0])
    """
    if x.ndim != 2 or x.shape[1] == 0:
        raise InputError(f"x has shape {tuple(x.shape)}, expected [row, width] with a width of at least 1")
    if bins < 1 or pairs < 1:
        raise InputError(f"bins is {bins} and pairs {pairs}, expected at least 1 of each")
    rows = _directions(x)[0].to(torch.float64 if x.dtype == torch.float64 else torch.float32)
    n = len(rows)
    all_pairs = n * (n - 1) // 2
    cosines = _all_cosines(rows) if all_pairs <= 16 * pairs else _drawn_cosines(rows, pairs, seed)
    counts = torch.zeros(bins, dtype=torch.int64, device=x.device)
    for part in cosines:
        counts += torch.histc(part, bins, min=-1, max=1).long()
    return counts, torch.linspace(-1, 1, bins + 1, dtype=torch.float64)


def _all_cosines(rows: Tensor) -> Iterator[Tensor]:
    """Yield the cosine of each pair, a block at a time, and 2 where a block holds what is no pair."""
    for top in range(0, len(rows), _BLOCK):
        for left in range(top, len(rows), _BLOCK):
            cosines = (rows[top : top + _BLOCK] @ rows[left : left + _BLOCK].T).clamp_(-1, 1)
            if left == top:
                cosines.masked_fill_(torch.ones_like(cosines, dtype=torch.bool).tril_(), 2)
            yield cosines


def _drawn_cosines(rows: Tensor, pairs: int, seed: int) -> Iterator[Tensor]:
    """Yield the cosines of so many different pairs."""
    n, draws = len(rows), generator(seed, "cosine_histogram")
    ring = rows[torch.randperm(n, generator=draws).to(rows.device)]
    steps = torch.randperm((n - 1) // 2, generator=draws) + 1  # n/2 of an even ring would come up twice
    for step in steps.tolist():
        some = min(pairs, n)
        pairs -= some
        first = min(some, n - step)  # beyond them, the ring closes
        yield torch.linalg.vecdot(ring[:first], ring[step : step + first]).clamp_(-1, 1)
        if some > first:
            yield torch.linalg.vecdot(ring[first:some], ring[: some - first]).clamp_(-1, 1)
        if pairs == 0:
            return


def _directions(x: Tensor) -> tuple[Tensor, int]:
    """Return the usable rows at length 1, and the number of rows left out."""
    largest = x.abs().amax(1)
    usable = largest.isfinite() & (largest > 0)
    rows = x[usable].double()
    rows /= largest[usable].double()[:, None]  # so that no square overflows or underflows
    rows /= torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows, len(x) - len(rows)


def _centred_directions(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return the usable rows at length 1 minus their mean, that mean, and the number of rows left out."""
    rows, left_out = _directions(x)
    mean = rows.sum(0) / max(len(rows), 1)
    return rows - mean, mean, left_out


def _scatter(rows: Tensor) -> Tensor:
    """Return Σ r rᵀ of rows less their mean.

    Wide ones are multiplied in float32, except where they are nearly parallel: mᵀCm is then far below C.
    """
    if rows.shape[1] < WIDE or float(rows.square().sum()) <= _PARALLEL * len(rows):
        return rows.T @ rows
    return shifted_sums(rows.float(), torch.zeros_like(rows[0]))[1]


def _statistics(n: int, trace: Tensor, frobenius: Tensor, along: Tensor, left_out: int) -> CosineStatistics:
    """Return the statistics from n, tr C, ‖C‖²_F and mᵀCm."""
    tr, along_mean = float(trace), float(along)
    if n < 2:
        return CosineStatistics(math.nan, math.nan, 0, left_out, math.nan)
    variance = (float(frobenius) + 2 * n * along_mean - tr**2 / (n - 1)) / (n * (n - 1))
    error = 2 / (n - 2) * math.sqrt(max(n * along_mean / (n - 1), 0)) if n > 2 else math.nan
    return CosineStatistics(1 - tr / (n - 1), math.sqrt(max(variance, 0)), n * (n - 1) // 2, left_out, error)
