"""Dictionaries on a GPU: each Triton kernel against its plain form in PyTorch, then whole training steps.

The plain forms are those of :mod:`superscope.dictionary.sparse.reference`, gathers and ``index_add_``, with
``torch.topk`` for selections. A step is that of the library's trainer, on a batch that is kept: encode,
decode, loss, backward, clip, Adam, rows of norm 1; its limit is the encoder's product alone, in bfloat16. The
libraries that people use are measured on the same GPU by :mod:`benchmarks.dictionary_throughput`.
"""

import statistics
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.timing import header, in_turns, ratio, row
from superscope.core import generator
from superscope.dictionary.architectures import make_dictionary
from superscope.dictionary.config import DictionaryConfig
from superscope.dictionary.sparse import (
    DenseEngine,
    Engine,
    TritonEngine,
    held,
    reference,
    triton,
    triton_selection,
)
from superscope.dictionary.sparse.pairs import Pairs
from superscope.dictionary.sparse.triton_adam import step_held_
from superscope.dictionary.trainer import Trainer


class Size(NamedTuple):
    width: int
    latents: int
    k: int
    batch: int

    def __str__(self) -> str:
        return f"width {self.width:,}, {self.latents:,} latents, k {self.k}, batch {self.batch:,}"


SIZES = (Size(512, 4_096, 32, 2_048), Size(768, 16_384, 32, 4_096), Size(4_096, 131_072, 64, 4_096))
ARCHITECTURES = ("topk", "batchtopk", "matryoshka")
_FLAT = 1 << 28
"""Elements of a batch up to which PyTorch's top k of a whole batch is measured too."""


def main(quick: bool) -> None:
    if not torch.cuda.is_available():
        print("There is no GPU here: nothing is measured.")
        return
    if (reason := triton.declines()) is not None:
        print(f"The kernels are not measured: {reason}.")
        return
    print(torch.cuda.get_device_name(), "\n")
    rounds, device = 3 if quick else 20, torch.device("cuda")
    header("size", "what", "PyTorch, ms", "Triton, ms", "PyTorch / Triton (range)", "Triton, GB/s")
    for size in SIZES[:1] if quick else SIZES:
        kernels(size, device, rounds)
    print()
    header(
        "size", "architecture", "engine", "activations a second", "share of the product in bfloat16 (range)"
    )
    for size in SIZES[:1] if quick else SIZES:
        for architecture in ARCHITECTURES:
            steps(size, architecture, device, rounds)
            if device.type == "cuda":
                torch.cuda.empty_cache()


def kernels(size: Size, device: torch.device, rounds: int) -> None:
    """Time each kernel and its plain form in turns; bytes are those of the rows that a sum has to read."""
    width, latents, k, batch = size
    pre, W_dec, x = drawn(device, batch, latents), drawn(device, latents, width), drawn(device, batch, width)
    b_dec = drawn(device, width)
    pairs = triton_selection.top_k(pre, k)
    starts, order = triton.by_latent(pairs, latents)
    weights, sums = pairs.values, (starts, order, pairs.rows, pairs.values)
    gathered, matrix, decoder = 4 * len(pairs) * width, 4 * pre.numel(), 4 * W_dec.numel()

    def plain_fit() -> object:
        error = reference.reconstruct(pairs, W_dec, b_dec) - x
        return error.square().mean(), reference.value_gradients(pairs, error * (2 / error.numel()), W_dec)

    def plain_sums() -> Tensor:
        return torch.zeros_like(W_dec).index_add_(
            0, pairs.latents.long(), weights[:, None] * x[pairs.rows.long()]
        )

    cases: dict[str, tuple[Callable[[], object], Callable[[], object], int]] = {
        "top k": (lambda: pre.topk(k), lambda: triton_selection.top_k(pre, k), matrix),
        "largest over 0": (
            lambda: Pairs.from_dense(pre.relu()),
            lambda: triton_selection.above_threshold(pre, 0.0),
            2 * matrix,
        ),
        "decode, loss, value gradients": (plain_fit, lambda: triton.fit(pairs, W_dec, b_dec, x), gathered),
        "sort by latent": (
            lambda: reference.by_latent(pairs, latents),
            lambda: triton.by_latent(pairs, latents),
            8 * len(pairs),
        ),
        "a weight's gradient": (plain_sums, lambda: triton.latent_sums(*sums, x), gathered + decoder),
        "a bias' gradient": (
            lambda: reference.latent_totals(starts, order, weights),
            lambda: triton.latent_totals(starts, order, weights),
            4 * len(pairs),
        ),
        "hold rows, clip, Adam": (*adams(W_dec, x.shape[0]), 9 * decoder),
    }
    if pre.numel() <= _FLAT:
        cases["top k of the batch"] = (
            lambda: pre.flatten().topk(k * batch),
            lambda: triton_selection.batch_top_k(pre, k * batch),
            6 * matrix,
        )
    for name, (plain, fast, moved) in cases.items():
        times = timed({"plain": plain, "fast": fast}, device, rounds)
        milliseconds = {rival: statistics.median(spent) * 1e3 for rival, spent in times.items()}
        row(
            size,
            name,
            f"{milliseconds['plain']:.3f}",
            f"{milliseconds['fast']:.3f}",
            ratio(times["plain"], times["fast"]),
            f"{moved / milliseconds['fast'] / 1e6:,.0f}",
        )


def adams(W: Tensor, seed: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a step of Adam on rows of norm 1, in PyTorch's passes and in our two launches."""
    slow, fast = (nn.Parameter(nn.functional.normalize(W)) for _ in range(2))
    gradient = drawn(W.device, *W.shape, seed=seed)
    optimizers = [torch.optim.Adam([each], fused=True) for each in (slow, fast)]
    done = [0]

    def plain() -> None:
        slow.grad = gradient.clone()
        held.step_held_(optimizers[0], slow, done[0], 1.0)

    def ours() -> None:
        done[0] += 1
        fast.grad = gradient
        step_held_(optimizers[1], fast, done[0], 1.0)

    return plain, ours


def steps(size: Size, architecture: str, device: torch.device, rounds: int) -> None:
    """Time whole steps with each engine in turns, beside the encoder's product."""
    width, latents, k, batch = size
    x = drawn(device, batch, width)
    engines: dict[str, Engine] = {
        "whole products": DenseEngine(),
        "Triton": TritonEngine(),
        "Triton, product in bfloat16": TritonEngine(product=torch.bfloat16),
    }
    config = DictionaryConfig(architecture, latents, k, batch_size=batch, k_start=1.0)  # pyright: ignore[reportArgumentType]
    half, E = x.bfloat16(), drawn(device, latents, width).bfloat16()
    out = torch.empty(batch, latents, dtype=torch.bfloat16, device=device)
    rivals: dict[str, Callable[[], object]] = {"limit": lambda: torch.mm(half, E.T, out=out)}
    for name, engine in engines.items():
        dictionary = make_dictionary(config, width, generator=generator(0, "dictionary")).to(device)
        trainer = Trainer(dictionary, config, 10**6, engine)
        rivals[name] = lambda trainer=trainer: trainer.advance(x, x)
    times = timed(rivals, device, rounds)
    for name, spent in times.items():
        row(
            size,
            architecture,
            "the encoder's product alone" if name == "limit" else name,
            f"{batch / statistics.median(spent):,.0f}",
            "" if name == "limit" else ratio(times["limit"], spent),
        )


def timed(
    rivals: Mapping[str, Callable[[], object]], device: torch.device, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of each rival in each round, the GPU idle at both ends."""

    def waited(work: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            work()
            if device.type == "cuda":
                torch.cuda.synchronize()

        return run

    return in_turns({name: waited(work) for name, work in rivals.items()}, rounds, settle=True)


def drawn(device: torch.device, *shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed, "benchmark", *shape, device=device), device=device)
