"""A recipe: a published result that can be run again, with its claims judged at the end."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from superscope.core import InputError, Run, checked, open_run
from superscope.core.config import to_json
from superscope.recipes.claims import Claim, Verdict
from superscope.report import ClaimsTable, Facts, Page, Picture, Prose, Section, render


@dataclass(frozen=True)
class Outcome:
    """What a recipe found."""

    rows: Sequence[Verdict]
    """A verdict for each of the recipe's claims."""
    tables: Mapping[str, pd.DataFrame]
    pictures: Mapping[str, Picture]
    tensors: Mapping[str, Tensor]
    sections: Sequence[Section]
    """The page, behind the table of claims and before the config."""


@dataclass(frozen=True)
class Recipe:
    """A published result, as data and one function."""

    name: str
    title: str
    source: str
    introduction: str
    """What the page opens with: what is shown, for a reader who comes to it fresh."""
    config: type[Any]
    """The class of its config, made with :func:`superscope.core.config`."""
    presets: Mapping[str, Any]
    """``smoke`` (seconds), ``quick`` (minutes on two cores) and ``paper`` (the published size)."""
    claims: Sequence[Claim]
    run: Callable[[Any, Run], Outcome]
    """Long work goes through ``run.stage``, so that a run that was killed goes on where it stopped."""


def execute(recipe: Recipe, config: object, out: Path | None = None) -> tuple[Path, list[Verdict]]:
    """Run a recipe and return its run directory and its verdicts.

    Writes ``tables/``, ``figures/``, ``tensors.safetensors``, ``claims.json`` and ``report.html``. A run of
    the same config that did not finish is taken up again.

    Args:
        recipe: what to run.
        config: one of its presets, or a config of the same class.
        out: the run directory; a new one below ``runs/`` where None.

    Raises:
        InputError: when the config is one of another recipe or has faults.
        ArtifactError: when the run directory cannot be used.
    """
    if not isinstance(config, recipe.config):
        raise InputError(
            f"{recipe.name} was given a {type(config).__name__}; give it a {recipe.config.__name__}"
        )
    config = checked(config)
    run = open_run(recipe.name, config, out)
    outcome = recipe.run(config, run)

    for name, table in outcome.tables.items():
        run.table(name, table)
    for name, picture in outcome.pictures.items():
        run.figure(name, picture.figure)
    run.tensors(outcome.tensors)
    rows = [dataclasses.asdict(row) for row in outcome.rows]
    run.claims(rows)
    sections = [
        Section("Published and measured", [Prose(recipe.introduction), ClaimsTable(rows)]),
        *outcome.sections,
        Section("Config", [Facts(json.loads(to_json(config)))]),
    ]
    run.finish(render(Page(recipe.title, recipe.source, sections)))
    return run.path, list(outcome.rows)
