"""What the page of the recipe on digits shows."""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from superscope.plots import Heatmap, plot_bars, plot_examples, plot_heatmaps, plot_sweep
from superscope.recipes.claims import student_interval
from superscope.recipes.sae_digits_training import CLASSES, Digits, Subject, Units, principal
from superscope.report import Picture

_EXAMPLES, _SHOWN = 8, 2 * CLASSES
Sets = Sequence[Mapping[str, Units]]


def tabulate_ks(subjects: Sequence[Subject]) -> pd.DataFrame:
    """Return a row for each seed and k: what the classifier does with the dictionary in the layer's place."""
    return pd.DataFrame(
        [
            {"seed": subject.seed, "k": k, "L0": each.numbers["l0"]}
            | {
                "FVU": each.numbers["fvu"],
                "FVU in training": each.fvu_train,
                "FVU of k components": principal(subject, k),
                "recovered": each.numbers["recovered"],
                "recovered from the mean": each.numbers["recovered_from_mean"],
                "accuracy": each.numbers["accuracy"],
                "spliced accuracy": each.numbers["spliced_accuracy"],
            }
            for subject in subjects
            for k, each in subject.fitted.items()
        ]
    )


def tabulate_units(subjects: Sequence[Subject], sets: Sets, purity: float) -> pd.DataFrame:
    """Return a row for each seed and set of units: how selective and how sparse they are."""
    return pd.DataFrame(
        [
            {"seed": subject.seed, "units": name, "firing": int(units.selectivity.isfinite().sum())}
            | {
                "frequency": float(units.frequency.mean()),
                "selectivity": units.mean,
                "labels shuffled": float(units.shuffled.nanmean()),
                "of one class": int((units.purity >= purity).sum()),
                "FVU": units.unexplained,
            }
            for subject, found in zip(subjects, sets, strict=True)
            for name, units in found.items()
        ]
    )


def draw(subjects: Sequence[Subject], sets: Sets, digits: Digits, k: int) -> dict[str, Picture]:
    """Return all pictures, those of single units of the first seed."""
    first, units = subjects[0], sets[0]
    return {
        "selectivity": _selectivity(sets),
        "classes": _classes(units, first.seed),
        "examples": _examples(first, units["latents"], digits, k),
        "recovered": _recovered(subjects),
    }


def _selectivity(sets: Sets) -> Picture:
    names = list(sets[0])
    series = {
        "true labels": [[found[name].mean for found in sets] for name in names],
        "labels shuffled": [[float(found[name].shuffled.nanmean()) for found in sets] for name in names],
    }
    means = {label: torch.tensor(rows).mean(1) for label, rows in series.items()}
    halves = {label: torch.tensor([_half(row) for row in rows]) for label, rows in series.items()}
    return Picture(
        plot_bars(means, names, halves, value_name="mean class selectivity of the units that fire"),
        "How much units prefer one digit to the others, on the test images: (μ_max − μ_rest)/(μ_max + "
        "μ_rest) of their mean activations by class. Mean over seeds with its 95 % interval. With the labels "
        "shuffled, units that fire rarely seem selective by chance.",
        "Pairs of bars for four sets of units; the neurons' are the shortest.",
    )


def _half(values: Sequence[float]) -> float:
    low, high = student_interval(values)
    return torch.nan if low is None or high is None else (high - low) / 2


def _classes(units: Mapping[str, Units], seed: int) -> Picture:
    maps = [
        Heatmap(
            _sorted(units[name]), f"{name}, seed {seed}", "unit, by its digit", "digit", (), range(CLASSES)
        )
        for name in ("neurons", "latents")
    ]
    return Picture(
        plot_heatmaps(maps, "mean activation / largest"),
        "Mean activation by digit of each unit that fires, over its largest; units in the order of the digit "
        "that they are strongest for.",
        "Two heat maps with a diagonal of blocks; that of the latents stands out from an emptier ground.",
    )


def _sorted(units: Units) -> Tensor:
    alive = units.means.amax(0) > 0
    means = units.means[:, alive] / units.means[:, alive].amax(0)
    order = torch.argsort(units.best[alive] - units.purity[alive].float() / 2)
    return means[:, order]


def _examples(subject: Subject, units: Units, digits: Digits, k: int) -> Picture:
    f = subject.fitted[k].dictionary.encode(subject.test)
    purity = units.purity.nan_to_num(0)
    rows = []
    for digit in range(CLASSES):  # the two most selective of each digit that fire often enough to be seen
        own = (units.best == digit) & ((f > 0).sum(0) >= _EXAMPLES)
        rows += (purity * own).argsort(descending=True, stable=True)[: min(2, int(own.sum()))].tolist()
    values, places = f[:, rows].T.topk(_EXAMPLES, dim=1)
    names = [f"{row}: digit {int(units.best[row])}" for row in rows]
    return Picture(
        plot_examples(digits.test[places, 0], values, names, value_name="the activation"),
        f"The test images that excite latents most, of the dictionary with k = {k}, seed {subject.seed}: for "
        "each digit the two latents that keep most to it, and no label was used to find them but to choose "
        "which to show.",
        "Rows of eight small digits; those of a row are mostly the same digit, written alike.",
    )


def _recovered(subjects: Sequence[Subject]) -> Picture:
    ks = list(subjects[0].fitted)
    lines = {"against zeros": "recovered", "against the mean": "recovered_from_mean"}
    values = torch.tensor(
        [[[subject.fitted[k].numbers[name] for k in ks] for name in lines.values()] for subject in subjects]
    )
    return Picture(
        plot_sweep(
            values, [float(k) for k in ks], list(lines), x_name="k, active latents an image",
            y_name="share of the loss recovered",
        ),
        "Loss recovered on the test images with the reconstruction in the hidden layer's place; mean over "
        "seeds with its 95 % interval.",
        "Two rising curves that come near to 1.",
    )  # fmt: skip
