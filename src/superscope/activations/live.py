"""Activations of a network that runs as they are read: nothing is stored, and any batch can be the first."""

from collections.abc import Iterator
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from superscope.activations.harvest import paired
from superscope.activations.inputs import evaluating, load_inputs
from superscope.activations.mixing import Mixing, Parts
from superscope.activations.rows import LayerReader, LayerRows, one_layer, token_mask
from superscope.core.errors import DataError, InputError
from superscope.core.runtime import resolve_device
from superscope.data import Batch, Batches, batches
from superscope.models import check_finite
from superscope.training import load_model

BUFFER_ROWS = 1 << 16


@final
class LiveActivations:
    """The activations of a layer, made as they are read and mixed in a buffer.

    How many rows a pass has is found without running the network: one batch tells how many rows a layer puts
    out for a token, or for a sample, and the attention masks how many tokens there are (the texts are read
    once for it). So a pass can also begin at any batch, with the network run from there on.

    Rows with NaN or infinite values keep their place, so that the places of the others do not depend on them;
    ``not_finite`` counts them, and :func:`superscope.dictionary.train` leaves them out.

    Args:
        model: a module, or the name of one, as :func:`superscope.measure` takes it.
        data: as :func:`superscope.measure` takes it, but no iterator. Samples that can be indexed come in
            another order for each seed; an iterable keeps its own, and the buffer alone mixes it.
        layer: the name of one layer; ``NAME:input`` for what goes into it.
        target: for transcoders, a second layer with rows of the same places.
        samples: how many samples of the data to use, the same ones in each pass; all by default.
        skip_tokens: real tokens at the start of each text that are left out.
        buffer_rows: rows that are held and mixed, in float32.
        weights: a file to load into a model given by name.
        batch_size: samples a forward pass, where the data does not come in batches already.
        seed: of the subset of samples, and of the training of ``digits-mlp``.
        device: where the network runs: ``auto``, ``cpu``, ``cuda``, ... Batches are on the CPU.

    Attributes:
        width: units of the layer.
        output_width: units of the target layer; ``width`` without one.
        samples: rows of a pass, with those that are not finite.
        not_finite: how many rows so far held NaN or infinite values.

    Raises:
        LayerError: when not exactly one layer matches, or the rows of two do not go together.
        ModelError: when the model cannot be built, holds NaN weights, or cannot take the data.
        DataError: when the data cannot be read.
        InputError: when an argument is out of range.

    >>> net = nn.Sequential(nn.Linear(3, 8), nn.ReLU())
    >>> live = LiveActivations(net, torch.rand(50, 3), "1")
    >>> live.samples, live.width, [len(x) for x in live.batches(20, seed=0)]
    (50, 8, [20, 20])
    """

    def __init__(
        self,
        model: nn.Module | str,
        data: object,
        layer: str,
        *,
        target: str | None = None,
        samples: int | None = None,
        skip_tokens: int = 0,
        buffer_rows: int = BUFFER_ROWS,
        weights: str | Path | None = None,
        batch_size: int = 128,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        if buffer_rows < 1 or skip_tokens < 0:
            raise InputError(
                f"buffer_rows is {buffer_rows} and skip_tokens {skip_tokens}; give at least 1 and 0"
            )
        if weights is not None and isinstance(model, nn.Module):
            raise InputError("weights go with a model given by name; load them into the module before")
        self._device = resolve_device(device)
        self._model = (
            model
            if isinstance(model, nn.Module)
            else load_model(model, None if weights is None else Path(weights), seed=seed)
        )
        check_finite(self._model)
        self._layers = [one_layer(self._model, each) for each in (layer, target) if each is not None]
        name = model if isinstance(model, str) else None
        self._data = load_inputs(data, name) if isinstance(data, str) else data
        self._batch_size, self._samples, self._seed = batch_size, samples, seed
        self._buffer_rows, self._skip = buffer_rows, skip_tokens
        self.not_finite = 0
        stream = self._stream(None)
        first = next(iter(stream))
        with evaluating(self._model, self._device):
            found = paired(self._reader()(first), self._layers)
        self.width, self.output_width = found[0].values.shape[1], found[-1].values.shape[1]
        self._by_token = found[0].tokens
        units = self._units(first)
        self._rows_each, rest = divmod(len(found[0].sample), units) if units else (0, 0)
        if rest or not self._rows_each:
            raise DataError(
                f"layer {layer} puts out {len(found[0].sample):,} rows for {units:,} "
                f"{'tokens' if self._by_token else 'samples'}, so that those of a pass cannot be counted "
                "beforehand; harvest them to a store"
            )
        self.samples = self._rows_each * self._count(stream)

    def batches(self, size: int, seed: int, start: int = 0) -> Iterator[Tensor | tuple[Tensor, Tensor]]:
        """Yield one pass in shuffled batches [size, width] in float32, from batch ``start`` on.

        With a target layer, pairs of inputs and targets. The order comes from the seed (and from ``size`` and
        ``buffer_rows``); a last batch of less than ``size`` rows is left out.

        Raises:
            InputError: when no batch of ``size`` can be had, or the buffer does not hold one.
            DataError: when a batch has another number of rows than was counted on.
        """
        if start < 0:
            raise InputError(f"start is {start}; give the number of batches to skip, 0 or more")
        mixing = Mixing.of(self.samples, size, self._buffer_rows, seed)
        return self._tensors(mixing(lambda first: self._run(first, seed), start))

    @staticmethod
    def _tensors(parts: Parts) -> Iterator[Tensor | tuple[Tensor, Tensor]]:
        for part in parts:
            values = [torch.from_numpy(each) for each in part]
            yield values[0] if len(values) == 1 else (values[0], values[1])

    def _run(self, first: int, seed: int) -> Parts:
        """Yield the rows of all batches of the data, from row ``first`` on."""
        passed, read = 0, self._reader()
        with evaluating(self._model, self._device):
            for batch in self._stream(seed):
                rows = self._rows_each * self._units(batch)
                if passed + rows > first:
                    found = paired(read(batch), self._layers)
                    if len(found[0].sample) != rows:
                        raise DataError(
                            f"layer {self._layers[0]} put out {len(found[0].sample):,} rows where {rows:,} "
                            "were counted on; harvest it to a store"
                        )
                    yield self._values(found, max(0, first - passed))
                passed += rows
        if passed != self.samples:
            raise DataError(
                f"the data gave {passed:,} rows of activations, and {self.samples:,} before; give data that "
                "is the same in each pass"
            )

    def _values(self, found: list[LayerRows], skip: int) -> tuple:
        values = [part.values[skip:].to("cpu", torch.float32) for part in found]
        good = torch.stack([each.isfinite().all(1) for each in values]).all(0)
        self.not_finite += len(good) - int(good.sum())
        return tuple(each.numpy() for each in values)

    def _reader(self) -> LayerReader:
        return LayerReader(self._model, self._layers, self._device, skip_tokens=self._skip)

    def _stream(self, order: int | None) -> Batches:
        return batches(
            self._data,
            batch_size=self._batch_size,
            samples=self._samples,
            seed=self._seed,
            shuffle=order,
        )

    def _units(self, batch: Batch) -> int:
        """Return how many tokens or samples of a batch have rows of their own."""
        mask = token_mask(batch, self._skip) if self._by_token else None
        return len(batch) if mask is None else int(mask.sum())

    def _count(self, stream: Batches) -> int:
        if stream.total is not None and not self._by_token:
            return stream.total
        return sum(self._units(batch) for batch in stream)
