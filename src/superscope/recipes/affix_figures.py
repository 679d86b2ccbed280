"""What the page on affixes shows of the networks: a row for each, and the pictures."""

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from superscope.data import AFFIXES, AffixWords
from superscope.measures import feature_dimensionality, interference
from superscope.plots import plot_features, plot_gram, plot_plane, plot_sweep
from superscope.recipes.affix_training import Networks
from superscope.report import Picture

NARROW = 2
"""The hidden width of the review."""
CAPTIONS = {
    "widths": (
        "Every width and seed. Gap: test − dual. Joined: words joined in pairs behind the convolution. "
        "Interference: Σ_{j≠i} cos² between a direction and the four others, mean over the five; of the mean "
        "hidden vectors, and of the read-outs after taking off their mean, which no answer depends on."
    ),
    "pairs": f"Words with two affixes at width {NARROW}, all seeds together.",
}


def _shared(W: Float[Tensor, "*batch hidden class"]) -> Float[Tensor, "*batch"]:
    """Return Σ_{j≠i} cos²(W_i, W_j), mean over i."""
    return interference(torch.nn.functional.normalize(W, dim=-2)).mean(-1)


def _measures(networks: Networks) -> dict[str, Float[Tensor, "seed width"]]:
    centred = networks.W - networks.W.mean(-1, keepdim=True)
    return {
        "test": networks.test,
        "dual": networks.dual,
        "gap": networks.test - networks.dual,
        "joined": networks.joined,
        "loss": networks.loss,
        "interference of hidden vectors": _shared(networks.means),
        "interference of read-outs": _shared(centred),
        "mean dimensionality of read-outs": feature_dimensionality(centred).mean(-1),
    }


def tabulate(networks: Networks) -> pd.DataFrame:
    """Return a row for each width and seed."""
    columns = _measures(networks)
    return pd.DataFrame(
        [
            {"width": width, "seed": seed} | {key: float(each[s, i]) for key, each in columns.items()}
            for i, width in enumerate(networks.widths)
            for s, seed in enumerate(networks.seeds)
        ]
    )


def draw(networks: Networks, dual: AffixWords) -> dict[str, Picture]:
    """Return the pictures of a set of words; those in the plane where the narrowest width comes first."""
    places = [float(width) for width in networks.widths]
    measures, labels = _measures(networks), [f"width {width}" for width in networks.widths]

    def stacked(*names: str) -> Float[Tensor, "seed line width"]:
        return torch.stack([measures[name] for name in names], 1)

    pictures = {}
    if networks.widths[0] == NARROW:
        W, b = networks.W[:, 0, :NARROW], networks.b[0, 0]
        test, classes, hidden = networks.hidden
        answers = networks.answers[0, 0]
        right = dual.labels[torch.arange(len(answers)), answers]
        pictures["features"] = Picture(
            plot_features(W, [f"seed {seed}" for seed in networks.seeds]),
            "The five read-outs in the plane of the two hidden neurons: what the review draws.",
            "A panel for each seed with five lines from the origin.",
        )
        pictures["plane"] = Picture(
            plot_plane(W[0], b, AFFIXES, (test, classes), (hidden, right), ("one affix", "two affixes")),
            "Hidden vectors of the first seed. The colour behind them is the answer there; the lines from "
            "the origin are the directions of the read-outs. A word with two affixes may lie where a third "
            "is the answer.",
            "Two panels of dots in the quarter plane, over areas in the colours of the five affixes.",
        )
    pictures["accuracy"] = Picture(
        plot_sweep(
            stacked("test", "dual", "joined"),
            places,
            ["one affix, held out", "two affixes", "two words joined"],
            x_name="hidden width (neurons)",
            y_name="accuracy",
            log_x=False,
        ),
        "Accuracy against hidden width, mean and 95 % interval over seeds. Guessing gives 0.2 for one affix "
        "and 0.4 for two.",
        "Three lines over the hidden widths.",
    )
    pictures["interference"] = Picture(
        plot_sweep(
            stacked("interference of hidden vectors", "interference of read-outs"),
            places,
            ["mean hidden vectors", "read-outs, centred"],
            x_name="hidden width (neurons)",
            y_name="interference Σ cos²",
            log_x=False,
        ),
        "How much each feature overlaps with the four others, mean over features, with 95 % intervals over "
        "seeds. In m dimensions it is at least 5/m − 1: 1.5 in the plane, 0 from five on (0.25 for "
        "read-outs, which lie in four once their mean is taken off).",
        "Two lines over the hidden widths.",
    )
    pictures["gram"] = Picture(
        plot_gram(networks.W[0], networks.b[0], labels),
        "WᵀW of the read-outs and the biases of the first seed.",
        "A heat map with a column for the biases, for each width.",
    )
    return pictures
