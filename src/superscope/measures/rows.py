"""One look at each row of activations while it lies in the first-level cache: sums, activity, kurtosis.

For activations whose units lie side by side: tokens, linear layers, and conv maps with their channels moved
last. The plain reference is that of :meth:`superscope.measures.statistics.LayerStatistics.update` with
``path="reference"``; a property test holds the two together. Shares of the samples are tasks that write
nowhere else, so the result does not depend on the number of threads.
"""

from typing import no_type_check

import numba
import numpy as np

# Sums may be reordered and contracted; NaN and infinity keep their meaning, since they are looked for.
_FAST = {"nsz", "contract", "reassoc", "arcp"}


@numba.njit(fastmath=_FAST, cache=True)
@no_type_check
def _central_powers(row):
    """Return the sums of (x − x̄)² and (x − x̄)⁴: exactly 0 where all are equal, not finite where one is."""
    width, start = len(row), row[0]
    total = np.float32(0)
    for u in range(width):
        total += row[u] - start
    mean = total / np.float32(width)
    second, fourth = 0.0, 0.0
    for u in range(width):
        square = np.float64((row[u] - start) - mean)
        square *= square
        second += square
        fourth += square * square
    return second, fourth


@numba.njit(cache=True)
@no_type_check
def _not_finite(row):
    count = 0
    for value in row:
        count += not np.isfinite(value)
    return count


@numba.njit(fastmath=_FAST, cache=True)
@no_type_check
def _add(row, active, pooled):
    for u in range(len(row)):
        active[u] += np.int32(row[u] > 0)
        pooled[u] += row[u]


@numba.njit(cache=True, parallel=True)
@no_type_check
def scan_rows(rows, mask, first, active, counts, kurtosis, pooled, keep):
    """Add a batch's rows to the state of the groups, in place, a share of the samples to each.

    Args:
        rows: float32 [sample, position, unit], contiguous.
        mask: bool [sample, position], which positions count; one of size 0 where all do.
        first: the group of the first share; the others go round from there.
        active: int64 [group, unit], how often x > 0.
        counts: int64 [group, 4]: positions kept, positions left out, non-finite values, positions that have a
            kurtosis across units.
        kurtosis: float64 [group], the sum of that kurtosis.
        pooled: float64 [sample, unit], filled with the mean over the sample's kept positions (NaN without
            any).
        keep: bool [sample, position], filled with the positions that count and are finite.
    """
    samples, positions, width = rows.shape
    groups = len(counts)
    for share in numba.prange(groups):
        here = np.zeros(width, np.int32)
        kept_positions = left_out = nonfinite = with_spread = 0
        peaks = 0.0
        for n in range(share * samples // groups, (share + 1) * samples // groups):
            mean, kept = pooled[n], 0
            mean[:] = 0
            for p in range(positions):
                keep[n, p] = False
                if mask.size and not mask[n, p]:
                    continue
                row = rows[n, p]
                second, fourth = _central_powers(row)
                if not np.isfinite(fourth):
                    bad = _not_finite(row)
                    if bad:
                        left_out += 1
                        nonfinite += bad
                        continue
                keep[n, p] = True
                kept += 1
                _add(row, here, mean)
                if second > 0 and np.isfinite(fourth):
                    peaks += width * fourth / (second * second)
                    with_spread += 1
            mean /= kept or np.nan
            kept_positions += kept
        g = (share + first) % groups
        active[g] += here
        kurtosis[g] += peaks
        counts[g, 0] += kept_positions
        counts[g, 1] += left_out
        counts[g, 2] += nonfinite
        counts[g, 3] += with_spread
