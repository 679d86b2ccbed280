"""The tour: the main job on embedded data, from networks whose truth is known to one whose is not."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from superscope.core import Run, config
from superscope.recipes.claims import Verdict
from superscope.recipes.recipe import Outcome, Recipe, execute
from superscope.recipes.toy_face import TOY_FACE
from superscope.recipes.toy_pentagon import TOY_PENTAGON, PentagonConfig
from superscope.report import Picture, Prose, Section
from superscope.survey import measure

_INTRODUCTION = """A network can store more features than it has dimensions: it lays them out in directions
that overlap a little, and pays with interference. That is superposition. This page looks at it from both
ends.

First come toy models, whose features are known because we chose them: five features, two dimensions, and
the only thing that changes is how rarely a feature is active. Then comes a real, if small, network, a
classifier of handwritten digits trained a moment ago, whose features nobody knows: here superscope measures
each layer. The table sets what is published of the toy models beside what was measured just now, and the
sections behind it show both."""
_TOYS = """Each panel is a network that squeezes five features into two dimensions and reads them back. The
density is the share of inputs on which a feature is active, S = 1 − density the share on which it is zero.
Dense features (S = 0) cannot share: the two most important get a dimension each, the others are dropped. As
features become rare, two seldom meet, and the network packs four as opposite pairs, then all five as a
pentagon."""
_SHARES = """The dimensionality D_i of a feature is the share of a dimension that it has for itself: 1
alone, 1/2 in an opposite pair, 2/5 in a pentagon, 0 when it is dropped. It is computed from the known
directions; real networks do not show theirs."""


@config
class TourConfig:
    """The main job on embedded data, in minutes.

    A toy pentagon, a digits network measured layer by layer, published beside measured, one report.
    """

    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0, 1, 2)
    """Seeds that the toy models are trained with; the claims are judged over them."""
    steps: Annotated[int, Field(ge=1)] = 2_000
    """Training steps of each toy model."""
    restarts: Annotated[int, Field(ge=1)] = 8
    """Starts of each toy model, the best of which is kept."""
    out: Path | None = None
    """The run directory to write; runs/tour/STAMP-HASH by default. An unfinished tour is resumed."""


def run_tour(config: TourConfig | None = None) -> tuple[Path, list[Verdict]]:
    """Take the tour and return its run directory and the verdicts on its claims.

    Raises:
        SuperscopeError: when the config has faults, or the run directory cannot be written.
    """
    config = TourConfig() if config is None else config
    return execute(TOUR, config, config.out)


def _run(config: TourConfig, run: Run) -> Outcome:
    face = TOY_FACE.run(TOY_FACE.presets["quick"], run)
    options = PentagonConfig(
        seeds=config.seeds, steps=config.steps, batch_size=512, lr=5e-3, restarts=config.restarts, sweep=6
    )
    pentagon = TOY_PENTAGON.run(options, run)
    survey = measure("digits-mlp", "digits", seed=config.seeds[0])
    shown = pentagon.pictures
    ranks = Picture(
        survey.figure(),
        "Ranks of the activations of each layer, in dimensions and against the width, with 95 % intervals.",
        "Two panels of lines over five layers: ranks stay well below the width.",
    )
    digits = (
        "A ReLU network 64-64-32-10, trained on scikit-learn's digits, that classifies "
        f"{survey.accuracy:.1%} of {survey.samples} test digits rightly. Its features are unknown, so what "
        "can be measured is how its activations use the space they have."
    )
    toys = [shown[name] for name in ("sweep-features", "features", "gram", "norms")]
    sections = [
        Section("Toy models: from orthogonal to a pentagon", [Prose(_TOYS), *toys]),
        Section("How much of a dimension each feature gets", [Prose(_SHARES), shown["sweep-dimensionality"]]),
        Section("A real network: digits, layer by layer", [Prose(digits), ranks]),
        *survey.sections(),
    ]
    return Outcome(
        rows=[*face.rows, *pentagon.rows],
        tables={**pentagon.tables, "layers": survey.table},
        pictures={**shown, "ranks": ranks},
        tensors={**pentagon.tensors, **survey.tensors()},
        sections=sections,
    )


TOUR = Recipe(
    name="tour",
    title="A tour of superposition",
    source="Toy models whose truth is known, and a digits network measured layer by layer",
    introduction=_INTRODUCTION,
    config=TourConfig,
    presets={},
    claims=(*TOY_FACE.claims, *TOY_PENTAGON.claims),
    run=_run,
)
