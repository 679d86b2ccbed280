"""Rivals timed in turns, so that a machine whose speed drifts treats them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch


def in_turns(
    rivals: Mapping[str, Callable[[], object]], rounds: int, *, settle: bool = False, warm: bool = False
) -> dict[str, list[float]]:
    """Return the wall seconds of each rival in each round, after one round that is not counted.

    ``warm`` leaves the uncounted round out, for long work that was tried on little data before.

    ``settle`` runs a rival once uncounted before each counted run: for short work, which the threads of the
    rival before it, still spinning, would slow.
    """
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for round_ in range(1 if warm else 0, rounds + 1):
        for name, work in rivals.items():
            if settle:
                work()
            start = time.perf_counter()
            work()
            if round_:
                times[name].append(time.perf_counter() - start)
    return times


def ratio(of: list[float], to: list[float]) -> str:
    """Return the median of the rounds' ratios, with the smallest and the largest."""
    ratios = sorted(a / b for a, b in zip(of, to, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def row(*cells: object) -> None:
    """Print a line of a Markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def header(*cells: str) -> None:
    """Print the head of a Markdown table."""
    row(*cells)
    row(*("---" for _ in cells))


def peak_memory() -> float:
    """Return the most memory that this process has held so far, in MiB.

    ``ru_maxrss`` would begin at what the parent held, which Linux hands on to the process it starts.
    """
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("VmHWM:") + 1]) / 1024


def matmul_limit(dtype: torch.dtype, size: int = 2048) -> float:
    """Return the GFLOP/s of a square matrix product, the arithmetic limit that is in reach."""
    a = torch.rand(size, size).to(dtype)
    b = a.T.contiguous()
    times = in_turns({"product": lambda: a @ b}, 5)["product"]
    return 2 * size**3 / min(times) / 1e9
