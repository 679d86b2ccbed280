"""Five features in two dimensions: two orthogonal ones, then antipodal pairs, then, sparse, a pentagon."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from superscope.core import Run, config
from superscope.measures import feature_dimensionality
from superscope.plots import plot_dimensionality
from superscope.recipes.claims import Claim, Verdict, judge
from superscope.recipes.recipe import Outcome, Recipe
from superscope.recipes.toy_pictures import (
    features_picture,
    gram_picture,
    history_picture,
    norms_picture,
)
from superscope.recipes.toy_training import (
    ORTHOGONAL,
    Sweep,
    ToyTraining,
    antipodal_pairs,
    cosines,
    embedded,
    squared_norm,
    train_seeds,
)
from superscope.report import DataTable, Picture, Prose, Section
from superscope.toy import ToyConfig

_N, _M = 5, 2
_SPARSITIES = (0.0, 0.8, 0.9)
_FALLING, _EQUAL = [0.9**i for i in range(_N)], [1.0] * _N
_IMPORTANCES = {"I=0.9^i": _FALLING, "I=1": _EQUAL}
_WITHIN = 0.02


def _claim(part: str, statement: str, setting: str, *numbers: float) -> Claim:
    return Claim(f"T2-{part}", statement, f"n = 5, m = 2, ReLU; {setting}", "slides, TMS", *numbers)


_PENTAGON = (
    f"All five features are embedded as a pentagon: ‖W_i‖ > 0.5 and D_i within {_WITHIN} of 2/5 for each"
)
_CLAIMS = (
    _claim(
        "dense",
        "Exactly two features are embedded (‖W_i‖ > 0.5), and they are orthogonal (|cos| < 0.05)",
        "I = 0.9^i, S = 0",
    ),
    _claim(
        "antipodal",
        "The four most important features are embedded (‖W_i‖ > 0.5) as two antipodal pairs (cos < −0.95), "
        "the least important one is not",
        "I = 0.9^i, S = 0.8",
    ),
    _claim("pentagon-falling", _PENTAGON, "I = 0.9^i, S = 0.9"),
    _claim("norm-falling", "‖W‖²_F is near 6.4", "I = 0.9^i, S = 0.9", 6.4, 0.4),
    _claim("pentagon-equal", _PENTAGON, "I = 1, S = 0.9"),
    _claim("norm-equal", "‖W‖²_F is near 6.4", "I = 1, S = 0.9", 6.4, 0.4),
)


@config
class PentagonConfig(ToyTraining):
    """Three sparsities with falling and equal importance, and a sweep of density 20^−t, t from 0 to 1."""

    sweep: Annotated[int, Field(ge=2)] = 10
    """Densities of the sweep."""


def _run(config: PentagonConfig, run: Run) -> Outcome:
    model = ToyConfig(n_features=_N, n_hidden=_M)
    states = [(name, S) for name in _IMPORTANCES for S in _SPARSITIES]
    labels = [f"S={S:g}, {name}" for name, S in states]
    density = [1 - S for _, S in states]
    importance = torch.tensor([_IMPORTANCES[name] for name, _ in states])
    main = train_seeds(run, "states", config, model, density, importance)

    densities = [20 ** (-k / (config.sweep - 1)) for k in range(config.sweep)]
    falling = torch.tensor(_FALLING).expand(config.sweep, _N)
    sweep = train_seeds(run, "sweep", config, model, densities, falling)
    sweep_labels = [f"density {p:.3g}" for p in densities]

    tables = {
        "states": main.table(labels, density, config.seeds),
        "sweep": sweep.table(sweep_labels, densities, config.seeds),
    }
    pictures = _pictures(main, labels, sweep, sweep_labels, densities)
    sections = [
        Section(
            "Three sparsities",
            [
                Prose(
                    f"The pictures show the first seed of {len(config.seeds)}, the tables all of them. Of "
                    f"{config.restarts} starts of each model the one with the lowest loss is kept."
                ),
                *(pictures[name] for name in ("features", "gram", "norms", "history")),
                DataTable(tables["states"], "Every model and seed."),
            ],
        ),
        Section(
            "From dense to sparse",
            [
                Prose("The same network with importance 0.9^i at densities 20^−t, t from 0 to 1."),
                pictures["sweep-features"],
                pictures["sweep-dimensionality"],
                DataTable(tables["sweep"], "Every density and seed."),
            ],
        ),
    ]
    tensors = main.tensors("states") | sweep.tensors("sweep")
    return Outcome(_judged(main.W), tables, pictures, tensors, sections)


def _judged(W: Float[Tensor, "seed instance hidden feature"]) -> list[Verdict]:
    dense, digons, falling, _, _, equal = W.unbind(1)
    values = [
        [_two_orthogonal(w) for w in dense],
        [_two_pairs_of_the_top(w) for w in digons],
        [_pentagon(w) for w in falling],
        squared_norm(falling).tolist(),
        [_pentagon(w) for w in equal],
        squared_norm(equal).tolist(),
    ]
    return [judge(claim, each) for claim, each in zip(_CLAIMS, values, strict=True)]


def _two_orthogonal(W: Float[Tensor, "hidden feature"]) -> bool:
    return int(embedded(W).sum()) == 2 and bool((cosines(W).abs() < ORTHOGONAL).all())


def _two_pairs_of_the_top(W: Float[Tensor, "hidden feature"]) -> bool:
    return embedded(W).tolist() == [True] * 4 + [False] and antipodal_pairs(W) == 2


def _pentagon(W: Float[Tensor, "hidden feature"]) -> bool:
    D = feature_dimensionality(W)
    return bool(embedded(W).all() and ((D - 2 / _N).abs() <= _WITHIN).all())


def _pictures(
    main: Sweep, labels: list[str], sweep: Sweep, sweep_labels: list[str], densities: list[float]
) -> dict[str, Picture]:
    D = feature_dimensionality(sweep.W).flatten(0, 1)
    return {
        "features": features_picture(main, labels, _FALLING),
        "gram": gram_picture(main, labels),
        "norms": norms_picture(main, labels),
        "history": history_picture(main, labels),
        "sweep-features": features_picture(sweep, sweep_labels, _FALLING),
        "sweep-dimensionality": Picture(
            plot_dimensionality(D, densities * len(sweep.W)),
            "Dimensionality of each feature against density, all seeds.",
            "Dots over a log axis of density, with lines at the fractions of known polytopes.",
        ),
    }


TOY_PENTAGON = Recipe(
    name="toy-pentagon",
    title="Five features in two dimensions",
    source="T2: Elhage et al. 2022, Toy Models of Superposition (arXiv 2209.10652), and the slides on it",
    introduction=(
        "A network squeezes five features into two dimensions and reads them back through a ReLU. As "
        "features become sparse, two of them are active at once less often, and the network embeds more "
        "features than it has dimensions: two, then four as antipodal pairs, then all five as a pentagon."
    ),
    config=PentagonConfig,
    presets={
        "smoke": PentagonConfig(seeds=(0, 1), steps=200, batch_size=256, lr=1e-2, restarts=2, sweep=3),
        "quick": PentagonConfig(),
        "paper": PentagonConfig(seeds=tuple(range(10))),
    },
    claims=_CLAIMS,
    run=_run,
)
