"""Training steps of dictionaries against the trainers of the libraries that people use, one thread each.

Width 512, 4,096 latents, k = 32, batches of 2,048, float32, the same activations: a sparse world with noise.
A step is all that a library's own loop does in one: encode, decode, loss, backward, clip or normalise, Adam.
Rivals take turns, each in a process of its own that stays alive (:mod:`benchmarks.peers`); ours is
:func:`superscope.dictionary.train`, which a source of activations stops between its turns.

Ours is measured where a long training spends its time: at k = 32 from the first step, not at k annealed from
96, its default; and where L0 is steered to k (standard, gated, jumprelu), from biases at which L0 is about k,
since it otherwise comes down from half the latents over a thousand steps. L0 is printed. The others' speed
does not depend on it: their products are dense, but for sparsify's.
"""

import queue
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import torch
from torch import Tensor, nn

from benchmarks.peers.client import LIBRARIES, Rows, peers
from benchmarks.peers.trainers import Task
from benchmarks.timing import header, ratio, row
from superscope.core.runtime import threads
from superscope.dictionary import Dictionary, DictionaryConfig, make_dictionary, train, training
from superscope.dictionary.config import COUNTED
from superscope.dictionary.jumprelu import JumpReLU
from superscope.dictionary.sources import TensorSource
from superscope.toy import even_world

WIDTH, LATENTS, K, BATCH = 512, 4_096, 32, 2_048
ARCHITECTURES = ("topk", "batchtopk", "matryoshka", "standard", "gated", "jumprelu")
ASKED = {("topk", "sparsify"): 2.5, ("topk", "SAELens"): 5, ("batchtopk", "SAELens"): 5}
ASKED |= {("standard", "dictionary_learning"): 1.3}
ASKED_SHARE = {"topk": "≥ 0.45"}
OURS, LIMIT = "superscope", "the encoder's product alone"

Turn = Callable[[], float]
"""Takes the steps of a round and returns the seconds."""


def main(quick: bool) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    steps, rounds = (2, 1) if quick else (4, 5)
    l0 = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(threads(1))
        x = activations(steps * BATCH)
        rows = Rows.write(folder / "rows", x)
        limit = product(x, device)
        found = stack.enter_context(peers(*LIBRARIES))
        heads()
        for architecture in ARCHITECTURES:
            rivals = [peer for peer in found.values() if architecture in peer.architectures]
            turns: dict[str, Turn] = {LIMIT: limit}
            if architecture == "topk":
                turns["dense PyTorch written plainly"] = Plain(x, device).run
            for peer in rivals:
                optimizer = "adam" if peer.package == "sparsify" else None
                peer.make(
                    "",
                    Task(architecture, WIDTH, LATENTS, K, BATCH, 10**6, optimizer=optimizer, device=device),
                )
                turns[peer.package] = lambda peer=peer: peer.run("", rows, device)
            with Ours(architecture, x, device, steps, rounds + 1) as ours:
                turns[OURS] = ours.run
                table(architecture, in_rounds(turns, rounds), steps)
            l0[architecture] = ours.l0
            for peer in rivals:
                peer.ask(do="drop", name="")
    ends = ", ".join(f"{name} {min(each):.0f} to {max(each):.0f}" for name, each in l0.items())
    print(f"\nL0 of ours: {ends}.")
    if device == "cuda":
        print(f"{torch.cuda.get_device_name()}; the product is in bfloat16, as sparsify's autocast has it.")


def activations(samples: int) -> Tensor:
    """Return sums of 32 of 4,096 random directions, with noise of a tenth."""
    draws = torch.Generator().manual_seed(0)
    x = even_world(draws, LATENTS, WIDTH, float(K)).stream(samples, draws)
    return x + 0.1 * torch.randn(x.shape, generator=draws)


def in_rounds(turns: Mapping[str, Turn], rounds: int) -> dict[str, list[float]]:
    """Return each rival's seconds in each round, after one round that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in turns}
    for round_ in range(rounds + 1):
        for name, turn in turns.items():
            seconds = turn()
            if round_:
                times[name].append(seconds)
    return times


def heads() -> None:
    header(
        "architecture", "trainer", "activations a second, median (range)", "ours over this (range)", "asked",
        "share of the encoder's product (range)", "asked",
    )  # fmt: skip


def table(architecture: str, times: Mapping[str, list[float]], steps: int) -> None:
    for name, seconds in times.items():
        speeds = sorted(steps * BATCH / each for each in seconds)
        speed = f"{statistics.median(speeds):,.0f} ({speeds[0]:,.0f} to {speeds[-1]:,.0f})"
        over = "" if name in (OURS, LIMIT) else ratio(seconds, times[OURS])
        asked = f"≥ {ASKED[architecture, name]}" if (architecture, name) in ASKED else ""
        share = "" if name == LIMIT else ratio(times[LIMIT], seconds)
        row(
            architecture,
            name,
            speed,
            over,
            asked,
            share,
            ASKED_SHARE.get(architecture, "") if name == OURS else "",
        )


def product(x: Tensor, device: str) -> Turn:
    """Return the encoder's product on each batch, into a buffer that is kept: no step can be quicker."""
    kind = torch.float32 if device == "cpu" else torch.bfloat16
    batches = [batch.to(device, kind) for batch in x.split(BATCH)]
    E = torch.randn(LATENTS, WIDTH, device=device, dtype=kind)
    out = torch.empty(BATCH, LATENTS, device=device, dtype=kind)

    def turn() -> float:
        wait(device)
        start = time.perf_counter()
        for batch in batches:
            torch.mm(batch, E.T, out=out)
        wait(device)
        return time.perf_counter() - start

    return turn


class Plain(nn.Module):
    """A TopK autoencoder and its step as one would write them down."""

    def __init__(self, x: Tensor, device: str) -> None:
        super().__init__()
        self.encoder = nn.Linear(WIDTH, LATENTS)
        self.decoder = nn.Linear(LATENTS, WIDTH)
        self.to(device)
        with torch.no_grad():
            self.decoder.weight.copy_(nn.functional.normalize(self.encoder.weight).T)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=1e-3)
        self.batches, self.device = [batch.to(device) for batch in x.split(BATCH)], device

    def forward(self, x: Tensor) -> Tensor:
        top = self.encoder(x).topk(K)
        f = torch.zeros(len(x), LATENTS, device=x.device).scatter(-1, top.indices, top.values.relu())
        return self.decoder(f)

    def run(self) -> float:
        wait(self.device)
        start = time.perf_counter()
        for x in self.batches:
            loss = (self(x) - x).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters(), 1.0)
            self.optimizer.step()
            with torch.no_grad():
                self.decoder.weight.copy_(nn.functional.normalize(self.decoder.weight, dim=0))
        wait(self.device)
        return time.perf_counter() - start


class Ours:
    """:func:`superscope.dictionary.train` in a thread that waits for its turn where it asks for a batch."""

    def __init__(self, architecture: str, x: Tensor, device: str, steps: int, turns: int) -> None:
        self.config = DictionaryConfig(architecture, LATENTS, K, batch_size=BATCH, k_start=1.0)  # pyright: ignore[reportArgumentType]
        self.inner = TensorSource(x.to(device))
        self.width, self.steps, self.device = WIDTH, steps, device
        self.total = turns * steps + 1  # one more, so that the end of training is in no turn
        self.samples = self.total * BATCH
        self.passes = 0
        self.turn: queue.Queue[int] = queue.Queue()
        self.done: queue.Queue[float | BaseException] = queue.Queue()
        self.thread = threading.Thread(target=self._train, daemon=True)
        self.l0: list[float] = []

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for steps in (1, 0):  # the last step; or the end, where turns were left out
            self.turn.put(steps)
        self.thread.join()

    def run(self) -> float:
        """Take the steps of a round."""
        start = time.perf_counter()
        self.turn.put(self.steps)
        answer = self.done.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer - start

    def batches(self, size: int, seed: int, start: int = 0) -> Iterator[Tensor]:
        """Give the rows in random order, over and over; the first pass is for centre and scale."""
        self.passes += 1
        granted = None if self.passes == 1 else self.turn.get()
        while True:
            for batch in self.inner.batches(size, seed, start):
                if granted == 0:
                    wait(self.device)
                    self.done.put(time.perf_counter())
                    granted = self.turn.get()
                    if granted == 0:
                        return
                granted = granted if granted is None else granted - 1
                yield batch  # pyright: ignore[reportReturnType]

    def _train(self) -> None:
        try:
            with threads(1), patch.object(training, "make_dictionary", sparse_start):
                done = train(self, self.config, steps=self.total, device=self.device, show_progress=False)
            assert done.history is not None
            self.l0 = done.history.l0
            self.done.put(time.perf_counter())
        except BaseException as error:  # noqa: BLE001  # whoever waits raises it
            self.done.put(error)


def sparse_start(config: DictionaryConfig, *sizes: Any) -> Dictionary:
    """Return an untrained dictionary, where L0 is steered with biases for L0 = k: pre ~ N(0, 1) at first."""
    made = make_dictionary(config, *sizes)
    if config.architecture not in COUNTED:
        with torch.no_grad():
            tail = statistics.NormalDist().inv_cdf(1 - config.k / config.n_latents)
            cut = made.thresholds if isinstance(made, JumpReLU) else torch.zeros(config.n_latents)
            made.b_enc.copy_(cut - tail)
    return made


def wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()
