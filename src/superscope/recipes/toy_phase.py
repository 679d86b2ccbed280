"""The phase diagram of one extra feature: ignored, in a dimension of its own, or in superposition."""

import math
from itertools import pairwise
from typing import Annotated, NamedTuple

import pandas as pd
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from superscope.core import Run, config
from superscope.measures import feature_norms
from superscope.plots import PhasePanel, plot_phases, plot_sweep
from superscope.recipes.claims import Claim, Verdict, judge
from superscope.recipes.phase_maps import (
    FACTOR,
    PhaseMap,
    agreement,
    best_of_two_features,
    boundary_lines,
    clear_of_boundaries,
    expected_loss,
    extra_feature,
    jumping_rows,
    the_best,
    without_the_worst,
)
from superscope.recipes.recipe import Outcome, Recipe
from superscope.recipes.toy_training import EMBEDDED, Count, ToyTraining, train_seeds
from superscope.report import DataTable, Picture, Prose, Section
from superscope.toy import (
    PHASES,
    ToyConfig,
    phase,
    phase_boundary,
    phase_solution,
    two_feature_loss,
    variance,
)

_SIZES = (2, 3)
_FINE = 12
"""So many times finer than the grid the closed form is drawn."""
_AGREE, _JUMP = 0.9, 0.8
_IMPORTANCE = 0.3
_CLOSED = float(phase_boundary(torch.tensor(_IMPORTANCE)))
_ANGLE = 0.1
_LINE = f"n = 2, m = 1; importance {_IMPORTANCE:g}, a line of densities across the boundary"


def _claim(part: str, statement: str, setting: str, *numbers: float, source: str = "TMS") -> Claim:
    return Claim(f"T5-{part}", statement, setting, source, *numbers)


def _map(n: int, of: str = "median of ten, the worst dropped") -> str:
    return f"n = {n}, m = {n - 1}; importance 0.1 to 10, density 1 to 0.01; {of}"


_AGREES = (
    f"The trained phase is that of the closed form at {_AGREE:.0%} or more of the points that are not within "
    f"a factor of {FACTOR:g} of a boundary"
)
_JUMPS = (
    f"In {_JUMP:.0%} or more of the rows the norm of the weakest feature makes over half of its change in "
    "one step of the grid"
)
_CLAIMS = (
    _claim("agreement-2", _AGREES, _map(2)),
    _claim("agreement-3", _AGREES, _map(3)),
    _claim("best-2", _AGREES, _map(2, "best of ten")),
    _claim("best-3", _AGREES, _map(3, "best of ten")),
    _claim(
        "exact-2",
        f"The trained phase is that of the least exact loss at {_AGREE:.0%} or more of all points",
        _map(2, "best of ten"),
        source="superscope.toy.two_feature_loss",
    ),
    _claim("jump-2", _JUMPS, _map(2, "best of ten")),
    _claim("jump-3", _JUMPS, _map(3, "best of ten")),
    _claim(
        "first-order",
        "Trained from either solution, both stand on both sides of one crossing of their losses, where the "
        f"slopes in log density differ by more than {_ANGLE:.0%}",
        _LINE,
    ),
    _claim(
        "crossing",
        "Density at which the losses of the two trained solutions cross, within 10 %",
        _LINE,
        round(_CLOSED, 3),
        round(0.1 * _CLOSED, 3),
    ),
)


@config
class PhaseConfig(ToyTraining):
    """Maps over density and relative importance for two sizes, and a line across a boundary."""

    restarts: Count = 1
    """Starts of each model, the best of which is kept."""
    models: Annotated[int, Field(ge=2)] = 10
    """Models a point, the worst of which is dropped."""
    grid: Annotated[int, Field(ge=3)] = 20
    """Densities, and importances, of a map."""
    line: Annotated[int, Field(ge=4)] = 13
    """Densities on the line across the boundary."""
    exact_steps: Count = 600
    """Steps in which the exact loss is minimised."""


class _Grid(NamedTuple):
    density: Float[Tensor, " density"]
    importance: Float[Tensor, " importance"]


class _Maps(NamedTuple):
    """What was trained for one number of features: [seed, importance, density]."""

    median: PhaseMap
    best: PhaseMap
    single: Float[Tensor, " seed"]
    """Share of single models, off the boundaries, in the closed form's phase."""


def _run(config: PhaseConfig, run: Run) -> Outcome:
    grid = _Grid(torch.logspace(0, -2, config.grid), torch.logspace(-1, 1, config.grid))
    maps, tensors = {}, {}
    for n in _SIZES:
        maps[n], trained = _trained(config, run, grid, n)
        tensors |= trained
    losses, standing, densities = _line(config, run)
    exact = extra_feature(best_of_two_features(grid.density, grid.importance, config.exact_steps))

    tensors |= {"line/loss": losses, "line/density": densities}
    tables = {"agreement": _agreements(config, grid, maps, exact), "map": _points(config, grid, maps)}
    pictures = {f"phases-n{n}": _phases(grid, maps[n], n, exact) for n in _SIZES}
    pictures["crossing"] = _crossing_picture(losses, standing, densities)
    rows = _judged(grid, maps, exact, losses, standing, densities)
    sections = [
        Section(
            "Maps",
            [
                Prose(
                    f"At each point {config.models} models are trained. The median leaves out the one with "
                    "the highest loss; the best has the lowest. A single model can be caught in the wrong "
                    "phase, as it happens beside a first-order transition: two features that start on one "
                    "side of the dimension would have to pass through 0 to become a pair. So the median "
                    "tells where most starts end and the best what the loss prefers. The first seed is "
                    "drawn. The lines are the boundaries of the closed form, which compares hand-made "
                    "solutions. With two features the exact loss can be minimised over all weights and "
                    "biases, too: its best solution begins to share the dimension at higher density, and "
                    "near importance 1 without a jump."
                ),
                *(pictures[f"phases-n{n}"] for n in _SIZES),
                DataTable(tables["agreement"], "Share of points with the same phase, every seed."),
            ],
        ),
        Section("Across a boundary", [pictures["crossing"]]),
    ]
    return Outcome(rows, tables, pictures, tensors, sections)


def _trained(config: PhaseConfig, run: Run, grid: _Grid, n: int) -> tuple[_Maps, dict[str, Tensor]]:
    r, s = (each.flatten() for each in torch.meshgrid(grid.importance, grid.density, indexing="ij"))
    density = s[:, None].expand(-1, n).repeat_interleave(config.models, 0)
    importance = torch.ones_like(density)
    importance[:, -1] = r.repeat_interleave(config.models)
    sweep = train_seeds(run, f"n{n}", config, ToyConfig(n, n - 1), density, importance)
    shape = config.grid, config.grid, config.models
    loss = torch.stack(
        [expected_loss(W, b, importance, density[:, 0]) for W, b in zip(sweep.W, sweep.b, strict=True)]
    ).unflatten(1, shape)
    W = sweep.W.unflatten(1, shape)
    right = extra_feature(W).phases == _theory(grid, n)[..., None]
    single = right[:, clear_of_boundaries(grid.density, grid.importance, n)].double().mean((1, 2))
    maps = _Maps(without_the_worst(W, loss), the_best(W, loss), single)
    return maps, {f"n{n}/W": W, f"n{n}/b": sweep.b.unflatten(1, shape), f"n{n}/loss": loss}


def _line(config: PhaseConfig, run: Run) -> tuple[Tensor, Tensor, Tensor]:
    """Train from near two solutions at densities on both sides of the closed form's boundary.

    Returns the exact losses [seed, solution, density], whether what was trained is still that solution, and
    the densities.
    """
    densities = _CLOSED * 2 ** torch.linspace(-1, 1, config.line)
    ignored, superposed = phase_solution("ignored", 0.5)[0], phase_solution("superposed", 0.5)[0]
    ignored = ignored - torch.tensor([[0.0, 0.05]])  # at 0 itself nothing pulls at the weight
    starts = torch.stack([ignored, superposed]).repeat_interleave(config.line, 0)
    importance = torch.tensor([1.0, _IMPORTANCE])
    p = densities[:, None].expand(-1, 2)
    sweep = train_seeds(
        run,
        "line",
        config,
        ToyConfig(2, 1),
        p.repeat(2, 1),
        importance.expand(2 * config.line, 2),
        initial=starts,
    )
    W, b = (each.unflatten(1, (2, config.line)).double() for each in (sweep.W, sweep.b))
    represented = feature_norms(W)[..., -1] > EMBEDDED
    standing = torch.stack([~represented[:, 0], represented[:, 1]], 1)
    return two_feature_loss(W, b, importance.double(), p.double()), standing, densities.double()


def _judged(
    grid: _Grid,
    maps: dict[int, _Maps],
    exact: PhaseMap,
    losses: Float[Tensor, "seed 2 density"],
    standing: Bool[Tensor, "seed 2 density"],
    densities: Float[Tensor, " density"],
) -> list[Verdict]:
    values: dict[str, tuple[list[float], str]] = {}

    def share(part: str, shares: list[float], least: float) -> None:
        told = ", ".join(f"{each:.1%}" for each in shares)
        values[part] = [float(each >= least) for each in shares], f"Shares by seed: {told}."

    for n in _SIZES:
        clear = clear_of_boundaries(grid.density, grid.importance, n)
        theory = _theory(grid, n)
        share(f"agreement-{n}", [agreement(p, theory, clear) for p in maps[n].median.phases], _AGREE)
        share(f"best-{n}", [agreement(p, theory, clear) for p in maps[n].best.phases], _AGREE)
        share(f"jump-{n}", [jumping_rows(least) for least in maps[n].best.least], _JUMP)
    everywhere = torch.ones_like(exact.phases, dtype=torch.bool)
    share("exact-2", [agreement(p, exact.phases, everywhere) for p in maps[2].best.phases], _AGREE)

    found = [crossing(*each, densities) for each in zip(losses, standing, strict=True)]
    values["first-order"] = [float(each is not None and each[1] > _ANGLE) for each in found], ""
    places = [each[0] for each in found if each is not None]
    gone = "" if len(places) == len(found) else f"{len(found) - len(places)} seeds have no crossing."
    values["crossing"] = places, gone
    return [judge(claim, *values[claim.id.removeprefix("T5-")]) for claim in _CLAIMS]


def crossing(
    losses: Float[Tensor, "2 density"],
    standing: Bool[Tensor, "2 density"],
    densities: Float[Tensor, " density"],
) -> tuple[float, float] | None:
    """Return the density where two losses cross, and by what share of the larger their slopes differ there.

    Slopes are those of log loss in log density between the two points around the crossing. None where the
    losses do not cross exactly once while both solutions stand on both sides.
    """
    known = [k for k in range(len(densities)) if bool(standing[:, k].all())]
    difference = (losses[0].log() - losses[1].log()).tolist()
    ends = [(a, b) for a, b in pairwise(known) if b == a + 1 and difference[a] * difference[b] < 0]
    if len(ends) != 1:
        return None
    a, b = ends[0]
    x = densities.log()
    place = x[a] + (x[b] - x[a]) * difference[a] / (difference[a] - difference[b])
    slopes = (losses[:, b].log() - losses[:, a].log()) / (x[b] - x[a])
    return math.exp(place), float((slopes[0] - slopes[1]).abs() / slopes.abs().max())


def _theory(grid: _Grid, n: int) -> Tensor:
    return phase(grid.density, grid.importance[:, None], n)  # pyright: ignore[reportArgumentType]


def _agreements(config: PhaseConfig, grid: _Grid, maps: dict[int, _Maps], exact: PhaseMap) -> pd.DataFrame:
    rows = []
    for n in _SIZES:
        theory, clear = _theory(grid, n), clear_of_boundaries(grid.density, grid.importance, n)
        everywhere = torch.ones_like(clear)
        median, best, single = maps[n].median.phases, maps[n].best.phases, maps[n].single.tolist()
        for k, seed in enumerate(config.seeds):
            rows.append(
                {
                    "n": n,
                    "seed": seed,
                    "points off the boundaries": int(clear.sum()),
                    "median and closed form, those": agreement(median[k], theory, clear),
                    "best and closed form, those": agreement(best[k], theory, clear),
                    "best and closed form, all": agreement(best[k], theory, everywhere),
                    "best and least exact loss, all": (
                        agreement(best[k], exact.phases, everywhere) if n == 2 else None
                    ),
                    "single models and closed form, those": single[k],
                    "rows that jump": jumping_rows(maps[n].best.least[k]),
                }
            )
    return pd.DataFrame(rows)


def _points(config: PhaseConfig, grid: _Grid, maps: dict[int, _Maps]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "n": n,
                "seed": seed,
                "importance": float(r),
                "density": float(s),
                "norm, best": float(maps[n].best.norm[k, i, j]),
                "superposition, best": float(maps[n].best.superposition[k, i, j]),
                "best": PHASES[best[k, i, j]],
                "median": PHASES[median[k, i, j]],
                "closed form": PHASES[theory[i, j]],
            }
            for n in _SIZES
            for theory, median, best in [(_theory(grid, n), maps[n].median.phases, maps[n].best.phases)]
            for k, seed in enumerate(config.seeds)
            for i, r in enumerate(grid.importance)
            for j, s in enumerate(grid.density)
        ]
    )


def _phases(grid: _Grid, maps: _Maps, n: int, exact: PhaseMap) -> Picture:
    fine = len(grid.density) * _FINE
    half = (1 - 1 / _FINE) / 2 / (len(grid.density) - 1)
    places = torch.linspace(-half, 1 + half, fine)
    smooth = _theory(_Grid((10 ** (-2 * places)).clamp(max=1), 10 ** (2 * places - 1)), n)
    panels = [PhasePanel((smooth > 0).float(), (smooth == 2).float(), "closed form")]
    if n == 2:
        panels.append(PhasePanel(exact.norm, exact.superposition, "least exact loss"))
    for found, text in ((maps.best, "trained, the best"), (maps.median, "trained, the median")):
        panels.append(PhasePanel(found.norm[0], found.superposition[0], text))
    lines = boundary_lines(n)
    return Picture(
        plot_phases(panels, grid.density, grid.importance, lines),
        f"What becomes of the extra one of {n} features in {n - 1} dimension{'s' * (n > 2)}. Opacity: its "
        "norm; colour: how much others lie along it. Lines: the boundaries of the closed form.",
        f"{len(panels)} maps over density and relative importance: superposition at low density, ignored at "
        "high density and low importance, a dimension of its own at high importance.",
    )


def _crossing_picture(losses: Tensor, standing: Tensor, densities: Tensor) -> Picture:
    relative = losses / (_IMPORTANCE * variance(densities))
    shown = relative.where(standing, math.nan)
    return Picture(
        plot_sweep(
            shown,
            densities,
            ["extra feature ignored", "antipodal pair"],
            x_name="density 1 − S",
            y_name="loss, in that of ignoring the feature",
            marks=[_CLOSED],
        ),
        "Exact loss of models trained from near either solution, mean over seeds with its 95 % interval; "
        "each is drawn while it stands. The dashed line is the boundary of the closed form.",
        "Two curves over density that cross at an angle: the pair costs less when features are sparse.",
    )


TOY_PHASE = Recipe(
    name="toy-phase",
    title="The phases of an extra feature",
    source="T5: Elhage et al. 2022, Toy Models of Superposition (arXiv 2209.10652), section 4",
    introduction=(
        "A network has one feature more than dimensions. What becomes of the extra one depends on how "
        "important it is beside the others, and on how sparse all are: it is ignored, gets a dimension of "
        "its own, or is put into superposition with another. Between these phases the network changes at "
        "once, not by and by: the losses of two solutions cross."
    ),
    config=PhaseConfig,
    presets={
        "smoke": PhaseConfig(
            seeds=(0, 1),
            steps=150,
            batch_size=128,
            lr=2e-2,
            schedule="cosine",
            models=3,
            grid=4,
            line=4,
            exact_steps=40,
        ),
        "quick": PhaseConfig(steps=1_500, batch_size=256, lr=1e-2, schedule="cosine"),
        "paper": PhaseConfig(seeds=tuple(range(10))),
    },
    claims=_CLAIMS,
    run=_run,
)
