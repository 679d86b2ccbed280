"""Many equal features in few dimensions: the fractions of a dimension that they gather at, and as what."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from pydantic import Field
from torch import Tensor

from superscope.core import Run, config
from superscope.measures import (
    Component,
    components,
    dimensions_per_feature,
    feature_dimensionality,
    features_represented,
    structure_counts,
)
from superscope.plots import plot_dimensionality, plot_feature_graph, plot_sweep, style
from superscope.recipes.claims import Claim, Verdict, judge
from superscope.recipes.recipe import Outcome, Recipe
from superscope.recipes.toy_training import EMBEDDED, Count, Sweep, ToyTraining, train_seeds
from superscope.report import DataTable, Picture, Prose, Section
from superscope.toy import ToyConfig

SHAPES = ("digon", "triangle", "tetrahedron", "pentagon", "square antiprism")
FRACTIONS = {"0": 0.0, "3/8": 3 / 8, "2/5": 2 / 5, "1/2": 1 / 2, "2/3": 2 / 3, "3/4": 3 / 4}
_NAMES = ("not embedded", "square antiprism", "pentagon", "digon", "triangle", "tetrahedron")
CORE, SHOULDER = 0.01, 0.04
_DENSER, _FEWEST = 2.0, 10
LEVEL, _LONGER = 0.05, 2.0
_SHARE = 0.5
_LEAST_FRACTION = 3 / 8
_LEVELS = 1 / 2, 2 / 3, 2 / 5, 1 / 3
_SETTING = "n = 400, m = 30, I = 1; 1/density 1 to 100"


def _claim(part: str, statement: str) -> Claim:
    return Claim(f"T6-{part}", statement, _SETTING, "slides, TMS")


def _sticks(level: str) -> str:
    return (
        f"m/‖W‖²_F is within {LEVEL:.0%} of {level} over a stretch of log density at least {_LONGER:g} times "
        "as long as if it fell evenly"
    )


_CLAIMS = (
    _claim("plateau-1", _sticks("1")),
    _claim("plateau-half", _sticks("1/2")),
    *(
        _claim(
            f"gathers-{text.replace('/', '-')}",
            f"D_i gathers at {text} ({name}): {_DENSER:g} times as dense or more within {CORE} as from there "
            f"to {SHOULDER}, with {_FEWEST} features or more, all densities together",
        )
        for text, name in zip(FRACTIONS, _NAMES, strict=True)
    ),
    _claim(
        "components",
        f"{_SHARE:.0%} or more of the features are in a {', '.join(SHAPES[:-1])} or {SHAPES[-1]}, at the "
        "densities with more features than dimensions and m/‖W‖²_F at least 3/8, the least of the fractions",
    ),
    _claim("all-shapes", f"A {', '.join(SHAPES[:-1])} and {SHAPES[-1]} are each found at some density"),
)


@config
class GeometryConfig(ToyTraining):
    """A sweep of one density for all features, from 1 down to 0.01."""

    restarts: Count = 1
    """Starts of each model, the best of which is kept."""
    n_features: Annotated[int, Field(ge=2)] = 400
    """Features, n."""
    n_hidden: Count = 30
    """Hidden dimensions, m."""
    densities: Annotated[int, Field(ge=3)] = 30
    """Densities of the sweep."""


def _run(config: GeometryConfig, run: Run) -> Outcome:
    inverse = torch.logspace(0, 2, config.densities)
    model = ToyConfig(n_features=config.n_features, n_hidden=config.n_hidden)
    sweep = train_seeds(run, "sweep", config, model, inverse.reciprocal().clamp(max=1).tolist())
    found = [[components(W) for W in seed] for seed in sweep.W]

    tables = {
        "models": sweep.table([f"1/density {x:.3g}" for x in inverse], (1 / inverse).tolist(), config.seeds),
        "structures": _structures(config, inverse, found),
        "gathering": _gathering(config, sweep),
    }
    pictures = _pictures(inverse, sweep, found)
    sections = [
        Section(
            "Dimensions per feature",
            [
                pictures["dimensions"],
                pictures["dimensionality"],
                DataTable(tables["gathering"], "Every seed."),
            ],
        ),
        Section(
            "What the features form",
            [
                Prose(
                    "Two features hang together when the cosine between them is above 1/6. A component has a "
                    "name when its number of features, the dimensions they span, their D_i and all angles "
                    "are those of the shape. The graphs are of the first seed."
                ),
                pictures["structures"],
                pictures["graph"],
                DataTable(tables["structures"], "Features in components of each name, every model and seed."),
            ],
        ),
    ]
    return Outcome(_judged(inverse, sweep.W, found), tables, pictures, _tensors(sweep), sections)


def plateau(values: Float[Tensor, " point"], x: Float[Tensor, " point"], level: float) -> tuple[float, float]:
    """Return the share of the range of log x on which a curve is near a level, and what even fall would give.

    Near is within ``LEVEL`` of it. The curve is straight between points; even fall is a straight line in log
    x from its highest to its lowest value.
    """
    logs = x.double().log().numpy()
    places = np.linspace(logs.min(), logs.max(), 4001)
    curve = np.interp(places, logs, values.double().numpy())
    low, high = (1 - LEVEL) * level, (1 + LEVEL) * level
    top, bottom = float(values.max()), float(values.min())
    even = max(min(high, top) - max(low, bottom), 0.0) / (top - bottom) if top > bottom else 1.0
    return float(((curve >= low) & (curve <= high)).mean()), even


def gathering(D: Float[Tensor, " feature"], fraction: float) -> tuple[int, float]:
    """Return how many D_i are within ``CORE`` of a fraction, and how much denser than in its shoulders.

    The shoulders reach to ``SHOULDER`` on both sides, less what is below 0 or in the core of another
    fraction; one D_i is taken to be there at least.
    """
    cores = [(f - CORE, f + CORE) for f in FRACTIONS.values()]
    core = int((abs(D - fraction) <= CORE).sum())
    apart = abs(D - fraction)
    elsewhere = torch.stack([(low <= D) & (high >= D) for low, high in cores]).any(0)
    beside = int(((apart <= SHOULDER) & (apart > CORE) & ~elsewhere).sum())
    width = min(fraction, CORE) + CORE
    taken = sum(
        max(min(high, fraction + SHOULDER) - max(low, fraction - SHOULDER, 0.0), 0.0) for low, high in cores
    )  # no two cores overlap
    room = min(fraction, SHOULDER) + SHOULDER - taken
    return core, (core / width) / (max(beside, 1) / room)


def in_shapes(
    W: Float[Tensor, "instance hidden feature"], found: Sequence[Sequence[Component]]
) -> tuple[float, int]:
    """Return the share of the features of components that are in one of ``SHAPES``, and from how many models.

    Counted are the models that embed more features than dimensions with m/‖W‖²_F at 3/8 or above.
    """
    more = features_represented(W, EMBEDDED) > W.shape[1]
    counted = (more & (dimensions_per_feature(W) >= _LEAST_FRACTION)).nonzero().flatten().tolist()
    named = [
        (sum(len(c.features) for c in found[i] if c.name in SHAPES), sum(len(c.features) for c in found[i]))
        for i in counted
    ]
    total = sum(all_of_them for _, all_of_them in named)
    return (sum(part for part, _ in named) / total if total else 0.0), len(counted)


def _judged(
    inverse: Float[Tensor, " instance"],
    W: Float[Tensor, "seed instance hidden feature"],
    found: Sequence[Sequence[Sequence[Component]]],
) -> list[Verdict]:
    values: list[tuple[list[bool], str]] = []
    for level in (1.0, 0.5):
        each = [plateau(curve, inverse, level) for curve in dimensions_per_feature(W)]
        lengths = ", ".join(f"{length / even if even else 0.0:.2g}" for length, even in each)
        holds = [length >= _LONGER * even and length > 0 for length, even in each]
        values.append((holds, f"Times as long, by seed: {lengths}."))
    D = feature_dimensionality(W).flatten(1)
    for fraction in FRACTIONS.values():
        counts = [gathering(seed, fraction) for seed in D]
        told = "; ".join(f"{count} features, {ratio:.2g} times" for count, ratio in counts)
        holds = [count >= _FEWEST and ratio >= _DENSER for count, ratio in counts]
        values.append((holds, f"By seed: {told}."))
    shares = [in_shapes(seed, graphs) for seed, graphs in zip(W, found, strict=True)]
    told = ", ".join(f"{share:.0%} of {count} models" for share, count in shares)
    values.append(([share >= _SHARE for share, _ in shares], f"By seed: {told}."))
    names = [{c.name for graph in seed for c in graph} for seed in found]
    missing = "; ".join(", ".join(s for s in SHAPES if s not in seed) or "none" for seed in names)
    values.append(([set(SHAPES) <= seed for seed in names], f"Missing, by seed: {missing}."))
    return [judge(claim, *each) for claim, each in zip(_CLAIMS, values, strict=True)]


def _structures(
    config: GeometryConfig, inverse: Tensor, found: Sequence[Sequence[Sequence[Component]]]
) -> pd.DataFrame:
    rows = [
        {"1/density": float(inverse[i]), "seed": seed} | structure_counts(found[s][i], config.n_features)
        for i in range(len(inverse))
        for s, seed in enumerate(config.seeds)
    ]
    table = pd.DataFrame(rows).fillna(0)
    last = ["other", "not embedded"]
    return pd.DataFrame(table, columns=[name for name in table.columns if name not in last] + last)


def _gathering(config: GeometryConfig, sweep: Sweep) -> pd.DataFrame:
    D = feature_dimensionality(sweep.W).flatten(1)
    rows = []
    for text, fraction in FRACTIONS.items():
        for s, seed in enumerate(config.seeds):
            count, ratio = gathering(D[s], fraction)
            rows.append({"fraction": text, "seed": seed, "features": count, "times as dense": ratio})
    return pd.DataFrame(rows)


def _tensors(sweep: Sweep) -> dict[str, Tensor]:
    return {"sweep/W": sweep.W, "sweep/b": sweep.b, "sweep/loss": sweep.loss}


def _pictures(
    inverse: Tensor, sweep: Sweep, found: Sequence[Sequence[Sequence[Component]]]
) -> dict[str, Picture]:
    D = feature_dimensionality(sweep.W)
    ratio = dimensions_per_feature(sweep.W)
    shown = (*SHAPES, "other")
    counts = torch.tensor(
        [
            [[sum(len(c.features) for c in graph if c.name == name) for graph in seed] for name in shown]
            for seed in found
        ]
    ).double()
    per_model = counts.sum(1, keepdim=True)
    chosen = _at_levels(ratio[0])
    return {
        "dimensions": Picture(
            _with_levels(
                plot_sweep(
                    ratio[:, None],
                    inverse,
                    ["m/‖W‖²_F"],
                    x_name="1/density",
                    y_name="dimensions per feature m/‖W‖²_F",
                )
            ),
            "Hidden dimensions for each feature, mean over seeds with its 95 % interval; lines at 1 and 1/2.",
            "A curve over 1/density that rests at 1, falls, and bends near 1/2.",
        ),
        "dimensionality": Picture(
            plot_dimensionality(D[0], inverse, "1/density"),
            "Dimensionality of every feature, first seed, with lines at the fractions of known polytopes.",
            "Dots over a log axis of 1/density, gathered at some of the lines.",
        ),
        "structures": Picture(
            plot_sweep(
                torch.where(per_model > 0, counts / per_model, torch.nan),
                inverse,
                shown,
                x_name="1/density",
                y_name="share of the embedded features",
            ),
            "Share of the features in components of each name, mean over seeds with its 95 % interval.",
            "Six curves over 1/density: digons first, then pentagons, then components without a name.",
        ),
        "graph": Picture(
            plot_feature_graph(sweep.W[0, chosen], [f"1/density {inverse[i]:.3g}" for i in chosen]),
            "The feature graph at four densities, dimensions per feature near 1/2, 2/3, 2/5 and 1/3.",
            "Four panels of dots joined by lines, grouped by the name of the component.",
        ),
    }


def _at_levels(ratio: Float[Tensor, " instance"]) -> list[int]:
    """Return the different models nearest to the levels, in the order of the sweep."""
    chosen: list[int] = []
    for level in _LEVELS:
        chosen.append(next(i for i in (ratio - level).abs().argsort().tolist() if i not in chosen))
    return sorted(chosen)


def _with_levels(figure: Figure) -> Figure:
    [ax] = figure.axes
    for level in (1.0, 0.5):
        ax.axhline(level, color=style.INK, alpha=0.45, linewidth=0.8, linestyle="--", zorder=0)
    return figure


TOY_GEOMETRY = Recipe(
    name="toy-geometry",
    title="The geometry of many equal features",
    source="T6: Elhage et al. 2022, Toy Models of Superposition (arXiv 2209.10652), and the slides on it",
    introduction=(
        "Four hundred features of equal importance share thirty dimensions. The sparser they are, the more "
        "of them the network embeds, and not at any ratio: features form small groups, orthogonal to each "
        "other, in which each has the same simple fraction of a dimension."
    ),
    config=GeometryConfig,
    presets={
        "smoke": GeometryConfig(
            seeds=(0, 1), steps=60, batch_size=64, lr=2e-2, n_features=30, n_hidden=5, densities=5
        ),
        # a mean steps · lr as the paper's: triangles and tetrahedra form late
        "quick": GeometryConfig(steps=6_000, batch_size=256, lr=3.3e-3, schedule="cosine", densities=20),
        "paper": GeometryConfig(),
    },
    claims=_CLAIMS,
    run=_run,
)
