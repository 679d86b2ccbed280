"""The energy rank of 512 channels at 20,480 positions: the streamed Gram matrix against the full SVD."""

import statistics

import numpy as np
import torch

from benchmarks.timing import header, in_turns, matmul_limit, ratio, row
from superscope.measures import Moments, energy_rank


def main(quick: bool) -> None:
    positions, width = (4_096 if quick else 20_480), 512
    generator = torch.Generator().manual_seed(0)
    spread = torch.logspace(0, -2, width)
    rows = (
        torch.randn(positions, width, generator=generator)
        * spread
        @ torch.randn(width, width, generator=generator)
    )
    matrix = rows.numpy()

    def by_svd() -> int:
        s = np.linalg.svd(matrix - matrix.mean(0), full_matrices=False)[1]
        return int(energy_rank(torch.from_numpy(s)))

    def by_moments(*, exact: bool = False) -> int:
        return int(energy_rank(Moments(width, exact=exact).update(rows).singular_values()))

    rivals = {
        "numpy.linalg.svd, float32": by_svd,
        "Moments (float32 products, summed in float64)": by_moments,
        "Moments(exact=True)": lambda: by_moments(exact=True),
    }
    times = in_turns(rivals, 1 if quick else 5, settle=True)
    svd = times["numpy.linalg.svd, float32"]
    header("what", "rank", "seconds (median)", "svd's time over this (range)")
    for name, seconds in times.items():
        row(name, rivals[name](), f"{statistics.median(seconds):.3f}", ratio(svd, seconds))
    work = 2 * positions * width**2 / 1e9
    limit = matmul_limit(torch.float32)
    ours = statistics.median(times["Moments (float32 products, summed in float64)"])
    held = [value for value in vars(Moments(width)).values() if isinstance(value, torch.Tensor)]
    state = sum(value.numel() * value.element_size() for value in held)
    print(
        f"\nA float32 product runs at {limit:.0f} GFLOP/s here, so the whole Gram matrix takes "
        f"{work / limit:.3f} s: {work / limit / ours:.0%} of ours. "
        "Ours takes little more than half of that product, and the eigenvalues."
    )
    print(f"State: {state / 2**20:.1f} MiB; matrix: {matrix.nbytes / 2**20:.0f} MiB.")
