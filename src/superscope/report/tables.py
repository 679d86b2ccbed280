"""From numbers to the text of a table's cells."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from superscope.core.errors import InputError
from superscope.report.page import DataTable

MISSING = "–"
_FIELDS = (
    "id", "statement", "setting", "source", "published", "tolerance", "measured", "low", "high", "seeds",
    "verdict", "evidence",
)  # fmt: skip
_SIGNS = {"reproduced": "✓", "not reproduced": "✗", "not run": "–"}


def data_table(block: DataTable) -> dict[str, object]:
    """Return a table's columns and rows of cells, each with its text and, for a number, the key to sort by.

    Raises:
        InputError: when a format cannot write a value of its column.
    """
    columns, cells = [], []
    for position, name in enumerate(map(str, block.table.columns)):
        values = block.table.iloc[:, position]
        numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        columns.append({"name": name, "numeric": numeric, "description": block.descriptions.get(name)})
        pattern = block.formats.get(name) or _pattern(values)
        cells.append(
            [{"text": _cell(value, pattern, name), "numeric": numeric, "key": value} for value in values]
        )
    return {"caption": block.caption, "columns": columns, "rows": list(zip(*cells, strict=True))}


def _pattern(values: pd.Series) -> str | None:
    """Give a column of floats four digits in its largest and, where they do, the same decimals in all."""
    if not pd.api.types.is_float_dtype(values):
        return None
    if (values.dropna() % 1 == 0).all():
        return "{:,.0f}"
    sizes = values.abs()[np.isfinite(values) & (values != 0)]
    decimals = max(0, 3 - math.floor(math.log10(sizes.max()))) if len(sizes) else 0
    small = len(sizes) > 0 and sizes.min() < 10.0**-decimals
    return "{:.4g}" if small or decimals > 6 else f"{{:,.{decimals}f}}"


def _cell(value: Any, pattern: str | None, column: str) -> str:
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return MISSING
    if pattern is None:
        return number(value)
    try:
        return pattern.format(value)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise InputError(
            f"column {column!r} holds {value!r}, which {pattern!r} cannot write: {error}; give another format"
        ) from error


def number(value: object) -> str:
    """Write a number with four digits, anything else as it is.

    >>> [number(value) for value in (12, 12345, 0.123456, 1234.56, 1.5e-7, True, "text", None, float("nan"))]
    ['12', '12,345', '0.1235', '1,235', '1.5e-07', 'yes', 'text', '–', '–']
    """
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float | np.floating):
        if math.isnan(value):
            return MISSING
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
    return MISSING if value is None else str(value)


def claim_row(claim: Mapping[str, object]) -> dict[str, object]:
    """Return a claim with its numbers as text, and the sign and the class of its verdict.

    What is measured of a statement (``published`` is a text, without a tolerance) is the share of seeds in
    which it holds.

    Raises:
        InputError: when a field is missing or the verdict is no verdict.
    """
    if missing := [name for name in _FIELDS if name not in claim]:
        raise InputError(
            f"claim {claim.get('id')!r} lacks {', '.join(missing)}; give each, None where it has no value"
        )
    verdict = claim["verdict"]
    if verdict not in _SIGNS:
        raise InputError(
            f"claim {claim['id']!r} has the verdict {verdict!r}; give one of {', '.join(_SIGNS)}"
        )
    numbers = {
        name: number(claim[name]) for name in ("published", "tolerance", "measured", "low", "high", "seeds")
    }
    if claim["tolerance"] is None and isinstance(claim["published"], str):  # a statement: shares of seeds
        shares = {name: claim[name] for name in ("measured", "low", "high")}
        numbers |= {name: f"{share:.0%}" for name, share in shares.items() if isinstance(share, int | float)}
    return {**claim, **numbers, "sign": _SIGNS[str(verdict)], "class": str(verdict).replace(" ", "-")}


def summary(claims: Iterable[Mapping[str, object]]) -> str:
    """Count the verdicts of claims.

    >>> summary([{"verdict": "not run"}])
    '0 reproduced, 0 not reproduced, 1 not run'
    """
    verdicts = [claim["verdict"] for claim in claims]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in _SIGNS)
