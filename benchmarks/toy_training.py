"""Toy models: our reference path against the loop that the public notebooks share, one thread each.

The loop: einsum forward over instances, autograd, AdamW, a fresh uniform batch of 1,024 each step.
It counts instance-steps per CPU second: training steps times models, over the process' CPU time.
"""

import time

import torch

from benchmarks.timing import header, row
from superscope.core.runtime import threads
from superscope.toy import ToyConfig, train

SETTINGS = {
    "n=5, m=2, 10 instances, densities 1 … 0.05": (5, 2, 10, 0.05),
    "n=20, m=5, 10 instances, densities 1 … 0.01": (20, 5, 10, 0.01),
    "n=200, m=20, 20 instances": (200, 20, 20, 0.01),
}


def notebook_loop(n: int, m: int, density: torch.Tensor, steps: int) -> None:
    """Train as the notebooks do, written anew in plain PyTorch."""
    count = len(density)
    W = torch.nn.Parameter(torch.nn.init.xavier_normal_(torch.empty(count, m, n)))
    b = torch.nn.Parameter(torch.zeros(count, n))
    importance = torch.ones(n)
    optimizer = torch.optim.AdamW([W, b], lr=1e-3)
    for _ in range(steps):
        values = torch.rand(1024, count, n)
        x = torch.where(torch.rand(1024, count, n) <= density[:, None], values, torch.zeros(()))
        hidden = torch.einsum("bif,ihf->bih", x, W)
        out = torch.relu(torch.einsum("bih,ihf->bif", hidden, W) + b)
        loss = (importance * (x - out) ** 2).mean((0, 2)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def main(quick: bool) -> None:
    header("setting", "notebook loop", "reference path", "ratio")
    with threads(1):
        for name, (n, m, count, least) in SETTINGS.items():
            density = torch.logspace(0, float(torch.log10(torch.tensor(least))), count)
            steps = max(20, (50 if quick else 400) * 10 // n)

            def speed(work, steps=steps, count=count) -> float:
                """Take the time of the steps alone: what a run costs at its two ends comes off."""
                spent = []
                for length in (3, 3, 3 + steps):
                    start = time.process_time()
                    work(length)
                    spent.append(time.process_time() - start)
                return steps * count / (spent[2] - spent[1])

            def ours(steps: int, n=n, m=m, density=density) -> None:
                train(
                    ToyConfig(n_features=n, n_hidden=m),
                    density,
                    steps=steps,
                    backend="reference",
                    device="cpu",
                )

            peer = speed(lambda steps, n=n, m=m, density=density: notebook_loop(n, m, density, steps))
            mine = speed(ours)
            row(name, f"{peer:,.0f}", f"{mine:,.0f}", f"{mine / peer:.2f}")
