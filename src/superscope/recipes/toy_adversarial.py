"""Attacks on toy models: superposition gives small changes of the input a hold on many outputs."""

from collections.abc import Sequence
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from superscope.core import Run, config, generator
from superscope.plots import plot_relation, plot_sweep
from superscope.recipes.claims import Claim, Verdict, judge
from superscope.recipes.recipe import Outcome, Recipe
from superscope.recipes.toy_training import (
    Count,
    Sweep,
    ToyTraining,
    rank_correlation,
    squared_norm,
    train_seeds,
)
from superscope.report import DataTable, Picture, Prose, Section
from superscope.toy import ToyConfig, adversarial_vulnerability, draw

_RISE, _CORRELATION = 3, 0.9
_READINGS = {"each": "the worst for each input", "one": "the worst for all inputs together"}
"""Published is "the one which most harms model performance"; both readings are judged."""
_STATEMENTS = {
    "rise": f"The highest vulnerability (L′ − L)/(L′₀ − L₀) of the sweep is more than {_RISE} times that of "
    "the model at density 1",
    "level": f"The highest vulnerability of the sweep is more than {_RISE}, where a model without "
    "superposition has 1, in closed form",
    "tracks": "Vulnerability tracks features per dimension ‖W‖²_F/m: Spearman's rank correlation over the "
    f"densities is at least {_CORRELATION:g}",
}
_CLAIMS = tuple(
    Claim(
        f"T10-{part}-{reading}",
        statement,
        "I = 1, ReLU, densities from 1 to 0.01; L2 attacks of 0.1 × the mean input norm along a row of WᵀW, "
        + which,
        "TMS",
    )
    for reading, which in _READINGS.items()
    for part, statement in _STATEMENTS.items()
)


@config
class AdversarialConfig(ToyTraining):
    """Equally important features at densities from 1 to 0.01, attacked."""

    features: Count = 100
    """n."""
    hidden: Count = 20
    """m."""
    densities: Annotated[int, Field(ge=3)] = 11
    """Densities 100^−s, s from 0 to 1."""
    samples: Count = 4_096
    """Clean inputs that are attacked, for each model."""


def _run(config: AdversarialConfig, run: Run) -> Outcome:
    model = ToyConfig(n_features=config.features, n_hidden=config.hidden)
    densities = [100 ** (-k / (config.densities - 1)) for k in range(config.densities)]
    sweep = train_seeds(run, "sweep", config, model, densities)
    attacks = [
        run.stage(
            f"attack-seed-{seed}", lambda s=s, seed=seed: _attacked(config, model, densities, sweep, s, seed)
        )
        for s, seed in enumerate(config.seeds)
    ]
    vulnerability = torch.stack([found["vulnerability"] for found in attacks])
    packed = squared_norm(sweep.W) / config.hidden
    labels = [f"density {p:.3g}" for p in densities]
    table = sweep.table(labels, densities, config.seeds)
    table["features per dimension"] = packed.T.flatten().tolist()
    for r, reading in enumerate(_READINGS):
        table[f"vulnerability, {reading}"] = vulnerability[:, r].T.flatten().tolist()
    pictures = _pictures(densities, vulnerability, packed)
    sections = [
        Section(
            "Vulnerability and superposition",
            [
                Prose(
                    f"{config.features} features in {config.hidden} dimensions, {len(config.seeds)} seeds. "
                    f"{config.samples:,} inputs meet, each, the attack that harms it most, or, all, the one "
                    "that harms them most on average; the target is what the clean input should give. "
                    "Vulnerability is the harm over that to a model which embeds m features along the axes "
                    "and no others, at attacks of the same length: ε² max I. In the last picture a dot is a "
                    "density and seed, with an attack for each input."
                ),
                *pictures.values(),
                DataTable(table, "Every density and seed."),
            ],
        )
    ]
    tensors = sweep.tensors("sweep") | {"vulnerability": vulnerability}
    return Outcome(_judged(vulnerability, packed), {"sweep": table}, pictures, tensors, sections)


def _attacked(
    config: AdversarialConfig, model: ToyConfig, densities: Sequence[float], sweep: Sweep, s: int, seed: int
) -> dict[str, Tensor]:
    draws = generator(seed, "attacked")
    values = []
    for k, p in enumerate(densities):
        x = draw(model, torch.full((config.features,), p), config.samples, draws)
        W, b, importance = sweep.W[s, k], sweep.b[s, k], torch.ones(config.features)
        values.append(
            torch.stack(
                [
                    adversarial_vulnerability(x, W, b, importance, one=reading == "one")
                    for reading in _READINGS
                ]
            )
        )
    return {"vulnerability": torch.stack(values, 1)}


def _judged(
    vulnerability: Float[Tensor, "seed reading density"], packed: Float[Tensor, "seed density"]
) -> list[Verdict]:
    """Judge the claims; density 1 comes first."""
    rows = []
    for r in range(len(_READINGS)):
        rise, level, tracks = _CLAIMS[3 * r : 3 * r + 3]
        levels = [float(row.max()) for row in vulnerability[:, r]]
        rises = [float(row.max() / row[0]) for row in vulnerability[:, r]]
        ranks = [rank_correlation(a, b) for a, b in zip(vulnerability[:, r], packed, strict=True)]
        rows += [
            judge(rise, [each > _RISE for each in rises], f"Rises by seed: {_listed(rises)}."),
            judge(level, [each > _RISE for each in levels], f"Highest by seed: {_listed(levels)}."),
            judge(tracks, [each >= _CORRELATION for each in ranks], f"Correlations: {_listed(ranks)}."),
        ]
    return rows


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _pictures(
    densities: Sequence[float],
    vulnerability: Float[Tensor, "seed reading density"],
    packed: Float[Tensor, "seed density"],
) -> dict[str, Picture]:
    sparser = [1 / p for p in densities]
    x_name = "1/density"
    return {
        "vulnerability": Picture(
            plot_sweep(
                vulnerability,
                sparser,
                [f"attack {which}" for which in ("of each input", "of all together")],
                x_name=x_name,
                y_name="vulnerability (L′ − L)/(L′₀ − L₀)",
            ),
            "Vulnerability against sparsity, mean over seeds and 95 % interval.",
            "Two curves against one over the density.",
        ),
        "features-per-dimension": Picture(
            plot_sweep(
                packed[:, None],
                sparser,
                ["trained model"],
                x_name=x_name,
                y_name="features per dimension ‖W‖²_F / m",
            ),
            "Features per dimension of the same models.",
            "A curve against one over the density.",
        ),
        "relation": Picture(
            plot_relation(
                packed.flatten(),
                vulnerability[:, 0].flatten(),
                [*densities] * len(vulnerability),
                x_name="features per dimension ‖W‖²_F / m",
                y_name="vulnerability (L′ − L)/(L′₀ − L₀)",
                color_name="density 1 − S",
            ),
            "Vulnerability against features per dimension, a dot for each density and seed.",
            "Dots, coloured by density.",
        ),
    }


TOY_ADVERSARIAL = Recipe(
    name="toy-adversarial",
    title="Superposition and adversarial examples",
    source="T10: Elhage et al. 2022, Toy Models of Superposition (arXiv 2209.10652), adversarial robustness",
    introduction=(
        "In a model without superposition an output depends on its own feature. With superposition a row of "
        "WᵀW has entries for other features too, and who changes them a little changes the output. "
        "Equally important features are trained at densities from 1 to 0.01, and attacked along the rows."
    ),
    config=AdversarialConfig,
    presets={
        "smoke": AdversarialConfig(
            seeds=(0, 1),
            steps=60,
            batch_size=128,
            lr=2e-2,
            restarts=1,
            features=20,
            hidden=4,
            densities=3,
            samples=512,
        ),
        "quick": AdversarialConfig(steps=4_000, batch_size=512, lr=2.5e-3, schedule="cosine", restarts=1),
        "paper": AdversarialConfig(restarts=1, features=400, hidden=30, densities=30),
    },
    claims=_CLAIMS,
    run=_run,
)
