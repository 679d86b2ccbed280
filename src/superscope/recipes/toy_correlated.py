"""Features that come together or never do: orthogonal, antipodal, side by side, or one for both."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import pandas as pd
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from superscope.core import Run, config
from superscope.plots import plot_features, plot_gram, plot_sweep
from superscope.recipes.claims import Claim, Verdict, judge
from superscope.recipes.recipe import Outcome, Recipe
from superscope.recipes.toy_sets import (
    ALIKE,
    ALMOST,
    HEXAGON,
    PAIRED,
    all_embedded,
    antipodal_sets,
    collapsed,
    hexagon_of_pairs,
    local_bases,
    odd_share,
    orthogonal_sets,
    principal_components,
)
from superscope.recipes.toy_training import Count, Sweep, ToyTraining, rank_correlation, train_seeds
from superscope.report import DataTable, Picture, Prose, Section
from superscope.toy import ToyConfig

_DENSITY = 0.02
_MODELS = {
    "orthogonal": ToyConfig(n_features=4, n_hidden=2, correlated=(2, 2)),
    "antipodal": ToyConfig(n_features=4, n_hidden=2, anticorrelated=(2, 2)),
    "hexagon": ToyConfig(n_features=6, n_hidden=2, correlated=(2, 2, 2)),
    "bases": ToyConfig(n_features=20, n_hidden=10, correlated=(10, 10)),
}
_PAIRS = _MODELS["hexagon"]
_PHASES = {"none": 0.02, "one": 0.09, "two": 0.17, "all": 0.35, "pca": 0.7}
"""Densities inside the published ranges ≤ .05, .05–.15, .15–.2, .25–.5 and ≥ .5, where each is judged."""
_EDGES = (0.05, 0.15, 0.2, 0.25, 0.5)
_LOWEST, _HIGHEST = 0.01, 0.95
_RISING = 0.9


def _claim(part: str, statement: str, setting: str) -> Claim:
    return Claim(f"T8-{part}", statement, f"I = 1, ReLU; {setting}, density {_DENSITY:g}", "TMS")


def _phase(part: str, statement: str) -> Claim:
    setting = f"I = 1, ReLU; n = 6, m = 2, three correlated pairs, density {_PHASES[part]:g}"
    return Claim(f"T8-{part}", statement, setting, "TMS")


_COLLAPSED = f"collapsed (cos > {ALIKE:g} and norms within {100 * (PAIRED - 1):.0f} % of each other)"
_CLAIMS = (
    _claim(
        "orthogonal",
        "All four features are embedded (‖W_i‖ > 0.5), those of a set orthogonal (|cos| < 0.05)",
        "n = 4, m = 2, two correlated sets of two",
    ),
    _claim(
        "antipodal",
        "All four features are embedded (‖W_i‖ > 0.5), those of a set antipodal (cos < −0.95)",
        "n = 4, m = 2, two anti-correlated sets of two",
    ),
    _claim(
        "hexagon",
        f"All six features are embedded (‖W_i‖ > 0.5) as a hexagon (neighbours 60° ± {HEXAGON:g}° apart), "
        "those of a set side by side",
        "n = 6, m = 2, three correlated sets of two",
    ),
    _claim(
        "bases",
        "More than m features are embedded (‖W_i‖ > 0.5), and within each set all that are embedded are "
        f"almost orthogonal (|cos| < {ALMOST:g})",
        "n = 20, m = 10, two correlated sets of ten",
    ),
    _phase("none", f"No pair is {_COLLAPSED}, and all six features are embedded (‖W_i‖ > 0.5)"),
    _phase("one", f"One pair of three is {_COLLAPSED}"),
    _phase("two", f"Two pairs of three are {_COLLAPSED}"),
    _phase("all", f"All three pairs are {_COLLAPSED}, all six features embedded (‖W_i‖ > 0.5)"),
    _phase(
        "pca",
        "W is a projection to two principal components: less than 5 % of ‖W‖²_F lies along (W_a − W_b)/√2 of "
        "the pairs, and both singular values of W are within 0.1 of 1",
    ),
    Claim(
        "T8-rising",
        "The share of ‖W‖²_F along (W_a − W_b)/√2 of the pairs falls as density grows: Spearman's rank "
        f"correlation with density is below −{_RISING:g} over densities up to 0.5",
        "I = 1, ReLU; n = 6, m = 2, three correlated pairs, densities 0.01 to 0.95",
        "TMS",
    ),
)


@config
class CorrelatedConfig(ToyTraining):
    """Correlated and anti-correlated sets in two dimensions, two sets of ten, and three pairs by density."""

    densities: Annotated[int, Field(ge=2)] = 15
    """Densities of the sweep, from 0.01 to 0.95; those that are judged are trained besides."""
    bases_restarts: Count = 4
    """Starts of the model with two sets of ten."""


def sweep_densities(count: int) -> list[float]:
    """Return ``count`` densities from 0.01 to 0.95, evenly on a log scale, and those that are judged."""
    ratio = _HIGHEST / _LOWEST
    even = [_LOWEST * ratio ** (k / (count - 1)) for k in range(count)]
    return sorted({*(round(p, 4) for p in even), *_PHASES.values()})


def _run(config: CorrelatedConfig, run: Run) -> Outcome:
    fewer = dataclasses.replace(config, restarts=config.bases_restarts)
    models = {
        part: train_seeds(run, part, fewer if part == "bases" else config, model, [_DENSITY])
        for part, model in _MODELS.items()
    }
    densities = sweep_densities(config.densities)
    sweep = train_seeds(run, "pairs", config, _PAIRS, densities)
    labels = [f"density {p:.3g}" for p in densities]

    tables = {
        "models": pd.concat(
            [each.table([part], [_DENSITY], config.seeds) for part, each in models.items()],
        ),
        "pairs": _pairs_table(sweep, labels, densities, config.seeds),
    }
    pictures = _pictures(models, sweep, densities, config.seeds)
    sections = [
        Section(
            "Sets in the plane",
            [
                Prose(
                    f"Density {_DENSITY:g}; of {config.restarts} starts the one of lowest loss is kept. "
                    "Features 0 and 1 are a set, 2 and 3 the next, and so on."
                ),
                *(pictures[part] for part in ("orthogonal", "antipodal", "hexagon")),
                DataTable(tables["models"], "Every model and seed."),
            ],
        ),
        Section(
            "Two sets of ten in ten dimensions",
            [
                Prose(f"Features 0 to 9 and 10 to 19 each come together. {config.bases_restarts} starts."),
                pictures["bases"],
            ],
        ),
        Section(
            "Three pairs from sparse to dense",
            [
                Prose(
                    "The two features of a pair are active together, each with an amplitude of its own. The "
                    "denser they are, the more pairs give way to their principal component (a + b)/√2. At "
                    "density 1 every feature is always active, and no correlation is left."
                ),
                pictures["phases"],
                pictures["collapsed"],
                pictures["odd-share"],
                DataTable(tables["pairs"], "Every density and seed."),
            ],
        ),
    ]
    tensors = sweep.tensors("pairs")
    for part, each in models.items():
        tensors |= each.tensors(part)
    rows = _judged({part: each.W for part, each in models.items()}, sweep.W, densities)
    return Outcome(rows, tables, pictures, tensors, sections)


def _judged(
    models: Mapping[str, Float[Tensor, "seed 1 _hidden _feature"]],
    pairs: Float[Tensor, "seed density 2 6"],
    densities: Sequence[float],
) -> list[Verdict]:
    at = {part: pairs[:, densities.index(p)] for part, p in _PHASES.items()}
    alone = {part: W[:, 0] for part, W in models.items()}
    below = [k for k, p in enumerate(densities) if p <= _EDGES[-1]]
    rises = [
        rank_correlation(torch.tensor([densities[k] for k in below]), odd_share(W[below])) for W in pairs
    ]
    counts = {part: [collapsed(W) for W in at[part]] for part in _PHASES}
    values: dict[str, list[bool]] = {
        "orthogonal": [orthogonal_sets(W, (2, 2)) for W in alone["orthogonal"]],
        "antipodal": [antipodal_sets(W, (2, 2)) for W in alone["antipodal"]],
        "hexagon": [hexagon_of_pairs(W) for W in alone["hexagon"]],
        "bases": [local_bases(W, (10, 10)) for W in alone["bases"]],
        "none": [k == 0 and all_embedded(W) for k, W in zip(counts["none"], at["none"], strict=True)],
        "one": [k == 1 for k in counts["one"]],
        "two": [k == 2 for k in counts["two"]],
        "all": [k == 3 for k in counts["all"]],
        "pca": [principal_components(W) for W in at["pca"]],
        "rising": [r < -_RISING for r in rises],
    }
    evidence = {part: f"Pairs collapsed, by seed: {_listed(each)}." for part, each in counts.items()}
    evidence["rising"] = f"Correlations by seed: {_listed(f'{r:.3f}' for r in rises)}."
    return [judge(claim, values[part], evidence.get(part, "")) for part, claim in _by_part().items()]


def _by_part() -> dict[str, Claim]:
    return {claim.id.removeprefix("T8-"): claim for claim in _CLAIMS}


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))


def _pairs_table(
    sweep: Sweep, labels: Sequence[str], densities: Sequence[float], seeds: Sequence[int]
) -> pd.DataFrame:
    table = sweep.table(labels, densities, seeds)
    table["pairs collapsed"] = [collapsed(W[k]) for k in range(len(densities)) for W in sweep.W]
    table["share along (a − b)/√2"] = odd_share(sweep.W).T.flatten().tolist()
    return table


def _pictures(
    models: Mapping[str, Sweep], sweep: Sweep, densities: Sequence[float], seeds: Sequence[int]
) -> dict[str, Picture]:
    shown = min(4, len(seeds))
    titles = [f"seed {seed}" for seed in seeds[:shown]]
    what = {
        "orthogonal": "Two correlated sets of two: {0, 1} and {2, 3}.",
        "antipodal": "Two anti-correlated sets of two: {0, 1} and {2, 3}.",
        "hexagon": "Three correlated sets of two: {0, 1}, {2, 3} and {4, 5}.",
    }
    plane = {
        part: Picture(
            plot_features(models[part].W[:shown, 0], titles),
            f"{caption} Directions of the features, a panel a seed.",
            f"{shown} panels of lines from the origin.",
        )
        for part, caption in what.items()
    }
    counts = torch.tensor([[float(collapsed(W)) for W in seed] for seed in sweep.W])
    share = odd_share(sweep.W)
    few = min(2, len(seeds))
    return {
        **plane,
        "bases": Picture(
            plot_gram(models["bases"].W[:few, 0], models["bases"].b[:few, 0], titles[:few]),
            "WᵀW and the bias: within a set nothing but the diagonal; interference lies between the sets.",
            "Heat maps of 20 features; the two blocks of ten on the diagonal show what a set is like.",
        ),
        "phases": Picture(
            plot_features(
                sweep.W[0, [densities.index(p) for p in _PHASES.values()]],
                [f"density {p:g}" for p in _PHASES.values()],
            ),
            "Three pairs at the densities that are judged; the first seed.",
            "Five panels of lines from the origin: six directions, then fewer as pairs fall together.",
        ),
        "collapsed": Picture(
            plot_sweep(
                counts[:, None],
                densities,
                ["trained model"],
                x_name="density 1 − S",
                y_name="pairs collapsed",
                marks=_EDGES,
            ),
            "Pairs that share a direction; dashed lines at the published edges, .05, .15, .2, .25 and .5.",
            "A curve from 0 to 3 and down again.",
        ),
        "odd-share": Picture(
            plot_sweep(
                share[:, None],
                densities,
                ["trained model"],
                x_name="density 1 − S",
                y_name="share of ‖W‖²_F along (a − b)/√2",
                marks=_EDGES,
            ),
            "How much of W tells the features of a pair apart; 0 where only principal components are left.",
            "A curve that falls with density.",
        ),
    }


TOY_CORRELATED = Recipe(
    name="toy-correlated",
    title="Features that come together",
    source="T8: Elhage et al. 2022, Toy Models of Superposition (arXiv 2209.10652), correlated features",
    introduction=(
        "Features that are active together are best kept apart: a network puts them at right angles, or, "
        "where there is no room, side by side; with less room still it keeps one direction for both. "
        "Features that are never active together can share a line in opposite directions."
    ),
    config=CorrelatedConfig,
    presets={
        "smoke": CorrelatedConfig(
            seeds=(0, 1), steps=40, batch_size=128, lr=2e-2, restarts=1, densities=2, bases_restarts=1
        ),
        "quick": CorrelatedConfig(steps=4_000, batch_size=1024, lr=5e-3, schedule="cosine", restarts=8),
        "paper": CorrelatedConfig(seeds=tuple(range(10)), densities=30, restarts=20, bases_restarts=10),
    },
    claims=_CLAIMS,
    run=_run,
)
