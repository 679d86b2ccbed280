"""The loops of the sparse engine on a CPU, compiled by Numba.

Every sample, and every latent, is worked on by itself and in one order, so that the bits do not depend on the
number of threads.
"""

from typing import no_type_check

import numba
import numpy as np

_GROUP = 16
"""Pre-activations that share a maximum: what is searched is a sixteenth of them first."""
_ROWS = 16
"""Samples, or latents, that a thread takes at a time."""
_GUESSES = 12
"""How often a bound is moved before it is computed."""
_FAST = {"nsz", "contract", "reassoc"}


@numba.njit(cache=True)
@no_type_check
def _kth_largest(a, n, k):
    """Return the k-th largest of a[:n], which is put in another order."""
    low, high, rank = 0, n - 1, k - 1
    while low < high:
        pivot = a[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while a[i] > pivot:
                i += 1
            while a[j] < pivot:
                j -= 1
            if i <= j:
                a[i], a[j] = a[j], a[i]
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            break
    return a[rank]


@numba.njit(cache=True, fastmath=True)
@no_type_check
def _maxima(row, shift, size, groups, out):
    """Put max(row + shift) over the entries g, g + groups, g + 2 · groups, ... into out[g]."""
    n = len(row)
    for g in range(groups):
        out[g] = row[g] + shift[g]
    for j in range(1, size):
        first = j * groups
        last = min(groups, n - first)
        for g in range(last):
            value = row[first + g] + shift[first + g]
            out[g] = max(out[g], value)


@numba.njit(cache=True, fastmath=_FAST)
@no_type_check
def _reach(maxima, bound):
    """Count the maxima that reach a bound."""
    count = np.int32(0)
    for g in range(len(maxima)):
        count += np.int32(maxima[g] >= bound)
    return count


@numba.njit(cache=True)
@no_type_check
def _bound(maxima, k, guess, scratch):
    """Return what at least k maxima reach and few more do, 0 where fewer than k are positive.

    The bound of the row before is most often nearly right, and counting is vectorised; else the k-th largest.
    """
    for _ in range(_GUESSES):
        count = _reach(maxima, guess)
        if count < k:
            guess *= np.float32(0.94)
        elif count > k + k // 3 + 4:
            guess *= np.float32(1.04)
        else:
            return guess
    scratch[: len(maxima)] = maxima
    return max(np.float32(0), _kth_largest(scratch, len(maxima), k))


@numba.njit(cache=True)
@no_type_check
def _candidates(row, b, maxima, bound, found, found_values):
    """Collect the positive entries of row + b that reach ``bound`` and return how many there are."""
    groups, count = len(maxima), 0
    for g in range(groups):
        if maxima[g] >= bound and maxima[g] > 0:
            for i in range(g, len(row), groups):
                value = row[i] + b[i]
                if value >= bound and value > 0:
                    found[count] = i
                    found_values[count] = value
                    count += 1
    return count


@numba.njit(cache=True)
@no_type_check
def _keep_largest(found, found_values, count, k, scratch, latents, values):
    """Put the k largest of the candidates into latents and values and return how many there are."""
    least, ties = np.float32(0), 0
    if count > k:
        for c in range(count):
            scratch[c] = found_values[c]
        least = _kth_largest(scratch, count, k)
        ties = k
        for c in range(count):
            ties -= found_values[c] > least
    kept = 0
    for c in range(count):
        if found_values[c] > least or (found_values[c] == least and ties > 0):
            ties -= found_values[c] == least
            latents[kept] = found[c]
            values[kept] = found_values[c]
            kept += 1
    return kept


@numba.njit(cache=True, parallel=True)
@no_type_check
def top(pre, b, k, latents, values, counts):
    """Find the k largest of pre + b in each row, positive ones only.

    Exact, in two levels: what k of the groups' maxima reach, k entries reach, so only groups whose maximum
    reaches it are looked into.

    Args:
        pre: [sample, latent].
        b: [latent].
        k: how many.
        latents: [sample, k], filled in up to the row's count.
        values: [sample, k], likewise.
        counts: [sample], how many there are.
    """
    samples, n = pre.shape
    size = max(1, min(_GROUP, n // (4 * k)))
    groups = (n + size - 1) // size
    for block in numba.prange((samples + _ROWS - 1) // _ROWS):
        maxima, scratch = np.empty(groups, np.float32), np.empty(n, np.float32)
        found, found_values = np.empty(n, np.int32), np.empty(n, np.float32)
        bound = np.float32(1) if groups >= k else np.float32(0)
        for i in range(block * _ROWS, min(samples, (block + 1) * _ROWS)):
            _maxima(pre[i], b, size, groups, maxima)
            if groups >= k:
                bound = _bound(maxima, k, bound, scratch)
            count = _candidates(pre[i], b, maxima, bound, found, found_values)
            counts[i] = _keep_largest(found, found_values, count, k, scratch, latents[i], values[i])


@numba.njit(cache=True, parallel=True)
@no_type_check
def above(pre, b, shift, latents, values, counts):
    """Find the entries where pre + shift > 0 in each row; values are pre + b.

    ``counts`` tells how many there are, also where they are more than fit into a row of ``latents``.
    """
    samples, n = pre.shape
    room = latents.shape[1]
    groups = (n + _GROUP - 1) // _GROUP
    size = (n + groups - 1) // groups
    for block in numba.prange((samples + _ROWS - 1) // _ROWS):
        maxima = np.empty(groups, np.float32)
        for i in range(block * _ROWS, min(samples, (block + 1) * _ROWS)):
            row = pre[i]
            _maxima(row, shift, size, groups, maxima)
            count = 0
            for g in range(groups):
                if maxima[g] > 0:
                    for at in range(g, n, groups):
                        if row[at] + shift[at] > 0:
                            if count < room:
                                latents[i, count] = at
                                values[i, count] = row[at] + b[at]
                            count += 1
            counts[i] = count


@numba.njit(cache=True)
@no_type_check
def pack(latents, values, counts, least, ties, packed_rows, packed_latents, packed_values, offsets):
    """Put the rows' entries one behind the other: those over ``least``, and the first ``ties`` at it."""
    at = 0
    for i in range(len(counts)):
        offsets[i] = at
        for c in range(counts[i]):
            value = values[i, c]
            if value > least or (value == least and ties > 0):
                if value == least:
                    ties -= 1
                packed_rows[at] = i
                packed_latents[at] = latents[i, c]
                packed_values[at] = value
                at += 1
    offsets[len(counts)] = at
    return at


@numba.njit(cache=True)
@no_type_check
def by_latent(latents, n_latents, starts, order):
    """Sort the entries by latent, keeping their order within one: a counting sort."""
    starts[:] = 0
    for p in range(len(latents)):
        starts[latents[p] + 1] += 1
    for i in range(n_latents):
        starts[i + 1] += starts[i]
    for p in range(len(latents)):
        i = latents[p]
        order[starts[i]] = p
        starts[i] += 1
    for i in range(n_latents, 0, -1):
        starts[i] = starts[i - 1]
    starts[0] = 0


@numba.njit(cache=True, fastmath=True)
@no_type_check
def _add_rows(acc, W, index, weight, first, last):
    """Add Σ weight[p] · W[index[p]] over p from first to last, four rows at a time."""
    width = len(acc)
    p = first
    while p + 4 <= last:
        a, b, c, d = W[index[p]], W[index[p + 1]], W[index[p + 2]], W[index[p + 3]]
        u, v, w, x = weight[p], weight[p + 1], weight[p + 2], weight[p + 3]
        for j in range(width):
            acc[j] += u * a[j] + v * b[j] + w * c[j] + x * d[j]
        p += 4
    while p < last:
        a, u = W[index[p]], weight[p]
        for j in range(width):
            acc[j] += u * a[j]
        p += 1


@numba.njit(cache=True, fastmath=True)
@no_type_check
def _dot(a, b):
    total = np.float32(0)
    for j in range(len(a)):
        total += a[j] * b[j]
    return total


@numba.njit(cache=True, parallel=True)
@no_type_check
def fit(offsets, latents, values, W, b, y, factor, pull, gradients, squares):
    """Decode each sample, compare with its target, and pull at its codes while its latents' rows are near.

    Args:
        offsets: [sample + 1], where each sample's codes begin.
        latents: [entry].
        values: [entry].
        W: the decoder, [latent, output].
        b: its bias, [output].
        y: targets, [sample, output].
        factor: what takes an error to the gradient of the loss.
        pull: [sample, output], filled with factor · (x̂ − y).
        gradients: [entry], filled with pull · W[latent].
        squares: [sample], filled with |x̂ − y|².
    """
    samples, width = y.shape
    for block in numba.prange((samples + _ROWS - 1) // _ROWS):
        for i in range(block * _ROWS, min(samples, (block + 1) * _ROWS)):
            error = pull[i]
            for j in range(width):
                error[j] = b[j] - y[i, j]
            _add_rows(error, W, latents, values, offsets[i], offsets[i + 1])
            squares[i] = _dot(error, error)
            for j in range(width):
                error[j] *= factor
            for p in range(offsets[i], offsets[i + 1]):
                gradients[p] = _dot(error, W[latents[p]])


@numba.njit(cache=True, fastmath=True)
@no_type_check
def _add_group(error, W, latents, values, first, last, group_of, group):
    """Add value · W[latent] over the entries from first to last that are in a group."""
    for p in range(first, last):
        if group_of[latents[p]] == group:
            row, value = W[latents[p]], values[p]
            for j in range(len(error)):
                error[j] += value * row[j]


@numba.njit(cache=True, parallel=True, fastmath=True)
@no_type_check
def fit_prefixes(offsets, latents, values, W, b, y, group_of, factor, pull, gradients, squares):
    """Do as :func:`fit` for each prefix of the groups.

    pull [prefix, sample, output] is the sum of factor · (x̂ − y) over a prefix and all longer ones, squares
    that of |x̂ − y|² over all.
    """
    prefixes, samples, _ = pull.shape
    for block in numba.prange((samples + _ROWS - 1) // _ROWS):
        for i in range(block * _ROWS, min(samples, (block + 1) * _ROWS)):
            squares[i] = 0
            for g in range(prefixes):
                pull[g, i] = b - y[i] if g == 0 else pull[g - 1, i]
                _add_group(pull[g, i], W, latents, values, offsets[i], offsets[i + 1], group_of, g)
                squares[i] += _dot(pull[g, i], pull[g, i])
            for g in range(prefixes - 1, -1, -1):
                pull[g, i] *= factor
                if g + 1 < prefixes:
                    pull[g, i] += pull[g + 1, i]
            for p in range(offsets[i], offsets[i + 1]):
                gradients[p] = _dot(pull[group_of[latents[p]], i], W[latents[p]])


@numba.njit(cache=True, parallel=True)
@no_type_check
def latent_sums(starts, rows, weights, X, group_of, out):
    """Put Σ weight · X[group, row] over each latent's entries, which are sorted by latent, into its row.

    Args:
        starts: [latent + 1].
        rows: [entry], sorted by latent.
        weights: [entry], likewise.
        X: [group, sample, column].
        group_of: [latent].
        out: [latent, column].
    """
    n = len(out)
    for block in numba.prange((n + _ROWS - 1) // _ROWS):
        for i in range(block * _ROWS, min(n, (block + 1) * _ROWS)):
            out[i] = 0
            _add_rows(out[i], X[group_of[i]], rows, weights, starts[i], starts[i + 1])


@numba.njit(cache=True)
@no_type_check
def entry_sums(starts, entries, out):
    """Put the sum of each latent's entries, which are sorted by latent, into out."""
    for i in range(len(out)):
        total = 0.0
        for p in range(starts[i], starts[i + 1]):
            total += entries[p]
        out[i] = total


@numba.njit(cache=True, parallel=True, fastmath=_FAST)
@no_type_check
def hold(W, gradient, squares):
    """Take out of each row of the gradient what lies along the row of W, and put its square into squares."""
    n = len(W)
    for block in numba.prange((n + _ROWS - 1) // _ROWS):
        for i in range(block * _ROWS, min(n, (block + 1) * _ROWS)):
            row, held = W[i], gradient[i]
            along = _dot(row, held)
            for j in range(len(row)):
                held[j] -= along * row[j]
            squares[i] = _dot(held, held)
