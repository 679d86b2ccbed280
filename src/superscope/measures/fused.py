"""One pass over a conv map while it lies in the cache: Gram, sums, activity and kurtosis together.

The plain reference is that of :meth:`superscope.measures.statistics.LayerStatistics.update` with
``path="reference"``; a property test holds the two together. A block is ``BLOCK`` positions with all their
channels: it is shifted into a small buffer, looked at for non-finite values, and multiplied there in float32;
blocks are summed in float64. The loops over positions are the inner ones: written as vectors where the most
time goes (:mod:`superscope.measures.tiles`), elsewhere on row views so that LLVM vectorises them. Groups run
beside each other, a task each, so the result does not depend on the number of threads.
"""

import threading
from typing import no_type_check

import numba
import numpy as np

from superscope.measures.tiles import LANES, dot_tile, load_tile

_kept = threading.local()
BLOCK = 1024
"""Positions in a block: long enough for the loops to pay, short enough for the second-level cache."""

# Sums may be reordered and contracted; NaN and infinity keep their meaning, since they are looked for.
_FAST = {"nsz", "contract", "reassoc", "arcp"}


def buffers(groups: int, channels: int) -> np.ndarray:
    """Return this thread's buffers for :func:`accumulate_maps`, float32 [group, channel, ``BLOCK``]."""
    size = groups * channels * BLOCK
    if len(getattr(_kept, "buffer", ())) < size:
        _kept.buffer = np.zeros(size, np.float32)
    return _kept.buffer[:size].reshape(groups, channels, BLOCK)


@numba.njit(fastmath=_FAST, cache=True)
@no_type_check
def _load_1(row, width, shift, mean, out):
    """Copy a row − shift to ``out``, add it to ``mean``; return how many are active, and the sum."""
    active, total = np.int32(0), np.float32(0)
    for p in range(width):
        value = row[p]
        mean[p] += value
        active += np.int32(value > 0)
        value -= shift
        total += value
        out[p] = value
    return active, total


@numba.njit(fastmath=_FAST, cache=True)
@no_type_check
def _load_piece(source, start, width, shift, mean, buffer, offset, active, sums):
    """Load positions of one sample behind ``offset``; return a sum that is finite only if every value is."""
    stop, end = start + width, offset + width
    here = mean[offset:end]
    here[:] = 0
    fours, vectors = len(source) // 4 * 4, width // LANES * LANES
    for c in range(0, fours, 4):
        load_tile(source, c, start, vectors, shift, mean, offset, buffer, active, sums)
    active[fours:] = 0
    sums[fours:] = 0
    for c in range(fours if vectors == width else 0, len(source)):
        done = vectors if c < fours else 0
        more, total = _load_1(
            source[c, start + done : stop],
            width - done,
            shift[c],
            here[done:],
            buffer[c, offset + done : end],
        )
        active[c] += more
        sums[c] += total
    return sums.sum()


@numba.njit(cache=True)
@no_type_check
def _finite_positions(source, start, width, out):
    """Copy the positions finite in all channels to ``out``; return how many, and the values not finite."""
    kept, bad = 0, 0
    for p in range(start, start + width):
        here = 0
        for c in range(len(source)):
            if not np.isfinite(source[c, p]):
                here += 1
        bad += here
        if here == 0:
            out[:, kept] = source[:, p]
            kept += 1
    return kept, bad


@numba.njit(fastmath=_FAST, cache=True)
@no_type_check
def _central_powers_4(row0, row1, row2, row3, shift, mean, second, fourth):
    """Add the squares and the fourth powers of four rows, less their positions' mean."""
    q0, q1, q2, q3 = shift[0], shift[1], shift[2], shift[3]
    for p in range(BLOCK):
        middle = mean[p]
        s0, s1 = row0[p] + (q0 - middle), row1[p] + (q1 - middle)
        s2, s3 = row2[p] + (q2 - middle), row3[p] + (q3 - middle)
        s0, s1, s2, s3 = s0 * s0, s1 * s1, s2 * s2, s3 * s3
        second[p] += (s0 + s1) + (s2 + s3)
        fourth[p] += (s0 * s0 + s1 * s1) + (s2 * s2 + s3 * s3)


@numba.njit(fastmath=_FAST, cache=True)
@no_type_check
def _central_powers_1(row, shift, mean, second, fourth):
    for p in range(BLOCK):
        square = row[p] + (shift - mean[p])
        square *= square
        second[p] += square
        fourth[p] += square * square


@numba.njit(fastmath=_FAST, cache=True)
@no_type_check
def _kurtosis(channels, width, second, fourth):
    """Return the sum of the positions' kurtosis, and at how many there is one."""
    total, spread = 0.0, np.int32(0)
    for p in range(width):
        square = np.float64(second[p]) * np.float64(second[p])
        has = square > 0
        spread += np.int32(has)
        total += channels * fourth[p] / (square if has else 1.0)
    return total, spread


@numba.njit(fastmath=_FAST, cache=True)
@no_type_check
def _finish_block(buffer, width, channels, shift, mean, powers, gram):
    """Add the Gram matrix of the ``width`` positions in the buffer; return as :func:`_kurtosis` does."""
    if width < BLOCK:
        buffer[:, width:] = 0
        mean[width:] = 0
    powers[:] = 0
    mean /= np.float32(channels)
    second, fourth = powers[0], powers[1]
    # rows by a whole index, loops of constant length: slices and remainders cost as much as the arithmetic
    fours = channels // 4 * 4
    for c in range(0, fours, 4):
        x0, x1, x2, x3 = buffer[c], buffer[c + 1], buffer[c + 2], buffer[c + 3]
        _central_powers_4(x0, x1, x2, x3, shift[c : c + 4], mean, second, fourth)
    for c in range(fours, channels):
        _central_powers_1(buffer[c], shift[c], mean, second, fourth)
    for c in range(0, len(buffer), 4):
        for d in range(0, c + 4, 4):
            dot_tile(buffer, c, d, BLOCK, gram)
    return _kurtosis(channels, width, second, fourth)


@numba.njit(fastmath=_FAST, cache=True, parallel=True)
@no_type_check
def accumulate_maps(maps, shift, first, buffers, gram, total, active, counts, kurtosis, pooled):
    """Add the conv maps of a batch to the state of the groups, in place, a share of the samples to each.

    Args:
        maps: float32 [sample, channel, position], contiguous.
        shift: float32 [channel], taken off before any product.
        first: the group of the first share; the others go round from there.
        buffers: float32 [group, C, ``BLOCK``], overwritten; fresh ones would fault in page by page.
        gram: float64 [group, C, C] with C the channels rounded up to 4; only row ≥ column is whole.
        total: float64 [group, channel], Σ(x − shift).
        active: int64 [group, channel], how often x > 0.
        counts: int64 [group, 4]: positions kept, positions left out, non-finite values, positions that
            have a kurtosis across channels.
        kurtosis: float64 [group], the sum of that kurtosis.
        pooled: float64 [sample, channel], filled with the mean over the sample's kept positions (NaN without
            any).
    """
    samples, channels, positions = maps.shape
    groups = len(gram)
    for share in numba.prange(groups):
        buffer = buffers[share]
        buffer[channels:] = 0
        mean, powers = np.empty(BLOCK, np.float32), np.empty((2, BLOCK), np.float32)
        piece_active, piece_sums = np.empty(channels, np.int64), np.empty(channels, np.float64)
        # sums of a share: groups' states lie side by side, and threads on one cache line slow each other
        sums, actives = np.zeros(channels, np.float64), np.zeros(channels, np.int64)
        products = np.zeros(gram.shape[1:], np.float64)
        kept_positions = left_out = nonfinite = with_spread = 0
        peaks = 0.0
        offset = 0  # positions in the buffer; a block may end one sample and begin the next
        for n in range(share * samples // groups, (share + 1) * samples // groups):
            sample, start, sample_kept = maps[n], 0, 0
            pooled[n] = 0
            while start < positions:
                width = min(BLOCK - offset, positions - start)
                check = _load_piece(
                    sample, start, width, shift, mean, buffer, offset, piece_active, piece_sums
                )
                kept = width
                if not np.isfinite(check):
                    finite = np.empty((channels, width), np.float32)
                    kept, bad = _finite_positions(sample, start, width, finite)
                    left_out += width - kept
                    nonfinite += bad
                    _load_piece(finite, 0, kept, shift, mean, buffer, offset, piece_active, piece_sums)
                for c in range(channels):
                    actives[c] += piece_active[c]
                    sums[c] += piece_sums[c]
                    pooled[n, c] += piece_sums[c]
                sample_kept += kept
                start += width
                offset += kept
                if offset == BLOCK:
                    more, spread = _finish_block(buffer, BLOCK, channels, shift, mean, powers, products)
                    peaks += more
                    with_spread += spread
                    offset = 0
            kept_positions += sample_kept
            for c in range(channels):
                pooled[n, c] = pooled[n, c] / sample_kept + shift[c] if sample_kept else np.nan
        if offset:
            more, spread = _finish_block(buffer, offset, channels, shift, mean, powers, products)
            peaks += more
            with_spread += spread
        g = (share + first) % groups
        gram[g] += products
        total[g] += sums
        active[g] += actives
        kurtosis[g] += peaks
        counts[g, 0] += kept_positions
        counts[g, 1] += left_out
        counts[g, 2] += nonfinite
        counts[g, 3] += with_spread
