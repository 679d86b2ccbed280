"""The fast path's kernel for CUDA, in Triton: one program trains one copy of a toy model step after step.

Weights, moments and gradients stay in the program's registers from its first step to its last. A step draws
its batch tile by tile from the counters of :mod:`superscope.toy.stream`, and sends each tile forward and back
before the next one is drawn. Features lie along the first axis of a tile and samples along the last, where
the compiler puts the threads: in a small model every thread has samples of its own, all sums but those over
the batch stay inside it, and these are taken once a step.

Only :mod:`superscope.toy.fused_cuda` imports this module, when it trains: triton need not be there.
"""

# Triton compiles these functions from their source; as plain Python they do not type-check.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false

from typing import no_type_check  # keeps jaxtyping's import hook from hiding the source from triton

import triton
import triton.language as tl


@triton.jit
@no_type_check
def _uniforms(key, column, block, step, use: tl.constexpr):
    """Return the four U[0, 1) that each counter (column, block, step, use) gives."""
    a, b, c, d = tl.philox(key, column, block, step, use)
    unit: tl.constexpr = 2.0**-24  # a float32 below 1 holds 24 bits, so that none is rounded to 1
    return (
        (a >> 8).to(tl.float32) * unit,
        (b >> 8).to(tl.float32) * unit,
        (c >> 8).to(tl.float32) * unit,
        (d >> 8).to(tl.float32) * unit,
    )


@triton.jit
@no_type_check
def _value(u, a, low, high, AMPLITUDE: tl.constexpr):
    """Return x: the amplitude made of ``a`` where the gate's draw u is in [low, high), else 0."""
    if AMPLITUDE == "signed":
        a = 2 * a - 1
    if AMPLITUDE == "constant":
        a = tl.full(a.shape, 1.0, tl.float32)
    return tl.where((u >= low) & (u < high), a, 0.0)


@triton.jit
@no_type_check
def _inputs(key, step, block, feature, gate, low, high, inverse, AMPLITUDE: tl.constexpr, ANEW: tl.constexpr):
    """Return the four samples [feature, block] of each block: samples 4·block to 4·block + 3.

    ``inverse`` is 1/(high − low). The amplitude is the place of u in its interval, so that one draw serves
    for both; with ANEW it has a draw of its own.
    """
    u0, u1, u2, u3 = _uniforms(key, gate, block, step, 0)
    if ANEW:
        a0, a1, a2, a3 = _uniforms(key, feature, block, step, 1)
        if AMPLITUDE == "gaussian":
            a0, a1 = tl.pair_uniform_to_normal(a0, a1)
            a2, a3 = tl.pair_uniform_to_normal(a2, a3)
    else:
        a0, a1 = (u0 - low) * inverse, (u1 - low) * inverse
        a2, a3 = (u2 - low) * inverse, (u3 - low) * inverse
    return (
        _value(u0, a0, low, high, AMPLITUDE),
        _value(u1, a1, low, high, AMPLITUDE),
        _value(u2, a2, low, high, AMPLITUDE),
        _value(u3, a3, low, high, AMPLITUDE),
    )


@triton.jit
@no_type_check
def _cut(x, threshold):
    """Return x where x ≥ threshold, else 0; NaN stays, so that a training that has failed shows."""
    return tl.where(x < threshold, 0.0, x)


@triton.jit
@no_type_check
def _add_sample(
    x, valid, W, V, b, weight, threshold, cut, g_W, g_V, g_b, loss,
    RAGGED: tl.constexpr, TIED: tl.constexpr, ABS: tl.constexpr,
):  # fmt: skip
    """Send a sample of each block forward and back, and add what it gives to the sums of its lane.

    With weight 2 I/batch, ``loss`` grows by twice the loss. Products are sums: triton makes a matrix product
    in TF32, of 10 bits, out of sum(W[:, :, None] * x[None], 1) where x is not the first factor.
    """
    h = _cut(tl.sum(x[None, :, :] * W[:, :, None], 1), cut)
    pre = tl.sum(h[:, None, :] * V[:, :, None], 0) + b
    error = _cut(pre, threshold) - (tl.abs(x) if ABS else x)
    if RAGGED:
        error = tl.where(valid, error, 0.0)
    d = weight * error
    loss += tl.sum(d * error, 0)
    d = tl.where(pre < threshold, 0.0, d)
    dh = tl.where(h < cut, 0.0, tl.sum(d[None, :, :] * V[:, :, None], 1))
    g_W += dh[:, None, :] * x[None, :, :]
    if TIED:
        g_W += h[:, None, :] * d[None, :, :]
    else:
        g_V += h[:, None, :] * d[None, :, :]
    return g_W, g_V, g_b + d, loss


@triton.jit
@no_type_check
def _adamw(w, first, second, g, pace, shrink, root, BETA_1: tl.constexpr, BETA_2: tl.constexpr, EPSILON):
    """Return w and its moments after step t.

    ``pace`` is lr/(1 − β₁ᵗ), ``shrink`` 1 − lr·decay and ``root`` 1/√(1 − β₂ᵗ).
    """
    first += (1 - BETA_1) * (g - first)
    second = BETA_2 * second + (1 - BETA_2) * g * g
    w = w * shrink - pace * first / (tl.sqrt(second) * root + EPSILON)
    return w, first, second


# A kernel is compiled anew for an argument that is 1 or a multiple of 16, unless it is listed.
@triton.jit(do_not_specialize=["start", "steps", "restarts", "batch"])
@no_type_check
def train_copies(
    matrices, biases, losses, keys, gates, worlds, paces, start, steps, restarts, batch, threshold, cut,
    N: tl.constexpr, M: tl.constexpr, BLOCKS: tl.constexpr, TILES: tl.constexpr, RAGGED: tl.constexpr,
    TIED: tl.constexpr, ABS: tl.constexpr, AMPLITUDE: tl.constexpr, ANEW: tl.constexpr,
    BETA_1: tl.constexpr, BETA_2: tl.constexpr, EPSILON: tl.constexpr,
):  # fmt: skip
    """Train each copy for ``steps`` steps from step ``start`` on, and add up its losses.

    Args:
        matrices: [copy, 3 or 6, M, N]: W and its two moments, and those of W_out in an untied model.
        biases: [copy, 3, N]: b and its two moments.
        losses: [copy], which the sum of the steps' losses is written to.
        keys: [instance], of the stream, as int64.
        gates: [N], the column of the stream that each feature looks at.
        worlds: [instance, 4, N]: low, high and 1/(high − low) of the features, and 2 I/batch.
        paces: [step, 3]: what :func:`_adamw` takes.
        start: the first step's number.
        steps: how many.
        restarts: copies of each instance.
        batch: samples a step.
        threshold: of the output, which is 0 below it.
        cut: of the hidden units, likewise.
        N: features, padded to a power of two with some that are never active and weigh nothing.
        M: hidden units, padded likewise with some whose weights are 0 and stay so.
        BLOCKS: blocks of four samples in a tile.
        TILES: tiles in a batch.
        RAGGED: whether the tiles hold more than the batch.
        TIED: whether W_out is W.
        ABS: whether the target is |x|.
        AMPLITUDE: as in a config.
        ANEW: whether amplitudes are drawn apart from the gates.
        BETA_1: AdamW's.
        BETA_2: AdamW's.
        EPSILON: AdamW's.
    """
    copy = tl.program_id(0)
    instance = copy // restarts
    SIZE: tl.constexpr = M * N
    MATRICES: tl.constexpr = 3 if TIED else 6
    i = tl.arange(0, N)
    W_at = matrices + copy.to(tl.int64) * (MATRICES * SIZE) + tl.arange(0, M)[:, None] * N + i[None, :]
    W, W_first, W_second = tl.load(W_at), tl.load(W_at + SIZE), tl.load(W_at + 2 * SIZE)
    V, V_first, V_second = W, W_first, W_second
    if not TIED:
        V_at = W_at + 3 * SIZE
        V, V_first, V_second = tl.load(V_at), tl.load(V_at + SIZE), tl.load(V_at + 2 * SIZE)
    b_at = biases + copy * (3 * N) + i
    b, b_first, b_second = tl.load(b_at), tl.load(b_at + N), tl.load(b_at + 2 * N)
    world_at = worlds + instance * (4 * N) + i
    low, high = tl.load(world_at)[:, None], tl.load(world_at + N)[:, None]
    inverse, weight = tl.load(world_at + 2 * N)[:, None], tl.load(world_at + 3 * N)[:, None]
    key, gate, feature = tl.load(keys + instance), tl.load(gates + i)[:, None], i[:, None]
    lane = tl.arange(0, BLOCKS)[None, :]

    total = 0.0
    for s in range(steps):
        g_W = tl.zeros([M, N, BLOCKS], tl.float32)
        g_V = tl.zeros([M, N, BLOCKS], tl.float32)
        g_b = tl.zeros([N, BLOCKS], tl.float32)
        loss = tl.zeros([BLOCKS], tl.float32)
        c = b[:, None]
        for t in range(TILES):
            block = t * BLOCKS + lane
            left = batch - 4 * block
            x0, x1, x2, x3 = _inputs(
                key, start + s, block, feature, gate, low, high, inverse, AMPLITUDE, ANEW
            )
            g_W, g_V, g_b, loss = _add_sample(
                x0, left > 0, W, V, c, weight, threshold, cut, g_W, g_V, g_b, loss, RAGGED, TIED, ABS
            )
            g_W, g_V, g_b, loss = _add_sample(
                x1, left > 1, W, V, c, weight, threshold, cut, g_W, g_V, g_b, loss, RAGGED, TIED, ABS
            )
            g_W, g_V, g_b, loss = _add_sample(
                x2, left > 2, W, V, c, weight, threshold, cut, g_W, g_V, g_b, loss, RAGGED, TIED, ABS
            )
            g_W, g_V, g_b, loss = _add_sample(
                x3, left > 3, W, V, c, weight, threshold, cut, g_W, g_V, g_b, loss, RAGGED, TIED, ABS
            )
        total += tl.sum(loss, 0) / 2
        pace, shrink = tl.load(paces + 3 * s), tl.load(paces + 3 * s + 1)
        root = tl.load(paces + 3 * s + 2)
        W, W_first, W_second = _adamw(
            W, W_first, W_second, tl.sum(g_W, 2), pace, shrink, root, BETA_1, BETA_2, EPSILON
        )
        if TIED:
            V = W
        else:
            V, V_first, V_second = _adamw(
                V, V_first, V_second, tl.sum(g_V, 2), pace, shrink, root, BETA_1, BETA_2, EPSILON
            )
        b, b_first, b_second = _adamw(
            b, b_first, b_second, tl.sum(g_b, 1), pace, shrink, root, BETA_1, BETA_2, EPSILON
        )

    tl.store(losses + copy, total)
    tl.store(W_at, W)
    tl.store(W_at + SIZE, W_first)
    tl.store(W_at + 2 * SIZE, W_second)
    if not TIED:
        tl.store(V_at, V)
        tl.store(V_at + SIZE, V_first)
        tl.store(V_at + 2 * SIZE, V_second)
    tl.store(b_at, b)
    tl.store(b_at + N, b_first)
    tl.store(b_at + 2 * N, b_second)


@triton.jit(do_not_specialize=["step", "batch"])
@no_type_check
def draw_batch(
    x, keys, gates, worlds, step, batch,
    N: tl.constexpr, BLOCKS: tl.constexpr, AMPLITUDE: tl.constexpr, ANEW: tl.constexpr,
):  # fmt: skip
    """Write the batch x [instance, batch, N] of a step, as :func:`train_copies` draws it."""
    instance, i = tl.program_id(0), tl.arange(0, N)
    world_at = worlds + instance * (4 * N) + i
    low, high = tl.load(world_at)[:, None], tl.load(world_at + N)[:, None]
    inverse, gate = tl.load(world_at + 2 * N)[:, None], tl.load(gates + i)[:, None]
    block = (tl.program_id(1) * BLOCKS + tl.arange(0, BLOCKS))[None, :]
    x0, x1, x2, x3 = _inputs(
        tl.load(keys + instance), step, block, i[:, None], gate, low, high, inverse, AMPLITUDE, ANEW
    )
    at = x + (instance.to(tl.int64) * batch + 4 * block) * N + i[:, None]
    left = batch - 4 * block
    tl.store(at, x0, left > 0)
    tl.store(at + N, x1, left > 1)
    tl.store(at + 2 * N, x2, left > 2)
    tl.store(at + 3 * N, x3, left > 3)
