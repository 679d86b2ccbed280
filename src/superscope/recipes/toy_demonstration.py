"""Twenty features in five dimensions: a linear model keeps five, ReLU lets sparse features superpose."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from superscope.core import Run, config
from superscope.measures import interference
from superscope.recipes.claims import Claim, Verdict, judge
from superscope.recipes.recipe import Outcome, Recipe
from superscope.recipes.toy_pictures import gram_picture, history_picture, norms_picture
from superscope.recipes.toy_training import (
    ANTIPODAL,
    ORTHOGONAL,
    Sweep,
    ToyTraining,
    antipodal_pairs,
    cosines,
    embedded,
    only_the_top,
    squared_norm,
    train_seeds,
)
from superscope.report import DataTable, Picture, Prose, Section
from superscope.toy import ToyConfig

_DENSITIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
_LABELS = [f"density {p:g}" for p in _DENSITIES]
_PUBLISHED_NORMS = (5.0, 5.9, 9.1, 9.9, 12.3, 11.2, 14.8)
_SINGLE_STEPS = 5_470
_SUPERPOSED = 0.1
_MODELS = {"": (20, 5, 0.7), "wide-": (80, 20, 0.9)}

_TOP = "the top m features and no others are embedded (‖W_i‖ > 0.5), orthogonal to each other (|cos| < 0.05)"
_STATEMENTS = {
    "linear": f"Linear model, every density: {_TOP}",
    "dense": f"ReLU model, density 1: {_TOP}",
    "antipodal": (
        "ReLU model, the highest density at which more than m features are embedded: every embedded feature "
        "is orthogonal to the others (|cos| < 0.05) or has an antipode (cos < −0.95), and the most important "
        "one is still orthogonal to all"
    ),
    "sparse": (
        "ReLU model, density 0.001: more than m features are embedded and each of them is superposed "
        f"(interference Σ_{{j≠i}}(Ŵ_i·W_j)² > {_SUPERPOSED:g})"
    ),
}
_CLAIMS = (
    *(
        Claim(f"T3-{size}{part}", statement, f"n = {n}, m = {m}, I = {r:g}^i", "slides, TMS")
        for size, (n, m, r) in _MODELS.items()
        for part, statement in _STATEMENTS.items()
    ),
    *(
        Claim(
            f"T3-norm-{p:g}",
            f"‖W‖²_F = {published} at density {p:g}",
            f"n = 20, m = 5, I = 0.7^i, ReLU; one start, {_SINGLE_STEPS:,} steps",
            "an independent run",
            published,
            published / 10,
        )
        for p, published in zip(_DENSITIES, _PUBLISHED_NORMS, strict=True)
    ),
)


_TITLES = {
    "linear": "Linear model",
    "relu": "ReLU model",
    "wide-linear": "Linear model, n = 80",
    "wide-relu": "ReLU model, n = 80",
    "single": f"ReLU model, one start, {_SINGLE_STEPS:,} steps",
}
_LINEAR = "Without a nonlinearity, interference costs more than a further feature brings, at every density."
_RELU = "ReLU removes negative interference, so sparse features can share dimensions."
_TEXTS = {
    "linear": _LINEAR,
    "relu": f"{_RELU} The best of several starts.",
    "wide-linear": _LINEAR,
    "wide-relu": f"{_RELU} The best of several starts.",
    "single": "The training behind the published squared norms.",
}


@config
class DemonstrationConfig(ToyTraining):
    """Linear and ReLU models at seven densities, n = 20 and m = 5."""

    norms: bool = True
    """Train also as for the published ‖W‖²_F: one start, 5,470 steps, the other options by default."""
    wide: bool = False
    """Train also n = 80, m = 20."""
    wide_restarts: Annotated[int, Field(ge=1)] = 2
    """Starts of each wide ReLU model."""


def _run(config: DemonstrationConfig, run: Run) -> Outcome:
    sweeps = _trained(config, run)
    tables = {part: sweep.table(_LABELS, _DENSITIES, config.seeds) for part, sweep in sweeps.items()}
    pictures = {part: _pictures(sweep) for part, sweep in sweeps.items()}
    sections = [
        Section(
            _TITLES[part],
            [
                Prose(f"{_TEXTS[part]} The pictures show the first seed of {len(config.seeds)}."),
                *pictures[part].values(),
                DataTable(tables[part], "Every density and seed."),
            ],
        )
        for part in sweeps
    ]
    return Outcome(
        rows=_judged(sweeps),
        tables=tables,
        pictures={f"{part}-{name}": each for part in sweeps for name, each in pictures[part].items()},
        tensors={name: each for part, sweep in sweeps.items() for name, each in sweep.tensors(part).items()},
        sections=sections,
    )


def _trained(config: DemonstrationConfig, run: Run) -> dict[str, Sweep]:
    sweeps = {}
    for size, (n, m, r) in _MODELS.items():
        if size and not config.wide:
            continue
        linear = ToyConfig(n_features=n, n_hidden=m, importance=r, output="linear")
        relu = ToyConfig(n_features=n, n_hidden=m, importance=r)
        # one start: a linear autoencoder has no local minimum but the global one (Baldi and Hornik 1989)
        once = dataclasses.replace(config, restarts=1)
        best = dataclasses.replace(config, restarts=config.wide_restarts) if size else config
        sweeps[f"{size}linear"] = train_seeds(run, f"{size}linear", once, linear, _DENSITIES)
        sweeps[f"{size}relu"] = train_seeds(run, f"{size}relu", best, relu, _DENSITIES)
    if config.norms:
        n, m, r = _MODELS[""]
        relu = ToyConfig(n_features=n, n_hidden=m, importance=r)
        published = ToyTraining(
            seeds=config.seeds, steps=_SINGLE_STEPS, restarts=1, device=config.device, threads=config.threads
        )
        sweeps["single"] = train_seeds(run, "single", published, relu, _DENSITIES)
    return sweeps


def _judged(sweeps: Mapping[str, Sweep]) -> list[Verdict]:
    values: dict[str, list[float]] = {}
    evidence: dict[str, str] = {}
    for size, (_, m, _) in _MODELS.items():
        if f"{size}relu" not in sweeps:
            continue
        linear, relu = sweeps[f"{size}linear"].W, sweeps[f"{size}relu"].W
        kept = [sum(only_the_top(w, m) for w in seed) for seed in linear]
        first = [_first_superposed(seed, m) for seed in relu]
        values |= {
            f"T3-{size}linear": [count == len(_DENSITIES) for count in kept],
            f"T3-{size}dense": [only_the_top(seed[0], m) for seed in relu],
            f"T3-{size}antipodal": [
                i is not None and _in_antipodal_pairs(seed[i]) for i, seed in zip(first, relu, strict=True)
            ],
            f"T3-{size}sparse": [_all_superposed(seed[-1], m) for seed in relu],
        }
        evidence |= {
            f"T3-{size}linear": f"Densities of {len(_DENSITIES)} where it holds, by seed: {_listed(kept)}.",
            f"T3-{size}antipodal": "Density and antipodal pairs there, by seed: "
            + _listed(
                "none" if i is None else f"{_DENSITIES[i]:g} ({antipodal_pairs(seed[i])})"
                for i, seed in zip(first, relu, strict=True)
            )
            + ".",
            f"T3-{size}sparse": "Features embedded, by seed: "
            + _listed(int(embedded(seed[-1]).sum()) for seed in relu)
            + ".",
        }
    if "single" in sweeps:
        norms = squared_norm(sweeps["single"].W).T.tolist()
        values |= {f"T3-norm-{p:g}": each for p, each in zip(_DENSITIES, norms, strict=True)}
    left_out = "The config leaves this training out."
    return [
        judge(claim, values.get(claim.id, []), evidence.get(claim.id, "" if claim.id in values else left_out))
        for claim in _CLAIMS
    ]


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))


def _first_superposed(W: Float[Tensor, "instance hidden feature"], m: int) -> int | None:
    return next((i for i, each in enumerate(W) if embedded(each).sum() > m), None)


def _in_antipodal_pairs(W: Float[Tensor, "hidden feature"]) -> bool:
    among = cosines(W)
    alone = (among.abs() < ORTHOGONAL).all(1)
    paired = (among < ANTIPODAL).any(1)
    return bool((alone | paired).all() and embedded(W)[0] and alone[0])


def _all_superposed(W: Float[Tensor, "hidden feature"], m: int) -> bool:
    shared = interference(W)[embedded(W)]
    return len(shared) > m and bool((shared > _SUPERPOSED).all())


def _pictures(sweep: Sweep) -> dict[str, Picture]:
    return {
        "gram": gram_picture(sweep, _LABELS),
        "norms": norms_picture(sweep, _LABELS),
        "history": history_picture(sweep, _LABELS),
    }


TOY_DEMONSTRATION = Recipe(
    name="toy-demonstration",
    title="Superposition as features become sparse",
    source="T3: Elhage et al. 2022, Toy Models of Superposition (arXiv 2209.10652), and the slides on it",
    introduction=(
        "A network squeezes twenty features of falling importance into five dimensions, at seven densities "
        "from always active to active in one input of a thousand. A linear one keeps the five most important "
        "features whatever the density; one with a ReLU embeds more of them the sparser they are."
    ),
    config=DemonstrationConfig,
    presets={
        "smoke": DemonstrationConfig(
            seeds=(0, 1), steps=150, batch_size=256, lr=1e-2, restarts=2, norms=False
        ),
        "quick": DemonstrationConfig(),
        "paper": DemonstrationConfig(wide=True),
    },
    claims=_CLAIMS,
    run=_run,
)
