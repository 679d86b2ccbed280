"""The silhouette of every one of 50,000 samples, and its memory; beside scikit-learn's on 5,000."""

import statistics
import subprocess
import sys
import time
import warnings

import torch
from torch import Tensor

from benchmarks.timing import header, in_turns, matmul_limit, peak_memory, ratio, row
from superscope.measures import silhouette

WIDTH = 512


def clusters(samples: int, classes: int) -> tuple[Tensor, Tensor]:
    """Return samples with an offset as activations have, in classes that overlap, and their labels."""
    draws = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (samples,), generator=draws)
    centres = 1 + 0.3 * torch.randn(classes, WIDTH, generator=draws)
    return centres[labels] + torch.randn(samples, WIDTH, generator=draws), labels


def main(quick: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sklearn.metrics import silhouette_score

    x, labels = clusters(5_000, 10)
    rows, of, exact = x.numpy(), labels.numpy(), x.double().numpy()
    rivals = {
        "scikit-learn, float32": lambda: float(silhouette_score(rows, of)),
        "superscope, float32": lambda: silhouette(x, labels, most=None).mean,
        "superscope, float64": lambda: silhouette(x.double(), labels, most=None).mean,
    }
    expected = float(silhouette_score(exact, of))
    times = in_turns(rivals, 1 if quick else 5, settle=True)
    header(
        f"5,000 x {WIDTH}, 10 classes", "seconds (median)", "scikit-learn's time over this (range)", "error"
    )
    for name, seconds in times.items():
        error = f"{abs(rivals[name]() - expected):.0e}"
        row(
            name,
            f"{statistics.median(seconds):.2f}",
            ratio(times["scikit-learn, float32"], seconds),
            error,
        )

    print()
    limit = matmul_limit(torch.float32)
    header(f"samples x {WIDTH}", "classes", "seconds", "the products alone", "peak memory, MiB", "x, MiB")
    for samples in (5_000, 10_000) if quick else (10_000, 25_000, 50_000):
        for classes in (10, 100) if samples >= 50_000 or quick else (10,):
            code = f"from benchmarks.silhouette import measure; measure({samples}, {classes})"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            seconds, peak = done.stdout.split()[-2:]
            products = samples**2 * WIDTH / limit / 1e9
            row(f"{samples:,}", classes, seconds, f"{products:.1f}", peak, samples * WIDTH * 4 // 2**20)
    print(f"\nA float32 product runs at {limit:.0f} GFLOP/s here. The target is 60 s for 50,000 samples.")


def measure(samples: int, classes: int) -> None:
    """Print the seconds that all pairs of so many samples take, and the peak memory of the process."""
    x, labels = clusters(samples, classes)
    silhouette(x[:2_000], labels[:2_000])
    start = time.perf_counter()
    silhouette(x, labels, most=None)
    seconds = time.perf_counter() - start
    print(f"{seconds:.1f} {peak_memory():.0f}")
