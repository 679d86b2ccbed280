"""An activation store: rows on the disk, read shuffled or in order without ever holding them all."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int32
from torch import Tensor

from superscope.activations.mixing import OVERHEAD, Mixing, Parts
from superscope.activations.shards import DTYPES, PLACES, VALUES, Shard, read_manifest
from superscope.core.errors import ArtifactError, InputError
from superscope.core.random import generator
from superscope.data.reading import read_ahead

MEMORY = 256 << 20
_AHEAD, _OUT = 3, 2
"""Batches beside the room, as stored (two that wait, one in the making) and handed out in float32."""


@dataclass(frozen=True)
class StoredRows:
    """Rows of a store, in the order of the data."""

    activations: Float[Tensor, "row width"]
    target: Float[Tensor, "row output"] | None
    sample: Int32[Tensor, " row"]
    """Which sample of the data a row is of; −1 for none."""
    position: Int32[Tensor, " row"]
    """Where in the sample: the token, or in a map of channels the place, along the last axis first."""


@final
class ActivationStore:
    """The activations of a layer in a folder, as :func:`superscope.activations.harvest` wrote them.

    Args:
        folder: with a manifest and its shards, which are all looked at: their size and their header. What
            they hold is checked when it is first read.
        memory: bytes that shuffled reading may hold, two batches in float32 among them; half a set can be
            mixed at once where the set is twice as large. (The C library may keep a few freed batches more.)

    Attributes:
        manifest: where the activations come from, and how many rows were left out for NaN or infinite values.
        width: units of the layer.
        output_width: units of the target layer; ``width`` without one.
        samples: rows, one for each position of the network that counts.

    Raises:
        ArtifactError: in one line, when there is no store, it is unfinished, or a shard is missing or
            damaged.
    """

    def __init__(self, folder: Path | str, *, memory: int = MEMORY) -> None:
        self.folder, self.memory = Path(folder), memory
        self.manifest = read_manifest(self.folder)
        if not self.manifest.finished:
            raise ArtifactError(
                f"{folder} is unfinished, with {self.manifest.rows:,} rows; run the same harvest again, "
                "which goes on from there"
            )
        self.width = self.manifest.width
        self.output_width = self.manifest.output_width or self.width
        self.samples = self.manifest.rows
        self._dtype = DTYPES[self.manifest.work.dtype]
        self._shards = [Shard(self.folder, entry, self.manifest) for entry in self.manifest.shards]
        counts = [-(-shard.rows // shard.block) for shard in self._shards]
        self._first_block = np.cumsum([0, *counts])
        self._checked = np.zeros((2, self._first_block[-1]), bool)
        """Whether the values and the places of each block have been found to be what was written."""

    def batches(self, size: int, seed: int, start: int = 0) -> Iterator[Tensor | tuple[Tensor, Tensor]]:
        """Yield the rows in shuffled batches [size, width] in float32, from batch ``start`` on.

        With a target layer, pairs of inputs and targets. The order comes from the seed (and from ``size`` and
        the store's ``memory``): blocks of 256 KiB in a random order fill the memory, and batches are drawn
        from all of it, each row once. A last batch of less than ``size`` rows is left out. The next two
        batches are read in a thread.

        Raises:
            InputError: when no batch of ``size`` can be had, or the memory does not hold a few of them.
            ArtifactError: when a block is damaged, as it comes to be read.
        """
        entries = self.width + (self.manifest.output_width or 0)
        row = entries * self._dtype.itemsize
        beside = size * (_AHEAD * row + _OUT * entries * torch.float32.itemsize)
        room = (self.memory - beside) // (row + OVERHEAD)
        if 0 < size <= self.samples and room < size:
            least = (beside + size * (row + OVERHEAD)) / 2**20
            raise InputError(
                f"batches of {size:,} rows do not fit into {self.memory / 2**20:,.1f} MiB of memory; give at "
                f"least {least:,.1f} MiB, or smaller batches"
            )
        mixing = Mixing.of(self.samples, size, room, seed)
        if start < 0:
            raise InputError(f"start is {start}; give the number of batches to skip, 0 or more")
        return self._converted(mixing(lambda first: self._blocks(first, seed), start, ring=_AHEAD))

    def in_order(self, rows: int = 4096) -> Iterator[StoredRows]:
        """Yield all rows in the order of the data, about ``rows`` at a time."""
        for number, shard in enumerate(self._shards):
            blocks, together = -(-shard.rows // shard.block), max(1, rows // shard.block)
            for first in range(0, blocks, together):
                parts = [
                    self._read(number, block, VALUES) + self._read(number, block, PLACES)
                    for block in range(first, min(blocks, first + together))
                ]
                *values, sample, position = (np.concatenate(each) for each in zip(*parts, strict=True))
                activations, *target = (self._floats(each) for each in values)
                yield StoredRows(
                    activations,
                    target[0] if target else None,
                    *(torch.from_numpy(each).view(torch.int32)[:, 0] for each in (sample, position)),
                )

    def _converted(self, parts: Parts) -> Iterator[Tensor | tuple[Tensor, Tensor]]:
        for part in read_ahead(parts):
            # converted here, where torch may have several threads, and copied out of the ring
            values = tuple(self._floats(each) for each in part)
            yield values[0] if len(values) == 1 else (values[0], values[1])

    def _floats(self, raw: np.ndarray) -> Tensor:
        return torch.from_numpy(raw).view(self._dtype).to(torch.float32, copy=True)

    def _blocks(self, first: int, seed: int) -> Parts:
        """Yield the values of all blocks in a random order, from row ``first`` of that order on."""
        count = int(self._first_block[-1])
        order = torch.randperm(count, generator=generator(seed, "blocks")).numpy()
        shards = np.searchsorted(self._first_block, order, side="right") - 1
        numbers = order - self._first_block[shards]
        sizes = np.array([shard.rows for shard in self._shards])[shards] - numbers * self.manifest.block_rows
        ends = np.cumsum(np.minimum(sizes, self.manifest.block_rows))
        begin = int(np.searchsorted(ends, first, side="right"))
        skip = first - (int(ends[begin - 1]) if begin else 0)
        for shard, number in zip(shards[begin:].tolist(), numbers[begin:].tolist(), strict=True):
            yield tuple(each[skip:] for each in self._read(shard, number, VALUES))
            skip = 0

    def _read(self, shard: int, number: int, names: tuple[str, ...]) -> tuple[np.ndarray, ...]:
        block, which = self._first_block[shard] + number, int(names == PLACES)
        found = self._shards[shard].read(number, names, check=not self._checked[which, block])
        self._checked[which, block] = True
        return found
