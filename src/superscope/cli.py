"""``superscope``: the command line, one tree whose leaves are the configs themselves."""

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from importlib.metadata import version
from itertools import pairwise
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, get_args

import tyro
from tyro.conf import DisallowNone, OmitArgPrefixes, OmitSubcommandPrefixes, Suppress, subcommand

if TYPE_CHECKING:
    from superscope.atlas import HarvestConfig, ResolveConfig
    from superscope.recipes import Verdict
    from superscope.survey import CompareConfig, DescribeConfig, MeasureConfig

C = TypeVar("C")
Preset = Literal["smoke", "quick", "paper"]


@dataclass(frozen=True)
class ListRecipes:
    """List the published results that can be run again, with their claims."""


@dataclass(frozen=True)
class RunRecipe(Generic[C]):
    """A recipe with its config; the fields of the config are flags of their own."""

    recipe: Suppress[str]
    config: OmitArgPrefixes[C]
    preset: Preset = "quick"
    """Where the other flags start from: smoke (seconds), quick (minutes on two cores), paper (the published
    size)."""
    out: Path | None = None
    """The run directory to write; runs/RECIPE/STAMP-HASH by default. An unfinished run of the same config is
    resumed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 2 for input that cannot be used, 130 for Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _main(given)
    except KeyboardInterrupt:
        print(
            "superscope: interrupted; the same command goes on from what was saved last",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as leaving:  # tyro's, for --help and for arguments it cannot read
        return leaving.code if isinstance(leaving.code, int) else 2


def _main(given: list[str]) -> int:
    if given == ["--version"]:
        print(f"superscope {version('superscope')}")
        return 0
    # What is imported here and below brings torch with it: seconds, in which Ctrl-C has to end well already.
    from superscope.core.errors import SuperscopeError

    try:
        return _run(given)
    except SuperscopeError as error:
        print(f"superscope: error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code


def _run(given: list[str]) -> int:
    from superscope.atlas import HarvestConfig, ResolveConfig
    from superscope.recipes import TourConfig, run_recipe, run_tour
    from superscope.survey import CompareConfig, DescribeConfig, MeasureConfig

    chosen = tyro.cli(
        _tree(_preset(given)),
        prog="superscope",
        args=given or ["--help"],
        config=(OmitSubcommandPrefixes, DisallowNone),
        description="An instrument for superposition: how a network stores more features than dimensions.",
    )
    if isinstance(chosen, ListRecipes):
        return _list_recipes()
    if isinstance(chosen, MeasureConfig):
        return _measure(chosen)
    if isinstance(chosen, CompareConfig):
        return _compare(chosen)
    if isinstance(chosen, DescribeConfig):
        return _describe(chosen)
    if isinstance(chosen, ResolveConfig):
        return _resolve(chosen)
    if isinstance(chosen, HarvestConfig):
        return _harvest(chosen)
    path, verdicts = (
        run_tour(chosen)
        if isinstance(chosen, TourConfig)
        else run_recipe(chosen.recipe, chosen.config, chosen.out)
    )
    return _tell(path, verdicts)


def _tree(preset: Preset) -> Any:
    """Return the type that is the command line; ``preset`` fills the defaults of the recipes' flags."""
    from superscope.atlas import HarvestConfig, ResolveConfig
    from superscope.recipes import RECIPES, TourConfig
    from superscope.survey import CompareConfig, DescribeConfig, MeasureConfig

    recipes = [
        Annotated[
            RunRecipe[recipe.config],
            subcommand(
                name, default=RunRecipe(name, recipe.presets[preset], preset), description=recipe.title
            ),
        ]
        for name, recipe in RECIPES.items()
    ]
    leaves = [
        Annotated[TourConfig, subcommand("tour")],
        Annotated[MeasureConfig, subcommand("measure")],
        Annotated[ResolveConfig, subcommand("resolve")],
        Annotated[HarvestConfig, subcommand("harvest")],
        Annotated[CompareConfig, subcommand("compare")],
        Annotated[DescribeConfig, subcommand("describe")],
        Annotated[ListRecipes, subcommand("recipes")],
        Annotated[
            reduce(or_, recipes),
            subcommand("run", description="Run a published result again and judge its claims."),
        ],
    ]
    return reduce(or_, leaves)


def _preset(given: Sequence[str]) -> Preset:
    """Find the preset, since it decides what the other flags default to; tyro refuses unknown ones."""
    for flag, value in pairwise([*given, ""]):
        name = value if flag == "--preset" else flag.removeprefix("--preset=")
        for preset in get_args(Preset):
            if name == preset and flag.startswith("--preset"):
                return preset
    return "quick"


def _measure(config: "MeasureConfig") -> int:
    from superscope.survey import run_measure

    survey, report = run_measure(config)
    print(survey.summary())
    print()
    for row in survey.rows:
        for warning in row.warnings:
            print(f"note: {row.name}: {warning}")
    for reason in dict.fromkeys(survey.left_out.values()):
        names = [name for name, other in survey.left_out.items() if other == reason]
        print(f"left out: {', '.join(names[:3])}{f' and {len(names) - 3} more' * (len(names) > 3)}: {reason}")
    print(", ".join(f"{name} {value}" for name, value in survey.facts().items()))
    print("se: standard error, from leaving out an eighth of the samples at a time; the report has all")
    print(f"report: {report}")
    return 0


def _compare(config: "CompareConfig") -> int:
    from superscope.survey import run_compare

    comparison, report = run_compare(config)
    print(comparison.summary())
    print("intervals are of 95 %; stand out: even after adjusting for the number of rows")
    print(f"report: {report}")
    return 0


def _describe(config: "DescribeConfig") -> int:
    from superscope.survey import run_describe

    found, report, missing = run_describe(config)
    print(found.summary())
    if missing:
        print(f"note: {missing}")
    print(f"report: {report}")
    return 0


def _resolve(config: "ResolveConfig") -> int:
    from superscope.atlas import run_resolve

    atlas, report = run_resolve(config)
    print(atlas.summary())
    for note in atlas.notes:
        print(f"note: {note}")
    print(f"report: {report}")
    return 0


def _harvest(config: "HarvestConfig") -> int:
    from superscope.atlas import harvested, kept_rows, run_harvest

    try:
        store = run_harvest(config)
    except KeyboardInterrupt:
        print(f"superscope: {config.out} keeps the first {kept_rows(config.out):,} rows", file=sys.stderr)
        raise
    print(harvested(store))
    return 0


def _list_recipes() -> int:
    from superscope.recipes import RECIPES

    for name, recipe in RECIPES.items():
        print(f"{name}: {recipe.title}\n    {recipe.source}")
        for claim in recipe.claims:
            print(f"    {claim.id}: {claim.statement}")
    print("\nsuperscope run RECIPE [--preset smoke|quick|paper] runs one.")
    return 0


def _tell(path: Path, verdicts: "Sequence[Verdict]") -> int:
    sign = {"reproduced": "+", "not reproduced": "-", "not run": "?"}
    for row in verdicts:
        shown = "{:.0%}" if row.tolerance is None else "{:.4g}"
        measured = "" if row.measured is None else f", measured {shown.format(row.measured)}"
        if row.low is not None and row.high is not None:
            measured += f" [{shown.format(row.low)}, {shown.format(row.high)}]"
        head = f"{sign[row.verdict]} {row.id}: {row.verdict}: published {row.published}"
        print(f"{head}{measured} over {row.seeds} seeds")
    counts = {kind: sum(row.verdict == kind for row in verdicts) for kind in sign}
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()))
    print(f"report: {path / 'report.html'}")
    return 0
