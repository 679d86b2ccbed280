"""ReLU against ExReLU, which lets negative outputs down to t pass and so makes superposition dearer."""

from collections.abc import Sequence
from typing import Annotated

import pandas as pd
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from pydantic import Field
from torch import Tensor

from superscope.core import Run, config
from superscope.measures import features_represented, interference
from superscope.plots import plot_features, plot_sweep
from superscope.recipes.claims import Claim, Verdict, judge
from superscope.recipes.exrelu_losses import (
    AUTOGRAD,
    RATE,
    THRESHOLD,
    M,
    N,
    digons_loss,
    judged_by_exrelu,
    model,
)
from superscope.recipes.recipe import Outcome, Recipe
from superscope.recipes.toy_training import EMBEDDED, Sweep, ToyTraining, train_seeds
from superscope.report import DataTable, Picture, Prose, Section

_SPARSEST = 20
_SHOWN = 4
_ACTIVATIONS = ("ReLU", "ExReLU, t = −0.25")
_SWEPT = (0.2, 0.1, 0.05)


def _claim(part: str, statement: str) -> Claim:
    setting = (
        f"n = {N}, m = {M}, I = {RATE:g}^i; densities {_SPARSEST}^−s, s from 0 to 1; ReLU against ExReLU "
        f"with t = {THRESHOLD:g}, the same starts, batches and options"
    )
    return Claim(f"T14-{part}", statement, setting, "review")


_CLAIMS = (
    _claim(
        "fewer",
        "Over all densities together, the ExReLU models represent fewer features (‖W_i‖ > 0.5) than the ReLU "
        "models of the same seed",
    ),
    _claim(
        "no-more",
        "At no density does the ExReLU model represent more features (‖W_i‖ > 0.5) than the ReLU model of "
        "the same seed",
    ),
    _claim(
        "sparsest",
        "At the lowest density the ExReLU model represents fewer features (‖W_i‖ > 0.5) than the ReLU model "
        "of the same seed",
    ),
    _claim(
        "superposition",
        "Over all densities together, the ExReLU models have less superposition (mean over features of "
        "Σ_{j≠i}(Ŵ_i·W_j)²) than the ReLU models of the same seed",
    ),
)


@config
class ExreluConfig(ToyTraining):
    """ReLU and ExReLU at densities from 1 to 0.05, and a sweep of t from −1 to 0."""

    densities: Annotated[int, Field(ge=2)] = 10
    """Densities 20^−s, s from 0 to 1."""
    thresholds: Annotated[int, Field(ge=2)] = 11
    """Values of t from −1 to 0."""


def _run(config: ExreluConfig, run: Run) -> Outcome:
    densities = [_SPARSEST ** (-k / (config.densities - 1)) for k in range(config.densities)]
    relu = train_seeds(run, "relu", config, model(None), densities)
    exrelu = train_seeds(run, "exrelu", config, model(THRESHOLD), densities)

    thresholds = [-1 + k / (config.thresholds - 1) for k in range(config.thresholds)]
    swept = [train_seeds(run, f"threshold-{k}", config, model(t), _SWEPT) for k, t in enumerate(thresholds)]
    labels = [f"density {p:.3g}" for p in densities]
    by_loss = judged_by_exrelu(config.seeds, densities, relu, exrelu)
    written = [[digons_loss(t, p) for t in thresholds] for p in _SWEPT]
    tables = {
        "by-loss": by_loss,
        "activations": pd.concat(
            [
                sweep.table(labels, densities, config.seeds).assign(activation=name)
                for name, sweep in zip(_ACTIVATIONS, (relu, exrelu), strict=True)
            ]
        ),
        "paired": paired(densities, relu.W, exrelu.W),
        "thresholds": pd.concat(
            [
                sweep.table([f"density {p:g}" for p in _SWEPT], _SWEPT, config.seeds).assign(t=t)
                for t, sweep in zip(thresholds, swept, strict=True)
            ]
        ),
    }
    pictures = _pictures(relu, exrelu, densities, swept, thresholds, written)
    seeds = len(config.seeds)
    sections = [
        Section(
            "ReLU above ExReLU",
            [
                Prose(
                    f"The same starts, batches and options for both; of {config.restarts} starts the one "
                    f"with the lowest loss is kept. Directions of the first seed of {seeds}; bands are 95 % "
                    "intervals over seeds."
                ),
                pictures["features"],
                pictures["represented"],
                pictures["superposition"],
                DataTable(
                    tables["paired"], "Features of the ExReLU model less those of the ReLU model, by pairs."
                ),
                DataTable(tables["activations"], "Every density, seed and activation."),
            ],
        ),
        Section(
            "The loss or the gradient",
            [
                Prose(AUTOGRAD),
                Prose(
                    "The table asks the loss itself: the weights that ReLU trained, with more features, are "
                    "put under ExReLU on the same draws. Where their loss is the lower one, training with "
                    "ExReLU has missed a better solution, and it is not the loss that keeps features out."
                ),
                DataTable(by_loss, "Loss with ExReLU, t = −0.25, mean over seeds."),
            ],
        ),
        Section(
            "The threshold",
            [
                Prose(
                    "The same network with t from −1, where all but large negative outputs pass, to 0, ReLU."
                ),
                pictures["threshold-represented"],
                pictures["threshold-superposition"],
                pictures["threshold-loss"],
                DataTable(tables["thresholds"], "Every threshold, density and seed."),
            ],
        ),
    ]
    tensors = relu.tensors("relu") | exrelu.tensors("exrelu")
    for k, sweep in enumerate(swept):
        tensors |= sweep.tensors(f"threshold-{k}")
    return Outcome(_judged(relu.W, exrelu.W), tables, pictures, tensors, sections)


def superposition(W: Float[Tensor, "*batch hidden feature"]) -> Float[Tensor, "*batch"]:
    """Return the mean interference Σ_{j≠i}(Ŵ_i·W_j)² of the features that are embedded, 0 without any."""
    held = torch.linalg.vector_norm(W, dim=-2) > EMBEDDED
    total = (interference(W) * held).sum(-1)
    return total / held.sum(-1).clamp(min=1)


def paired(
    densities: Sequence[float],
    relu: Float[Tensor, "seed density hidden feature"],
    exrelu: Float[Tensor, "seed density hidden feature"],
) -> pd.DataFrame:
    """Return the difference in features represented, by density and in all, with Student's 95 % interval."""
    from scipy import stats

    fewer = (features_represented(exrelu, EMBEDDED) - features_represented(relu, EMBEDDED)).double()
    columns = torch.cat([fewer, fewer.sum(1, keepdim=True)], 1)
    seeds = len(columns)
    half = torch.full_like(columns[0], torch.nan)
    if seeds > 1:
        half = float(stats.t.ppf(0.975, seeds - 1)) * columns.std(0) / seeds**0.5
    mean = columns.mean(0)
    return pd.DataFrame(
        {
            "density": [*(f"{p:.3g}" for p in densities), "all together"],
            "mean difference": mean.tolist(),
            "low": (mean - half).tolist(),
            "high": (mean + half).tolist(),
        }
    )


def _judged(
    relu: Float[Tensor, "seed density hidden feature"], exrelu: Float[Tensor, "seed density hidden feature"]
) -> list[Verdict]:
    fewer = features_represented(exrelu, EMBEDDED) - features_represented(relu, EMBEDDED)
    less = superposition(exrelu).sum(1) < superposition(relu).sum(1)
    values = [
        (fewer.sum(1) < 0).tolist(),
        (fewer <= 0).all(1).tolist(),
        (fewer[:, -1] < 0).tolist(),
        less.tolist(),
    ]
    found = f"Features in all, ExReLU less ReLU, by seed: {', '.join(map(str, fewer.sum(1).tolist()))}."
    return [
        judge(claim, each, found if claim.id == "T14-fewer" else "")
        for claim, each in zip(_CLAIMS, values, strict=True)
    ]


def _pictures(
    relu: Sweep,
    exrelu: Sweep,
    densities: Sequence[float],
    swept: Sequence[Sweep],
    thresholds: Sequence[float],
    written: Sequence[Sequence[float]],
) -> dict[str, Picture]:
    count = min(_SHOWN, len(densities))
    shown = [round(k * (len(densities) - 1) / max(1, count - 1)) for k in range(count)]
    panels = torch.cat([relu.W[0, shown], exrelu.W[0, shown]])
    names = [f"{name} {densities[k]:.2g}" for name in ("ReLU", "ExReLU") for k in shown]
    both = torch.stack([relu.W, exrelu.W], 1)
    by_threshold = torch.stack([sweep.W for sweep in swept], 2)
    trained = torch.stack([sweep.loss for sweep in swept], 2)[:, -1:]
    by_hand = torch.tensor(written[-1]).expand_as(trained)
    at = [f"density {p:g}" for p in _SWEPT]
    count_name, share_name = "features represented", "mean interference"

    def against_density(values: Tensor, y_name: str) -> Figure:
        return plot_sweep(values, densities, _ACTIVATIONS, x_name="density 1 − S", y_name=y_name)

    def against_threshold(values: Tensor, y_name: str, lines: Sequence[str] = at) -> Figure:
        x_name = "threshold t of ExReLU"
        return plot_sweep(values, thresholds, lines, x_name=x_name, y_name=y_name, log_x=False)

    return {
        "features": Picture(
            plot_features(panels, names, [RATE**i for i in range(N)]),
            "Directions of the features, titles with the density: ReLU above, ExReLU (t = −0.25) below.",
            f"Two rows of {count} panels of lines from the origin.",
        ),
        "represented": Picture(
            against_density(features_represented(both, EMBEDDED).double(), count_name),
            "Features with ‖W_i‖ > 0.5, of five in two dimensions.",
            "Two curves against density.",
        ),
        "superposition": Picture(
            against_density(superposition(both), share_name),
            "Mean interference Σ_{j≠i}(Ŵ_i·W_j)² of the features that are represented.",
            "Two curves against density.",
        ),
        "threshold-represented": Picture(
            against_threshold(features_represented(by_threshold, EMBEDDED).double(), count_name),
            "Features with ‖W_i‖ > 0.5 against the threshold.",
            f"A curve for each of {len(_SWEPT)} densities.",
        ),
        "threshold-superposition": Picture(
            against_threshold(superposition(by_threshold), share_name),
            "Mean interference of the features that are represented against the threshold.",
            f"A curve for each of {len(_SWEPT)} densities.",
        ),
        "threshold-loss": Picture(
            against_threshold(torch.cat([trained, by_hand], 1), "loss", ("trained", "two digons, by hand")),
            f"Loss at density {_SWEPT[-1]:g}, of what training finds and of two digons written down; "
            "where the second is lower, training has missed it.",
            "Two curves against the threshold.",
        ),
    }


TOY_EXRELU = Recipe(
    name="toy-exrelu",
    title="An activation against superposition",
    source='T14: Murphy and Qiao, review of "Toy Models of Superposition", section 3',
    introduction=(
        "ReLU makes superposition cheap because it removes negative interference. ExReLU(x) = x for x ≥ t, 0 "
        "below, with t < 0, lets interference down to t pass, which makes superposition dearer. The review "
        "compares five features in two dimensions; here the comparison is made over seeds, by pairs, and t "
        "is swept."
    ),
    config=ExreluConfig,
    presets={
        "smoke": ExreluConfig(
            seeds=(0, 1), steps=80, batch_size=256, lr=2e-2, restarts=1, densities=3, thresholds=2
        ),
        "quick": ExreluConfig(steps=2_000, batch_size=512, lr=5e-3, restarts=8),
        "paper": ExreluConfig(seeds=tuple(range(10)), thresholds=21),
    },
    claims=_CLAIMS,
    run=_run,
)
