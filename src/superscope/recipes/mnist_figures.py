"""What the page of the recipe on MNIST shows: its pictures, and its tables with the seeds taken together."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor

from superscope.core.runtime import threads
from superscope.featurevis import integrated_gradients
from superscope.models import MnistMLP
from superscope.plots import (
    plot_activation_histograms,
    plot_attribution,
    plot_bars,
    plot_spectra,
    plot_weights,
)
from superscope.recipes.claims import student_interval
from superscope.recipes.mnist_ranks import COUNT, START, TRAINED, WEIGHTS, by_seed, spectrum, weight
from superscope.recipes.mnist_training import Images, Network
from superscope.report import Picture
from superscope.survey import Survey

_HIDDEN = ("fc1", "fc2")
_CLASSES = 10
_STEPS = 300


def draw(
    networks: Sequence[Network],
    found: Sequence[dict[str, Survey]],
    weights: pd.DataFrame,
    images: Images,
    published: Sequence[float],
) -> dict[str, Picture]:
    """Return the pictures of the first seed, and the bars of all seeds.

    Args:
        networks: of each seed.
        found: the survey of each, trained and untrained.
        weights: as :func:`superscope.recipes.mnist_ranks.weight_table` gives them.
        images: what they were trained and tested on.
        published: the printed counts of fc1 and fc2, drawn where the images are those of print.
    """
    first, survey = networks[0], found[0][TRAINED]
    both = ((TRAINED, first.trained), (START, first.start))
    return {
        "counts": _bars(weights, published if images.published else None),
        "weights": Picture(
            plot_weights({layer: weight(first.trained, layer) for layer in _HIDDEN}),
            "Weights of the first seed after training: a row is a neuron, a column one of its inputs. In fc1 "
            "the columns are pixels, image row by image row.",
            "Two heat maps with columns and rows of stronger weights.",
        ),
        "weights-untrained": Picture(
            plot_weights({layer: weight(first.start, layer) for layer in _HIDDEN}),
            "The same weights before the first step, on a smaller scale.",
            "Two heat maps of noise.",
        ),
        "spectra": Picture(
            plot_spectra(
                {f"{layer}, {name}": spectrum(model, layer) for layer in WEIGHTS for name, model in both}
            ),
            "Singular values of the weights of the first seed, on a log axis.",
            "Six falling curves; those of trained weights fall faster at first.",
        ),
        "activations": Picture(
            plot_activation_histograms(survey.histograms),
            "Activations of each layer on the test images, from an even sample of single values; counts on a "
            "log axis. The spike at zero is a ReLU at rest.",
            "A histogram for each of five layers.",
        ),
        "attributions": attributions(first.trained, images),
    }


def attributions(network: MnistMLP, images: Images) -> Picture:
    """Draw what each pixel adds to each logit, for the first test image of each digit that is read rightly.

    Of a digit that is never read rightly, the first image is drawn.
    """
    with torch.inference_mode():
        answers = network(images.test).argmax(1)
    rows = [_first(images.test_labels == digit, answers == digit) for digit in range(_CLASSES)]
    chosen = images.test[rows]
    with threads(1):
        found = integrated_gradients(
            network,
            chosen.repeat_interleave(_CLASSES, 0),
            torch.arange(_CLASSES).repeat(_CLASSES),
            baselines=images.test.amin(),  # black
            steps=_STEPS,
            method="midpoint",  # along the kinks of ReLU
        )
    maps = found.values.view(_CLASSES, _CLASSES, *chosen.shape[2:])
    titles = [
        f"{digit}" if int(answers[row]) == digit else f"{digit}, taken for {int(answers[row])}"
        for digit, row in enumerate(rows)
    ]
    return Picture(
        plot_attribution(chosen[:, 0], maps, titles),
        "What each pixel adds to each digit's logit (integrated gradients from a black image, "
        f"{_STEPS} points): red pushes it up, blue down, each row on its own scale. A black pixel has no "
        "share. The shares of a tile add up to the difference of that logit from the black image's, within "
        f"{float(found.convergence.abs().max()):.2g} here, where logits differ by up to "
        f"{float((found.logits - found.baseline_logits).abs().max()):.2g}.",
        "Ten rows, an image of each digit and ten tiles in which its strokes are red in places and blue in "
        "others.",
    )


def _first(of_digit: Bool[Tensor, " image"], taken: Bool[Tensor, " image"]) -> int:
    right = of_digit & taken
    return int((right if right.any() else of_digit).int().argmax())


def _bars(weights: pd.DataFrame, published: Sequence[float] | None) -> Picture:
    means, halves = {}, {}
    for name in dict.fromkeys(weights["weights"]):
        each = [by_seed(weights, "weights", name, layer, COUNT) for layer in WEIGHTS]
        means[name] = np.array([np.mean(values) for values in each])
        halves[name] = np.array([_half(values.tolist()) for values in each])
    widths = [int(by_seed(weights, "weights", TRAINED, layer, "neurons")[0]) for layer in WEIGHTS]
    names = [f"{layer} ({width} neurons)" for layer, width in zip(WEIGHTS, widths, strict=True)]
    shown = None if published is None else np.array([*published, *[np.nan] * (len(WEIGHTS) - len(published))])
    return Picture(
        plot_bars(means, names, halves, shown, value_name="singular values below 99 % of the energy"),
        "The course's effective rank of the weights: trained, as they start, the trained ones with their "
        "entries in random places, and what training changes (trained − untrained). Mean over seeds with its "
        "95 % interval.",
        "Four bars for each layer: the untrained and the shuffled ones are the longest, the change is the "
        "shortest.",
    )


def _half(values: Sequence[float]) -> float:
    low, high = student_interval(values)
    return np.nan if low is None or high is None else (high - low) / 2


def over_seeds(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return the mean over seeds of every number, a row for each combination of ``keys``."""
    means = table.groupby(list(keys), sort=False, as_index=False).mean(numeric_only=True)
    return pd.DataFrame(means).drop(columns="seed")
