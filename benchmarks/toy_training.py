"""Toy models: our two paths against the loop that the public notebooks share, one thread each.

The loop: einsum forward over instances, autograd, AdamW, a fresh uniform batch of 1,024 each step. It counts
instance-steps per CPU second: training steps times models, over the process' CPU time.
"""

import statistics
import time
from collections.abc import Callable

import numba
import numpy as np
import torch

from benchmarks.timing import header, matmul_limit, row
from superscope.core.runtime import threads
from superscope.toy import ToyConfig, train

SETTINGS = {
    "n=5, m=2, 10 instances, densities 1 … 0.05": (5, 2, 10, 1.0, 0.05),
    "n=20, m=5, 10 instances, densities 1 … 0.01": (20, 5, 10, 1.0, 0.01),
    "n=200, m=20, 20 instances, densities 1 … 0.01": (200, 20, 20, 1.0, 0.01),
    "n=20, m=5, 10 instances, densities 0.01 … 0.001": (20, 5, 10, 0.01, 0.001),
}
ASKED = (30, 15, 5, 40)
PEER_STEPS = {5: 500, 20: 200, 200: 20}


def notebook_loop(n: int, m: int, density: torch.Tensor, steps: int, seed: int = 0) -> torch.Tensor:
    """Train as the notebooks do, written anew in plain PyTorch; return the weights and biases."""
    generator = torch.Generator().manual_seed(seed)
    count = len(density)
    # every instance starts as if it were alone, as ours do: the notebooks' 3-D start would end elsewhere
    W = torch.nn.Parameter((2 / (m + n)) ** 0.5 * torch.randn(count, m, n, generator=generator))
    b = torch.nn.Parameter(torch.zeros(count, n))
    importance = torch.ones(n)
    optimizer = torch.optim.AdamW([W, b], lr=1e-3)
    for _ in range(steps):
        values = torch.rand(1024, count, n, generator=generator)
        gate = torch.rand(1024, count, n, generator=generator)
        x = torch.where(gate <= density[:, None], values, torch.zeros(()))
        hidden = torch.einsum("bif,ihf->bih", x, W)
        out = torch.relu(torch.einsum("bih,ihf->bif", hidden, W) + b)
        # the notebooks take the mean over features; with the sum the loss is the paper's, AdamW steps alike
        loss = (importance * (x - out) ** 2).mean(0).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return torch.cat([W.detach().flatten(1), b.detach()], 1)


def speed(work: Callable[[int], object], steps: int, count: int) -> float:
    """Return instance-steps per CPU second of the steps alone: what a run costs at its two ends comes off."""
    spent = []
    for length in (3, 3, 3 + steps):
        start = time.process_time()
        work(length)
        spent.append(time.process_time() - start)
    return steps * count / max(spent[2] - spent[1], 1e-9)


def main(quick: bool) -> None:
    compile_times()
    rounds = 1 if quick else 5
    header(
        "setting", "notebooks' loop", "reference path", "fused path", "fused / loop, median (range)", "asked",
        "float32 arithmetic of the fused path",
    )  # fmt: skip
    with threads(1):
        for (name, setting), asked in zip(SETTINGS.items(), ASKED, strict=True):
            speeds = compare(*setting, rounds=rounds)
            peer, reference, fused = (statistics.median(each) for each in speeds)
            ratios = sorted(ours / theirs for theirs, _, ours in zip(*speeds, strict=True))
            n, m = setting[:2]
            arithmetic = f"{10 * n * m * 1024 * fused / 1e9:.0f} GFLOP/s"
            row(
                name, f"{peer:,.0f}", f"{reference:,.0f}", f"{fused:,.0f}",
                f"{statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})", f"≥ {asked}",
                arithmetic if setting[3] == 1 else "most samples are empty",
            )  # fmt: skip
    limits()
    if not quick:
        equal_loss()
    two_cores(quick)


def compare(
    n: int, m: int, count: int, most: float, least: float, rounds: int
) -> tuple[list[float], list[float], list[float]]:
    """Time loop, reference and fused path in turns."""
    density = torch.logspace(np.log10(most), np.log10(least), count)
    config, steps = ToyConfig(n_features=n, n_hidden=m), PEER_STEPS[n]
    options = {"device": "cpu", "records": 1, "show_progress": False}
    speeds: tuple[list[float], list[float], list[float]] = ([], [], [])
    for _ in range(rounds):
        speeds[0].append(speed(lambda length: notebook_loop(n, m, density, length), steps, count))
        for kept, backend, more in ((speeds[1], "reference", 1), (speeds[2], "fused", 20)):
            kept.append(
                speed(
                    lambda length, backend=backend: train(
                        config, density, steps=length, backend=backend, **options
                    ),
                    steps * more,
                    count,
                )
            )
    return speeds


def compile_times() -> None:
    """Say what the first training in a process costs: compiling, or reading what was compiled before."""
    start = time.perf_counter()
    train(ToyConfig(n_features=2, n_hidden=1), [0.5], steps=1, backend="fused", show_progress=False)
    seconds = time.perf_counter() - start
    print(f"First training in this process: {seconds:.1f} s; compiled code is kept on disk.\n")


@numba.njit(fastmath=True)
def _multiply_add(rounds: int) -> float:
    lanes = np.ones(256, np.float32)
    for _ in range(rounds):
        for j in range(256):
            lanes[j] = lanes[j] * np.float32(0.999) + np.float32(0.001)
    return lanes.sum()


def limits() -> None:
    """Print the arithmetic limit of a core: a loop of fused multiply-adds, and a matrix product."""
    rounds = 2_000_000
    _multiply_add(1)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        _multiply_add(rounds)
        times.append(time.perf_counter() - start)
    with threads(1):
        product = matmul_limit(torch.float32)
    print(
        f"\nOne core: {2 * 256 * rounds / min(times) / 1e9:.0f} GFLOP/s in a loop of fused multiply-adds, "
        f"{product:.0f} GFLOP/s in a float32 matrix product."
    )


def equal_loss() -> None:
    """Print the final losses of loop and fused path after the same number of steps."""
    print()
    header("setting", "steps", "loss of the loop (best of 4 seeds)", "loss of the fused path", "ratio")
    with threads(1):
        for name, (n, m, count, most, least) in SETTINGS.items():
            if n > 20:
                continue
            density = torch.logspace(np.log10(most), np.log10(least), count)
            config, steps = ToyConfig(n_features=n, n_hidden=m), 4_000
            ours = train(config, density, steps=steps, restarts=4, show_progress=False)
            peers = torch.stack([notebook_loop(n, m, density, steps, seed) for seed in range(4)], 1)
            theirs = evaluate(config, density, peers).amin(1)
            total = float(ours.loss.sum() / theirs.sum())
            row(name, f"{steps:,}", f"{theirs.sum():.5f}", f"{ours.loss.sum():.5f}", f"{total:.4f}")


def evaluate(config: ToyConfig, density: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    """Return the loss of weights [instance, copy, number] on 65,536 samples."""
    from superscope.toy import importances, loss, reconstruct, sample

    n, m = config.n_features, config.n_hidden
    x = sample(density[:, None].expand(-1, n), 65_536, torch.Generator().manual_seed(1))
    importance = importances(config).expand(len(density), n)
    found = [
        loss(x, reconstruct(x, copy[:, : n * m].unflatten(1, (m, n)), copy[:, n * m :]), importance)
        for copy in flat.unbind(1)
    ]
    return torch.stack(found, 1)


def two_cores(quick: bool) -> None:
    """Print how much quicker two threads are than one, in wall time."""
    print()
    header("setting", "one thread, s", "two threads, s", "one over two")
    for name, (n, m, count, most, least) in SETTINGS.items():
        density = torch.logspace(np.log10(most), np.log10(least), count)
        config, steps = ToyConfig(n_features=n, n_hidden=m), PEER_STEPS[n] * (4 if quick else 40)
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(1 if quick else 3):
            for cores in (1, 2):
                with threads(cores):
                    times = []
                    for length in (1, steps):
                        start = time.perf_counter()
                        train(config, density, steps=length, backend="fused", show_progress=False)
                        times.append(time.perf_counter() - start)
                seconds[cores].append(times[1] - times[0])
        one, two = (statistics.median(seconds[cores]) for cores in (1, 2))
        row(name, f"{one:.2f}", f"{two:.2f}", f"{one / two:.2f}")
