"""Mean distances of every sample to each class, from all pairs of samples a tile at a time.

‖a − b‖² = ‖a‖² + ‖b‖² − 2a·b, so tiles of distances are matrix products. Each pair is taken once: a tile
right of the diagonal adds along its rows and down its columns. Samples lie by class, so what a tile adds is
again a product, with the few classes that the tile meets. Classes are finished in groups, and only the
smallest mean so far is kept, so memory stays in proportion to the samples whatever the number of classes.

The squared distance of two samples that are near for their lengths is a small difference of large numbers: in
float32, off by about 2⁻²⁴(‖a‖² + ‖b‖²). A tile with a pair nearer than ``_NEAR`` of that is taken in float64.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

_ROWS, _COLUMNS = 1024, 2048
"""The size of a tile."""
_GROUP = 64
"""Classes that are finished at a time, at most."""
_NEAR = 2.0**-6
"""Share of ‖a‖² + ‖b‖² below which float32 leaves ‖a − b‖² fewer than 18 bits."""


def class_distances(
    x: Float[Tensor, "sample width"], sizes: list[int]
) -> tuple[Float[Tensor, " sample"], Float[Tensor, " sample"]]:
    """Return each sample's mean distance to the others of its class, and the smallest to another class.

    x holds the classes one after the other, ``sizes`` of them, each with a sample at least, in float32 or
    float64; the answers are float64. A sample alone in its class has 0 first, and without another class the
    second is infinite.
    """
    bounds = [0, *torch.tensor(sizes).cumsum(0).tolist()]
    tiles = _Tiles(x, sizes)
    counts = torch.tensor(sizes, dtype=torch.float64, device=x.device)
    own = x.new_zeros(len(x), dtype=torch.float64)
    nearest = torch.full_like(own, torch.inf)
    for first, last in _groups(sizes):
        start, end = bounds[first], bounds[last]
        sums = own.new_zeros(len(x) - start, last - first)  # of distances to the group's classes
        for top in range(start, end, _ROWS):
            bottom = min(top + _ROWS, end)
            along = own.new_zeros(bottom - top, len(sizes) - first)
            for left, right in _columns(top, bottom, len(x)):
                tile = tiles.distances(top, bottom, left, right)
                part, classes = tiles.by_class(tile, left, right)
                along[:, classes.start - first : classes.stop - first] += part
                if left >= bottom:
                    part, classes = tiles.by_class(tile.T, top, bottom)
                    sums[left - start : right - start, classes.start - first : classes.stop - first] += part
            sums[top - start : bottom - start] += along[:, : last - first]
            if last < len(sizes):
                beyond = (along[:, last - first :] / counts[last:]).amin(1)
                nearest[top:bottom] = torch.minimum(nearest[top:bottom], beyond)
        mine = tiles.of[start:end, None] - first
        own[start:end] = sums[: end - start].gather(1, mine).squeeze(1)
        sums[: end - start].scatter_(1, mine, torch.inf)
        nearest[start:] = torch.minimum(nearest[start:], (sums / counts[first:last]).amin(1))
    return own / (counts[tiles.of] - 1).clamp(min=1), nearest


class _Tiles:
    """The distances between samples, a tile at a time."""

    def __init__(self, x: Tensor, sizes: list[int]) -> None:
        self.right = x.new_ones(len(x), x.shape[1] + 2)  # [b, 1, ‖b‖²], and left [−2a, ‖a‖², 1]
        self.x, self.squares = self.right[:, :-2], self.right[:, -1]
        self.x.copy_(x).sub_(x.mean(0))
        self.squares.copy_(torch.cat([torch.linalg.vecdot(rows, rows) for rows in self.x.split(_ROWS)]))
        self.left, self.top = x[:0], -1
        self.room = x.new_empty(_ROWS * _COLUMNS)
        self.of = torch.arange(len(sizes), device=x.device).repeat_interleave(
            torch.tensor(sizes, device=x.device), output_size=len(x)
        )
        self.classes = self.of.tolist()

    def distances(self, top: int, bottom: int, left: int, right: int) -> Tensor:
        """Return the distances of samples from ``top`` to those from ``left``, good until the next call."""
        if top != self.top:
            squares = self.squares[top:bottom, None]
            self.left = torch.cat([self.x[top:bottom] * -2, squares, torch.ones_like(squares)], 1)
            self.top = top
        shape = (bottom - top, right - left)
        tile = torch.mm(self.left, self.right[left:right].T, out=self.room[: shape[0] * shape[1]].view(shape))
        if left == top:
            tile.fill_diagonal_(torch.inf)
        if tile.dtype == torch.float32:
            lengths = self.squares[top:bottom].amax() + self.squares[left:right].amax()
            if bool(tile.amin() < _NEAR * lengths):
                a, b = self.x[top:bottom].double(), self.x[left:right].double()
                tile = torch.addmm(torch.linalg.vecdot(b, b), a, b.T, alpha=-2)
                tile += torch.linalg.vecdot(a, a)[:, None]
        if left == top:
            tile.fill_diagonal_(0)
        return tile.clamp_(min=0).sqrt_()

    def by_class(self, tile: Tensor, left: int, right: int) -> tuple[Tensor, slice]:
        """Return the sums of the tile's columns, samples from ``left``, by class; and which classes."""
        first, last = self.classes[left], self.classes[right - 1] + 1
        if last - first == 1:
            return tile.sum(1, keepdim=True, dtype=torch.float64), slice(first, last)
        columns = self.of[left:right, None] == torch.arange(first, last, device=tile.device)
        return (tile @ columns.to(tile.dtype)).double(), slice(first, last)


def _columns(top: int, bottom: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the tiles of a band of rows: the one on the diagonal, then those right of it."""
    yield top, bottom
    for left in range(bottom, end, _COLUMNS):
        yield left, min(left + _COLUMNS, end)


def _groups(sizes: list[int]) -> Iterator[tuple[int, int]]:
    """Yield runs of classes that fit in a band of rows, or one class where it alone does not."""
    first = rows = 0
    for c, size in enumerate(sizes):
        if c > first and (rows + size > _ROWS or c - first == _GROUP):
            yield first, c
            first, rows = c, 0
        rows += size
    yield first, len(sizes)
