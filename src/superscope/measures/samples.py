"""What a layer makes of whole samples: each one's activations averaged over its positions.

Cosines between samples and sums by class stream over all of them. An even subset is kept as it is, for what
needs pairs of samples: silhouettes, histograms of cosines, pictures.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from superscope.measures.selectivity import ClassSums
from superscope.measures.similarity import CosineState, CosineStatistics, merged_cosines

MOST_KEPT = 1_024
"""Samples that are kept of a layer; fewer where it is wide."""
_MOST_VALUES = 2**19
_POOLED_VALUES, _MOST_POOLED = 2**18, 512
SPACE = "activations averaged over positions"


@dataclass(frozen=True)
class KeptSamples:
    """Some samples' pooled activations, evenly drawn."""

    values: Float[Tensor, "sample width"]
    labels: Int[Tensor, " sample"] | None
    """Their classes; None where a batch came without."""
    indices: Int[Tensor, " sample"]
    """Their places in the data, in the order in which it was read."""


class PooledSamples:
    """The state of a layer's pooled samples: O(width²) memory whatever their number.

    Args:
        width: units.
        groups: of samples, for standard errors.
    """

    def __init__(self, width: int, groups: int, device: torch.device | str = "cpu") -> None:
        self.width, self.groups = width, groups
        self.seen = 0
        self.labelled = True
        self.classes = ClassSums(width)
        self._cosines = [CosineState(width) for _ in range(groups)]
        self._pooled = torch.empty(0, width, dtype=torch.float64, device=device)
        self._parts: list[tuple[int, int, int]] = []  # of the pooled: first group, start, samples
        self._waiting = 0
        self._kept = torch.empty(min(MOST_KEPT, max(1, _MOST_VALUES // width)), width)
        self._labels = torch.zeros(len(self._kept), dtype=torch.int64)
        self._count, self._every = 0, 1

    def add(self, pooled: Float[Tensor, "sample width"], first: int, labels: Tensor | None) -> None:
        """Add a batch, whose shares go to the groups round from ``first``."""
        if labels is None or len(labels) != len(pooled):
            self.labelled = False
        else:
            self.classes.update(pooled, labels.to(pooled.device))
        self._keep(pooled, labels if self.labelled else None)
        self._pool(pooled, first)
        self.seen += len(pooled)

    def kept(self) -> KeptSamples:
        """Return the subset that is kept."""
        indices = torch.arange(self._count) * self._every
        labels = self._labels[: self._count].clone() if self.labelled and self._count else None
        return KeptSamples(self._kept[: self._count].clone(), labels, indices)

    def cosines(self, chosen: Float[Tensor, "subset group"]) -> list[CosineStatistics]:
        """Return the cosines between all pairs of samples of each subset of the groups."""
        self.flush()
        return merged_cosines(self._cosines, chosen)

    def _keep(self, pooled: Tensor, labels: Tensor | None) -> None:
        """Keep every so-many-th sample; without room, drop every other one and keep half as many."""
        while True:
            places = torch.tensor(
                range(-self.seen % self._every, len(pooled), self._every), dtype=torch.int64
            )
            if self._count + len(places) <= len(self._kept):
                break
            left = self._kept[: self._count : 2].clone()
            self._labels[: len(left)] = self._labels[: self._count : 2].clone()
            self._kept[: len(left)] = left
            self._count, self._every = len(left), 2 * self._every
        end = self._count + len(places)
        self._kept[self._count : end] = pooled[places.to(pooled.device)]
        if labels is not None:
            self._labels[self._count : end] = labels[places.to(labels.device)]
        self._count = end

    def _pool(self, pooled: Tensor, first: int) -> None:
        """Put a batch's samples by for the cosines, whose products are cheaper many rows at a time."""
        if self._waiting + len(pooled) > len(self._pooled):
            self.flush()
        if len(pooled) > len(self._pooled):
            rows = max(len(pooled), _POOLED_VALUES // self.width, min(self.width, _MOST_POOLED))
            self._pooled = torch.empty(rows, self.width, dtype=torch.float64, device=pooled.device)
        self._pooled[self._waiting : self._waiting + len(pooled)] = pooled
        self._parts.append((first, self._waiting, len(pooled)))
        self._waiting += len(pooled)

    def flush(self) -> None:
        """Take the samples that wait into the cosines."""
        for g, cosine in enumerate(self._cosines):
            parts = [
                self._pooled[start : start + count][share((g - first) % self.groups, self.groups, count)]
                for first, start, count in self._parts
            ]
            if parts:
                cosine.update(torch.cat(parts))
        self._parts.clear()
        self._waiting = 0


def share(index: int, groups: int, samples: int) -> slice:
    """Return which of so many samples are the ``index``-th of ``groups`` shares."""
    return slice(index * samples // groups, (index + 1) * samples // groups)
