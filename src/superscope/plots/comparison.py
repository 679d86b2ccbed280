"""Layer by layer: published beside measured, run beside run, and their differences."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superscope.core.errors import InputError
from superscope.plots import style

_SERIES = {
    "published": "published",
    "as_published": "measured as published",
    "measured": "measured rightly",
}
_MOST_NAMES = 64
_LINE = 0.165
"""Inches from one layer to the next."""
_NAME = 24


def plot_rank_comparison(
    table: pd.DataFrame, series: Mapping[str, str] | None = None, *, value_name: str = "rank / width"
) -> Figure:
    """Draw published values as diamonds beside measured ones as lines, layer by layer.

    A diamond around a dot is a value that was reproduced. A band is drawn where the table has a column's
    ``<column>_low`` and ``<column>_high``.

    Args:
        table: a row for each layer, from input to output, with ``name`` and the columns to draw; NaN where
            there is no value.
        series: what to call each column, the published one first; of ``published``, ``as_published`` and
            ``measured`` those that the table has where None.
        value_name: what the values are, with their unit.

    Raises:
        InputError: when the table is empty or lacks a column.
    """
    found = {column: text for column, text in _SERIES.items() if column in table}
    chosen = dict(found if series is None else series)
    _needs(table, ["name", *(chosen or _SERIES)])
    figure, [ax] = style.grid(1, 1, aspect=0.6, extra=1.0)
    colors = style.line_colors(len(chosen))
    for (column, text), color in zip(chosen.items(), colors, strict=True):
        values = table[column].to_numpy(float)
        if column == next(iter(chosen)):
            ax.plot(
                np.arange(len(table)), values, "D", color="none", markeredgecolor=style.INK,
                markeredgewidth=1, markersize=6.5 if len(table) < 30 else 5, label=style.label(text, 28),
            )  # fmt: skip
        else:
            _line(ax, values, _bounds(table, column), color, style.label(text, 28))
    _layers(ax, table["name"].tolist())
    ax.set_ylim(min(0.0, ax.get_ylim()[0]), None)
    style.say(ax, y=style.label(value_name))
    style.legend(ax, "lower center", 1.0)
    return figure


def plot_runs(tables: Mapping[str, pd.DataFrame], measure: str, *, value_name: str | None = None) -> Figure:
    """Draw one measure of two or more runs over each other, layer by layer, in bands where they are known.

    Args:
        tables: by run, each with ``name`` and ``measure``, and ``low`` and ``high`` for a band. Layers are
            matched by name, in the first table's order and then the others'; one that a run lacks is a gap.
        measure: the column to draw.
        value_name: what it is, with its unit; the column's name where None.

    Raises:
        InputError: when there is no table, or one is empty, lacks a column, or has a layer twice.
    """
    if not tables:
        raise InputError("tables is empty; give at least one run's")
    for run, table in tables.items():
        _needs(table, ["name", measure], f"the table of {run}")
    every = list(dict.fromkeys(name for table in tables.values() for name in table["name"]))
    figure, [ax] = style.grid(1, 1, aspect=0.6, extra=0.8 + 0.2 * -(-len(tables) // 3))
    for (run, table), color in zip(tables.items(), style.line_colors(len(tables)), strict=True):
        repeated = table["name"].duplicated().to_numpy(bool)
        if repeated.any():
            twice = table["name"].to_numpy()[repeated][0]
            raise InputError(f"the table of {run} has the layer {twice} twice; give each layer one row")
        placed = table.set_index("name").reindex(every)
        bounds = (
            (placed["low"].to_numpy(float), placed["high"].to_numpy(float))
            if {"low", "high"} <= set(table)
            else None
        )
        _line(ax, placed[measure].to_numpy(float), bounds, color, style.label(run, 28))
    _layers(ax, every)
    low, high = ax.get_ylim()
    if low < 0 < high:
        ax.axhline(0, color=style.INK, linewidth=0.8, alpha=0.45)
    style.say(ax, y=style.label(measure.replace("_", " ") if value_name is None else value_name))
    style.legend(ax, "lower center", 1.0)
    return figure


def plot_differences(table: pd.DataFrame, measure: str, *, value_name: str | None = None) -> Figure:
    """Draw the difference of a measure layer by layer, with its interval: grey where 0 is in it.

    Args:
        table: a row for each layer, from input to output, with ``name``, ``difference``, ``low``, ``high``.
        measure: what differs.
        value_name: what the difference is, with its unit; "difference of <measure>" where None.

    Raises:
        InputError: when the table is empty or lacks a column.
    """
    _needs(table, ["name", "difference", "low", "high"])
    middle, low, high = (table[column].to_numpy(float) for column in ("difference", "low", "high"))
    inches = min(10.5, max(1.2, _LINE * len(table)))
    figure, [ax] = style.grid(1, 1, aspect=inches / style.WIDTH, extra=0.5)
    places, sure = np.arange(len(table)), (low > 0) | (high < 0)
    ax.axvline(0, color=style.INK, linewidth=0.8, alpha=0.6)
    known = np.isfinite(middle)
    for chosen, color, text in (
        (sure & known, style.line_colors(1)[0], "interval without 0"),
        (~sure & known, style.GREY, "interval with 0, or none"),
    ):
        if chosen.any():
            ax.hlines(places[chosen], low[chosen], high[chosen], color=color, linewidth=1.4)
            ax.plot(middle[chosen], places[chosen], "o", color=color, markersize=4, label=text)
    ticks = style.some_ticks(len(table), _MOST_NAMES)
    ax.set_yticks(ticks, [style.label(table["name"].iloc[tick], _NAME) for tick in ticks])
    ax.set_ylim(len(table) - 0.4, -0.6)
    words = f"difference of {measure.replace('_', ' ')}" if value_name is None else value_name
    style.say(ax, x=style.label(words, 64))
    if known.any():
        style.legend(ax, "lower center", 1.0)
    else:
        style.note(ax, "no difference to draw")
    return figure


def _line(
    ax: Axes,
    values: Float[np.ndarray, " layer"],
    bounds: tuple[np.ndarray, np.ndarray] | None,
    color: str,
    text: str,
) -> None:
    x = np.arange(len(values))
    if bounds is not None:
        ax.fill_between(x, *bounds, color=color, alpha=0.22, linewidth=0)
    size = 3.5 if len(x) < 30 else 2.2
    ax.plot(x, values, color=color, linewidth=1.4, marker="o", markersize=size, label=text)


def _bounds(table: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray] | None:
    if not {f"{column}_low", f"{column}_high"} <= set(table):
        return None
    return table[f"{column}_low"].to_numpy(float), table[f"{column}_high"].to_numpy(float)


def _layers(ax: Axes, layers: Sequence[object]) -> None:
    """Name the layers along x, so many that they can be read."""
    ticks = style.some_ticks(len(layers), 27)
    shown = [style.label(layers[tick], _NAME) for tick in ticks]
    ax.set_xticks(ticks, shown, rotation=90 if sum(map(len, shown)) > 60 else 0)
    ax.set_xlim(-0.5, len(layers) - 0.5)
    style.say(ax, x="layer, from input to output")


def _needs(table: pd.DataFrame, columns: Sequence[str], what: str = "the table") -> None:
    missing = [column for column in columns if column not in table]
    if len(table) == 0 or missing:
        has = ", ".join(map(str, table.columns)) or "none"
        raise InputError(
            f"{what} has {len(table)} rows and the columns {has}; give a row for each layer, with "
            + ", ".join(columns)
        )
