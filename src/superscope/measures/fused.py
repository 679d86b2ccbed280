"""One pass over a conv map while it lies in the cache: Gram, sums, activity and kurtosis together.

The plain reference is :meth:`superscope.measures.statistics.LayerStatistics.update_reference`; a property
test holds the two together. A block is ``BLOCK`` positions with all their channels: it is shifted
into a small buffer, looked at for non-finite values, and multiplied there in float32; blocks are summed in
float64. The loops over positions are the inner ones, written on row views so that LLVM turns them
into vector instructions. Groups run beside each other, a task each, so the result does not depend on
the number of threads.
"""

import threading
from typing import no_type_check

import numba
import numpy as np

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
def _load_4(row0, row1, row2, row3, width, shift, mean, out0, out1, out2, out3):
    """Copy four rows − shift to ``out``, add them to ``mean``; return how many are active, and the sums."""
    a0 = a1 = a2 = a3 = np.int32(0)
    t0 = t1 = t2 = t3 = np.float32(0)
    q0, q1, q2, q3 = shift[0], shift[1], shift[2], shift[3]
    for p in range(width):
        v0, v1, v2, v3 = row0[p], row1[p], row2[p], row3[p]
        mean[p] += (v0 + v1) + (v2 + v3)
        a0 += np.int32(v0 > 0)
        a1 += np.int32(v1 > 0)
        a2 += np.int32(v2 > 0)
        a3 += np.int32(v3 > 0)
        v0 -= q0
        v1 -= q1
        v2 -= q2
        v3 -= q3
        t0 += v0
        t1 += v1
        t2 += v2
        t3 += v3
        out0[p], out1[p], out2[p], out3[p] = v0, v1, v2, v3
    return a0, a1, a2, a3, t0, t1, t2, t3


@numba.njit(fastmath=_FAST, cache=True)
@no_type_check
def _load_1(row, width, shift, mean, out):
    """Do for one row what :func:`_load_4` does for four."""
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
    whole = len(source) // 4 * 4
    for c in range(0, whole, 4):
        found = _load_4(
            source[c, start:stop],
            source[c + 1, start:stop],
            source[c + 2, start:stop],
            source[c + 3, start:stop],
            width,
            shift[c : c + 4],
            here,
            buffer[c, offset:end],
            buffer[c + 1, offset:end],
            buffer[c + 2, offset:end],
            buffer[c + 3, offset:end],
        )
        active[c], active[c + 1], active[c + 2], active[c + 3] = found[0], found[1], found[2], found[3]
        sums[c], sums[c + 1], sums[c + 2], sums[c + 3] = found[4], found[5], found[6], found[7]
    for c in range(whole, len(source)):
        active[c], sums[c] = _load_1(source[c, start:stop], width, shift[c], here, buffer[c, offset:end])
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
def _central_powers(row, shift, mean, second, fourth):
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
    for c in range(channels):
        _central_powers(buffer[c], shift[c], mean, second, fourth)
    # rows by a whole index, loops of constant length: slices and remainders cost as much as the products
    for c in range(0, len(buffer), 4):
        x0, x1, x2, x3 = buffer[c], buffer[c + 1], buffer[c + 2], buffer[c + 3]
        for d in range(0, c + 4, 2):
            _dot_4_by_2(x0, x1, x2, x3, buffer[d], buffer[d + 1], gram, c, d)
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
