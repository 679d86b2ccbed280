"""Whole sweeps of the toy recipes on all cores, wall time: what takes notebooks an afternoon."""

import time

import torch

from benchmarks.timing import header, row
from superscope.toy import ToyConfig, train


def main(quick: bool) -> None:
    shrink = 50 if quick else 1
    train(ToyConfig(n_features=2, n_hidden=1), [0.5], steps=1, show_progress=False)  # compiled code is loaded
    header("sweep", "models", "steps", "seconds", "asked")
    seven = [1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001]
    relu = ToyConfig(n_features=20, n_hidden=5, importance=0.7)
    linear = ToyConfig(n_features=20, n_hidden=5, importance=0.7, output="linear")
    time_sweep(
        "T3: n=20, m=5, 7 densities, linear and ReLU, 10 restarts",
        [
            (relu, torch.tensor(seven).repeat_interleave(10)),
            (linear, torch.tensor(seven).repeat_interleave(10)),
        ],
        10_000 // shrink,
        "≤ 60 s",
    )
    for n, m in ((2, 1), (3, 2)):
        time_sweep(
            f"T5: n={n}, m={m}, 20 × 20 points, ten models a point",
            [(ToyConfig(n_features=n, n_hidden=m), torch.logspace(-2, 0, 20).repeat_interleave(200))],
            10_000 // shrink,
            "≤ 120 s, the two together",
        )
    time_sweep(
        "T6: n=400, m=30, 30 densities",
        [(ToyConfig(n_features=400, n_hidden=30), 1 / torch.logspace(0, 2, 30))],
        10_000 // shrink,
        "≤ 1,200 s",
    )


def time_sweep(name: str, parts: list[tuple[ToyConfig, torch.Tensor]], steps: int, asked: str) -> None:
    start = time.perf_counter()
    for config, density in parts:
        train(config, density, steps=steps, records=20, backend="fused", show_progress=False)
    models = sum(len(density) for _, density in parts)
    row(name, models, f"{steps:,}", f"{time.perf_counter() - start:.1f}", asked)
