"""One pass over a conv map while it lies in the cache: Gram, sums, activity and kurtosis together.

The plain reference is :meth:`superscope.measures.statistics.LayerStatistics.update_reference`; a property
test holds the two together. A block is ``BLOCK`` positions of one sample with all their channels: it is
shifted into a small buffer, looked at for non-finite values, and multiplied there in float32; blocks are
summed in float64. The loops over positions are the inner ones, written on row views so that LLVM turns them
into vector instructions. The interpreter lock is released, so groups run beside each other in plain threads,
and the result does not depend on how many there are.
"""

from typing import no_type_check

import numba
import numpy as np

from superscope.measures.moments import BLOCK

# Sums may be reordered and contracted; NaN and infinity keep their meaning, since they are looked for.
_FAST = {"nsz", "contract", "reassoc", "arcp"}


@numba.njit(fastmath=_FAST, cache=True)
@no_type_check
def _dot_4_by_2(x0, x1, x2, x3, y0, y1, gram, c, d):
    """Add the products of four rows with two to ``gram``: eight sums in registers for six loads."""
    s00 = s01 = s10 = s11 = s20 = s21 = s30 = s31 = np.float32(0)
    for p in range(BLOCK):
        u, v = y0[p], y1[p]
        s00 += x0[p] * u
        s01 += x0[p] * v
        s10 += x1[p] * u
        s11 += x1[p] * v
        s20 += x2[p] * u
        s21 += x2[p] * v
        s30 += x3[p] * u
        s31 += x3[p] * v
    gram[c, d] += s00
    gram[c, d + 1] += s01
    gram[c + 1, d] += s10
    gram[c + 1, d + 1] += s11
    gram[c + 2, d] += s20
    gram[c + 2, d + 1] += s21
    gram[c + 3, d] += s30
    gram[c + 3, d + 1] += s31


@numba.njit(fastmath=_FAST, cache=True)
@no_type_check
def _load(row, shift, mean, out):
    """Copy ``row`` − shift to ``out``, add ``row`` to ``mean``; return how many are active, and the sum."""
    active, total = np.int32(0), np.float32(0)
    for p in range(len(row)):
        value = row[p]
        mean[p] += value
        active += np.int32(value > 0)
        value -= shift
        total += value
        out[p] = value
    return active, total


@numba.njit(fastmath=_FAST, cache=True)
@no_type_check
def _central_powers(row, shift, mean, second, fourth):
    for p in range(len(mean)):
        square = row[p] + (shift - mean[p])
        square *= square
        second[p] += square
        fourth[p] += square * square


@numba.njit(fastmath=_FAST, cache=True)
@no_type_check
def _load_block(block, shift, mean, buffer, active, total):
    """Fill the buffer with ``block`` − shift, then zeros; return a sum, finite only if every value is."""
    mean[:] = 0
    if block.shape[1] < BLOCK:
        buffer[:] = 0
    check = 0.0
    for c in range(len(block)):
        active[c], total[c] = _load(block[c], shift[c], mean, buffer[c])
        check += total[c]
    return check


@numba.njit(cache=True)
@no_type_check
def _finite_positions(block, out):
    """Copy the positions finite in all channels to ``out``; return how many, and the values not finite."""
    kept, bad = 0, 0
    for p in range(block.shape[1]):
        here = 0
        for c in range(len(block)):
            if not np.isfinite(block[c, p]):
                here += 1
        bad += here
        if here == 0:
            out[:, kept] = block[:, p]
            kept += 1
    return kept, bad


@numba.njit(fastmath=_FAST, cache=True, nogil=True)
@no_type_check
def accumulate_maps(maps, shift, gram, total, active, counts, kurtosis, pooled):
    """Add the conv maps of some samples to the state of a group, in place.

    Args:
        maps: float32 [sample, channel, position], the positions contiguous.
        shift: float32 [channel], taken off before any product.
        gram: float64 [C, C] with C the channels rounded up to 4; only entries with row ≥ column are whole.
        total: float64 [channel], Σ(x − shift).
        active: int64 [channel], how often x > 0.
        counts: int64 [4]: positions kept, positions left out, non-finite values, positions of which the
            kurtosis across channels exists.
        kurtosis: float64 [1], the sum of that kurtosis.
        pooled: float64 [sample, channel], filled with the mean over the sample's kept positions (NaN without
            any).
    """
    samples, channels, positions = maps.shape
    buffer = np.zeros((len(gram), BLOCK), np.float32)
    mean = np.empty(BLOCK, np.float32)
    second, fourth = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    block_active, block_total = np.empty(channels, np.int64), np.empty(channels, np.float64)
    finite = np.empty((channels, BLOCK), np.float32)
    for n in range(samples):
        sample_kept = 0
        pooled[n] = 0
        for start in range(0, positions, BLOCK):
            width = min(BLOCK, positions - start)
            check = _load_block(
                maps[n, :, start : start + width], shift, mean, buffer, block_active, block_total
            )
            if not np.isfinite(check):
                kept, bad = _finite_positions(maps[n, :, start : start + width], finite)
                counts[1] += width - kept
                counts[2] += bad
                width = kept
                _load_block(finite[:, :width], shift, mean, buffer, block_active, block_total)
            counts[0] += width
            sample_kept += width
            second[:] = 0
            fourth[:] = 0
            mean[:width] /= np.float32(channels)
            for c in range(channels):
                active[c] += block_active[c]
                total[c] += block_total[c]
                pooled[n, c] += block_total[c]
                _central_powers(buffer[c], shift[c], mean[:width], second, fourth)
            for p in range(width):
                square = np.float64(second[p]) * second[p]
                if square > 0:
                    kurtosis[0] += channels * fourth[p] / square
                    counts[3] += 1
            for c in range(0, len(buffer), 4):
                for d in range(0, c + 4, 2):
                    _dot_4_by_2(
                        buffer[c],
                        buffer[c + 1],
                        buffer[c + 2],
                        buffer[c + 3],
                        buffer[d],
                        buffer[d + 1],
                        gram,
                        c,
                        d,
                    )
        for c in range(channels):
            pooled[n, c] = pooled[n, c] / sample_kept + shift[c] if sample_kept else np.nan
