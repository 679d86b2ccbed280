"""Finished run directories, read back as tables of layers: one for each seed in them."""

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from superscope.core.errors import ArtifactError
from superscope.core.runs import CONFIG, REPORT
from superscope.survey.result import Survey

TABLE = Path("tables") / "layers.csv"
NO_MEASURES = ("name", "kind", "width", "cap", "samples", "rows", "warnings", "seed", "group", "model")
"""Columns that say what a row is; every other column of numbers is a measure, or a ``<measure>_se``."""


@dataclass(frozen=True, eq=False)
class SeedTable:
    """The layers of one model of one seed."""

    table: pd.DataFrame
    """A row a layer: ``name``, ``width``, and columns of numbers."""
    source: str
    """Where it is from: the run's folder, or a survey in memory."""
    seed: str = ""
    """What pairs it with the same seed of another group; empty where that is not known."""
    part: str = ""
    """Its group within a run that measured several."""
    config: Mapping[str, object] = field(default_factory=dict[str, object])
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    """What was measured on what, as a survey says it."""

    @property
    def measures(self) -> list[str]:
        """The columns to compare, in order."""
        return [name for name in map(str, self.table) if name not in NO_MEASURES and not name.endswith("_se")]

    def same_as(self, other: "SeedTable") -> bool:
        """Whether every layer and number is the same to the last bit."""
        return self.table.equals(other.table)


def from_survey(
    survey: Survey, source: str, seed: str = "", config: Mapping[str, object] | None = None
) -> SeedTable:
    """Return a survey's layers."""
    facts = {name: str(value) for name, value in survey.facts().items() if name != "time"}
    return SeedTable(_numbers(survey.table), source, seed, config=config or {}, facts=facts)


def read_run(path: Path) -> list[SeedTable]:
    """Read the run in ``path``, of ``superscope measure`` or of a recipe that wrote ``tables/layers.csv``.

    The table's columns are ``name``, ``width``, measures and ``<measure>_se``. A column ``seed`` and a column
    ``group`` (or ``model``) divide it into several.

    Raises:
        ArtifactError: when the folder holds no run, the run is not finished, or a file of it is damaged.
    """
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise ArtifactError(f"{path} {what}; give the folder of a run (runs/measure/STAMP-HASH)")
    if not (path / CONFIG).is_file():
        raise ArtifactError(f"{path} holds no run (no {CONFIG}); give the folder that a command wrote")
    if not (path / REPORT).is_file():
        raise ArtifactError(f"the run in {path} is not finished (no {REPORT}); run its command again")
    if not (path / TABLE).is_file():
        raise ArtifactError(f"the run in {path} measured no layers (no {TABLE}); give one that did")
    config = _json(path / CONFIG, _text(path / CONFIG))
    first = _text(path / "metrics.jsonl").partition("\n")[0] if (path / "metrics.jsonl").is_file() else ""
    facts = _json(path / "metrics.jsonl", first or "{}")
    every = _table(path / TABLE)
    if isinstance(layers := facts.get("layers"), int) and layers != len(every):
        raise ArtifactError(
            f"{path / TABLE} has {len(every)} rows and the run measured {layers} layers: it is damaged; "
            "run its command again"
        )
    kept = {
        name: str(value) for name, value in facts.items() if name in ("model", "data", "samples", "accuracy")
    }
    found: list[SeedTable] = []
    group = next((name for name in ("group", "model") if name in every), None)
    by = [name for name in (group, "seed") if name in every]
    for key, rows in every.groupby(by, sort=False) if by else [((), every)]:
        about = dict(zip(by, map(str, key if isinstance(key, tuple) else (key,)), strict=True))
        table = _numbers(pd.DataFrame(rows))
        seed = about.get("seed", str(config.get("seed", "")))
        if config.get("weights") is not None:  # two files of weights are two seeds, whatever drew the samples
            seed = f"{seed} {config['weights']}".strip()
        twice = sorted(table["name"][table["name"].duplicated()])
        if twice:
            raise ArtifactError(
                f"{path / TABLE} has layer {twice[0]!r} twice; give several models a column group, "
                "several seeds a column seed"
            )
        found.append(SeedTable(table, str(path), seed, about.get(group or "", ""), config, kept))
    if not any(part.measures for part in found):
        raise ArtifactError(
            f"{path / TABLE} has no column of numbers to compare; give a run that measured layers"
        )
    return found


def _table(path: Path) -> pd.DataFrame:
    """Read a table whose every row is whole; numbers keep all their bits, an empty cell is NaN."""
    text = _text(path)
    try:
        [head, *rows] = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (csv.Error, ValueError) as error:
        raise ArtifactError(f"{path} is damaged: {error}; run its command again") from error
    broken = next((number for number, row in enumerate(rows, 2) if len(row) != len(head)), None)
    if broken is not None or not rows or not text.endswith("\n"):
        where = "its end is missing" if broken is None else f"row {broken} has not {len(head)} cells"
        raise ArtifactError(f"{path} is damaged: {where}; run its command again")
    if "name" not in head or len(set(head)) < len(head):
        raise ArtifactError(
            f"{path} has the columns {', '.join(head)}; it needs a name, and each column once"
        )
    columns = dict(zip(head, map(list, zip(*rows, strict=True)), strict=True))
    texts = {"name", "seed", "group", "model"}
    return pd.DataFrame(
        {name: cells if name in texts else _column(path, name, cells) for name, cells in columns.items()}
    )


def _column(path: Path, name: str, cells: list[str]) -> list[str] | list[float]:
    """Return a column as numbers, or as text where no cell is a number."""
    numbers: list[float] = []
    bad = ""
    for cell in cells:
        try:
            numbers.append(float(cell or "nan"))
        except ValueError:
            bad = bad or cell
            numbers.append(math.nan)
    if not bad:
        return numbers
    if any(map(math.isfinite, numbers)) and name not in NO_MEASURES:
        raise ArtifactError(
            f"{path} is damaged: {bad!r} in column {name} is no number; run its command again"
        )
    return cells


def _numbers(table: pd.DataFrame) -> pd.DataFrame:
    kept = {"name": table["name"].astype(str)} | {
        str(name): table[name].astype(float)
        for name in table
        if (name == "width" or name not in NO_MEASURES)
        and pd.api.types.is_numeric_dtype(table[name])
        and not pd.api.types.is_bool_dtype(table[name])
    }
    return pd.DataFrame(kept).reset_index(drop=True)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"cannot read {path}: {error}; run its command again") from error


def _json(path: Path, text: str) -> dict[str, object]:
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise ArtifactError(f"{path} is damaged: {error}; run its command again") from error
    if not isinstance(fields, dict):
        raise ArtifactError(f"{path} is damaged: it holds no fields; run its command again")
    return fields
