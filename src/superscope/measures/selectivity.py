"""Sums by class that stream and merge, and how much a unit prefers one class to the others.

Labels are class indices from 0. A class that does not occur has no mean: it is NaN where classes are listed,
left out of everything else, and counted.
"""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from superscope.core.errors import InputError

LARGEST_LABEL = 2**20
"""Labels from here on are taken for something other than class indices."""


class ClassSums:
    """How many rows each class has and their sum: float64, O(classes x width) memory whatever the rows.

    Grows as labels appear. States of two parts of the data merge into the state of the whole. A row with a
    value that is not finite is left out and counted. The sums live on the device of the last batch.

    >>> sums = ClassSums(2).update(torch.tensor([[1.0, 0.0], [3.0, 2.0]]), torch.tensor([0, 0]))
    >>> sums = sums.merge(ClassSums(2).update(torch.tensor([[5.0, 5.0]]), torch.tensor([2])))
    >>> sums.means.tolist(), sums.counts.tolist(), sums.empty
    ([[2.0, 1.0], [nan, nan], [5.0, 5.0]], [2, 0, 1], 1)
    """

    def __init__(self, width: int) -> None:
        if width < 1:
            raise InputError(f"width is {width}, expected the number of units, at least 1")
        self.width = width
        self.left_out = 0
        self.counts = torch.zeros(0, dtype=torch.int64)
        self.totals = torch.zeros(0, width, dtype=torch.float64)

    @property
    def means(self) -> Float[Tensor, "class unit"]:
        """The mean row of each class, from 0 to the largest label; NaN for a class that does not occur."""
        return self.totals / self.counts[:, None]  # 0/0 is NaN

    @property
    def empty(self) -> int:
        """How many classes below the largest label do not occur."""
        return int((self.counts == 0).sum())

    @torch.no_grad()
    def update(self, x: Float[Tensor, "sample width"], labels: Integer[Tensor, " sample"]) -> "ClassSums":
        """Add the rows of x to the classes that ``labels`` names and return the state itself.

        Raises:
            InputError: when x is not [sample, width] for the width of this state, or the labels are not one
                class index a row.
        """
        if x.ndim != 2 or x.shape[1] != self.width:
            raise InputError(
                f"x has shape {tuple(x.shape)}, expected [sample, {self.width}] as this state was made for"
            )
        check_labels(labels, len(x))
        keep = x.isfinite().all(1)
        self.left_out += int((~keep).sum())
        rows, of = x[keep].double(), labels.to(x.device)[keep].long()
        if len(of):
            self._grow(int(of.max()) + 1, x.device)
            self.totals.index_add_(0, of, rows)
            self.counts += torch.bincount(of, minlength=len(self.counts))
        return self

    def merge(self, other: "ClassSums") -> "ClassSums":
        """Add the rows that ``other`` has seen and return this state itself.

        Raises:
            InputError: when the widths differ.
        """
        if other.width != self.width:
            raise InputError(
                f"a state of width {other.width} cannot merge into one of {self.width}; make them alike"
            )
        self.left_out += other.left_out
        classes = len(other.counts)
        if classes:
            self._grow(classes, other.totals.device)
            self.totals[:classes] += other.totals
            self.counts[:classes] += other.counts
        return self

    def _grow(self, classes: int, device: torch.device) -> None:
        """Make room for so many classes, on the device."""
        more = max(classes - len(self.counts), 0)
        self.counts = torch.cat([self.counts.to(device), self.counts.new_zeros(more, device=device)])
        self.totals = torch.cat(
            [self.totals.to(device), self.totals.new_zeros(more, self.width, device=device)]
        )


def class_selectivity(means: Float[Tensor, "class unit"]) -> Float[Tensor, " unit"]:
    """Return how much each unit prefers one class: (μ_max − μ_rest)/(μ_max + μ_rest).

    ``means`` are non-negative class means, as of activations behind a ReLU; μ_max is a unit's largest and
    μ_rest the mean of its others. From 0, all classes alike, to 1, silent for every class but one; without
    unit, and unmoved by the unit's scale. Source: Morcos et al. 2018, "On the importance of single directions
    for generalization". Later code adds 10⁻⁷ or so to the denominator, which this leaves out.

    NaN for a unit that is 0 for every class (such code gives it 0: dead units then pull the mean down), for
    one with a negative class mean (there the quotient has no range: take ``x.relu()`` before the means), and
    for all where fewer than two classes occur. A class whose means are NaN is left out. Work is in float64,
    the answer in the dtype of the means (half precision as float32).

    Raises:
        InputError: when the means are not [class, unit] with at least one unit.

    >>> class_selectivity(torch.tensor([[3.0, 1.0, 2.0, 0.0], [1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]))
    tensor([0.5000, 0.0000, 1.0000,    nan])
    """
    if means.ndim != 2 or means.shape[1] == 0:
        raise InputError(
            f"means have shape {tuple(means.shape)}, expected [class, unit] with at least one unit"
        )
    dtype = torch.promote_types(means.dtype, torch.float32)
    found = means[~means.isnan().any(1)].double()
    if len(found) < 2:
        return means.new_full(means.shape[1:], torch.nan, dtype=dtype)
    found = found / found.amax(0).masked_fill(found.amax(0) <= 0, torch.nan)  # so that no sum overflows
    rest = (found.sum(0) - 1) / (len(found) - 1)
    rest = torch.where((found < 0).any(0), torch.nan, rest.clamp(min=0))
    return ((1 - rest) / (1 + rest)).to(dtype)


def check_labels(labels: Tensor, samples: int) -> None:
    """Raise an :class:`InputError` unless the labels are a class index for each of so many samples."""
    whole = not (labels.is_floating_point() or labels.is_complex())
    if labels.ndim != 1 or len(labels) != samples or not whole:
        raise InputError(
            f"labels are {labels.dtype} of shape {tuple(labels.shape)}, "
            f"expected a class index for each of the {samples} samples"
        )
    lowest, highest = (int(labels.min()), int(labels.max())) if samples else (0, 0)
    if lowest < 0 or highest >= LARGEST_LABEL:
        raise InputError(
            f"labels run from {lowest} to {highest}, expected class indices from 0; number the classes, "
            "as torch.unique(labels, return_inverse=True)[1] does"
        )
