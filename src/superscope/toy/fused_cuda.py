"""The fast path on CUDA: one program a copy, which trains it for many steps in one launch.

The kernel is :mod:`superscope.toy.fused_cuda_kernel`; here is what it is given. Its stream depends on seed,
instance and step alone, and its sums have a fixed order: on one kind of GPU, with one version of triton, the
result is the same bits for the same arguments.
The plain reference is :class:`superscope.toy.reference.ReferenceTrainer`; tests hold the two together.
"""

import contextlib
import importlib.util
import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from superscope.toy.data import gates
from superscope.toy.kernels import ADAM_DECAYS, ADAM_EPSILON
from superscope.toy.problem import Problem, Trainer, Weights
from superscope.toy.stream import stream_key

MOST_WEIGHTS = 1_024
"""The largest size of a model, in padded weights, that a program's registers hold; see :func:`plan`."""
_SUMS_A_THREAD = 32
_REGISTERS = 65_536
_STEPS_A_LAUNCH = 4_096
_DENORMAL = float(np.nextafter(np.float32(0), np.float32(1)))
_THRESHOLDS = {"linear": -math.inf, "relu": _DENORMAL}


class Plan(NamedTuple):
    """How a model is laid out in a program."""

    N: int
    """Features, padded to a power of two."""
    M: int
    """Hidden units, padded to a power of two."""
    blocks: int
    """Blocks of four samples that are worked on at once."""
    warps: int
    """Groups of 32 threads."""


def declines(problem: Problem) -> str | None:
    """Say why a problem is not for the fast path on CUDA, None where it is."""
    if problem.activation is not None:
        return "it knows the outputs relu, linear and exrelu, not a function of the caller's"
    if (size := _size(problem)) > MOST_WEIGHTS:
        return (
            f"{problem.config.n_features} features in {problem.config.n_hidden} dimensions are {size} padded "
            f"weights, and a GPU program's registers hold {MOST_WEIGHTS}"
        )
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    return None


def plan(problem: Problem) -> Plan:
    """Choose the layout of a problem.

    A thread keeps a sum over its samples for each weight, or the threads share the weights: so many samples
    at once that it has at most 32 sums. Compiled for sm_90 by triton 3.7.1, tied models of up to 256 padded
    weights then spill nothing, or some 100 bytes a thread; 64 × 16 spills 100, 256 features in one dimension
    900, and 256 × 2 untied with Gaussian amplitudes 1,400. No layout has been timed on a GPU yet.
    """
    size = _size(problem)
    warps = 8 if size <= MOST_WEIGHTS // 4 else 16
    blocks = min(32 * warps, _SUMS_A_THREAD * 32 * warps // size)
    needed = _power_of_two(-(-problem.batch_size // 4))
    return Plan(
        _power_of_two(problem.config.n_features),
        _power_of_two(problem.config.n_hidden),
        min(blocks, needed),
        warps,
    )


def draw_constants(problem: Problem) -> dict[str, int | str]:
    """Return what the kernels' part that draws is compiled for."""
    N, _, blocks, _ = plan(problem)
    config = problem.config
    # members of a correlated group share the draw of their gate
    anew = config.amplitude == "gaussian" or bool(config.correlated)
    return {"N": N, "BLOCKS": blocks, "AMPLITUDE": config.amplitude, "ANEW": anew}


def train_constants(problem: Problem) -> dict[str, int | float | str]:
    """Return what the kernel that trains is compiled for."""
    _, M, blocks, _ = plan(problem)
    tiles = -(-problem.batch_size // (4 * blocks))
    return {
        **draw_constants(problem),
        "M": M,
        "TILES": tiles,
        "RAGGED": tiles * 4 * blocks > problem.batch_size,
        "TIED": problem.config.tied,
        "ABS": problem.config.target == "abs",
        "BETA_1": ADAM_DECAYS[0],
        "BETA_2": ADAM_DECAYS[1],
        "EPSILON": ADAM_EPSILON,
    }


def launch_options(problem: Problem) -> dict[str, int]:
    """Return how many warps a program has, and the most registers of a thread.

    Left to itself, ptxas gives a thread 32 registers where it cannot do without spilling.
    """
    warps = plan(problem).warps
    return {"num_warps": warps, "maxnreg": min(255, _REGISTERS // (32 * warps))}


class CudaTrainer(Trainer):
    """Copies trained beside each other on a GPU, each from first step to last in a program's registers."""

    def __init__(self, problem: Problem, weights: Weights, device: torch.device) -> None:
        # here, so that triton need not be there for all else
        from superscope.toy import fused_cuda_kernel

        self._kernel = fused_cuda_kernel
        self._problem, self._device, self._plan = problem, device, plan(problem)
        config, N, M = problem.config, self._plan.N, self._plan.M
        given = [weights.W] if weights.W_out is None else [weights.W, weights.W_out]
        self._matrices = torch.zeros(len(weights.W), 3 * len(given), M, N, device=device)
        for k, matrix in enumerate(given):
            self._matrices[:, 3 * k, : config.n_hidden, : config.n_features] = matrix.to(device)
        self._biases = torch.zeros(len(weights.b), 3, N, device=device)
        self._biases[:, 0, : config.n_features] = weights.b.to(device)
        self._keys = torch.tensor([_key(problem.seed, i) for i in range(len(problem.density))], device=device)
        self._gates, self._worlds = (part.to(device) for part in _worlds(problem, N))

    def advance(self, start: int, stop: int) -> Float[Tensor, " copy"]:
        """Train; see :class:`Trainer`."""
        problem, config = self._problem, self._problem.config
        thresholds = {**_THRESHOLDS, "exrelu": config.threshold}
        paces = _paces(problem, start, stop).to(self._device)
        total = torch.zeros(len(self._matrices), device=self._device)
        losses = torch.empty_like(total)
        for first in range(start, stop, _STEPS_A_LAUNCH):
            steps = min(_STEPS_A_LAUNCH, stop - first)
            with self._on_device():
                self._kernel.train_copies[len(total),](
                    self._matrices,
                    self._biases,
                    losses,
                    self._keys,
                    self._gates,
                    self._worlds,
                    paces[first - start :].clone(),  # a kernel is compiled anew for a pointer less aligned
                    first,
                    steps,
                    problem.restarts,
                    problem.batch_size,
                    thresholds[config.output],
                    thresholds[config.hidden],
                    **train_constants(problem),
                    **launch_options(problem),
                )
            total += losses
        return total / (stop - start)

    def batch(self, step: int) -> Float[Tensor, "instance sample feature"]:
        """Return the inputs that the copies of each instance see at a step."""
        size, blocks = self._problem.batch_size, self._plan.blocks
        x = torch.empty(len(self._keys), size, self._plan.N, device=self._device)
        with self._on_device():
            self._kernel.draw_batch[len(x), -(-size // (4 * blocks))](
                x, self._keys, self._gates, self._worlds, step, size, **draw_constants(self._problem)
            )
        return x[..., : self._problem.config.n_features]

    def weights(self) -> Weights:
        """Return the weights; see :class:`Trainer`."""
        config = self._problem.config
        W, *W_out = self._matrices[:, ::3, : config.n_hidden, : config.n_features].clone().unbind(1)
        return Weights(W, self._biases[:, 0, : config.n_features].clone(), W_out[0] if W_out else None)

    def state(self) -> dict[str, Tensor]:
        """Return weights and moments; the stream has no state."""
        return {"matrices": self._matrices.clone(), "biases": self._biases.clone()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to a state; see :class:`Trainer`."""
        self._matrices.copy_(state["matrices"])
        self._biases.copy_(state["biases"])

    def _on_device(self) -> contextlib.AbstractContextManager[object]:
        """Make the trainer's GPU the one that triton launches on."""
        return torch.cuda.device(self._device) if self._device.type == "cuda" else contextlib.nullcontext()


def _size(problem: Problem) -> int:
    """Count the padded weights; a tile's inputs and errors take as much as four hidden units."""
    config = problem.config
    rows = _power_of_two(config.n_hidden) * (1 if config.tied else 2)
    return _power_of_two(config.n_features) * max(rows, 4)


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()


def _key(seed: int, instance: int) -> int:
    """Return the stream's key as the bits of an int64, its first word the low one."""
    low, high = stream_key(seed, "batches", instance)
    return int(np.uint64(high << 32 | low).astype(np.int64))


def _worlds(problem: Problem, N: int) -> tuple[Tensor, Tensor]:
    """Return the gates [N] and the worlds [instance, 4, N] that the kernel takes."""
    config, n = problem.config, problem.config.n_features
    gate, low, high = gates(
        problem.density.double(), config.correlated, config.anticorrelated, config.marginal
    )
    columns = torch.zeros(N, dtype=torch.int32)
    columns[:n] = gate
    worlds = torch.zeros(len(problem.density), 4, N)
    worlds[:, 0, :n], worlds[:, 1, :n], worlds[:, 2, :n] = low, high, 1 / (high - low)
    worlds[:, 3, :n] = problem.importance * (2 / problem.batch_size)
    return columns, worlds


def _paces(problem: Problem, start: int, stop: int) -> Float[Tensor, "step 3"]:
    """Return lr/(1 − β₁ᵗ), 1 − lr·decay and 1/√(1 − β₂ᵗ) of each step, t counted from 1."""
    rates, t = np.array(problem.rates(start, stop)), np.arange(start + 1, stop + 1)
    first, second = (1 - np.power(beta, t) for beta in ADAM_DECAYS)
    table = np.stack([rates / first, 1 - rates * problem.weight_decay, 1 / np.sqrt(second)], 1)
    return torch.from_numpy(table.astype(np.float32))
