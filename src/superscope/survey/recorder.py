"""The sink of the hooks: a streaming state for each layer, made at its first call."""

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from superscope.activations import Widening, samples_first, unit_axis
from superscope.core.errors import LayerError
from superscope.data import Batch
from superscope.measures.statistics import WIDEST_GROUPED, Family, LayerStatistics

WIDEST = 16_384
"""A wider layer's Gram matrix would take more than 2 GiB; it is left out, and the survey says so."""
ENOUGH = 16
"""Rows for each unit, from which on the second moments of layers wider than ``WIDEST_GROUPED`` take an even
subset of the rows: more would cost as much as the network itself, and move the spectrum little."""


class Recorder:
    """Takes what the layers put out into their states.

    Args:
        device: where the model runs.
        families: which measures the states take.
        errors: whether they keep groups for standard errors.
        total: how many samples are to come; None where that is not known.
        maps: what each widening layer does; found before the hooks are on.
    """

    def __init__(
        self,
        device: torch.device,
        families: Sequence[Family],
        *,
        errors: bool = True,
        total: int | None = None,
        maps: dict[str, Widening] | None = None,
    ) -> None:
        self.states: dict[str, LayerStatistics] = {}
        self.left_out: dict[str, str] = {}
        self.calls: Counter[str] = Counter()
        self.busy = False
        """Whether a call is under way, or failed: the fault is then not the model's."""
        self._device, self._families, self._errors = device, tuple(families), errors
        self._total, self._maps = total, maps or {}
        self._size = 0
        self._mask: Tensor | None = None
        self._labels: Tensor | None = None

    def expect(self, batch: Batch) -> None:
        """Say which batch the next calls are about."""
        mask, labels = batch.mask, batch.labels
        self._size = len(batch)
        self._mask = None if mask is None else mask.to(self._device)  # once, and not for every layer
        known = labels is not None and bool((labels >= 0).all())
        self._labels = labels.to(self._device) if labels is not None and known else None

    def __call__(self, name: str, module: nn.Module, output: Tensor, source: Tensor | None) -> None:
        """Add a layer's output to its state."""
        self.busy = True
        self._record(name, module, output, source)
        self.busy = False

    def _record(self, name: str, module: nn.Module, output: Tensor, source: Tensor | None) -> None:
        self.calls[name] += 1
        output, mask = samples_first(output, self._mask)
        axis = unit_axis(module, output)
        width = output.shape[axis]
        if width > WIDEST:
            self.left_out[name] = f"{width:,} units wide, more than {WIDEST:,}"
            return
        map_ = self._maps.get(name)
        if map_ is not None and source is not None:
            source = map_.source(source if mask is None else samples_first(source, mask)[0])
        state = self.states.get(name)
        if state is None:
            state = self.states[name] = self._state(width, output, map_ if source is not None else None)
        if state.width != width:
            raise LayerError(
                f"layer {name} put out {state.width} units, then {width}; leave it out with --layers"
            )
        state.update(
            output, unit_axis=axis, mask=mask, labels=self._labels, source=None if map_ is None else source
        )

    def _state(self, width: int, output: Tensor, map_: Widening | None) -> LayerStatistics:
        inner = width if map_ is None else map_.weight.shape[1]
        every = 1
        if self._total is not None and inner > WIDEST_GROUPED:
            rows = output.numel() // width * self._total / max(self._size, 1)
            every = max(1, int(rows / (ENOUGH * inner)))
        return LayerStatistics(
            width,
            device=self._device,
            errors=self._errors,
            families=self._families,
            weight=None if map_ is None else map_.weight,
            bias=None if map_ is None else map_.bias,
            every=every,
            batches=None if self._total is None else math.ceil(self._total / max(self._size, 1)),
        )
