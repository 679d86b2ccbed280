"""Shuffling a stream of rows with room for a part of it: the order of a seed, from any batch on."""

import contextlib
import itertools
import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from superscope.core.errors import InputError
from superscope.core.random import generator

Part = tuple[np.ndarray, ...]
"""Rows of a stream: an array [row, ...] of the input, and for a transcoder another of the target."""
Parts = Generator[Part, None, None]
OVERHEAD = 24
"""Bytes for each row in the room beyond the row itself: its place in the order of this chunk and the next."""


@dataclass(frozen=True)
class Mixing:
    """How the rows of one pass are put in order.

    The stream is cut into chunks of equal size, as few as there is room for, and the rows of a chunk come in
    a random order. Nothing waits at the seam: as a batch leaves, the rows of the next chunk take its places,
    so that reading goes on evenly and the whole room holds rows to mix. A chunk's order comes from the seed
    and its number alone, so that a pass can begin at any batch by reading that batch's chunk.
    """

    batches: int
    size: int
    chunk: int
    """Batches of a chunk; the last chunk may have fewer."""
    seed: int

    @staticmethod
    def of(rows: int, size: int, room: int, seed: int) -> "Mixing":
        """Return the mixing of a stream of ``rows`` with room for ``room`` of them.

        Raises:
            InputError: when not one batch of ``size`` comes of the stream, or fits the room.
        """
        if size < 1 or size > rows:
            raise InputError(f"batches of {size} from {rows:,} rows; give a batch size from 1 to {rows:,}")
        if size > room:
            raise InputError(
                f"batches of {size} with room for {max(room, 0):,} rows; give more memory, or smaller batches"
            )
        batches = rows // size
        chunks = math.ceil(batches / (room // size))
        return Mixing(batches, size, math.ceil(batches / chunks), seed)

    def __call__(self, stream: Callable[[int], Parts], start: int = 0, *, ring: int = 0) -> Parts:
        """Yield the batches from number ``start`` on.

        Args:
            stream: gives the rows from the given one on, in parts of any size; closed with the pass.
            start: how many batches to leave out.
            ring: batches come in so many arrays that are used in turns, since memory that is taken anew for
                each is more than what is held at a time; 0 for arrays of their own.
        """
        if start >= self.batches:
            return
        number, left_out = divmod(start, self.chunk)
        with contextlib.closing(stream(number * self.chunk * self.size)) as parts:
            feed = _Feed(parts)
            places = np.arange(self._batches_of(number) * self.size)
            room = feed.room(len(places))
            feed.fill(room, places)
            turns = itertools.cycle([feed.room(self.size) for _ in range(ring)] or [None])
            while batches := self._batches_of(number):
                draws = generator(self.seed, "mixing", number)
                order = places[torch.randperm(batches * self.size, generator=draws).numpy()]
                following = self._batches_of(number + 1) * self.size
                for batch in range(batches):
                    leaving = order[batch * self.size : (batch + 1) * self.size]
                    if batch >= left_out:
                        arrays = next(turns) or feed.room(self.size)
                        for each, out in zip(room, arrays, strict=True):
                            np.take(each, leaving, axis=0, out=out, mode="clip")  # "raise" makes a copy
                        yield arrays
                    if batch * self.size < following:
                        feed.fill(room, leaving)
                places, number, left_out = order[:following], number + 1, 0

    def _batches_of(self, chunk: int) -> int:
        return max(0, min(self.chunk, self.batches - chunk * self.chunk))


class _Feed:
    """Puts the rows of a stream where they are wanted, one after the other."""

    def __init__(self, parts: Iterator[Part]) -> None:
        self._parts = parts
        self._part: Part = next(parts)
        self._at = 0

    def room(self, rows: int) -> Part:
        """Return empty arrays for so many rows."""
        return tuple(np.empty((rows, *each.shape[1:]), each.dtype) for each in self._part)

    def fill(self, room: Part, places: np.ndarray) -> None:
        """Copy the next rows of the stream to ``places`` in ``room``."""
        done = 0
        while done < len(places):
            if self._at == len(self._part[0]):
                self._part, self._at = next(self._parts), 0
            count = min(len(places) - done, len(self._part[0]) - self._at)
            for each, part in zip(room, self._part, strict=True):
                each[places[done : done + count]] = part[self._at : self._at + count]
            done, self._at = done + count, self._at + count
