"""Second moments as a mergeable state: the one thing that every spectrum measure is computed from.

The state is the count, the sum and the Gram matrix of the rows, shifted by the first rows' mean so that a
large common offset costs no digits (Chan, Golub & LeVeque 1983). It is float64, takes O(width²) memory
whatever the number of rows, and two states merge into the state of all rows, so it streams, shards and
reduces.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from superscope.core.errors import InputError
from superscope.core.runtime import threads

WIDE = 256
"""From this width on, float32 rows are multiplied in float32, a block of rows at a time, and summed in
float64."""
STRIPS = 4
"""Column strips that a wide product is taken in."""
_ENOUGH = 128
"""Wide rows from which on register tiles are faster than the library's product."""
BLOCK = 2048
"""Rows in one float32 product: few enough for the rounding to stay near ``SINGLE``."""
_FIRST = 256
"""Rows that the shift is taken from."""
SINGLE = 2.0**-24
"""Root mean square error of a covariance from float32 products, relative to the largest variance (measured:
below it)."""


class Moments:
    """Count, mean and covariance of rows that arrive in batches.

    A row with a NaN or an infinity is kept out of everything: ``nonfinite`` counts such values, ``left_out``
    such rows. Products are taken in float64, except for float32 (or half) rows at least ``WIDE`` units wide,
    where the matrix product is the cost: there blocks of ``BLOCK`` rows are multiplied in float32 and summed
    in float64, which leaves the covariances within about 2⁻²⁴ of the largest variance. ``exact=True`` takes
    every product in float64.

    The state is ``count``, ``shift``, ``total`` and ``gram``, as :meth:`from_sums` takes them.

    >>> rows = torch.tensor([[1., 2.], [3., 4.], [5., 12.]])
    >>> whole = Moments(2).update(rows)
    >>> parts = Moments(2).update(rows[:1]).merge(Moments(2).update(rows[1:]))
    >>> whole.mean.tolist(), bool(torch.allclose(whole.covariance(), parts.covariance()))
    ([3.0, 6.0], True)
    """

    def __init__(self, width: int, *, exact: bool = False, device: torch.device | str = "cpu") -> None:
        if width < 1:
            raise InputError(f"Moments: width must be at least 1, got {width}")
        self.width = width
        self.exact = exact
        self.count = 0
        self.nonfinite = 0
        self.left_out = 0
        self.rounding = torch.finfo(torch.float64).eps  # of a Gram entry, relative to the units' scale
        self.shift: Tensor | None = None
        self.total = torch.zeros(width, dtype=torch.float64, device=device)
        self.gram = torch.zeros(width, width, dtype=torch.float64, device=device)

    @classmethod
    def from_sums(cls, count: int, shift: Tensor, total: Tensor, gram: Tensor, rounding: float) -> "Moments":
        """Make the state of ``count`` rows x from Σ(x − shift) and Σ(x − shift)(x − shift)ᵀ, all float64.

        ``rounding`` is the error of a Gram entry relative to the units' scale.
        """
        state = cls(len(shift), device=shift.device)
        state.count, state.shift, state.total = count, shift, total
        state.gram, state.rounding = gram, rounding
        return state

    def update(self, batch: Tensor, *, unit_axis: int = -1) -> "Moments":
        """Add the rows of ``batch`` and return the state itself.

        Args:
            batch: activations of any floating type with ``width`` units along ``unit_axis``; every other axis
                is a row axis. ``[row, unit]`` as it is; conv maps ``[sample, channel, height, width]`` with
                ``unit_axis=1``, which makes a row of every position.
            unit_axis: the axis of the units.

        Raises:
            InputError: when the axis has not ``width`` units, or the batch is not of a floating type.
        """
        if not batch.is_floating_point() or batch.ndim == 0 or batch.shape[unit_axis] != self.width:
            raise InputError(
                f"Moments: expected a floating batch with {self.width} units on axis {unit_axis}, "
                f"got {batch.dtype} of shape {tuple(batch.shape)}"
            )
        rows = batch.detach().movedim(unit_axis, -1).reshape(-1, self.width)
        if not torch.isfinite(
            rows.sum()
        ):  # a sum may also overflow, so look at the values before dropping any
            finite = torch.isfinite(rows)
            keep = finite.all(-1)
            self.nonfinite += int((~finite).sum())
            self.left_out += int((~keep).sum())
            rows = rows[keep]
        if len(rows):
            self._add(rows)
        return self

    def _add(self, rows: Tensor) -> None:
        if self.shift is None:
            self.shift = first_shift(rows[:_FIRST])
        total, gram, rounding = shifted_sums(rows, self.shift, exact=self.exact)
        self.total += total
        self.gram += gram
        self.rounding = max(self.rounding, rounding)
        self.count += len(rows)

    def reshift(self, shift: Tensor) -> None:
        """Take ``total`` and ``gram`` about another ``shift``; the rows stay what they are."""
        if self.shift is not None and not torch.equal(shift, self.shift):
            delta = self.shift - shift
            middle = self.total + self.count / 2 * delta
            self.gram = self.gram.addr(middle, delta).addr_(delta, middle)
            self.total = self.total + self.count * delta
        self.shift = shift

    def merge(self, other: "Moments") -> "Moments":
        """Add the rows that ``other`` has seen and return this state itself.

        Raises:
            InputError: when the widths differ.
        """
        if other.width != self.width:
            raise InputError(
                f"Moments: cannot merge widths {self.width} and {other.width}; they must be equal"
            )
        self.nonfinite += other.nonfinite
        self.left_out += other.left_out
        if other.shift is None:
            return self
        moved = Moments.from_sums(other.count, other.shift, other.total, other.gram, other.rounding)
        self.rounding = max(self.rounding, other.rounding)
        if self.shift is None:
            self.shift = other.shift
        moved.reshift(self.shift)
        self.count += other.count
        self.total = self.total + moved.total
        self.gram = self.gram + moved.gram
        return self

    @property
    def mean(self) -> Float[Tensor, " width"]:
        """The mean of each unit; NaN before the first row."""
        if self.shift is None:
            return torch.full_like(self.total, torch.nan)
        return self.shift + self.total / self.count

    def scatter(self, *, centred: bool = True) -> Float[Tensor, "width width"]:
        """Return Σ(x − μ)(x − μ)ᵀ, or Σ x xᵀ where not centred."""
        if self.shift is None:
            return self.gram.clone()
        origin = self.mean if centred else torch.zeros_like(self.total)
        state = Moments.from_sums(self.count, self.shift, self.total, self.gram, self.rounding)
        state.reshift(origin)
        return state.gram.clone() if state.gram is self.gram else state.gram

    def covariance(self, correction: int = 1) -> Float[Tensor, "width width"]:
        """Return Σ(x − μ)(x − μ)ᵀ / (count − correction), as ``torch.cov`` does; NaN for too few rows."""
        return self.scatter() / (self.count - correction if self.count > correction else torch.nan)

    def singular_values(self, *, centred: bool = True) -> Float[Tensor, " width"]:
        """Return the singular values of the [row, unit] matrix, falling, centred by column where asked.

        They are the square roots of the Gram matrix's eigenvalues, see :func:`singular_values`: what lies
        below about 1e-7 of the largest with float64 products, 1e-3 with float32 ones, reads as zero. There
        are always ``width`` values; fewer rows leave zeros at the end.
        """
        return singular_values(self.scatter(centred=centred), self.rounding)


def singular_values(
    scatter: Float[Tensor, "*batch width width"], rounding: float
) -> Float[Tensor, "*batch width"]:
    """Return the singular values, falling, of the matrices X that ``scatter`` holds as XᵀX.

    What lies below the rounding of XᵀX is no longer the data's and reads as zero: an error of standard
    deviation σ in each entry has the spectral norm 2σ√width, with σ = ``rounding`` times the largest
    diagonal entry.
    """
    with threads(1):  # thousands of small steps that wait for each other: beside other work a second thread,
        eigenvalues = torch.linalg.eigvalsh(scatter).flip(-1)  # held up at each, cost 100 times what it saves
    largest = scatter.diagonal(dim1=-2, dim2=-1).amax(-1, keepdim=True)
    floor = largest * (2 * scatter.shape[-1] ** 0.5 * rounding)
    return torch.where(eigenvalues > floor, eigenvalues, 0).sqrt()


def first_shift(rows: Float[Tensor, "row width"]) -> Float[Tensor, " width"]:
    """Return what to take off every row, from the first of them: their mean, or 0 where it costs no digits.

    Float64, but numbers that float32 has, so that float32 rows subtract the very same. Means no larger than
    the standard deviations cost the covariance at most one binary digit.
    """
    std, mean = torch.std_mean(rows.double(), 0, correction=0)
    return torch.zeros_like(mean) if bool((mean.abs() <= std).all()) else mean.float().double()


def shifted_sums(rows: Tensor, shift: Tensor, *, exact: bool = False) -> tuple[Tensor, Tensor, float]:
    """Return Σ(x − shift), Σ(x − shift)(x − shift)ᵀ and the Gram matrix's rounding.

    Some wide float32 rows on a CPU go through :mod:`superscope.measures.wide`.

    ``rows`` [row, unit] are finite; ``shift`` is float64 and holds numbers that float32 has.
    """
    width = rows.shape[1]
    double = exact or rows.dtype == torch.float64 or width < WIDE
    if not double and rows.device.type == "cpu" and len(rows) >= _ENOUGH:
        from superscope.measures.wide import wide_sums

        total, gram = wide_sums(rows.float().contiguous().numpy(), shift.float().numpy())
        return torch.from_numpy(total), torch.from_numpy(gram), SINGLE
    near = shift if double else shift.float()
    shifts = bool((shift != 0).any())
    gram = torch.zeros(width, width, dtype=torch.float64, device=rows.device)
    total = torch.zeros_like(shift)
    # of a wide product the strips below the diagonal are the mirror image of those above
    strip = -(-width // STRIPS) if width >= WIDE else width
    buffer = torch.empty(min(len(rows), BLOCK) if shifts else 0, width, dtype=near.dtype, device=rows.device)
    for block in rows.split(BLOCK):
        shifted = block.to(near.dtype)
        if shifts:
            shifted = torch.sub(shifted, near, out=buffer[: len(block)])
        total += shifted.sum(0)
        for left in range(0, width, strip):
            gram[left : left + strip, left:] += shifted[:, left : left + strip].T @ shifted[:, left:]
    if strip < width:
        gram = gram.triu() + gram.triu(1).T
    return total, gram, torch.finfo(torch.float64).eps if double else SINGLE
