"""Everything that the survey says of a layer, from one pass over its activations.

Samples are dealt to a fixed number of groups. Each group's state merges with the others' into the state of
all samples, and leaving out one group at a time gives a standard error for every measure (the delete-a-group
jackknife, Kott 2001), which takes whole samples as the independent draws: positions of one image are not.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from superscope.core.errors import InputError
from superscope.measures.moments import SINGLE, Moments, shifted_sums, singular_values
from superscope.measures.similarity import CosineState, CosineStatistics
from superscope.measures.sparsity import kurtosis
from superscope.measures.spectrum import RANKS, rank_ratio

GROUPS = 8
WIDEST_GROUPED = 512
"""Wider layers keep one group, and have no standard errors: eight Gram matrices each would outgrow the
model."""
FUSED_WIDTH = 128
"""Up to this many channels a block of a conv map stays in the second-level cache (measured:
docs/benchmarks.md)."""
FUSED_POSITIONS = 16
_POOLED_VALUES = 2**18
_KEPT_VALUES, _VALUES_A_BATCH = 65_536, 4_096
_AT_ONCE = 2**16
_OTHERS = ("cosine_mean", "cosine_std", "dead_fraction", "activation_frequency", "kurtosis")


class LayerStatistics:
    """The streaming state of one layer: O(width²) memory whatever the number of samples.

    >>> state = LayerStatistics(3)
    >>> state.update(torch.randn(100, 3, generator=torch.Generator().manual_seed(0)))
    >>> state.rows, state.measures()["energy_rank"]
    (100, 3.0)
    >>> state.standard_errors().keys() == state.measures().keys()
    True
    """

    def __init__(self, width: int, *, device: torch.device | str = "cpu") -> None:
        self.width = width
        self.groups = GROUPS if width <= WIDEST_GROUPED else 1
        padded = -(-width // 4) * 4
        self.samples = 0
        self._batches = 0
        self._rounding = torch.finfo(torch.float64).eps
        self._shift: Tensor | None = None

        def zeros(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
            return torch.zeros(self.groups, *shape, dtype=dtype, device=device)

        self._gram, self._sum = zeros(padded, padded), zeros(width)
        self._active, self._counts = zeros(width, dtype=torch.int64), zeros(4, dtype=torch.int64)
        self._kurtosis = zeros()
        self._cosines = [CosineState(width) for _ in range(self.groups)]
        self._pooled = torch.empty(0, width, dtype=torch.float64, device=device)
        self._parts: list[tuple[int, int, int]] = []  # of the pooled: first group, start, samples
        self._waiting = 0
        # made once: small pieces that outlive a batch would pin the memory of its large ones
        self._values, self._kept = torch.empty(_KEPT_VALUES), 0
        self._every = 1

    def update(self, batch: Tensor, *, unit_axis: int = -1, fused: bool | None = None) -> None:
        """Add a batch of activations.

        Args:
            batch: ``[sample, ..., unit, ...]`` with the units on ``unit_axis``; every other axis but the
                first counts positions of a sample.
            unit_axis: the axis of the units.
            fused: take the fused kernel or the plain reference; None chooses.

        Raises:
            InputError: when the axis has not ``width`` units.
        """
        maps = batch.detach()
        maps = maps[:, None] if maps.ndim == 1 else maps.movedim(unit_axis, 1)
        if maps.shape[1] != self.width:
            raise InputError(
                f"expected {self.width} units on axis {unit_axis}, got a batch of shape {tuple(batch.shape)}"
            )
        if maps.numel() == 0:
            return
        maps = maps.reshape(len(maps), self.width, -1)
        shift = self._shift = _mean(maps[:8]) if self._shift is None else self._shift
        self._keep_values(maps)
        if fused is None:
            fused = self.width <= FUSED_WIDTH and maps.shape[2] >= FUSED_POSITIONS
            fused = fused and maps.device.type == "cpu" and maps.dtype == torch.float32
        first = self._batches % self.groups
        pooled = (self._update_fused if fused else self.update_reference)(maps, shift, first)
        self._pool(pooled, first)
        self.samples += len(maps)
        self._batches += 1

    def _update_fused(self, maps: Tensor, shift: Tensor, first: int) -> Tensor:
        from superscope.measures.fused import accumulate_maps, buffers

        pooled = torch.empty(len(maps), self.width, dtype=torch.float64)
        state = (self._gram, self._sum, self._active, self._counts, self._kurtosis, pooled)
        scratch = buffers(self.groups, self._gram.shape[1])
        arrays = (part.numpy() for part in state)
        accumulate_maps(maps.contiguous().numpy(), shift.float().numpy(), first, scratch, *arrays)
        self._rounding = SINGLE
        return pooled

    def update_reference(self, maps: Tensor, shift: Tensor, first: int) -> Tensor:
        """Add maps [sample, channel, position] in plain PyTorch, on any device, and return their pooled rows.

        The samples' shares go to the groups round from ``first``.
        """
        shares = [_share(share, self.groups, len(maps)) for share in range(self.groups)]
        small = maps.numel() <= _AT_ONCE  # then calls cost more than arithmetic: all shares in one
        pieces = [shares] if small else [[share] for share in shares]
        pooled = [self._add_piece(maps, shift, piece, first + i) for i, piece in enumerate(pieces)]
        return torch.cat(pooled)

    def _add_piece(self, maps: Tensor, shift: Tensor, shares: list[slice], first: int) -> Tensor:
        """Add samples of maps that lie in a row, a share to each group from ``first`` on."""
        begin, end = shares[0].start, shares[-1].stop
        rows = maps[begin:end].movedim(1, -1)  # [sample, position, unit]
        finite = torch.isfinite(rows)
        keep = finite.all(-1)
        whole = bool(keep.all())
        clean = rows if whole else torch.where(keep[..., None], rows, 0)
        peaks = kurtosis(clean).where(keep, torch.nan)
        sums = clean.sum(1, dtype=torch.float64)
        by_sample = torch.stack(
            [keep.sum(1), (~keep).sum(1), (~finite).sum((1, 2)), (~peaks.isnan()).sum(1)], 1
        )
        active, peaks = (clean > 0).sum(1), peaks.nansum(1, dtype=torch.float64)
        for i, share in enumerate(shares):
            g, part = (first + i) % self.groups, slice(share.start - begin, share.stop - begin)
            if share.start == share.stop:
                continue
            self._counts[g] += by_sample[part].sum(0)
            self._active[g] += active[part].sum(0)
            self._kurtosis[g] += peaks[part].sum()
            kept = rows[part].reshape(-1, self.width)
            kept = kept if whole else kept[keep[part].reshape(-1)]
            total, gram, rounding = shifted_sums(kept, shift)
            self._rounding = max(self._rounding, rounding)
            self._gram[g, : self.width, : self.width] += gram
            self._sum[g] += total
        return sums / by_sample[:, :1]

    @property
    def rows(self) -> int:
        """How many rows (samples times positions) the measures rest on."""
        return int(self._counts[:, 0].sum())

    @property
    def nonfinite(self) -> int:
        """How many values were NaN or infinite; their rows are kept out."""
        return int(self._counts[:, 2].sum())

    @property
    def dead(self) -> int:
        """How many units were above zero on no row."""
        return int((self._active.sum(0) == 0).sum())

    def moments(self) -> Moments:
        """Return the second moments of all rows."""
        shift = torch.zeros_like(self._sum[0]) if self._shift is None else self._shift
        gram = self._products(torch.ones(1, self.groups).to(self._gram))[0]
        return Moments.from_sums(self.rows, shift, self._sum.sum(0), gram, self._rounding)

    def values(self) -> Tensor:
        """Return an even sample of single activations, at most 65,536, non-finite ones included."""
        return self._values[: self._kept].clone()

    def measures(self) -> dict[str, float]:
        """Return every measure by name; NaN where it does not exist (no rows, no spread)."""
        return {name: values[0] for name, values in self._measures(torch.ones(1, self.groups)).items()}

    def standard_errors(self) -> dict[str, float]:
        """Return the jackknife standard error of every measure: √((G−1)/G · Σ_g (θ₋g − θ̄)²).

        NaN for all of them where a group is empty (fewer samples than groups) or the layer has one group.
        """
        return self.measures_and_errors()[1]

    def measures_and_errors(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return what :meth:`measures` and :meth:`standard_errors` do, at about the cost of one."""
        if self.groups == 1 or bool((self._counts[:, 0] == 0).any()):
            measures = self.measures()
            return measures, dict.fromkeys(measures, math.nan)
        found = self._measures(torch.cat([torch.ones(1, self.groups), 1 - torch.eye(self.groups)]))
        without = torch.tensor([values[1:] for values in found.values()], dtype=torch.float64)
        errors = ((self.groups - 1) * without.var(1, correction=0)).sqrt()
        measures = {name: values[0] for name, values in found.items()}
        return measures, dict(zip(found, errors.tolist(), strict=True))

    def _measures(self, chosen: Float[Tensor, "subset group"]) -> dict[str, list[float]]:
        """Return the measures of each subset of the groups, which ``chosen`` marks with ones."""
        self._flush()
        if self.rows == 0:
            names = [*RANKS, *(f"{name}_ratio" for name in RANKS), *_OTHERS]
            return dict.fromkeys(names, [math.nan] * len(chosen))
        weights = chosen.to(self._sum)
        counts = weights @ self._counts.double()
        rows, peaks = counts[:, 0], counts[:, 3]
        total = weights @ self._sum
        scatter = self._products(weights) - total[:, :, None] * total[:, None] / rows[:, None, None]
        spectra = singular_values(scatter, self._rounding)
        found: dict[str, list[float]] = {}
        for name, rank in RANKS.items():
            ranks = rank(spectra)
            found |= {name: ranks.double().tolist(), f"{name}_ratio": rank_ratio(ranks, self.width).tolist()}
        pairs = [self._pairs(subset) for subset in chosen]
        frequency = weights @ self._active.double() / rows[:, None]
        others = (
            [pair.mean for pair in pairs],
            [pair.std for pair in pairs],
            (frequency == 0).double().mean(1).tolist(),
            frequency.mean(1).tolist(),
            (weights @ self._kurtosis / torch.where(peaks > 0, peaks, torch.nan)).tolist(),
        )
        return found | dict(zip(_OTHERS, others, strict=True))

    def _products(self, weights: Float[Tensor, "subset group"]) -> Float[Tensor, "subset width width"]:
        """Return Σ(x − shift)(x − shift)ᵀ of each subset of the groups."""
        width = self.width
        lower = torch.tensordot(weights, self._gram, 1)[:, :width, :width].tril()
        return lower + lower.tril(-1).mT

    def _pairs(self, subset: Float[Tensor, " group"]) -> CosineStatistics:
        merged = CosineState(self.width)
        for g in subset.nonzero().flatten().tolist():
            merged.merge(self._cosines[g])
        return merged.result()

    def _pool(self, pooled: Tensor, first: int) -> None:
        """Put a batch's samples by for the cosines, whose products are cheaper many rows at a time."""
        if self._waiting + len(pooled) > len(self._pooled):
            self._flush()
        if len(pooled) > len(self._pooled):
            rows = max(len(pooled), _POOLED_VALUES // self.width)
            self._pooled = torch.empty(rows, self.width, dtype=torch.float64, device=pooled.device)
        self._pooled[self._waiting : self._waiting + len(pooled)] = pooled
        self._parts.append((first, self._waiting, len(pooled)))
        self._waiting += len(pooled)

    def _flush(self) -> None:
        for g, cosine in enumerate(self._cosines):
            parts = [
                self._pooled[start : start + count][_share((g - first) % self.groups, self.groups, count)]
                for first, start, count in self._parts
            ]
            if parts:
                cosine.update(torch.cat(parts))
        self._parts.clear()
        self._waiting = 0

    def _keep_values(self, maps: Tensor) -> None:
        """Keep some of the values; without room, drop every other one and keep half as many from here on."""
        flat = maps.reshape(-1)
        some = flat[:: self._every * max(1, len(flat) // _VALUES_A_BATCH)]
        if self._kept + len(some) > len(self._values):
            left = self._values[: self._kept : 2].clone()
            self._kept, self._every = len(left), 2 * self._every
            self._values[: self._kept] = left
            some = some[::2]
        self._values[self._kept : self._kept + len(some)] = some
        self._kept += len(some)


def _share(share: int, groups: int, samples: int) -> slice:
    return slice(share * samples // groups, (share + 1) * samples // groups)


def _mean(maps: Tensor) -> Tensor:
    """Return the mean of the finite values of each channel, as float64 numbers that float32 has."""
    mean = torch.where(torch.isfinite(maps), maps, 0).double().mean((0, 2)).float()
    return torch.where(torch.isfinite(mean), mean, 0).double()
