"""How dimensionality is learned: in jumps while the loss falls, and as triangles that make an octahedron."""

import dataclasses
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Annotated, NamedTuple

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from superscope.core import Run, config
from superscope.measures import (
    Coincidence,
    coincidence,
    feature_dimensionality,
    feature_norms,
    find_drops,
    find_jumps,
)
from superscope.plots import plot_dynamics, plot_sweep
from superscope.recipes.claims import Claim, Verdict, judge
from superscope.recipes.recipe import Outcome, Recipe
from superscope.recipes.toy_training import ANTIPODAL, EMBEDDED, Count, Sweep, ToyTraining, train_seeds
from superscope.report import DataTable, Picture, Prose, Section
from superscope.toy import ToyConfig

HEIGHT, WINDOW, GAP = 0.1, 4, 2
"""A jump is a change of D_i by so much, within 2 · gap of 100 records: a twenty-fifth of the training."""
SETTLED = 20
"""The first of so many parts of the training, in which the biases settle, is not held against jumps."""
_JUMPING, _FASTER, _BY_CHANCE = 0.5, 2.0, 0.05
_DENSITIES = (0.35, 0.2)
_TRIPLES = 0.1
_EQUAL, _ORTHOGONAL = 0.1, 0.2
_COINCIDE = (
    f"The loss falls at least {_FASTER:g} times as fast around jumps of D_i as on average, and faster than "
    f"at {1 - _BY_CHANCE:.0%} of shifted times; the first 1/{SETTLED} of training left out"
)
_MOVE = f"{_JUMPING:.0%} or more of the features that end embedded have jumped by {HEIGHT:g} in D_i, or more"


def _claim(part: str, statement: str, setting: str) -> Claim:
    return Claim(f"T9-{part}", statement, setting, "TMS")


def _many(density: float) -> str:
    return f"n = 400, m = 30, I = 1; density {density:g}"


_TRIPLES_SETTING = f"n = 6, m = 3, two correlated triples; density {_TRIPLES:g}"
_CLAIMS = (
    *(_claim(f"jumps-{p:g}".replace(".", "-"), _MOVE, _many(p)) for p in _DENSITIES),
    *(_claim(f"coincide-{p:g}".replace(".", "-"), _COINCIDE, _many(p)) for p in _DENSITIES),
    _claim("coincide-triples", _COINCIDE, _TRIPLES_SETTING),
    _claim(
        "octahedron",
        "In the end three pairs are antipodal (cos < −0.95), each across the triples, and all others nearly "
        f"orthogonal (|cos| < {_ORTHOGONAL:g}): an octahedron",
        _TRIPLES_SETTING,
    ),
    _claim(
        "triangles-first",
        "The triples become regular triangles for good (norms above 0.5, distances equal within "
        f"{_EQUAL:.0%}) before they make an octahedron for good",
        _TRIPLES_SETTING,
    ),
)


@config
class DynamicsConfig(ToyTraining):
    """Many features at two densities, and two correlated triples, with a snapshot at each of 100 records."""

    restarts: Count = 1
    """Starts of each model, the best of which is kept."""
    n_features: Annotated[int, Field(ge=2)] = 400
    """Features of the large model, n."""
    n_hidden: Count = 30
    """Its hidden dimensions, m."""
    triple_steps: Annotated[int, Field(ge=2 * (WINDOW + GAP))] = 10_000
    """Optimizer steps of the model with triples."""
    triple_lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    """Its learning rate."""


class Motion(NamedTuple):
    """One model's training."""

    D: Float[Tensor, "record feature"]
    """Dimensionality of the features that end embedded."""
    jumps: Bool[Tensor, "record feature"]
    drops: Bool[Tensor, " record"]
    coincidence: Coincidence | None
    """None without a jump, or where the loss does not fall."""


def _run(config: DynamicsConfig, run: Run) -> Outcome:
    large = ToyConfig(n_features=config.n_features, n_hidden=config.n_hidden)
    many = train_seeds(run, "many", config, large, _DENSITIES, snapshots=True)
    slow = dataclasses.replace(config, steps=config.triple_steps, lr=config.triple_lr, schedule="constant")
    octahedra = ToyConfig(n_features=6, n_hidden=3, correlated=(3, 3))
    triples = train_seeds(run, "triples", slow, octahedra, [_TRIPLES], snapshots=True)

    labels = [*(_many(p) for p in _DENSITIES), _TRIPLES_SETTING]
    motions = [
        [motion(_path(sweep)[s, :, i], sweep.history[s, :, i]) for s in range(len(config.seeds))]
        for sweep, i in ((many, 0), (many, 1), (triples, 0))
    ]
    paths = _path(triples)[:, :, 0]
    tables = {
        "jumps": _jump_table(config, labels, motions),
        "triples": _triple_table(config, triples.steps, paths),
    }
    sources = (
        (many, 0, f"density {_DENSITIES[0]:g}"),
        (many, 1, f"density {_DENSITIES[1]:g}"),
        (triples, 0, "two correlated triples"),
    )
    names = (*(f"density-{p:g}".replace(".", "-") for p in _DENSITIES), "triples")
    pictures = {
        name: _picture(sweep.history[0, :, i], motions[k][0], sweep.steps, title)
        for k, (name, (sweep, i, title)) in enumerate(zip(names, sources, strict=True))
    }
    pictures["angles"] = _angles(paths, triples.steps)
    sections = [
        Section(
            "Dimensionality over training",
            [
                Prose(
                    "Lines are features that end with a norm above 0.5, in the first seed. A jump is a "
                    f"change of D_i by {HEIGHT:g} or more between the straight lines through {WINDOW} "
                    f"records before and after, within {2 * GAP} of 100 records; dots mark them, below at "
                    "the feature and above at the loss. A dashed line is a drop of log loss that stands out "
                    "of its noise by five standard deviations."
                ),
                *(pictures[name] for name in names),
                DataTable(tables["jumps"], "Every model and seed."),
            ],
        ),
        Section(
            "Triangles and an octahedron",
            [
                pictures["angles"],
                DataTable(tables["triples"], "The step from which each figure stands for good; none is −1."),
            ],
        ),
    ]
    tensors = many.tensors("many") | triples.tensors("triples") | {"triples/W_history": _path(triples)}
    return Outcome(_judged(motions, paths), tables, pictures, tensors, sections)


def motion(W: Float[Tensor, "record hidden feature"], loss: Float[Tensor, " record"]) -> Motion:
    """Return how the features of a model move while its loss falls."""
    kept = feature_norms(W[-1]) > EMBEDDED
    D = feature_dimensionality(W)[:, kept]
    jumps = find_jumps(D, HEIGHT, WINDOW, GAP)
    later = len(loss) // SETTLED
    falls = bool(jumps[later + GAP + 1 : len(loss) - GAP].any()) and bool(
        loss[later : later + 2 * GAP + 1].log().mean() > loss[-2 * GAP - 1 :].log().mean()
    )
    found = coincidence(jumps[later:], loss[later:], GAP) if falls else None
    return Motion(D, jumps, find_drops(loss, window=WINDOW, gap=GAP), found)


def coincides(found: Coincidence | None) -> bool:
    """Tell whether the loss falls where the jumps are, and not by chance."""
    return found is not None and found.enrichment >= _FASTER and found.p_value <= _BY_CHANCE


def triangles(W: Float[Tensor, "3 6"]) -> bool:
    """Tell whether the ends of the features 0, 1, 2 make a regular triangle, and those of 3, 4, 5 too."""
    if not bool((feature_norms(W) > EMBEDDED).all()):
        return False
    for triple in (W[:, :3], W[:, 3:]):
        sides = torch.stack([(triple[:, a] - triple[:, b]).norm() for a, b in combinations(range(3), 2)])
        if not bool(((sides / sides.mean() - 1).abs() <= _EQUAL).all()):
            return False
    return True


def octahedron(W: Float[Tensor, "3 6"]) -> bool:
    """Tell whether every feature has an antipode in the other triple, and is orthogonal to the rest."""
    norms = feature_norms(W)
    if not bool((norms > EMBEDDED).all()):
        return False
    cosines = (W / norms).mT @ (W / norms)
    opposite = cosines < ANTIPODAL
    across = opposite[:3, 3:]
    rest = cosines.abs() < _ORTHOGONAL
    pairs = bool((across.sum(0) == 1).all() and (across.sum(1) == 1).all())
    return pairs and bool((rest | opposite | torch.eye(6, dtype=torch.bool)).all())


def for_good(path: Float[Tensor, "record 3 6"], holds: Callable[[Tensor], bool]) -> int | None:
    """Return the record from which something holds to the end, None where it does not hold at the end."""
    first = None
    for record in range(len(path) - 1, -1, -1):
        if not holds(path[record]):
            break
        first = record
    return first


def _judged(motions: Sequence[Sequence[Motion]], paths: Float[Tensor, "seed record 3 6"]) -> list[Verdict]:
    values: list[tuple[list[bool], str]] = []
    for seeds in motions[:-1]:
        shares = [float(each.jumps.any(0).double().mean()) if each.D.numel() else 0.0 for each in seeds]
        told = ", ".join(f"{share:.0%}" for share in shares)
        values.append(([share >= _JUMPING for share in shares], f"Shares by seed: {told}."))
    for seeds in motions:
        told = "; ".join(
            "no jump after the start" if each.coincidence is None
            else f"{each.coincidence.enrichment:.2g} times, p = {each.coincidence.p_value:.2g}"
            for each in seeds
        )  # fmt: skip
        values.append(([coincides(each.coincidence) for each in seeds], f"By seed: {told}."))
    ends = [(for_good(path, triangles), for_good(path, octahedron)) for path in paths]
    values.append(([last is not None for _, last in ends], ""))
    values.append(([f is not None and last is not None and f < last for f, last in ends], ""))
    return [judge(claim, *each) for claim, each in zip(_CLAIMS, values, strict=True)]


def _path(sweep: Sweep) -> Float[Tensor, "seed record instance hidden feature"]:
    assert sweep.W_history is not None
    return sweep.W_history


def _jump_table(
    config: DynamicsConfig, labels: Sequence[str], motions: Sequence[Sequence[Motion]]
) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "model": label,
                "seed": seed,
                "features embedded": each.D.shape[1],
                "of them jump": int(each.jumps.any(0).sum()),
                "jumps": int(each.jumps.sum()),
                "drops of the loss": int(each.drops.sum()),
                "fall of the loss at jumps, times the average": (
                    None if each.coincidence is None else each.coincidence.enrichment
                ),
                "p": None if each.coincidence is None else each.coincidence.p_value,
            }
            for label, seeds in zip(labels, motions, strict=True)
            for seed, each in zip(config.seeds, seeds, strict=True)
        ]
    )


def _triple_table(
    config: DynamicsConfig, steps: Int[Tensor, " record"], paths: Float[Tensor, "seed record 3 6"]
) -> pd.DataFrame:
    rows = []
    for seed, path in zip(config.seeds, paths, strict=True):
        found = {"triangles": for_good(path, triangles), "octahedron": for_good(path, octahedron)}
        rows.append({"seed": seed} | {k: -1 if t is None else int(steps[t]) for k, t in found.items()})
    return pd.DataFrame(rows)


def _picture(loss: Tensor, seen: Motion, steps: Tensor, title: str) -> Picture:
    # a model too small or too short to embed a feature has no line to draw
    D = seen.D if seen.D.shape[1] else torch.zeros(len(loss), 1)
    jumps = seen.jumps if seen.jumps.shape[1] else torch.zeros(len(loss), 1, dtype=torch.bool)
    return Picture(
        plot_dynamics(loss, D, steps, jumps, seen.drops, title),
        "Training loss, and below it the dimensionality of each feature that ends embedded.",
        "Two panels over training steps: a falling loss with dots where features jump, and lines of "
        "dimensionality that rise one after the other to a common level.",
    )


def _angles(paths: Float[Tensor, "seed record 3 6"], steps: Int[Tensor, " record"]) -> Picture:
    directions = torch.nn.functional.normalize(paths, dim=-2)
    cosines = directions.mT @ directions
    rows, columns = zip(*combinations(range(3), 2), strict=True)
    within = (cosines[..., :3, :3] + cosines[..., 3:, 3:])[..., rows, columns].mean(-1) / 2
    across = cosines[..., :3, 3:].amin(-1).mean(-1)
    return Picture(
        plot_sweep(
            torch.stack([within, across], 1),
            steps.double(),
            ["between two features of a triple", "to the nearest antipode in the other"],
            x_name="training step",
            y_name="mean cosine",
            log_x=False,
        ),
        "Mean cosines of the triples, mean over seeds with its 95 % interval. A triple opens until its "
        "features are orthogonal, which makes a regular triangle of their ends; the antipodes come later.",
        "Two curves over training: one rises and then falls to 0, the other falls, slower, to −1.",
    )


TOY_DYNAMICS = Recipe(
    name="toy-dynamics",
    title="How dimensionality is learned",
    source="T9: Elhage et al. 2022, Toy Models of Superposition (arXiv 2209.10652), section 6",
    introduction=(
        "While a toy model learns, its features do not drift to their share of a dimension together. One "
        "after the other jumps to it, and the loss falls as they do. With two triples of correlated features "
        "one sees what happens: each triple opens to a triangle first, and then the two turn until they make "
        "an octahedron."
    ),
    config=DynamicsConfig,
    presets={
        "smoke": DynamicsConfig(
            seeds=(0, 1), steps=60, batch_size=64, lr=2e-2, n_features=30, n_hidden=5, triple_steps=100,
            triple_lr=2e-2,
        ),
        "quick": DynamicsConfig(steps=5_000, batch_size=512, lr=2e-3),
        "paper": DynamicsConfig(),
    },
    claims=_CLAIMS,
    run=_run,
)  # fmt: skip
