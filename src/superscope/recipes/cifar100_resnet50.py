"""A ResNet-50 on CIFAR-100: whether the share of dimensions that a layer uses falls with depth, and why."""

import pandas as pd
import torch

from superscope.core import Run
from superscope.plots import plot_rank_per_layer, plot_sweep
from superscope.recipes.cifar100_claims import CLAIMS, Found, judged, origin
from superscope.recipes.cifar100_published import ACCURACY, COUNTS
from superscope.recipes.cifar100_ranks import (
    PUBLISHED,
    READINGS,
    RIGHT,
    UNMIXED,
    Layers,
    course_batch,
    layers_of,
    read_layers,
)
from superscope.recipes.cifar100_training import (
    BATCH,
    Cifar100Config,
    Data,
    given_network,
    load_images,
    networks,
)
from superscope.recipes.recipe import Outcome, Recipe
from superscope.report import DataTable, Facts, Picture, Prose, Section


def _run(config: Cifar100Config, run: Run) -> Outcome:
    data, given = load_images(config), given_network(config)
    parts = []
    layers = None
    for seed in config.seeds:
        made = networks(config, run, seed, data, given)
        layers = layers or layers_of(made.trained)
        counts = run.stage(
            f"counts-{seed}",
            lambda made=made: {
                "trained": read_layers(made.trained, data.test, config.device),
                "untrained": read_layers(made.untrained, data.test, config.device),
            },
        )
        accuracy = made.curve.accuracy.tolist()
        run.metric(seed=seed, loss=made.curve.loss.tolist(), accuracy=accuracy)
        parts.append((counts["trained"], counts["untrained"], made.curve.loss, made.curve.accuracy))
    assert layers is not None
    found = Found(layers, *(torch.stack(each) for each in zip(*parts, strict=True)))
    table = _table(found, len(course_batch(data.test)))
    curve = pd.DataFrame(
        [
            {"seed": seed, "epoch": epoch + 1, "loss": float(loss), "accuracy": 100 * float(right)}
            for seed, losses, rights in zip(config.seeds, found.loss, found.accuracy, strict=True)
            for epoch, (loss, right) in enumerate(zip(losses, rights, strict=True))
        ]
    )
    pictures = _pictures(found, table)
    sections = [
        Section(
            "What was trained",
            [
                Prose(origin(config, data, given)),
                Facts(_facts(config, data, found)),
                pictures["accuracy"],
            ],
        ),
        Section(
            "Three readings of the same layers",
            [
                Prose(_READINGS),
                pictures["ratios"],
                pictures["control-published"],
                pictures["control-right"],
                DataTable(table, _CAPTION, _FORMATS, _COLUMNS),
            ],
        ),
    ]
    tensors = {
        "counts/trained": found.trained,
        "counts/untrained": found.untrained,
        "loss": found.loss,
        "accuracy": found.accuracy,
    }
    rows = judged(config, data, given, found)
    return Outcome(rows, {"layers": table, "training": curve}, pictures, tensors, sections)


def _facts(config: Cifar100Config, data: Data, found: Found) -> dict[str, object]:
    return {
        "training images": f"{len(data.train):,}",
        "test images": f"{len(data.test):,}",
        "batch": BATCH,
        "batch of the published reading": f"{len(course_batch(data.test))} images",
        "accuracy behind the last epoch, by seed": {
            f"seed {seed}": f"{value:.2%}"
            for seed, value in zip(config.seeds, found.accuracy[:, -1].tolist(), strict=True)
        },
    }


def _table(found: Found, images: int) -> pd.DataFrame:
    """Return a row for each layer; counts are means over seeds."""
    layers = found.layers
    printed = {name: count for name, _, count in COUNTS} if _is_printed(layers) else {}
    columns: dict[str, object] = {
        "layer": layers.names,
        "channels": layers.channels.tolist(),
        "printed": [printed.get(name, float("nan")) for name in layers.names],
        "ceiling as published": layers.reach_as_published(images).tolist(),
        "ceiling": layers.reach.tolist(),
    }
    for position, reading in enumerate(READINGS):
        columns[reading] = found.trained[:, position].double().mean(0).tolist()
    for reading in (PUBLISHED, RIGHT):
        mean = found.untrained[:, READINGS.index(reading)].double().mean(0)
        columns[f"untrained, {reading}"] = mean.tolist()
    return pd.DataFrame(columns)


def _is_printed(layers: Layers) -> bool:
    return layers.names == tuple(name for name, _, _ in COUNTS)


def _pictures(found: Found, table: pd.DataFrame) -> dict[str, Picture]:
    epochs = found.accuracy.shape[1]
    printed = torch.full((len(found.accuracy), 1, epochs), torch.nan, dtype=torch.float64)
    shown = torch.tensor(ACCURACY[:epochs], dtype=torch.float64)
    printed[0, 0, : len(shown)] = shown
    accuracy = Picture(
        plot_sweep(
            torch.cat([100 * found.accuracy[:, None], printed], 1),
            torch.arange(1.0, epochs + 1),
            ["this run", "printed in the course"],
            x_name="epoch",
            y_name="validation accuracy (%)",
            log_x=False,
        ),
        "Accuracy on the test images behind each epoch, mean and 95 % interval over seeds, and the course's.",
        "Two lines that rise over the epochs.",
    )
    frame = table.rename(columns={"layer": "name", "channels": "width"})
    lines = (["printed"] if _is_printed(found.layers) else []) + list(READINGS)
    ratios = Picture(
        plot_rank_per_layer(frame, lines, errors=False),
        "Count of cumulative energies below 99 %, mean over seeds: above beside the channels, below over "
        "their number.",
        "Lines over the layers from input to output, falling to the right.",
    )
    return {
        "accuracy": accuracy,
        "ratios": ratios,
        "control-published": _control(frame, PUBLISHED, "ceiling as published", "as published"),
        "control-right": _control(frame, RIGHT, "ceiling", "rightly, all images by channel"),
    }


def _control(frame: pd.DataFrame, reading: str, ceiling: str, called: str) -> Picture:
    lines = frame[["name", "width", reading, f"untrained, {reading}", ceiling]]
    lines.columns = ["name", "width", "trained", "untrained", "ceiling"]
    return Picture(
        plot_rank_per_layer(pd.DataFrame(lines), ["trained", "untrained", "ceiling"], errors=False),
        f"The control, {called}: the same network with random weights, and the most that the count can be "
        "whatever the network does.",
        "Three lines over the layers from input to output.",
    )


_READINGS = """The course reads the effective rank off a map [image, channel, height, width] that is
reshaped to [channel, image · height · width] without moving the channels first. A row of that matrix is a
stretch of memory and no channel: in the last stage, 128 of the 2,048 channels of one image. It is also taken
of the last batch alone, since each hook overwrites what it kept, and it is not centred.

Three readings show what each of these does: as published; the same batch with the channels moved first; and
all test images, channels first, centred, as superscope measure reads every layer. Two ceilings stand beside
them. A matrix of 128 images with one position each has 128 columns, so that the published count of 2,048
channels cannot pass 128, a ratio of 0.06, whatever the network learns. And a 1×1 convolution from 64 channels
to 256 puts out 64 dimensions at most, a ratio of 0.25."""
_CAPTION = (
    "Each convolution, in the order of the forward pass. Counts are means over the seeds of cumulative "
    "energies below 99 %; the energy rank is one more."
)
_FORMATS = {"printed": "{:.0f}"} | dict.fromkeys(
    (*READINGS, f"untrained, {PUBLISHED}", f"untrained, {RIGHT}"), "{:.1f}"
)
_COLUMNS = {
    "printed": "in the course's table",
    "ceiling as published": "the smaller of channels and columns of the course's matrix",
    "ceiling": "the smaller of channels and inputs (input channels · kernel²)",
    PUBLISHED: "reshaped without moving channels, the tenth batch of 128 alone, not centred",
    UNMIXED: "that batch with channels moved first, not centred",
    RIGHT: "all test images, channels first, centred",
}

CIFAR100_RESNET50 = Recipe(
    name="cifar100-resnet50",
    title="ResNet-50 on CIFAR-100: does the effective rank fall with depth?",
    source="N2: Unravelling Superposition (course), sections 2.0.5, 2.0.6 and 3",
    introduction=(
        "The course fine-tunes a ResNet-50 on CIFAR-100, reads off how many dimensions the output of each of "
        "its 53 convolutions uses, and sees the share fall with depth, as later layers learn more abstract "
        "representations. Here the same is done and judged. Beside it stand the rank that the channels have, "
        "the most that it could be, and the same network with random weights, which has learnt nothing."
    ),
    config=Cifar100Config,
    presets={
        "smoke": Cifar100Config(
            data="digits", network="resnet18", seeds=(0,), epochs=1, images=128, test_images=64
        ),
        "quick": Cifar100Config(images=10_000, seeds=(0,)),
        "paper": Cifar100Config(),
    },
    claims=CLAIMS,
    run=_run,
)
