"""Sums over the active latents of a batch on CUDA, in Triton.

A tile is [pair, column]: some pairs at once, each with a row of the decoder or of the inputs, whose columns
lie along the threads of a warp, so that a row is read in whole cache lines. Sums are taken in float32 and in
one order, with no atomic addition: the result is the same bits for the same arguments.

Only :mod:`superscope.dictionary.sparse.triton` imports this module, when it launches.
"""

# Triton compiles these functions from their source; as plain Python they do not type-check.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false

from typing import no_type_check  # keeps jaxtyping's import hook from hiding the source from triton

import triton
import triton.language as tl


@triton.jit
@no_type_check
def _rows(matrix, row, valid, column, width):
    """Return rows [pair, column] of a matrix in float32, 0 where a pair is not valid or past the width."""
    at = matrix + row.to(tl.int64)[:, None] * width + column[None, :]
    return tl.load(at, valid[:, None] & (column < width)[None, :], 0.0).to(tl.float32)


@triton.jit
@no_type_check
def _entries(latents, values, start, stop, lane):
    """Return the pairs of a tile that begins at ``start``: which are before ``stop``, latents, values."""
    p = start + lane
    valid = p < stop
    return p, valid, tl.load(latents + p, valid, 0), tl.load(values + p, valid, 0.0)


# A kernel is compiled anew for an argument that is 1 or a multiple of 16, unless it is listed.
@triton.jit(do_not_specialize=["samples"])
@no_type_check
def fit_samples(
    pull, losses, gradients, bounds, latents, values, W_dec, b_dec, target, samples, scale, width,
    GROUPS: tl.constexpr, PAIRS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Decode a sample, compare it with its target, and send the error back to its values.

    A program keeps the whole error in registers: the decoder's rows come by once to make it, and once more,
    from a cache now, to be multiplied with it. Going back from the last group to the first, what a group
    decodes is taken off again, so that nothing but the sums need be kept.

    Args:
        pull: [group, sample, column], which scale · Σ of the errors of the group and all later ones is
            written to.
        losses: [sample], the sum of squared errors over columns and groups.
        gradients: [pair], pull of the pair's group and sample · decoder's row of its latent.
        bounds: [sample · GROUPS + 1], where the pairs of each group of each sample begin; latents ascend.
        latents: [pair].
        values: [pair].
        W_dec: [latent, column].
        b_dec: [column].
        target: [sample, column].
        samples: how many.
        scale: of the gradient: 2 / the number of squares in the mean.
        width: columns.
        GROUPS: nested groups of latents.
        PAIRS: pairs in a tile.
        COLUMNS: columns in a tile, at least the width.
    """
    i = tl.program_id(0)
    column, lane = tl.arange(0, COLUMNS), tl.arange(0, PAIRS)
    inside = column < width
    at = i.to(tl.int64) * width + column
    bound = bounds + i * GROUPS
    rest = tl.load(b_dec + column, inside, 0.0).to(tl.float32)
    rest -= tl.load(target + at, inside, 0.0).to(tl.float32)
    part = tl.zeros([PAIRS, COLUMNS], tl.float32)
    stop = tl.load(bound + GROUPS)
    for start in range(tl.load(bound), stop, PAIRS):
        _, valid, latent, value = _entries(latents, values, start, stop, lane)
        part += value[:, None] * _rows(W_dec, latent, valid, column, width)
    rest += tl.sum(part, 0)

    loss = 0.0
    total = tl.zeros([COLUMNS], tl.float32)
    for back in range(GROUPS):
        g = GROUPS - 1 - back
        total += rest
        loss += tl.sum(rest * rest, 0)
        tl.store(pull + samples.to(tl.int64) * g * width + at, scale * total, inside)
        stop = tl.load(bound + g + 1)
        part = tl.zeros([PAIRS, COLUMNS], tl.float32)
        for start in range(tl.load(bound + g), stop, PAIRS):
            p, valid, latent, value = _entries(latents, values, start, stop, lane)
            row = _rows(W_dec, latent, valid, column, width)
            tl.store(gradients + p, scale * tl.sum(row * total[None, :], 1), valid)
            if GROUPS > 1:
                part += value[:, None] * row
        if GROUPS > 1:
            rest -= tl.sum(part, 0)
    tl.store(losses + i, loss)


@triton.jit(do_not_specialize=["samples"])
@no_type_check
def reconstruct(
    out, offsets, latents, values, W_dec, b_dec, group_of, samples, width,
    GROUPS: tl.constexpr, PAIRS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Write b_dec + Σ value · decoder's row to out [group, sample, column], over pairs of groups up to each.

    With one group, ``group_of`` is not read.
    """
    i = tl.program_id(0)
    column, lane = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS), tl.arange(0, PAIRS)
    inside = column < width
    begin, stop = tl.load(offsets + i), tl.load(offsets + i + 1)
    total = tl.load(b_dec + column, inside, 0.0).to(tl.float32)
    for g in range(GROUPS):
        part = tl.zeros([PAIRS, COLUMNS], tl.float32)
        for start in range(begin, stop, PAIRS):
            _, valid, latent, value = _entries(latents, values, start, stop, lane)
            if GROUPS > 1:
                valid = valid & (tl.load(group_of + latent, valid, -1) == g)
            part += value[:, None] * _rows(W_dec, latent, valid, column, width)
        total += tl.sum(part, 0)
        tl.store(out + (samples.to(tl.int64) * g + i) * width + column, total, inside)


@triton.jit(do_not_specialize=["pairs", "samples"])
@no_type_check
def value_gradients(
    out, rows, latents, R, W_dec, group_of, pairs, samples, width,
    GROUPED: tl.constexpr, PAIRS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Write R[sample] · decoder's row of each pair; GROUPED, R[group of the latent, sample]."""
    p = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    valid = p < pairs
    latent, row = tl.load(latents + p, valid, 0), tl.load(rows + p, valid, 0).to(tl.int64)
    if GROUPED:
        row += tl.load(group_of + latent, valid, 0).to(tl.int64) * samples
    total = tl.zeros([PAIRS, COLUMNS], tl.float32)
    for start in range(0, width, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        total += _rows(R, row, valid, column, width) * _rows(W_dec, latent, valid, column, width)
    tl.store(out + p, tl.sum(total, 1), valid)


@triton.jit
@no_type_check
def _segment(
    order, rows, weights, X, first, start, stop, column, width, PAIRS: tl.constexpr, COLUMNS: tl.constexpr
):
    """Return Σ weight · X[first + sample] over the pairs from ``start`` to ``stop`` in the latents' order."""
    total = tl.zeros([PAIRS, COLUMNS], tl.float32)
    for at in range(start, stop, PAIRS):
        q = at + tl.arange(0, PAIRS)
        valid = q < stop
        p = tl.load(order + q, valid, 0)
        weight = tl.load(weights + p, valid, 0.0).to(tl.float32)
        row = first + tl.load(rows + p, valid, 0)
        total += weight[:, None] * _rows(X, row, valid, column, width)
    return tl.sum(total, 0)


@triton.jit(do_not_specialize=["samples"])
@no_type_check
def boundary_sums(
    partial, owners, starts, order, rows, weights, X, group_of, samples, width,
    GROUPED: tl.constexpr, CHUNK: tl.constexpr, PAIRS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Write what :func:`latent_sums` is not to add up by itself: long latents, CHUNK pairs a program.

    Boundary j lies before pair (j + 1) · CHUNK of the latents' order and in latent ``owners[j]``. Where it is
    not that latent's begin, ``partial[j]`` is the sum of its pairs from the boundary to the next one.
    """
    j = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    latent = tl.load(owners + j)
    start = (j.to(tl.int64) + 1) * CHUNK
    if tl.load(starts + latent) < start:
        stop = tl.minimum(tl.load(starts + latent + 1), start + CHUNK)
        first = tl.full([], 0, tl.int64)
        if GROUPED:
            first += tl.load(group_of + latent).to(tl.int64) * samples
        total = _segment(order, rows, weights, X, first, start, stop, column, width, PAIRS, COLUMNS)
        tl.store(partial + j.to(tl.int64) * width + column, total, column < width)


@triton.jit(do_not_specialize=["samples"])
@no_type_check
def latent_sums(
    out, partial, starts, order, rows, weights, X, group_of, samples, width,
    GROUPED: tl.constexpr, CHUNK: tl.constexpr, PAIRS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Write Σ weight · X[sample] over the pairs of a latent, 0 where it has none.

    The program adds up the pairs up to the first boundary itself, and then the sums from there on.

    Args:
        out: [latent, column].
        partial: [boundary, column], from :func:`boundary_sums`.
        starts: [latent + 1], where each latent's pairs begin in the latents' order.
        order: [pair], the pairs in that order.
        rows: [pair], the sample of each.
        weights: [pair].
        X: [sample, column], or [group, sample, column].
        group_of: [latent].
        samples: how many.
        width: columns.
        GROUPED: whether X has groups; else ``group_of`` is not read.
        CHUNK: pairs between two boundaries.
        PAIRS: pairs in a tile.
        COLUMNS: columns in a tile.
    """
    latent = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    start, end = tl.load(starts + latent), tl.load(starts + latent + 1)
    chunk = start // CHUNK
    stop = tl.minimum(end, (chunk + 1) * CHUNK)
    first = tl.full([], 0, tl.int64)
    if GROUPED:
        first += tl.load(group_of + latent).to(tl.int64) * samples
    total = _segment(order, rows, weights, X, first, start, stop, column, width, PAIRS, COLUMNS)
    for j in range(chunk, (end + CHUNK - 1) // CHUNK - 1):
        total += tl.load(partial + j * width + column, column < width, 0.0)
    tl.store(out + latent.to(tl.int64) * width + column, total, column < width)


@triton.jit(do_not_specialize=["n_latents"])
@no_type_check
def latent_totals(
    out, starts, order, weights, n_latents, LATENTS: tl.constexpr, PAIRS: tl.constexpr
):  # fmt: skip
    """Write Σ weight over the pairs of each latent to out [latent]; a program has several latents."""
    latent = tl.program_id(0) * LATENTS + tl.arange(0, LATENTS)
    inside = latent < n_latents
    start, stop = tl.load(starts + latent, inside, 0), tl.load(starts + latent + 1, inside, 0)
    total = tl.zeros([LATENTS, PAIRS], tl.float32)
    for at in range(0, tl.max(stop - start, 0), PAIRS):
        q = start[:, None] + at + tl.arange(0, PAIRS)[None, :]
        valid = q < stop[:, None]
        p = tl.load(order + q, valid, 0)
        total += tl.load(weights + p, valid, 0.0).to(tl.float32)
    tl.store(out + latent, tl.sum(total, 1), inside)
