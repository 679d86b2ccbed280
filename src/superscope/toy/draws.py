"""The inputs of the fast path, drawn sample by sample or active feature by active feature.

Drawing by sample takes a word of the stream for every feature of every sample. Drawing by active feature
jumps from one to the next: the samples between two active ones of a gate are geometrically distributed, so
that a jump is ⌊ln u / ln(1 − p)⌋. Samples that no jump hits are all zero; they are not stored, and their loss
has a closed form. Both draw from the same distribution as :func:`superscope.toy.data.sample`.
"""

from typing import no_type_check

import numba
import numpy as np

from superscope.toy.kernels import FAST
from superscope.toy.stream import fill_words

AMPLITUDES = {"uniform": 0, "signed": 1, "constant": 2, "gaussian": 3}
SINGLE, CORRELATED, ANTICORRELATED = 0, 1, 2
QUADS = 64
"""Quads of random words made at a time when jumping."""
_BY_SAMPLE, _BY_JUMP = 0, 1
_UNIT = np.float32(2.0**-24)
_WORD = 2.0**-32
_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)
_BITS = np.uint32(8)


@numba.njit(fastmath=FAST, cache=True)
@no_type_check
def draw_block(x, words, table, step, block, key, inverse, amplitude):
    """Draw every feature of the samples of a block into x [feature, lane].

    ``table`` [feature, lane] is the memory of ``words`` [4, quad]; ``inverse`` is 1/density of each feature.
    """
    fill_words(words, block, step, _BY_SAMPLE, key)
    lanes = x.shape[1]
    for i in range(x.shape[0]):
        scale = inverse[i] * _UNIT
        if amplitude == 0:
            for j in range(lanes):
                v = np.float32(np.int32(table[i, j] >> _BITS)) * scale
                x[i, j] = v if v < _ONE else _ZERO
        elif amplitude == 1:
            for j in range(lanes):
                v = np.float32(np.int32(table[i, j] >> _BITS)) * scale
                x[i, j] = _TWO * v - _ONE if v < _ONE else _ZERO
        else:
            for j in range(lanes):
                v = np.float32(np.int32(table[i, j] >> _BITS)) * scale
                x[i, j] = _ONE if v < _ONE else _ZERO


@numba.njit(cache=True)
@no_type_check
def draw_active(x, columns, words, batch, step, key, gates, low, high, amplitude):  # noqa: C901
    """Draw the samples of a batch that have an active feature into x [block, feature, lane]; count them.

    Args:
        x: as many blocks as the batch fills.
        columns: room for the place of each sample.
        words: room for ``QUADS`` quads.
        batch: samples, the empty ones too.
        step: of the training.
        key: of the stream.
        gates: of each gate the first feature, how many, which kind, and −1/ln(1 − p) of the gate.
        low: where the interval of each feature on its gate's draw starts.
        high: where it ends.
        amplitude: what to draw for an active feature.
    """
    columns[:] = -1
    found, chunk, at = 0, 0, QUADS
    lanes = x.shape[2]
    start, size, kind, pace = gates
    for g in range(len(start)):
        first, last = start[g], start[g] + size[g]
        floor, width = low[first], high[last - 1] - low[first]
        place = -1
        while True:
            if at == QUADS:
                fill_words(words, chunk, step, _BY_JUMP, key)
                chunk, at = chunk + 1, 0
            w0, w1, w2, w3 = words[0, at], words[1, at], words[2, at], words[3, at]
            at += 1
            u = (w0 + (w3 + 0.5) * _WORD) * _WORD
            jump = -np.log(u) * pace[g]
            if jump >= batch:
                break
            place += 1 + int(jump)
            if place >= batch:
                break
            column = columns[place]
            if column < 0:
                column = columns[place] = found
                if found % lanes == 0:
                    x[found // lanes] = _ZERO
                found += 1
            block, lane = column // lanes, column % lanes
            if kind[g] == SINGLE:
                x[block, first, lane] = _amplitude(amplitude, w1, w2)
                continue
            chosen = floor + w1 * _WORD * width
            for i in range(first, last):
                if kind[g] == CORRELATED or low[i] <= chosen < high[i]:
                    if at == QUADS:
                        fill_words(words, chunk, step, _BY_JUMP, key)
                        chunk, at = chunk + 1, 0
                    x[block, i, lane] = _amplitude(amplitude, words[0, at], words[1, at])
                    at += 1
    return found


@numba.njit(inline="always")
@no_type_check
def _amplitude(kind, w, v):
    if kind == 2:
        return _ONE
    if kind == 3:  # Box and Muller
        return np.float32(np.sqrt(-2 * np.log((w + 0.5) * _WORD)) * np.cos(2 * np.pi * (v * _WORD)))
    unit = np.float32(np.int32(w >> _BITS)) * _UNIT
    return _TWO * unit - _ONE if kind == 1 else unit
