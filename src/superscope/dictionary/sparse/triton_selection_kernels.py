"""Which latents of a batch are active, on CUDA, in Triton: exact selections of the largest.

A pre-activation is compared by its key: the bits of its positive part as an integer, which ascend as it does.
A largest key is found bit by bit, each time by a count. Selections have a fixed order and break ties by
position, so the result is the same bits for the same arguments.

Only :mod:`superscope.dictionary.sparse.triton_selection` imports this module, when it launches.
"""

# Triton compiles these functions from their source; as plain Python they do not type-check.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false

from typing import no_type_check  # keeps jaxtyping's import hook from hiding the source from triton

import triton
import triton.language as tl


@triton.jit
@no_type_check
def _value(pre, at, inside):
    """Return the positive part in float32; NaN stays."""
    x = tl.load(pre + at, inside, 0.0).to(tl.float32)
    return tl.where(x <= 0, 0.0, x)


@triton.jit
@no_type_check
def _key(x, inside):
    """Return the keys: from 0 on, NaN above all numbers, and −1 outside."""
    key = tl.where(x == x, x.to(tl.int32, bitcast=True), 0x7FFFFFFF)
    return tl.where(inside, key, -1)


@triton.jit
@no_type_check
def _largest(key, k):
    """Return the k-th largest key, 0 where there are fewer than k."""
    found = tl.full([], 0, tl.int32)
    for bit in range(31):
        more = found | (1 << (30 - bit))
        found = tl.where(tl.sum((key >= more).to(tl.int32), 0) >= k, more, found)
    return found


@triton.jit
@no_type_check
def _keys_from(pre, start, n_latents, LATENTS: tl.constexpr):
    """Return the keys of the block of a sample's latents that begins at ``start``."""
    latent = start + tl.arange(0, LATENTS)
    inside = latent < n_latents
    return _key(_value(pre, latent, inside), inside)


@triton.jit
@no_type_check
def _count_from(pre, n_latents, least, LATENTS: tl.constexpr):
    """Return how many keys of a sample are at least ``least``."""
    count = tl.zeros([LATENTS], tl.int32)
    for start in range(0, n_latents, LATENTS):
        count += (_keys_from(pre, start, n_latents, LATENTS) >= least).to(tl.int32)
    return tl.sum(count, 0)


@triton.jit
@no_type_check
def _store(rows, latents, values, place, i, latent, value, kept):
    """Write pairs of a sample at their places."""
    tl.store(rows + place, tl.zeros_like(latent) + i, kept)
    tl.store(latents + place, latent, kept)
    tl.store(values + place, value, kept)


@triton.jit
@no_type_check
def _write(rows, latents, values, pre, i, first, n_latents, key, ties, LATENTS: tl.constexpr):
    """Write a sample's pairs above ``key`` and the first ``ties`` at it, from ``first`` on.

    One running sum counts both, those at the key by 2¹⁶ each.
    """
    over, same = tl.full([], 0, tl.int32), tl.full([], 0, tl.int32)
    for start in range(0, n_latents, LATENTS):
        latent = start + tl.arange(0, LATENTS)
        inside = latent < n_latents
        value = _value(pre, latent, inside)
        found = _key(value, inside)
        tie = found == key
        both = (found > key).to(tl.int32) + tie.to(tl.int32) * 65536
        count = tl.cumsum(both, 0)
        at = same + (count >> 16)
        kept = (found > key) | (tie & (at <= ties))
        place = over + (count & 65535) + tl.minimum(at, ties) - 1
        _store(rows, latents, values, first + place, i, latent, value, kept)
        whole = tl.sum(both, 0)
        over += whole & 65535
        same += whole >> 16


# A kernel is compiled anew for an argument that is 1 or a multiple of 16, unless it is listed.
@triton.jit(do_not_specialize=["k"])
@no_type_check
def top_k(
    rows, latents, values, spare, pre, k, n_latents, SPARE: tl.constexpr, LATENTS: tl.constexpr,
    WRITTEN: tl.constexpr,
):  # fmt: skip
    """Write the k largest positive parts of a sample as k pairs.

    Two levels: latents with the same remainder by LATENTS share their maximum. At least k latents reach the
    k-th largest maximum, and few more: those are gathered, and the k-th largest of all is found among them.
    Where they are more than SPARE, as with many equal values, it is found by counts over the whole sample.

    Args:
        rows: [sample · k], written.
        latents: [sample · k], written.
        values: [sample · k], written.
        spare: [sample, SPARE] int32, for the gathered keys; not touched where one block holds the sample.
        pre: [sample, latent].
        k: at most LATENTS.
        n_latents: how many.
        SPARE: room for gathered keys, 1 where one block holds the sample.
        LATENTS: latents in a block.
        WRITTEN: latents in a block of the passes that write, in which each thread has addresses to keep.
    """
    i = tl.program_id(0).to(tl.int64)
    pre += i * n_latents
    most = tl.full([LATENTS], -1, tl.int32)
    for start in range(0, n_latents, LATENTS):
        most = tl.maximum(most, _keys_from(pre, start, n_latents, LATENTS))
    key = _largest(most, k)
    above = tl.sum((most > key).to(tl.int32), 0)
    if SPARE > 1:
        spare += i * SPARE
        count = tl.full([], 0, tl.int32)
        least = tl.maximum(key, 1)
        for start in range(0, n_latents, WRITTEN):
            found = _keys_from(pre, start, n_latents, WRITTEN)
            hit = (found >= least).to(tl.int32)
            place = count + tl.cumsum(hit, 0) - 1
            tl.store(spare + place, found, (hit > 0) & (place < SPARE))
            count += tl.sum(hit, 0)
        tl.debug_barrier()  # what one thread gathered, another reads
        if count <= SPARE:
            lane = tl.arange(0, SPARE)
            gathered = tl.load(spare + lane, lane < count, -1)
            key = _largest(gathered, k)
            above = tl.sum((gathered > key).to(tl.int32), 0)
        else:
            key = tl.full([], 0, tl.int32)
            for bit in range(31):
                more = key | (1 << (30 - bit))
                key = tl.where(_count_from(pre, n_latents, more, LATENTS) >= k, more, key)
            above = k * 0
            if key < 0x7FFFFFFF:
                above = _count_from(pre, n_latents, key + 1, LATENTS)
    _write(rows, latents, values, pre, i, i * k, n_latents, key, k - above, WRITTEN)


@triton.jit
@no_type_check
def _batch_key(digits, count, PASSES: tl.constexpr):
    """Return the leading bits of the count-th largest key of a batch, and how many keys with them it takes.

    ``digits`` [PASSES, 256] counts the digits, from the leading one on, of the keys whose digits before it
    are those of the key that is looked for: a key has three of 8 bits and one of 7.
    """
    digit = tl.arange(0, 256)
    key = tl.full([], 0, tl.int32)
    left = tl.full([], 0, tl.int64) + count
    for d in tl.static_range(PASSES):
        counts = tl.load(digits + d * 256 + digit)
        reached = tl.sum(counts, 0) - tl.cumsum(counts, 0) + counts
        found = tl.sum((reached >= left).to(tl.int32), 0) - 1
        left -= tl.sum(tl.where(digit > found, counts, 0), 0)
        key = key * (128 if d == 3 else 256) + found
    return key, left


@triton.jit(do_not_specialize=["count"])
@no_type_check
def count_digits(
    digits, pre, count, elements, per_program, PASS: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """Count the next digit of the keys of a batch whose digits so far are those of the count-th largest.

    Args:
        digits: [4, 256] int64, zeros before the first pass; counts are added, in any order to the same sum.
        pre: [element], the batch as one row.
        count: which key is looked for.
        elements: how many.
        per_program: elements of a program, a multiple of BLOCK.
        PASS: 0 to 3.
        BLOCK: elements at once.
    """
    key, _ = _batch_key(digits, count, PASS)
    SHIFT: tl.constexpr = 23 - 8 * PASS if PASS < 3 else 0
    BITS: tl.constexpr = 8 if PASS < 3 else 7
    digit = tl.arange(0, 256)
    counts = tl.zeros([256], tl.int32)
    first = tl.program_id(0).to(tl.int64) * per_program
    for start in range(first, tl.minimum(first + per_program, elements), BLOCK):
        at = start + tl.arange(0, BLOCK)
        inside = at < elements
        found = _key(_value(pre, at, inside), inside)
        chosen = inside & ((found >> (SHIFT + BITS)) == key)
        counts += tl.histogram(tl.where(chosen, (found >> SHIFT) & ((1 << BITS) - 1), 0), 256)
        counts -= tl.where(digit == 0, tl.sum((chosen == 0).to(tl.int32), 0), 0)  # counted as zeros
    tl.atomic_add(digits + PASS * 256 + digit, counts.to(tl.int64), counts > 0)


@triton.jit(do_not_specialize=["count"])
@no_type_check
def count_batch(
    above, ties, digits, pre, count, n_latents, LATENTS: tl.constexpr
):  # fmt: skip
    """Count, in each sample, the keys above the count-th largest of the batch and those equal to it."""
    i = tl.program_id(0).to(tl.int64)
    key, _ = _batch_key(digits, count, 4)
    pre += i * n_latents
    more = tl.zeros([LATENTS], tl.int32)
    same = tl.zeros([LATENTS], tl.int32)
    for start in range(0, n_latents, LATENTS):
        found = _keys_from(pre, start, n_latents, LATENTS)
        more += (found > key).to(tl.int32)
        same += (found == key).to(tl.int32)
    tl.store(above + i, tl.sum(more, 0).to(tl.int64))
    tl.store(ties + i, tl.sum(same, 0).to(tl.int64))


@triton.jit(do_not_specialize=["count"])
@no_type_check
def write_batch(
    rows, latents, values, offsets, above, digits, pre, count, n_latents, LATENTS: tl.constexpr
):  # fmt: skip
    """Write the pairs of a sample: those above the batch's key and the first ones at it, as many as fit."""
    i = tl.program_id(0).to(tl.int64)
    key, _ = _batch_key(digits, count, 4)
    place = tl.load(offsets + i)
    ties = tl.load(offsets + i + 1) - place - tl.load(above + i)
    _write(rows, latents, values, pre + i * n_latents, i, place, n_latents, key, ties, LATENTS)


@triton.jit
@no_type_check
def _above(pre, cut, latent, n_latents, EACH: tl.constexpr):
    """Return the pre-activations of a block, and which are above the cut or NaN."""
    inside = latent < n_latents
    x = tl.load(pre + latent, inside, 0.0).to(tl.float32)
    c = tl.load(cut + latent, inside, 0.0) if EACH else tl.load(cut)
    return x, inside & ((x > c.to(tl.float32)) | (x != x))


@triton.jit
@no_type_check
def count_above(counts, pre, cut, n_latents, EACH: tl.constexpr, LATENTS: tl.constexpr):
    """Count the pre-activations of a sample that are above the cut: one, or EACH latent's own."""
    i = tl.program_id(0).to(tl.int64)
    count = tl.zeros([LATENTS], tl.int32)
    for start in range(0, n_latents, LATENTS):
        latent = start + tl.arange(0, LATENTS)
        _, kept = _above(pre + i * n_latents, cut, latent, n_latents, EACH)
        count += kept.to(tl.int32)
    tl.store(counts + i, tl.sum(count, 0).to(tl.int64))


@triton.jit
@no_type_check
def write_above(
    rows, latents, values, offsets, pre, cut, n_latents, EACH: tl.constexpr, LATENTS: tl.constexpr
):  # fmt: skip
    """Write the pairs of a sample that :func:`count_above` counted, latents ascending."""
    i = tl.program_id(0).to(tl.int64)
    place = tl.load(offsets + i)
    for start in range(0, n_latents, LATENTS):
        latent = start + tl.arange(0, LATENTS)
        x, kept = _above(pre + i * n_latents, cut, latent, n_latents, EACH)
        one = kept.to(tl.int32)
        _store(rows, latents, values, place + tl.cumsum(one, 0) - 1, i, latent, x, kept)
        place += tl.sum(one, 0)
