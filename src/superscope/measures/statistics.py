"""Everything that the survey says of a layer, from one pass over its activations.

Samples are dealt to a fixed number of groups. Each group's state merges with the others' into the state of
all samples, and leaving out one group at a time gives a standard error for every measure (the delete-a-group
jackknife, Kott 2001), which takes whole samples as the independent draws: positions of one image are not.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from superscope.core.errors import InputError
from superscope.measures.grouped import GroupedMoments
from superscope.measures.jackknife import jackknife
from superscope.measures.moments import SINGLE, Moments, singular_values
from superscope.measures.samples import KeptSamples, PooledSamples, share
from superscope.measures.sparsity import kurtosis
from superscope.measures.spectrum import RANKS, rank_ratio

GROUPS = 8
WIDEST_GROUPED = 512
"""Wider rows keep one group, and have no standard errors: eight Gram matrices each would outgrow the
model."""
FUSED_WIDTH = 128
"""Up to this many channels a block of a conv map stays in the second-level cache (measured:
docs/benchmarks.md)."""
FUSED_POSITIONS = 16
_KEPT_VALUES, _VALUES_A_BATCH = 65_536, 4_096
_AT_ONCE = 2**16
_GOLDEN = 0.6180339887498949
_PLENTY = 2_048
"""Rows that make it worth while to split a batch's products among the groups."""

Family = Literal["ranks", "similarity", "sparsity"]
FAMILIES: tuple[Family, ...] = ("ranks", "similarity", "sparsity")
_SPARSITY = ("dead_fraction", "activation_frequency", "kurtosis")
Path = Literal["fused", "rows", "reference"]


class LayerStatistics:
    """The streaming state of one layer: O(width²) memory whatever the number of samples.

    Args:
        width: units.
        device: where the batches are.
        errors: whether to keep groups for standard errors.
        families: which measures to take.
        weight: W [unit, input] of a layer that only maps its input linearly, y = Wx + b, to more units: the
            second moments are then those of ``source`` (see :mod:`superscope.measures.grouped`).
        bias: b [unit].
        every: take one in so many rows into the second moments, evenly drawn.
        batches: how many batches are to come, where that is known: with many, each goes whole to a group.

    >>> state = LayerStatistics(3)
    >>> state.update(torch.randn(100, 3, generator=torch.Generator().manual_seed(0)))
    >>> state.rows, state.measures()["energy_rank"]
    (100, 3.0)
    >>> state.standard_errors().keys() == state.measures().keys()
    True
    """

    def __init__(
        self,
        width: int,
        *,
        device: torch.device | str = "cpu",
        errors: bool = True,
        families: Sequence[Family] = FAMILIES,
        weight: Float[Tensor, "unit input"] | None = None,
        bias: Float[Tensor, " unit"] | None = None,
        every: int = 1,
        batches: int | None = None,
    ) -> None:
        self.width, self.families, self.every = width, tuple(families), every
        inner = width if weight is None else weight.shape[1]
        self.groups = GROUPS if errors and width <= WIDEST_GROUPED else 1
        self.samples = 0
        self._batches = 0
        self._whole = batches is not None and batches >= 2 * GROUPS
        self.products = GroupedMoments(
            inner,
            GROUPS if errors and inner <= WIDEST_GROUPED else 1,
            weight=weight,
            bias=bias,
            device=device,
        )
        self._seen = 0  # finite rows, of which the products take one in ``every``

        def zeros(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
            return torch.zeros(self.groups, *shape, dtype=dtype, device=device)

        self._active, self._counts = zeros(width, dtype=torch.int64), zeros(4, dtype=torch.int64)
        self._kurtosis = zeros()
        self._spectrum: Tensor | None = None
        self._samples = PooledSamples(width, self.groups, device) if "similarity" in families else None
        # made once: small pieces that outlive a batch would pin the memory of its large ones
        self._values, self._kept = torch.empty(_KEPT_VALUES), 0
        self._stride = 1

    def update(
        self,
        batch: Tensor,
        *,
        unit_axis: int = -1,
        mask: Bool[Tensor, "sample token"] | None = None,
        labels: Int[Tensor, " sample"] | None = None,
        source: Tensor | None = None,
        path: Path | None = None,
    ) -> None:
        """Add a batch of activations.

        Args:
            batch: ``[sample, ..., unit, ...]`` with the units on ``unit_axis``; every other axis but the
                first counts positions of a sample.
            unit_axis: the axis of the units.
            mask: which positions count, where there is one axis of them.
            labels: the class of each sample, from 0.
            source: the layer's input where it was made with a weight, laid out like the batch.
            path: a kernel, or the plain reference; None chooses.

        Raises:
            InputError: when the axis has not ``width`` units.
        """
        maps = _maps(batch, unit_axis)
        if maps.shape[1] != self.width:
            raise InputError(
                f"expected {self.width} units on axis {unit_axis}, got a batch of shape {tuple(batch.shape)}"
            )
        if maps.numel() == 0:
            return
        self._spectrum = None
        self._keep_values(maps, mask)
        inputs = maps if source is None else _maps(source, unit_axis)
        if self.products.shift is None:
            self.products.shift = _mean(inputs[:8], None if mask is None else mask[:8])
        first = self._batches % max(self.groups, self.products.groups)
        if path is None:
            path = self._path(maps, mask)
        if path == "fused":
            pooled = self._update_fused(maps, first)
        elif path == "rows" and self.families == ("ranks",) and mask is None and bool(maps.sum().isfinite()):
            pooled = maps[:, :, 0]  # nothing but products: no need to look at the values
            self._add_products(inputs, torch.ones(len(maps), maps.shape[2], dtype=torch.bool), first)
            self._count_all(maps, first)
        else:
            look = self._scan if path == "rows" else self._look
            keep, pooled = look(maps, mask, first)
            self._add_products(inputs, keep, first)
        if self._samples is not None:
            self._samples.add(pooled, first, labels)
        self.samples += len(maps)
        self._batches += 1

    def _path(self, maps: Tensor, mask: Tensor | None) -> Path:
        if maps.device.type != "cpu" or maps.dtype == torch.float64:
            return "reference"
        plain = mask is None and self.every == 1 and maps.dtype == torch.float32
        plain = plain and self.products.width == self.width and self.products.groups == self.groups
        fits = self.width <= FUSED_WIDTH and maps.shape[2] >= FUSED_POSITIONS
        return "fused" if plain and fits and maps.is_contiguous() else "rows"

    def _update_fused(self, maps: Tensor, first: int) -> Tensor:
        from superscope.measures.fused import accumulate_maps, buffers

        pooled = torch.empty(len(maps), self.width, dtype=torch.float64)
        products, shift = self.products, self.products.shift
        assert shift is not None
        before = self._counts[:, 0].clone()
        state = (products.gram, products.total, self._active, self._counts, self._kurtosis, pooled)
        scratch = buffers(self.groups, products.gram.shape[1])
        arrays = (part.numpy() for part in state)
        accumulate_maps(maps.contiguous().numpy(), shift.float().numpy(), first, scratch, *arrays)
        products.counts += self._counts[:, 0] - before
        self._seen += int((self._counts[:, 0] - before).sum())
        products.rounding = SINGLE
        return pooled

    def _scan(self, maps: Tensor, mask: Tensor | None, first: int) -> tuple[Tensor, Tensor]:
        """Do what :meth:`_look` does in one pass by a kernel."""
        from superscope.measures.rows import scan_rows

        rows = maps.movedim(1, -1).float().contiguous()
        pooled = torch.empty(len(rows), self.width, dtype=torch.float64)
        keep = torch.empty(rows.shape[:2], dtype=torch.bool)
        known = torch.empty(0, 0, dtype=torch.bool) if mask is None else mask.contiguous()
        state = (self._active, self._counts, self._kurtosis, pooled, keep)
        scan_rows(rows.numpy(), known.numpy(), first, *(part.numpy() for part in state))
        return keep, pooled

    def _look(self, maps: Tensor, mask: Tensor | None, first: int) -> tuple[Tensor, Tensor]:
        """Count and sum what does not need products, in plain PyTorch on any device.

        Returns which positions count and are finite, and each sample's mean over them.
        """
        small = maps.numel() <= _AT_ONCE  # then calls cost more than arithmetic: all shares in one
        shares = [share(i, self.groups, len(maps)) for i in range(self.groups)]
        parts = []
        for piece in [shares] if small else [[each] for each in shares]:
            begin, end = piece[0].start, piece[-1].stop
            rows = maps[begin:end].movedim(1, -1)  # [sample, position, unit]
            finite = torch.isfinite(rows)
            keep = finite.all(-1)
            known = torch.ones_like(keep) if mask is None else mask[begin:end].to(keep.device)
            bad, keep = known & ~keep, known & keep
            clean = rows if bool(keep.all()) else torch.where(keep[..., None], rows, 0)
            peaks = kurtosis(clean).where(keep, torch.nan)
            not_finite = (~finite & known[..., None]).sum((1, 2))
            by_sample = torch.stack([keep.sum(1), bad.sum(1), not_finite, (~peaks.isnan()).sum(1)], 1)
            active, peaks = (clean > 0).sum(1), peaks.nansum(1, dtype=torch.float64)
            for each in piece:
                g, part = (
                    (shares.index(each) + first) % self.groups,
                    slice(each.start - begin, each.stop - begin),
                )
                if each.start < each.stop:
                    self._counts[g] += by_sample[part].sum(0)
                    self._active[g] += active[part].sum(0)
                    self._kurtosis[g] += peaks[part].sum()
            parts.append((keep, clean.sum(1, dtype=torch.float64) / by_sample[:, :1]))
        keeps, pooled = zip(*parts, strict=True)
        return torch.cat(keeps), torch.cat(pooled)

    def _count_all(self, maps: Tensor, first: int) -> None:
        for i in range(self.groups):
            part = share(i, self.groups, len(maps))
            self._counts[(first + i) % self.groups, 0] += (part.stop - part.start) * maps.shape[2]

    def _add_products(self, inputs: Tensor, keep: Tensor, first: int) -> None:
        """Add the kept rows to the second moments: a share of the samples to each group, or all to one."""
        rows = inputs.movedim(1, -1)
        groups = self.products.groups
        split = groups > 1 and not (self._whole and keep.numel() < groups * _PLENTY)
        for i in range(groups if split else 1):
            part = share(i, groups, len(rows)) if split else slice(None)
            wanted = keep[part]
            if self.every > 1:
                wanted = self._thinned(wanted)
            some = rows[part]
            whole = bool(wanted.all())
            flat = some.reshape(-1, rows.shape[-1]) if whole else some[wanted]
            self.products.add(flat, (first + i) % groups)

    def _thinned(self, keep: Tensor) -> Tensor:
        """Keep one row in :attr:`every`, by a sequence that falls in step with no period of positions."""
        places = torch.zeros_like(keep, dtype=torch.float64)
        count = int(keep.sum())
        places[keep] = ((self._seen + torch.arange(count, dtype=torch.float64)) * _GOLDEN % 1.0).to(places)
        self._seen += count
        return keep & (places < 1 / self.every)

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
        return self.products.moments()

    def singular_values(self, *, centred: bool = True) -> Float[Tensor, " width"]:
        """Return the singular values of the [row, unit] matrix, falling."""
        found = self._spectrum
        if not centred or found is None:
            scatter = self.products.scatter(torch.ones(1, self.products.groups), centred=centred)[0]
            found = singular_values(scatter, self.products.rounding)
        whole = torch.zeros(self.width, dtype=torch.float64)
        whole[: min(len(found), self.width)] = found[: self.width].cpu()
        return whole

    def kept(self) -> KeptSamples | None:
        """Return an even subset of the samples, each averaged over its positions; None without similarity."""
        return None if self._samples is None else self._samples.kept()

    def class_means(self) -> Float[Tensor, "class unit"] | None:
        """Return the mean of each class's samples; None where not every sample had a label."""
        known = self._samples is not None and self._samples.labelled
        return self._samples.classes.means if known and self._samples is not None else None

    def values(self) -> Tensor:
        """Return an even sample of single activations, at most 65,536, without those that a mask hides.

        Non-finite ones are included.
        """
        return self._values[: self._kept].clone()

    def finish(self) -> None:
        """Take in what waits: after this, and no further batch, states may be read beside each other."""
        if self._samples is not None:
            self._samples.flush()

    def measures(self) -> dict[str, float]:
        """Return every measure by name; NaN where it does not exist (no rows, no spread)."""
        return self.measures_and_errors()[0]

    def standard_errors(self) -> dict[str, float]:
        """Return the jackknife standard error of every measure: √((G−1)/G · Σ_g (θ₋g − θ̄)²).

        NaN for all of them where a group is empty (fewer samples than groups) or the layer has one group.
        """
        return self.measures_and_errors()[1]

    def measures_and_errors(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return what :meth:`measures` and :meth:`standard_errors` do, at about the cost of one."""
        counts = self._counts[:, 0]
        found = {
            "ranks": lambda: jackknife(self._ranks, self.products.counts),
            "similarity": lambda: jackknife(self._cosines, counts),
            "sparsity": lambda: jackknife(self._sparsity, counts),
        }
        measures: dict[str, float] = {}
        errors: dict[str, float] = {}
        for family in FAMILIES:
            if family in self.families:
                more, of = found[family]()
                measures |= more
                errors |= of
        if self.groups == 1 and self._samples is not None:  # the one error that needs no groups
            errors["cosine_mean"] = self._samples.cosines(torch.ones(1, 1))[0].standard_error
        return measures, errors

    def _ranks(self, chosen: Float[Tensor, "subset group"]) -> dict[str, list[float]]:
        names = [*RANKS, *(f"{name}_ratio" for name in RANKS)]
        if self.products.rows == 0:
            return dict.fromkeys(names, [math.nan] * len(chosen))
        spectra = singular_values(self.products.scatter(chosen), self.products.rounding)
        self._spectrum = spectra[0]  # of all groups, which come first
        ranks = {name: rank(spectra) for name, rank in RANKS.items()}
        ratios = {f"{name}_ratio": rank_ratio(rank, self.width) for name, rank in ranks.items()}
        return {name: values.double().tolist() for name, values in (ranks | ratios).items()}

    def _cosines(self, chosen: Float[Tensor, "subset group"]) -> dict[str, list[float]]:
        assert self._samples is not None
        pairs = self._samples.cosines(chosen)
        return {"cosine_mean": [pair.mean for pair in pairs], "cosine_std": [pair.std for pair in pairs]}

    def _sparsity(self, chosen: Float[Tensor, "subset group"]) -> dict[str, list[float]]:
        if self.rows == 0:
            return dict.fromkeys(_SPARSITY, [math.nan] * len(chosen))
        weights = chosen.to(self._kurtosis)
        counts = weights @ self._counts.double()
        rows, peaks = counts[:, 0], counts[:, 3]
        frequency = weights @ self._active.double() / rows[:, None]
        mean_peak = weights @ self._kurtosis / torch.where(peaks > 0, peaks, torch.nan)
        values = (frequency == 0).double().mean(1), frequency.mean(1), mean_peak
        return {name: value.tolist() for name, value in zip(_SPARSITY, values, strict=True)}

    def _keep_values(self, maps: Tensor, mask: Tensor | None) -> None:
        """Keep some of the values; without room, drop every other one and keep half as many from here on."""
        flat = maps.reshape(-1)
        step = self._stride * max(1, len(flat) // _VALUES_A_BATCH)
        some = flat[::step]
        if mask is not None:
            places = torch.arange(0, len(flat), step)
            positions = maps.shape[2]
            samples = places.div(self.width * positions, rounding_mode="floor")
            some = some[mask[samples, places % positions].to(some.device)]
        if self._kept + len(some) > len(self._values):
            left = self._values[: self._kept : 2].clone()
            self._kept, self._stride = len(left), 2 * self._stride
            self._values[: self._kept] = left
            some = some[::2]
        self._values[self._kept : self._kept + len(some)] = some
        self._kept += len(some)


def _maps(batch: Tensor, unit_axis: int) -> Tensor:
    """Return a batch as [sample, unit, position]."""
    maps = batch.detach()
    maps = maps[:, None] if maps.ndim == 1 else maps.movedim(unit_axis, 1)
    return maps.flatten(2) if maps.ndim > 2 else maps[:, :, None]


def _mean(maps: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean of the finite values of each channel, as float64 numbers that float32 has."""
    usable = torch.isfinite(maps)
    if mask is not None:
        usable &= mask[:, None].to(usable.device)
    mean = torch.where(usable, maps, 0).double().sum((0, 2)) / usable.sum((0, 2)).clamp(min=1)
    mean = mean.float()
    return torch.where(torch.isfinite(mean), mean, 0).double()
