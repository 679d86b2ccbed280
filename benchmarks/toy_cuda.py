"""Toy models on a GPU: our two paths against the loop that the public notebooks share, on that GPU.

The same settings as in :mod:`benchmarks.toy_training`, and the first of them with a hundred restarts, which
the loop has as instances. What counts is instance-steps per second of wall time, the GPU waited for.
"""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

from benchmarks.timing import header, ratio, row
from benchmarks.toy_training import SETTINGS
from superscope.core import resolve_device
from superscope.toy import ToyConfig
from superscope.toy.fused_cuda import CudaTrainer, declines
from superscope.toy.problem import Problem, start_weights
from superscope.toy.reference import ReferenceTrainer

_STEPS = {5: 4_000, 20: 2_000, 200: 400}
_WARM_UP = 20


class NotebookLoop:
    """The notebooks' training, written anew in plain PyTorch, all on one device."""

    def __init__(self, problem: Problem, device: torch.device) -> None:
        n, m = problem.config.n_features, problem.config.n_hidden
        self._density = problem.density.to(device).repeat_interleave(problem.restarts, 0)
        count = len(self._density)
        with torch.device(device):
            self._W = torch.nn.Parameter((2 / (m + n)) ** 0.5 * torch.randn(count, m, n))
            self._b = torch.nn.Parameter(torch.zeros(count, n))
            self._importance = torch.ones(n)
        self._optimizer = torch.optim.AdamW([self._W, self._b], lr=problem.lr)

    def advance(self, start: int, stop: int) -> None:
        shape, device = (1024, *self._b.shape), self._b.device
        for _ in range(start, stop):
            active = torch.rand(shape, device=device) <= self._density
            x = torch.where(active, torch.rand(shape, device=device), torch.zeros((), device=device))
            hidden = torch.einsum("bif,ihf->bih", x, self._W)
            out = torch.relu(torch.einsum("bih,ihf->bif", hidden, self._W) + self._b)
            loss = (self._importance * (x - out) ** 2).mean(0).sum()
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()


def main(quick: bool) -> None:
    if not torch.cuda.is_available():
        print("There is no GPU here: nothing is measured.")
        return
    device = resolve_device("cuda")
    print(torch.cuda.get_device_name(device), "\n")
    header(
        "setting", "notebooks' loop", "reference path", "fused path", "fused / loop, median (range)",
        "the fused path's first launch, with compiling, s",
    )  # fmt: skip
    first = next(iter(SETTINGS))
    problems = {name: sweep(*setting) for name, setting in SETTINGS.items()}
    problems[f"{first}, 100 restarts"] = sweep(*SETTINGS[first], restarts=100)
    for name, problem in problems.items():
        compare(name, problem, device, rounds=1 if quick else 5, shrink=10 if quick else 1)


def sweep(n: int, m: int, count: int, most: float, least: float, restarts: int = 1) -> Problem:
    ends = torch.log10(torch.tensor([most, least]))
    density = torch.logspace(float(ends[0]), float(ends[1]), count)[:, None].repeat(1, n)
    config = ToyConfig(n_features=n, n_hidden=m)
    return Problem(
        config, density, torch.ones_like(density), restarts, 10_000, 1024, 1e-3, 0.01, "constant", 0
    )


def compare(name: str, problem: Problem, device: torch.device, rounds: int, shrink: int) -> None:
    """Time loop, reference and fused path in turns, and print them as a row."""
    start = start_weights(problem, None)
    rivals: dict[str, NotebookLoop | ReferenceTrainer | CudaTrainer] = {
        "loop": NotebookLoop(problem, device),
        "reference": ReferenceTrainer(problem, start, device),
    }
    reason, compiling = declines(problem), "–"
    if reason is None:
        rivals["fused"] = CudaTrainer(problem, start, device)
        compiling = f"{seconds(rivals['fused'].advance, 0, 1):.1f}"
    steps = _STEPS[problem.config.n_features] // shrink
    times = in_rounds(rivals, steps, rounds)
    models = len(problem.density) * problem.restarts
    speeds = {rival: f"{steps * models / statistics.median(spent):,.0f}" for rival, spent in times.items()}
    row(
        name,
        speeds["loop"],
        speeds["reference"],
        speeds.get("fused", f"declined: {reason}"),
        ratio(times["loop"], times["fused"]) if reason is None else "–",
        compiling,
    )


def in_rounds(
    rivals: Mapping[str, NotebookLoop | ReferenceTrainer | CudaTrainer], steps: int, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds that each rival takes for the steps in each round, after one that is not counted.

    The fused path trains ten times as long, and its time counts a tenth.
    """
    times: dict[str, list[float]] = {rival: [] for rival in rivals}
    at = dict.fromkeys(rivals, 0)
    for round_ in range(rounds + 1):
        for rival, trainer in rivals.items():
            more = 10 if rival == "fused" else 1
            length = (steps if round_ else min(steps, _WARM_UP)) * more
            spent = seconds(trainer.advance, at[rival], at[rival] + length) / more
            at[rival] += length
            if round_:
                times[rival].append(spent)
    return times


def seconds(work: Callable[[int, int], object], start: int, stop: int) -> float:
    """Return the wall seconds of the steps from ``start`` to ``stop``, the GPU idle at both ends."""
    torch.cuda.synchronize()
    before = time.perf_counter()
    work(start, stop)
    torch.cuda.synchronize()
    return time.perf_counter() - before
