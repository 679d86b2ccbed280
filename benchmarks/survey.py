"""What measuring every layer costs on top of the plain forward passes, and whether its memory grows."""

import os
import statistics
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

import superscope as ss
from benchmarks.timing import header, in_turns, peak_memory, ratio, row
from superscope.data import ArraySamples, Samples, batches, load_data
from superscope.training import load_model

RESNET = f"{Path(__file__).parents[1] / 'examples' / 'resnet20.py'}:resnet20"


def resnet20() -> tuple[nn.Module, Samples]:
    """Return the network and 10,000 images: the real ones where SUPERSCOPE_DATA has them, else noise."""
    folder = os.environ.get("SUPERSCOPE_DATA")
    weights = Path(folder or "", "weights/resnet20-12fca82f.th")
    if folder and weights.exists():
        samples = load_data(f"cifar10:{folder}/cifar10", normalize="imagenet")
        assert isinstance(samples, Samples)
        return load_model(RESNET, weights), samples
    print("SUPERSCOPE_DATA has no CIFAR-10 or weights: random weights and images of the same shape\n")
    images = torch.rand(10_000, 3, 32, 32, generator=torch.Generator().manual_seed(0)).numpy()
    return load_model(RESNET), ArraySamples(
        images, name="noise", split=None, classes=None, normalization=None
    )


def main(quick: bool) -> None:
    model, images = resnet20()
    count = 1_000 if quick else 10_000

    @torch.inference_mode()
    def forward() -> None:
        for batch in batches(images, batch_size=128, samples=count):
            assert isinstance(batch.inputs, torch.Tensor)
            model(batch.inputs)

    surveys = {
        "the default, *": "*",
        "convolutions, *conv*": "*conv*",
        "batch norms too, *,*bn*": "*,*bn*",
    }
    found = {name: ss.measure(model, images, pattern, 256) for name, pattern in surveys.items()}
    rivals = {"plain forward passes": forward} | {
        name: (lambda pattern=pattern: ss.measure(model, images, pattern, count))
        for name, pattern in surveys.items()
    }
    times = in_turns(rivals, 1 if quick else 3)
    header("what", "layers", f"seconds, {count:,} images (median)", "ratio to plain (range)")
    for name, seconds in times.items():
        layers = len(found[name].table) if name in found else 0
        row(name, layers, f"{statistics.median(seconds):.2f}", ratio(seconds, times["plain forward passes"]))

    print()
    header("images", "peak memory of the process, MiB")
    for images_seen in (500, 1_000) if quick else (1_000, 3_000, 10_000):
        code = f"from benchmarks.survey import peak; peak({images_seen})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        row(f"{images_seen:,}", done.stdout.strip().splitlines()[-1])


def peak(count: int) -> None:
    """Print the peak memory of a process that measures ``count`` images, and had all of them loaded."""
    model, images = resnet20()
    ss.measure(model, images, "*", count)
    print(f"{peak_memory():.0f}")
