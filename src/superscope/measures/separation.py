"""How well labelled samples lie apart in a space: silhouette, Davies-Bouldin index, overlap of classes.

All take samples as rows, x [sample, width], with a class index for each, and Euclidean distances. None is
moved by a rotation or a shift of the space, by its scale, or by renaming the classes. They speak of the space
they are given, so that belongs to the result: activations of one layer, averaged over positions or not.

Rows with a value that is not finite are left out; so are classes that do not occur, which have NaN where
classes are listed. With fewer than two classes there is nothing to separate, and the answer is NaN.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor

from superscope.core.errors import InputError
from superscope.core.random import generator
from superscope.measures.distances import class_distances
from superscope.measures.selectivity import ClassSums, check_labels

_AT_ONCE = 2**22
"""Values of x that become float64 at one time."""
_TIE = 2.0**-40
"""Two squared distances this close, as a share of the squared lengths, are equal."""


@dataclass(frozen=True)
class Silhouette:
    """How much nearer each sample lies to its own class than to the nearest other one."""

    mean: float
    """Over the samples, in [−1, 1]; where samples were drawn, each class by its share of all samples."""
    standard_error: float
    """Of the mean, with the samples' values taken for independent draws."""
    by_class: Float[Tensor, " class"]
    """The mean of each class, from 0 to the largest label; NaN for a class that does not occur."""
    values: Float[Tensor, " used"]
    """Of each sample used, float64."""
    rows: Int[Tensor, " used"]
    """Which samples were used, in rising order."""
    classes: int
    """Classes that occur."""
    empty: int
    """Classes below the largest label that do not."""
    left_out: int
    """Samples with a value that is not finite."""
    space: str
    """The space that the distances are in, in words."""

    @property
    def samples(self) -> int:
        """How many samples were used."""
        return len(self.values)


@torch.no_grad()
def silhouette(
    x: Float[Tensor, "sample width"],
    labels: Integer[Tensor, " sample"],
    *,
    most: int | None = 10_000,
    seed: int = 0,
    space: str = "the samples as given",
) -> Silhouette:
    """Return the silhouette s = (b − a)/max(a, b) of every sample, and its means.

    a is a sample's mean distance to the others of its class, b the smallest mean distance to the samples of
    another class. In [−1, 1], without unit: near 1 where classes are far apart for their size, 0 where they
    touch or mix, below 0 for samples nearer to another class. A sample alone in its class has s = 0, and so
    has one with a = b = 0. Source: Rousseeuw 1987, "Silhouettes: a graphical aid to the interpretation and
    validation of cluster analysis"; equal to scikit-learn's.

    Every pair counts, so time grows with the square of the samples. With more than ``most`` of them, that
    many are drawn by ``seed``: from each class its share, at least two, and distances are taken among these
    alone. ``most=None`` takes all. Memory is that of about three copies of x, whatever the number of pairs.

    float32 and half rows are multiplied in float32, and again in float64 where that would leave a distance
    without digits; sums are float64. The mean is within about 10⁻⁶ of the one from float64 rows, which are
    multiplied in float64.

    Raises:
        InputError: when x is not floating [sample, width] with a width of at least 1, labels are not a class
            index for each sample, or ``most`` is below 2.

    >>> x = torch.tensor([[0.0], [1.0], [4.0], [5.0]])
    >>> found = silhouette(x, torch.tensor([0, 0, 1, 1]))
    >>> round(found.mean, 4), found.by_class.shape, found.samples
    (0.746, torch.Size([2]), 4)
    """
    if most is not None and most < 2:
        raise InputError(f"most is {most}, expected a number of samples of at least 2, or None for all")
    usable = _usable(x, labels)
    of = labels.to(x.device)[usable].long().cpu()
    shares = torch.bincount(of).double() / max(len(of), 1)
    drawn = torch.arange(len(of)) if most is None or len(of) <= most else _draw(of, most, seed)
    rows, of = usable[drawn.to(x.device)], of[drawn]
    sizes = torch.bincount(of)
    classes = int((sizes > 0).sum())
    values = _silhouettes(x, rows, of) if classes > 1 else torch.full((len(of),), torch.nan).double()
    weights = (shares / sizes)[of]
    mean = float((values * weights).sum()) if classes > 1 else math.nan
    spread = float((weights * (values - mean)).square().sum())
    return Silhouette(
        mean=mean,
        standard_error=math.sqrt(spread * len(of) / (len(of) - 1)) if classes > 1 else math.nan,
        by_class=torch.zeros(len(sizes), dtype=torch.float64).index_add_(0, of, values) / sizes,
        values=values,
        rows=rows.cpu(),
        classes=classes,
        empty=len(sizes) - classes,
        left_out=len(x) - len(usable),
        space=space,
    )


@torch.no_grad()
def davies_bouldin(x: Float[Tensor, "sample width"], labels: Integer[Tensor, " sample"]) -> float:
    """Return the mean over classes of the worst (S_i + S_j)/M_ij: how wide classes are for their distance.

    S_i is the mean distance of a class's samples to its centroid, M_ij the distance of two centroids. From 0,
    without unit; lower is better separated. Two classes with one centroid do not count against each other,
    and 0 comes back where all S or all M are 0, as in scikit-learn, to which it is equal. Source: Davies and
    Bouldin 1979, "A cluster separation measure". In float64. NaN for fewer than two classes.

    Raises:
        InputError: when x is not floating [sample, width] with a width of at least 1, or labels are not a
            class index for each sample.

    >>> davies_bouldin(torch.tensor([[0.0], [2.0], [9.0], [11.0]]), torch.tensor([0, 0, 1, 1]))
    0.2222222222222222
    """
    kept = _Kept(x, labels)
    means = kept.centroids()
    if len(means) < 2:
        return math.nan
    spread = torch.zeros(len(means), dtype=torch.float64, device=x.device)
    for rows, of in kept.parts():
        spread.index_add_(0, of, torch.linalg.vector_norm(rows - means[of], dim=1))
    spread /= kept.sizes
    apart = torch.linalg.vector_norm(means[:, None] - means, dim=2)
    nothing = torch.zeros_like(spread)
    if torch.allclose(spread, nothing) or torch.allclose(apart, nothing):
        return 0.0
    ratios = (spread[:, None] + spread) / apart.masked_fill(apart == 0, torch.inf)
    return float(ratios.amax(1).mean())


@torch.no_grad()
def class_overlap(
    x: Float[Tensor, "sample width"], labels: Integer[Tensor, " sample"]
) -> Float[Tensor, " class"]:
    """Return the share of each class's samples that lie nearer to another class's centroid than to their own.

    #{i in c : min_{k≠c} ‖x_i − μ_k‖ < ‖x_i − μ_c∖i‖} / n_c, where μ_c∖i is the centroid of the class's other
    samples: the leave-one-out error of the nearest-centroid rule. With a sample in its own centroid, wide
    rows would seem apart however mixed they are. In [0, 1]: 0 where every sample lies with its class, about
    1 − 1/classes where labels mean nothing; a tie does not count. NaN for a class of one sample, and for all
    where there is no second class. The rule is the one of the fourth property of neural collapse: Papyan, Han
    and Donoho 2020, "Prevalence of neural collapse during the terminal phase of deep learning training".

    Classes run from 0 to the largest label; one that does not occur has NaN. In float64.

    Raises:
        InputError: when x is not floating [sample, width] with a width of at least 1, or labels are not a
            class index for each sample.

    >>> x = torch.tensor([[0.0], [1.0], [2.0], [9.0], [8.0], [9.0]])
    >>> class_overlap(x, torch.tensor([0, 0, 0, 0, 1, 1]))
    tensor([0.2500, 0.0000], dtype=torch.float64)
    """
    kept = _Kept(x, labels)
    means = kept.centroids()
    lengths = means.square().sum(1)
    overlap = torch.zeros(len(means), dtype=torch.float64, device=x.device)
    for rows, of in kept.parts() if len(means) > 1 else ():
        scale = rows.square().sum(1, keepdim=True) + lengths
        squares = torch.addmm(scale, rows, means.T, alpha=-2)
        size = kept.sizes[of].double()  # x − μ_c∖i = (x − μ_c) n/(n − 1)
        own = squares.gather(1, of[:, None]).squeeze(1) * (size / (size - 1)).square()
        other = squares.scatter(1, of[:, None], torch.inf).amin(1)
        overlap.index_add_(0, of, (other < own - _TIE * scale.amax(1)).double())
    known = (kept.sizes > 1) & (len(means) > 1)
    listed = overlap.new_full((kept.listed,), torch.nan)
    listed[kept.present] = torch.where(known, overlap / kept.sizes, torch.nan)
    return listed


class _Kept:
    """The usable rows of x in float64 about their mean, a part at a time, with classes that all occur."""

    def __init__(self, x: Tensor, labels: Tensor) -> None:
        self.x = x
        self.rows = _usable(x, labels)
        labels = labels.to(x.device)[self.rows].long()
        self.present, self.of, self.sizes = torch.unique(labels, return_inverse=True, return_counts=True)
        self.listed = int(labels.max()) + 1 if len(labels) else 0
        self.centre = x.new_zeros(x.shape[1], dtype=torch.float64)
        self.centre = sum((rows.sum(0) for rows, _ in self.parts()), self.centre) / max(len(self.rows), 1)

    def parts(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield rows and their classes."""
        step = max(1, _AT_ONCE // self.x.shape[1])
        for rows, of in zip(self.rows.split(step), self.of.split(step), strict=True):
            yield self.x[rows].double() - self.centre, of

    def centroids(self) -> Tensor:
        """Return the mean of each class that occurs, about the mean of all."""
        sums = ClassSums(self.x.shape[1])
        for rows, of in self.parts():
            sums.update(rows, of)
        return sums.means.to(self.x.device)


def _usable(x: Tensor, labels: Tensor) -> Tensor:
    """Return which rows of x have no value that is not finite; raise on what is not samples with labels."""
    if x.ndim != 2 or x.shape[1] == 0 or not x.is_floating_point():
        raise InputError(
            f"x is {x.dtype} of shape {tuple(x.shape)}, "
            "expected floating [sample, width] with a width of at least 1"
        )
    check_labels(labels, len(x))
    parts = x.split(max(1, _AT_ONCE // x.shape[1]))
    return torch.cat([rows.isfinite().all(1) for rows in parts]).nonzero().squeeze(1)


def _draw(of: Tensor, most: int, seed: int) -> Tensor:
    """Return about ``most`` of the samples, in rising order: of each class its share, at least two."""
    sizes = torch.bincount(of)
    exact = sizes.double() * (most / len(of))
    wanted = exact.floor().long()
    left = (exact - wanted).argsort(descending=True, stable=True)[: most - int(wanted.sum())]
    wanted[left] += 1
    wanted = torch.maximum(wanted, sizes.clamp(max=2))
    shuffled = torch.randperm(len(of), generator=generator(seed, "silhouette"))
    by_class = shuffled[of[shuffled].argsort(stable=True)]
    place = torch.arange(len(of)) - (sizes.cumsum(0) - sizes)[of[by_class]]
    return by_class[place < wanted[of[by_class]]].sort().values


def _silhouettes(x: Tensor, rows: Tensor, of: Tensor) -> Tensor:
    """Return the silhouette of each of the rows of x."""
    order = of.argsort(stable=True).to(x.device)
    sizes = torch.bincount(of)
    by_class = x[rows[order]].to(torch.promote_types(x.dtype, torch.float32))
    own, nearest = class_distances(by_class, sizes[sizes > 0].tolist())
    largest = torch.maximum(own, nearest)
    values = (nearest - own) / largest.masked_fill(largest == 0, 1)
    alone = (sizes == 1)[of].to(x.device)
    return torch.empty_like(values).index_copy_(0, order, values).masked_fill(alone, 0).cpu()
