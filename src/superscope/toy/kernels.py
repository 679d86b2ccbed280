"""What a step of the fast path is made of: matrix products on blocks of samples that lie in the cache.

Samples are the innermost axis, called lane, so that every loop over them becomes vector instructions; weights
are read one by one. A loop that writes reads eight rows at the most: with more, LLVM would not check whether
they overlap and would not vectorise it.
"""

from typing import no_type_check

import numba
import numpy as np

# Sums may be reordered and contracted; NaN and infinity keep their meaning: a diverging loss is looked for.
FAST = {"nsz", "contract", "reassoc", "arcp"}
ADAM_DECAYS = 0.9, 0.999
ADAM_EPSILON = 1e-8
_B1, _B2, _EPSILON = np.float32(ADAM_DECAYS[0]), np.float32(ADAM_DECAYS[1]), np.float32(ADAM_EPSILON)
_C1, _C2 = np.float32(1 - ADAM_DECAYS[0]), np.float32(1 - ADAM_DECAYS[1])
_ZERO, _ONE = np.float32(0), np.float32(1)


@numba.njit(fastmath=FAST, cache=True)
@no_type_check
def product(out, A, B):
    """Set out = A B, with A [row, inner] and the samples in the last axis of B [inner, lane].

    Made for few rows: B passes by once, eight rows of it at a time, and out stays in the cache.
    """
    rows, inner = A.shape
    lanes = B.shape[1]
    for r in range(rows):
        for j in range(lanes):
            out[r, j] = _ZERO
    k = 0
    while k < inner:
        step = _piece(inner - k)
        for r in range(rows):
            _add_products(out, r, A[r], B, k, step)
        k += step


@numba.njit(fastmath=FAST, cache=True)
@no_type_check
def product_and_bias(out, A, B, bias):
    """Set out = AᵀB + bias, with A [inner, row] and the samples in the last axis of B [inner, lane].

    Made for many rows: out passes by once, and B stays in the cache.
    """
    inner, rows = A.shape
    lanes = B.shape[1]
    for r in range(rows):
        for j in range(lanes):
            out[r, j] = bias[r]
        k = 0
        while k < inner:
            step = _piece(inner - k)
            _add_products(out, r, A[:, r], B, k, step)
            k += step


@numba.njit(inline="always")
@no_type_check
def _piece(left):
    return 8 if left >= 8 else 4 if left >= 4 else 1


@numba.njit(fastmath=FAST, inline="always")
@no_type_check
def _add_products(out, r, a, B, k, step):
    """Add a[k] B[k] and the next ones, ``step`` of them, to a row."""
    lanes = B.shape[1]
    if step == 8:
        a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
        a4, a5, a6, a7 = a[k + 4], a[k + 5], a[k + 6], a[k + 7]
        for j in range(lanes):
            left = (a0 * B[k, j] + a1 * B[k + 1, j]) + (a2 * B[k + 2, j] + a3 * B[k + 3, j])
            right = (a4 * B[k + 4, j] + a5 * B[k + 5, j]) + (a6 * B[k + 6, j] + a7 * B[k + 7, j])
            out[r, j] += left + right
    elif step == 4:
        a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
        for j in range(lanes):
            out[r, j] += (a0 * B[k, j] + a1 * B[k + 1, j]) + (a2 * B[k + 2, j] + a3 * B[k + 3, j])
    else:
        a0 = a[k]
        for j in range(lanes):
            out[r, j] += a0 * B[k, j]


@numba.njit(fastmath=FAST, cache=True)
@no_type_check
def add_outer(G, A, B):
    """Add ABᵀ to G: G[r, i] += Σ_j A[r, j] B[i, j], in tiles of four rows by four.

    Made for few rows: B passes by once, and A stays in the cache.
    """
    rows, columns = G.shape
    i = 0
    while i < columns:
        r = 0
        if i + 4 <= columns:
            while r + 4 <= rows:
                _add_4_by_4(G, A, B, r, i)
                r += 4
            while r < rows:
                _add_4(G[r, i : i + 4], A, r, B, i)
                r += 1
            i += 4
        else:
            while r + 4 <= rows:
                _add_4(G[r : r + 4, i], B, i, A, r)
                r += 4
            while r < rows:
                total = _ZERO
                for j in range(A.shape[1]):
                    total += A[r, j] * B[i, j]
                G[r, i] += total
                r += 1
            i += 1


@numba.njit(fastmath=FAST, inline="always")
@no_type_check
def _add_4(g, X, x, Y, y):
    """Add the products of a row of X with four of Y."""
    s0 = s1 = s2 = s3 = _ZERO
    for j in range(X.shape[1]):
        v = X[x, j]
        s0 += v * Y[y, j]
        s1 += v * Y[y + 1, j]
        s2 += v * Y[y + 2, j]
        s3 += v * Y[y + 3, j]
    g[0] += s0
    g[1] += s1
    g[2] += s2
    g[3] += s3


@numba.njit(fastmath=FAST, inline="always")
@no_type_check
def _add_4_by_4(G, A, B, r, i):
    s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = _ZERO
    lanes = A.shape[1]
    s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = _ZERO
    for j in range(lanes):
        a0, a1, a2, a3 = A[r, j], A[r + 1, j], A[r + 2, j], A[r + 3, j]
        b0, b1, b2, b3 = B[i, j], B[i + 1, j], B[i + 2, j], B[i + 3, j]
        s00 += a0 * b0
        s01 += a0 * b1
        s02 += a0 * b2
        s03 += a0 * b3
        s10 += a1 * b0
        s11 += a1 * b1
        s12 += a1 * b2
        s13 += a1 * b3
        s20 += a2 * b0
        s21 += a2 * b1
        s22 += a2 * b2
        s23 += a2 * b3
        s30 += a3 * b0
        s31 += a3 * b1
        s32 += a3 * b2
        s33 += a3 * b3
    G[r, i] += s00
    G[r, i + 1] += s01
    G[r, i + 2] += s02
    G[r, i + 3] += s03
    G[r + 1, i] += s10
    G[r + 1, i + 1] += s11
    G[r + 1, i + 2] += s12
    G[r + 1, i + 3] += s13
    G[r + 2, i] += s20
    G[r + 2, i + 1] += s21
    G[r + 2, i + 2] += s22
    G[r + 2, i + 3] += s23
    G[r + 3, i] += s30
    G[r + 3, i + 1] += s31
    G[r + 3, i + 2] += s32
    G[r + 3, i + 3] += s33


@numba.njit(fastmath=FAST, cache=True)
@no_type_check
def rectify(h):
    """Set h = ReLU(h); what was cut is 0, which :func:`stop_cut` reads."""
    lanes = h.shape[1]
    for a in range(h.shape[0]):
        for j in range(lanes):
            h[a, j] *= np.float32(h[a, j] > _ZERO)


@numba.njit(fastmath=FAST, cache=True)
@no_type_check
def stop_cut(dh, h):
    """Zero the gradients of the hidden units that a ReLU cut."""
    lanes = h.shape[1]
    for a in range(h.shape[0]):
        for j in range(lanes):
            dh[a, j] *= np.float32(h[a, j] > _ZERO)


@numba.njit(fastmath=FAST, cache=True)
@no_type_check
def errors(d, x, count, importance, threshold, absolute, scale, gb):
    """Turn pre-activations d into gradients, add their sums to gb, and return the loss of ``count`` samples.

    The output is d where d ≥ threshold, else 0: multiplied by 0, not replaced, so that a NaN stays one.
    """
    lanes = d.shape[1]
    loss = _ZERO
    for i in range(d.shape[0]):
        factor = importance[i] * scale
        total, squares = _ZERO, _ZERO
        for j in range(count):
            kept = np.float32(d[i, j] >= threshold)
            wanted = abs(x[i, j]) if absolute else x[i, j]
            e = d[i, j] * kept - wanted
            squares += e * e
            e *= kept * factor
            d[i, j] = e
            total += e
        for j in range(count, lanes):
            d[i, j] = _ZERO
        gb[i] += total
        loss += squares * importance[i]
    return loss


@numba.njit(fastmath=FAST, cache=True)
@no_type_check
def empty_errors(b, count, importance, threshold, scale, gb):
    """Do :func:`errors` for ``count`` empty samples in closed form: the output is that of b alone."""
    loss = _ZERO
    for i in range(len(b)):
        kept = np.float32(b[i] >= threshold)
        e = b[i] * kept
        loss += count * importance[i] * e * e
        gb[i] += count * importance[i] * scale * e * kept
    return loss


@numba.njit(fastmath=FAST, cache=True)
@no_type_check
def adamw(w, g, first, second, step, shrink, root):
    """Do a step of AdamW on flat weights: step = lr/(1 − β₁ᵗ), shrink = 1 − lr·decay, root = 1/√(1 − β₂ᵗ)."""
    for k in range(len(w)):
        m = _B1 * first[k] + _C1 * g[k]
        v = _B2 * second[k] + _C2 * g[k] * g[k]
        first[k], second[k] = m, v
        w[k] = w[k] * shrink - step * m / (np.sqrt(v) * root + _EPSILON)
        g[k] = _ZERO
