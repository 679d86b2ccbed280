"""The fast path on a CPU: one copy of a toy model trained step after step while it lies in the core's cache.

A step draws the batch block by block, and sends each block forward and back before the next one is drawn, so
that only the weights and one block of samples are ever in use. Copies run beside each other, a task each,
with streams that depend on seed, instance and step alone: the bits do not depend on the number of threads.
The plain reference is :class:`superscope.toy.reference.ReferenceTrainer`; property tests hold the two
together.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from superscope.toy import draws
from superscope.toy.data import gates
from superscope.toy.kernels import (
    ADAM_DECAYS,
    FAST,
    adamw,
    add_outer,
    empty_errors,
    errors,
    product,
    product_and_bias,
    rectify,
    stop_cut,
)
from superscope.toy.problem import Problem, Trainer, Weights
from superscope.toy.stream import stream_key

_NANOSECONDS_A_WORD, _NANOSECONDS_A_JUMP, _NANOSECONDS_A_PRODUCT = 0.45, 25.0, 0.05
"""What they cost, to choose how an instance is drawn; a result's bits depend on the choice, so these stay."""
_LANES = 256
"""Samples in a block: longer loops pay as long as the block's rows and their gradients stay near the core."""
_ABOVE_ZERO = np.nextafter(np.float32(0), np.float32(1))
_THRESHOLDS = {"linear": np.float32(-np.inf), "relu": _ABOVE_ZERO}


@numba.njit(fastmath=FAST, cache=True, nogil=True)
@no_type_check
def _train_copy(
    w, first, second, tied, relu_hidden, threshold, absolute, importance, batch,
    jumps, amplitude, key, inverse, gate_table, low, high, step, rates, shrinks, roots, lanes,
):  # fmt: skip
    """Train one copy from ``step`` on, a step for each rate, in blocks of ``lanes``; return the mean loss."""
    n = len(importance)
    m = (len(w) - n) // (n if tied else 2 * n)
    size = m * n
    gradient = np.zeros(len(w), np.float32)
    W, gW = w[:size].reshape(m, n), gradient[:size].reshape(m, n)
    if tied:
        V, gV, b, gb = W, gW, w[size:], gradient[size:]
    else:
        V, gV = w[size : 2 * size].reshape(m, n), gradient[size : 2 * size].reshape(m, n)
        b, gb = w[2 * size :], gradient[2 * size :]
    blocks = (batch + lanes - 1) // lanes
    x = np.zeros((blocks if jumps else 1, n, lanes), np.float32)
    d = np.empty((n, lanes), np.float32)
    h, dh = np.empty((m, lanes), np.float32), np.empty((m, lanes), np.float32)
    words = np.empty((4, draws.QUADS if jumps else n * lanes // 4), np.uint32)
    table = words.reshape(-1)[: n * lanes].reshape(-1, lanes) if not jumps else words
    columns = np.empty(batch if jumps else 0, np.int32)
    scale = np.float32(2 / batch)
    total = 0.0
    for t in range(len(rates)):
        loss = 0.0
        filled = batch
        if jumps:
            filled = draws.draw_active(
                x, columns, words, batch, step + t, key, gate_table, low, high, amplitude
            )
            loss += empty_errors(b, np.float32(batch - filled), importance, threshold, scale, gb)
        for block in range((filled + lanes - 1) // lanes):
            xs = x[block] if jumps else x[0]
            if not jumps:
                draws.draw_block(xs, words, table, step + t, block, key, inverse, amplitude)
            count = min(lanes, filled - block * lanes)
            product(h, W, xs)
            if relu_hidden:
                rectify(h)
            product_and_bias(d, V, h, b)
            loss += errors(d, xs, count, importance, threshold, absolute, scale, gb)
            product(dh, V, d)
            if relu_hidden:
                stop_cut(dh, h)
            add_outer(gV, h, d)
            add_outer(gW, dh, xs)
        total += loss / batch
        adamw(w, gradient, first, second, rates[t], shrinks[t], roots[t])
    return total / len(rates)


class FusedTrainer(Trainer):
    """Copies trained beside each other by compiled code, each within a core's cache."""

    def __init__(self, problem: Problem, weights: Weights) -> None:
        self._problem = problem
        flat = [weights.W.flatten(1), weights.b]
        if weights.W_out is not None:
            flat.insert(1, weights.W_out.flatten(1))
        self._w = torch.cat(flat, 1).float().contiguous().numpy()
        self._moments = np.zeros((2, *self._w.shape), np.float32)
        self._instances = [_instance(problem, i) for i in range(len(problem.density))]
        self._pool = ThreadPoolExecutor(numba.get_num_threads())
        costs = [self._instances[copy // problem.restarts].cost for copy in range(len(self._w))]
        self._order = sorted(range(len(costs)), key=costs.__getitem__, reverse=True)

    def advance(self, start: int, stop: int) -> Float[Tensor, " copy"]:
        """Train; see :class:`Trainer`."""
        problem = self._problem
        rates, t = np.array(problem.rates(start, stop)), np.arange(start + 1, stop + 1)
        b1, b2 = ADAM_DECAYS
        steps = (
            (rates / (1 - b1**t)).astype(np.float32),
            (1 - rates * problem.weight_decay).astype(np.float32),
            (1 / np.sqrt(1 - b2**t)).astype(np.float32),
        )
        losses = torch.empty(len(self._w))

        def work(copy: int) -> None:
            weights = self._w[copy], *self._moments[:, copy]
            world = self._instances[copy // problem.restarts].world
            losses[copy] = _train_copy(*(*weights, *world, start, *steps, _LANES))

        pending = iter(self._order)  # dear copies first, so that no thread waits long at the end

        def work_off(_: int) -> None:
            for copy in pending:
                work(copy)

        threads = min(numba.get_num_threads(), len(self._order))
        if threads == 1:
            work_off(0)
            return losses
        try:
            list(self._pool.map(work_off, range(threads)))
        except BaseException:  # Ctrl-C: what has not begun is left
            list(pending)
            raise
        return losses

    def weights(self) -> Weights:
        """Return the weights; see :class:`Trainer`."""
        config = self._problem.config
        size = config.n_hidden * config.n_features
        flat = torch.from_numpy(self._w.copy())
        shape = (-1, config.n_hidden, config.n_features)
        W_out = None if config.tied else flat[:, size : 2 * size].reshape(shape)
        return Weights(flat[:, :size].reshape(shape), flat[:, -config.n_features :].clone(), W_out)

    def state(self) -> dict[str, Tensor]:
        """Return weights and moments; the stream has no state."""
        return {"weights": torch.from_numpy(self._w), "moments": torch.from_numpy(self._moments)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to a state; see :class:`Trainer`."""
        self._w[:], self._moments[:] = state["weights"].numpy(), state["moments"].numpy()


def declines(problem: Problem) -> str | None:
    """Say why a problem is not for the fast path, None where it is."""
    if problem.activation is not None:
        return "it knows the outputs relu, linear and exrelu, not a function of the caller's"
    return None


class _Instance(NamedTuple):
    """An instance as :func:`_train_copy` takes it, and what a step of it costs, in nanoseconds."""

    world: tuple[Any, ...]
    cost: float


def _instance(problem: Problem, i: int) -> _Instance:
    config, p, batch = problem.config, problem.density[i].double(), problem.batch_size
    found = gates(p, config.correlated, config.anticorrelated, config.marginal)
    table = list(
        _gate_table(config.correlated, config.anticorrelated, config.n_features, found.low, found.high)
    )
    empty = float(np.prod([1 - probability for *_, probability in table]))
    compute = 5 * config.n_features * config.n_hidden * _NANOSECONDS_A_PRODUCT
    by_sample = batch * (config.n_features * _NANOSECONDS_A_WORD + compute)
    events = batch * sum(probability for *_, probability in table)
    by_jump = events * _NANOSECONDS_A_JUMP + batch * (1 - empty) * compute
    grouped = bool(config.correlated or config.anticorrelated)
    jumps = grouped or config.amplitude == "gaussian" or by_jump < by_sample
    with np.errstate(divide="ignore"):
        pace = -1 / np.log1p(-np.array([probability for *_, probability in table]))
    world = (
        config.tied,
        config.hidden == "relu",
        np.float32(config.threshold) if config.output == "exrelu" else _THRESHOLDS[config.output],
        config.target == "abs",
        problem.importance[i].numpy(),
        batch,
        jumps,
        draws.AMPLITUDES[config.amplitude],
        stream_key(problem.seed, "batches", i),
        (1 / p).float().numpy(),
        (*(np.array([row[k] for row in table], np.int32) for k in range(3)), pace),
        found.low.numpy(),
        found.high.numpy(),
    )
    return _Instance(world, by_jump if jumps else by_sample)


def _gate_table(
    correlated: tuple[int, ...], anticorrelated: tuple[int, ...], n: int, low: Tensor, high: Tensor
) -> Iterator[tuple[int, int, int, float]]:
    """Yield first feature, size, kind and probability of each gate."""
    start = 0
    for kind, sizes in ((draws.CORRELATED, correlated), (draws.ANTICORRELATED, anticorrelated)):
        for k in sizes:
            yield start, k, kind, min(float(high[start + k - 1] - low[start]), 1.0)
            start += k
    for i in range(start, n):
        yield i, 1, draws.SINGLE, float(high[i])
