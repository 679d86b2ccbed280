"""One of five features made sparser or denser: a pentagon that is deformed, and then jumps to two digons."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Annotated

import pandas as pd
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from superscope.core import Run, config
from superscope.plots import plot_features, plot_solutions, plot_sweep
from superscope.recipes.claims import Claim, Verdict, judge
from superscope.recipes.recipe import Outcome, Recipe
from superscope.recipes.toy_deformation import GAPS, VARIED, aligned, crossings, kind, room, turns
from superscope.recipes.toy_training import Sweep, ToyTraining, train_seeds
from superscope.report import DataTable, Picture, Prose, Section
from superscope.toy import ToyConfig, best_polygon, four_feature_face, regular_polygon

_N, _M, _DENSITY = 5, 2, 0.05
_FACTOR, _ABOUT = 2.5, 0.5
_DECADES = -1.0, 0.5
_BRANCHES = ("pentagon", "digons")

_PENTAGON = f"a pentagon (‖W_i‖ > 0.5 for all five, gaps of {GAPS[0]:g}° to {GAPS[1]:g}° between neighbours)"
_DIGONS = (
    "two digons (the varied feature has ‖W_i‖ ≤ 0.5, the other four are two antipodal pairs, cos < −0.95)"
)


def _claim(part: str, statement: str, *numbers: float) -> Claim:
    setting = f"n = {_N}, m = {_M}, I = 1, ReLU; density {_DENSITY:g}, that of one feature varied"
    return Claim(f"T7-{part}", statement, setting, "TMS", *numbers)


_CLAIMS = (
    _claim(
        "geometries",
        f"The best of several starts is {_PENTAGON} at equal densities, and {_DIGONS} when one is 10 times "
        "sparser",
    ),
    _claim(
        "switch",
        "How many times sparser one feature is where the best of several starts turns from pentagon to "
        f"digons; about 2.5, taken as ± {_ABOUT:g}",
        _FACTOR,
        _ABOUT,
    ),
    _claim(
        "crossing",
        "How many times sparser one feature is where the losses of the two solutions cross, each trained "
        f"from its own start; about 2.5, taken as ± {_ABOUT:g}",
        _FACTOR,
        _ABOUT,
    ),
    _claim(
        "first-order",
        "The two losses cross once, digons having the lower one on the sparse side, and both solutions keep "
        "their geometry in training on both sides of the crossing",
    ),
    _claim(
        "deformation",
        "Of the pentagons trained from a pentagon, the varied feature has more room (the two gaps beside it) "
        "at the highest density than at equal densities, and less at the lowest where the pentagon stands",
    ),
)


@config
class NonuniformConfig(ToyTraining):
    """One feature from ten times sparser than the others to 3.2 times denser."""

    per_decade: Annotated[int, Field(ge=2, multiple_of=2)] = 10
    """Densities of the varied feature in a decade; from 10^-1 to 10^0.5 times those of the others."""


def relative_densities(per_decade: int) -> list[float]:
    """Return what the varied feature's density is multiplied with, from the lowest; 1 is among them."""
    first, last = (round(end * per_decade) for end in _DECADES)
    return [10 ** (k / per_decade) for k in range(first, last + 1)]


def _run(config: NonuniformConfig, run: Run) -> Outcome:
    relative = relative_densities(config.per_decade)
    density = torch.full((len(relative), _N), _DENSITY)
    density[:, VARIED] *= torch.tensor(relative)
    model = ToyConfig(n_features=_N, n_hidden=_M)

    free = train_seeds(run, "free", config, model, density)
    once = dataclasses.replace(config, restarts=1)  # restarts from one start see the same batches
    branches = [
        train_seeds(run, name, once, model, density, initial=start.expand(len(relative), _M, _N))
        for name, start in zip(_BRANCHES, _starts(), strict=True)
    ]
    kinds = {
        name: [[kind(W) for W in seed] for seed in sweep.W]
        for name, sweep in zip(("free", *_BRANCHES), (free, *branches), strict=True)
    }
    losses = torch.stack([free.loss, *(sweep.loss for sweep in branches)], 1)
    table = _table(config.seeds, relative, kinds, losses)
    pictures = _pictures(relative, free, branches, kinds)
    sections = [
        Section(
            "Two solutions",
            [
                Prose(
                    "Each solution is trained at every density from a start of its own, the pentagon and the "
                    "two digons, and is left out where training leads it away from its geometry. Where the "
                    "loss curves cross, the best solution jumps while both are still stable: a phase change "
                    f"of first order. Means over {len(config.seeds)} seeds with 95 % intervals."
                ),
                pictures["loss"],
                pictures["difference"],
                pictures["solutions"],
            ],
        ),
        Section(
            "The best of several starts",
            [
                Prose(
                    f"Of {config.restarts} random starts the one with the lowest loss is kept; the first of "
                    f"{len(config.seeds)} seeds. Feature {VARIED} is the varied one."
                ),
                pictures["features"],
                DataTable(table, "Every density and seed."),
            ],
        ),
    ]
    tensors = free.tensors("free")
    for name, sweep in zip(_BRANCHES, branches, strict=True):
        tensors |= sweep.tensors(name)
    rows = _judged(relative, free.W, branches[0].W, losses[:, 1:], kinds)
    return Outcome(rows, {"solutions": table}, pictures, tensors, sections)


def _starts() -> tuple[Tensor, Tensor]:
    digons = torch.zeros(_M, _N)
    digons[:, torch.arange(_N) != VARIED] = four_feature_face()
    return regular_polygon(_N, best_polygon(_N).radius), digons


def _judged(
    relative: Sequence[float],
    free: Float[Tensor, "seed point 2 feature"],
    pentagons: Float[Tensor, "seed point 2 feature"],
    losses: Float[Tensor, "seed 2 point"],
    kinds: dict[str, list[list[str]]],
) -> list[Verdict]:
    """Judge the claims; ``losses`` and ``kinds`` of the branches are those of the pentagon and the digons."""
    seeds = range(len(free))
    even = min(range(len(relative)), key=lambda k: abs(relative[k] - 1))
    standing = torch.tensor([[[k == name for k in kinds[name][s]] for name in _BRANCHES] for s in seeds])
    crossed = [crossings(relative, losses[s], standing[s]) for s in seeds]
    turned = [turns(kinds["free"][s], relative) for s in seeds]
    first_order = [len(crossed[s]) == 1 and _beside(relative, crossed[s][0], standing[s]) for s in seeds]
    more_room = []
    for s in seeds:
        stands = standing[s, 0].nonzero().flatten().tolist()
        spaces = {k: room(pentagons[s, k]) for k in stands}
        last = len(relative) - 1
        more_room.append(
            {even, last} <= set(stands)
            and stands[0] < even
            and spaces[last] > spaces[even] > spaces[stands[0]]
        )
    both = [kinds["free"][s][even] == "pentagon" and kinds["free"][s][0] == "digons" for s in seeds]
    turning = [1 / place for place in turned if place is not None]
    crossing = [1 / found[0] for found in crossed if len(found) == 1]
    return [
        judge(_CLAIMS[0], both),
        judge(_CLAIMS[1], turning, _missing(turning, len(seeds), "a clean turn")),
        judge(_CLAIMS[2], crossing, _missing(crossing, len(seeds), "one crossing")),
        judge(_CLAIMS[3], first_order),
        judge(_CLAIMS[4], more_room),
    ]


def _missing(values: Sequence[float], seeds: int, what: str) -> str:
    return "" if len(values) == seeds else f"{seeds - len(values)} of {seeds} seeds did not show {what}."


def _beside(relative: Sequence[float], place: float, standing: Bool[Tensor, "2 point"]) -> bool:
    """Tell whether both solutions stand at the two grid points around a crossing."""
    after = next(k for k, r in enumerate(relative) if r >= place)
    return bool(standing[:, after - 1 : after + 1].all())


def _table(
    seeds: Sequence[int],
    relative: Sequence[float],
    kinds: dict[str, list[list[str]]],
    losses: Float[Tensor, "seed 3 point"],
) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"relative density": r, "seed": seed}
            | {
                f"{name}, {what}": value
                for j, name in enumerate(kinds)
                for what, value in (("loss", float(losses[s, j, k])), ("geometry", kinds[name][s][k]))
            }
            for k, r in enumerate(relative)
            for s, seed in enumerate(seeds)
        ]
    )


def _pictures(
    relative: Sequence[float], free: Sweep, branches: Sequence[Sweep], kinds: dict[str, list[list[str]]]
) -> dict[str, Picture]:
    stands = torch.tensor(
        [[[k == name for k in seed] for seed in kinds[name]] for name in _BRANCHES]
    ).transpose(0, 1)
    losses = torch.stack([sweep.loss for sweep in branches], 1).where(stands, torch.nan)
    first = torch.stack(
        [
            torch.stack([aligned(W, (VARIED, VARIED + 1)[j]) for W in sweep.W[0]])
            for j, sweep in enumerate(branches)
        ]
    ).where(stands[0, ..., None, None], torch.nan)
    x_name = "density of the varied feature over that of the others"
    shown = range(0, len(relative), max(1, math.ceil(len(relative) / 8)))
    return {
        "loss": Picture(
            plot_sweep(losses, relative, _BRANCHES, x_name=x_name, y_name="loss", marks=[1 / _FACTOR]),
            "Loss of the two solutions; the dashed line is the published crossing, 2.5 times sparser.",
            "Two curves that rise with density and cross.",
        ),
        "difference": Picture(
            plot_sweep(
                losses[:, :1] - losses[:, 1:],
                relative,
                ["pentagon less digons"],
                x_name=x_name,
                y_name="difference of loss",
                marks=[1 / _FACTOR],
            ),
            "Loss of the pentagon less that of the digons, on the same draws; the digons win above zero.",
            "A curve that falls with density, through zero near the dashed line.",
        ),
        "solutions": Picture(
            plot_solutions(first, ["pentagon, varied one up", "digons"], relative, "relative density"),
            "The two solutions, turned so that they can be compared; the first seed.",
            "Pentagons, and squares with a dot in the middle, over each other, coloured by density.",
        ),
        "features": Picture(
            plot_features(
                torch.stack(
                    [aligned(free.W[0, k], VARIED + (kinds["free"][0][k] == "digons")) for k in shown]
                ),
                [f"× {relative[k]:.2g}" for k in shown],
            ),
            "The best of several starts, the varied feature up where it is embedded. Titles: its density "
            "over that of the others.",
            f"Lines from the origin in {len(shown)} panels: two digons on the sparse side, then pentagons.",
        ),
    }


TOY_NONUNIFORM = Recipe(
    name="toy-nonuniform",
    title="One feature sparser than the others",
    source="T7: Elhage et al. 2022, Toy Models of Superposition (arXiv 2209.10652), perturbing one feature",
    introduction=(
        "Five sparse features of equal importance stand as a regular pentagon in two dimensions. When one of "
        "them becomes denser the others give way to it, and when it becomes sparser they take its room. When "
        "it is sparse enough it is dropped, and the other four jump to two antipodal pairs."
    ),
    config=NonuniformConfig,
    presets={
        "smoke": NonuniformConfig(seeds=(0, 1), steps=150, batch_size=256, lr=1e-2, restarts=2, per_decade=2),
        "quick": NonuniformConfig(steps=4_000, batch_size=1024, lr=5e-3, schedule="cosine", restarts=16),
        "paper": NonuniformConfig(seeds=tuple(range(10)), restarts=30),
    },
    claims=_CLAIMS,
    run=_run,
)
