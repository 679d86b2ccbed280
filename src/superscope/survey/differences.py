"""The differences between two groups of seeds, and what the groups do not have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

from superscope.core.errors import InputError
from superscope.measures.bootstrap import DifferenceInterval, difference_intervals, normal_interval
from superscope.survey.runs import SeedTable

RATE = 0.05
"""False discoveries that Benjamini and Hochberg's rule lets through, as a share of what stands out."""
_BY_ERRORS = "standard errors over samples, taken as independent"
_NO_ERRORS = "none: one seed a side and no standard errors"


def against(
    reference: str, name: str, groups: Mapping[str, list[SeedTable]], paired: bool | None, seed: int
) -> pd.DataFrame:
    """Return the differences of the group ``name`` to the group ``reference``, a row a layer and measure.

    The columns are those of :attr:`superscope.survey.Comparison.table`.

    Raises:
        InputError: when the two share no layer or no measure, or are to be paired and differ in number.
    """
    first, other = groups[reference], groups[name]
    layers = [layer for layer in _layers(first) if layer in set(_layers(other))]
    measures = [measure for measure in _measures(first) if measure in set(_measures(other))]
    if not layers or not measures:
        what = "measure" if layers else "layer"
        raise InputError(
            f"{reference} and {name} have no {what} of the same name; compare runs that share some"
        )
    if paired and len(first) != len(other):
        raise InputError(f"{reference} has {len(first)} seeds and {name} {len(other)}; they cannot be paired")
    by_seed = {part.seed: part for part in other}
    if paired is None:
        seeds = [part.seed for part in first]
        paired = (
            "" not in seeds and len(by_seed) == len(set(seeds)) == len(other) and set(seeds) == set(by_seed)
        )
        if paired:
            other = [by_seed[seed_] for seed_ in seeds]
    a, b = (_values(parts, layers, measures) for parts in (first, other))
    found = difference_intervals(a, b, paired=bool(paired), seed=seed)
    if len(first) == len(other) == 1:
        errors = (_errors(parts[0], layers, measures) for parts in (first, other))
        found = [_by_errors(*row) for row in zip(found, *errors, strict=True)]
    widths = [_values(parts, layers, ["width"]).max(1).repeat(len(measures)) for parts in (first, other)]
    table = pd.DataFrame(list(product(layers, measures)), columns=pd.Index(["layer", "measure"]))
    p = np.array([row.p for row in found])
    adjusted = np.full(len(p), np.nan)
    if np.isfinite(p).any():
        adjusted[np.isfinite(p)] = stats.false_discovery_control(p[np.isfinite(p)])
    return table.assign(
        group=name,
        reference=reference,
        mean=_mean(b),
        reference_mean=_mean(a),
        difference=[row.difference for row in found],
        low=[row.low for row in found],
        high=[row.high for row in found],
        seeds=[row.n_other for row in found],
        reference_seeds=[row.n_first for row in found],
        left_out=[row.left_out for row in found],
        method=[row.method for row in found],
        p=p,
        p_adjusted=adjusted,
        stands_out=adjusted <= RATE,
        width=widths[1],
        reference_width=widths[0],
    )


def band(parts: Sequence[SeedTable], measure: str) -> pd.DataFrame:
    """Return a measure's mean over seeds and its band (:meth:`superscope.survey.Comparison.bands`)."""
    layers = _layers(parts)
    values = _values(parts, layers, [measure])
    middle = _mean(values)
    low = np.where(np.isfinite(values), values, np.inf).min(1)
    high = np.where(np.isfinite(values), values, -np.inf).max(1)
    if len(parts) == 1:
        reach = 1.96 * np.nan_to_num(_errors(parts[0], layers, [measure]))
        low, high = middle - reach, middle + reach
    known = np.isfinite(middle)
    ends = {"low": np.where(known, low, np.nan), "high": np.where(known, high, np.nan)}
    return pd.DataFrame({"name": layers, measure: middle} | ends)


def _by_errors(row: DifferenceInterval, first_se: float, other_se: float) -> DifferenceInterval:
    """Return the interval of one seed a side, from the errors over samples."""
    low, high, p = normal_interval(row.difference, first_se, other_se)
    if np.isfinite(low):
        return replace(row, low=low, high=high, p=p, method=_BY_ERRORS)
    return row if np.isnan(row.difference) else replace(row, method=_NO_ERRORS)


def _errors(part: SeedTable, layers: Sequence[str], measures: Sequence[str]) -> np.ndarray:
    """Return the standard error of each layer's measures; of a ratio as much smaller as the ratio is."""
    table = part.table.set_index("name").reindex(list(layers))
    missing = pd.Series(np.nan, table.index)
    columns = []
    for measure in measures:
        base = measure.removesuffix("_ratio").removesuffix("_cap")
        errors = table.get(f"{measure}_se")
        if errors is None and measure != base and base in table and f"{base}_se" in table:
            errors = table[f"{base}_se"] * (table[measure] / table[base].where(table[base] != 0)).abs()
        columns.append(missing if errors is None else errors)
    return np.stack([column.to_numpy(float) for column in columns], axis=1).ravel()


def _values(parts: Sequence[SeedTable], layers: Sequence[str], measures: Sequence[str]) -> np.ndarray:
    """Return [layer and measure, seed]; NaN where a seed lacks the layer or the measure."""
    tables = [part.table.set_index("name").reindex(index=layers, columns=measures) for part in parts]
    return np.stack([table.to_numpy(float).ravel() for table in tables], axis=1)


def _mean(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    return np.divide(
        np.where(known, values, 0).sum(1), known.sum(1), out=np.full(len(values), np.nan), where=known.any(1)
    )


def _layers(parts: Sequence[SeedTable]) -> list[str]:
    return list(dict.fromkeys(layer for part in parts for layer in part.table["name"]))


def _measures(parts: Sequence[SeedTable]) -> list[str]:
    return list(dict.fromkeys(measure for part in parts for measure in part.measures))


def unmatched(groups: Mapping[str, list[SeedTable]], valueless: Sequence[str]) -> pd.DataFrame:
    """Return what not every group has, and the measures that have no value: ``what``, ``name``, ``why``."""
    rows: list[tuple[str, str, str]] = []
    for what, names_of in (("layer", _layers), ("measure", _measures)):
        found = {group: names_of(parts) for group, parts in groups.items()}
        for name in dict.fromkeys(name for names in found.values() for name in names):
            having = [group for group, names in found.items() if name in names]
            if len(having) < len(groups):
                rows.append((what, name, "only in " + ", ".join(having)))
    rows += [("measure", name, "no value at any layer that is compared") for name in valueless]
    return pd.DataFrame(rows, columns=pd.Index(["what", "name", "why"]))


def data_of(parts: Sequence[SeedTable]) -> str:
    """Say what a group was measured on, in words that are equal where the data are."""
    said: list[str] = []
    for part in parts:
        words = [part.facts.get("data", "")]
        for name in ("normalize", "image_size"):
            value = part.config.get(name)
            words.append("" if value in (None, "auto") else f"{name} {value}")
        words.append(f"{part.facts['samples']} samples" if "samples" in part.facts else "")
        said.append(", ".join(filter(None, words)))
    return " and ".join(dict.fromkeys(filter(None, said)))
