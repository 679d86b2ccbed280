"""Pictures of a network's layers: how many dimensions they use, their spectra, their activations."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from superscope.core.errors import InputError
from superscope.plots import style
from superscope.plots.style import Values

V = TypeVar("V")

_MOST_PANELS = 12
_FLOOR = 1e-7
"""Ratios below this one are the rounding of float32."""


def rank_columns(table: pd.DataFrame, measures: Sequence[str] | None = None) -> list[str]:
    """Return the rank columns of a table of layers: ``measures``, or every column with a ``<column>_ratio``.

    >>> table = pd.DataFrame({"name": ["fc"], "width": [4], "stable_rank": [2.0], "stable_rank_ratio": [0.5]})
    >>> rank_columns(table)
    ['stable_rank']

    Raises:
        InputError: when the table is empty, or has no ``name``, ``width`` or column to draw.
    """
    found = [str(name) for name in table if f"{name}_ratio" in table] if measures is None else list(measures)
    missing = [name for name in ("name", "width", *found) if name not in table]
    if len(table) == 0 or missing or not found:
        columns = ", ".join(map(str, table.columns)) or "none"
        raise InputError(
            f"the table has {len(table)} rows and the columns {columns}; give a row for each layer, and "
            + (", ".join(missing) or "a rank with its <rank>_ratio")
        )
    return found


def ratios(table: pd.DataFrame, measure: str) -> np.ndarray:
    """Return ``<measure>_ratio`` of each layer, or measure / width where the table lacks it."""
    if f"{measure}_ratio" in table:
        return table[f"{measure}_ratio"].to_numpy(float)
    return table[measure].to_numpy(float) / table["width"].to_numpy(float)


def plot_rank_per_layer(
    table: pd.DataFrame, measures: Sequence[str] | None = None, errors: bool = True
) -> Figure:
    """Draw ranks layer by layer: above in dimensions beside the width, below as ratios to the width.

    Args:
        table: a row for each layer, from input to output, with ``name``, ``width``, and for each measure a
            column of its name and, where known, ``<measure>_ratio`` (else measure / width) and
            ``<measure>_se``.
        measures: the columns to draw; every one that has a ratio where None.
        errors: whether to draw 95 % intervals, 1.96 standard errors up and down, where the table has them.

    Raises:
        InputError: when the table is empty or a column is missing.
    """
    measures = rank_columns(table, measures)
    width, x = table["width"].to_numpy(float), np.arange(len(table))
    figure, [above, below] = style.grid(2, 1, aspect=0.5, extra=0.8 + 0.2 * -(-len(measures) // 3))
    ranks = [table[name].to_numpy(float) for name in measures]
    style.log_lines(above, [(x, rank) for rank in ranks], [name.replace("_", " ") for name in measures])
    above.plot(
        x, width, color=style.INK, linewidth=1, linestyle="--", marker=".", markersize=3, label="width"
    )
    style.log_axis(above, [*ranks, width])
    for name, rank, color in zip(measures, ranks, style.line_colors(len(measures)), strict=True):
        ratio = ratios(table, name)
        below.plot(x, ratio, color=color, linewidth=1.4, marker="o", markersize=3.5 if len(x) < 30 else 2)
        if errors and f"{name}_se" in table:
            reach = 1.96 * table[f"{name}_se"].to_numpy(float)
            for ax, middle, bar in ((above, rank, reach), (below, ratio, reach / width)):
                ax.errorbar(x, middle, bar, fmt="none", ecolor=color, elinewidth=0.9)
    ticks = style.some_ticks(len(x), 24)
    shown = [style.label(table["name"].iloc[index], 24) for index in ticks]
    above.set_xticks(ticks, [])
    below.set_xticks(ticks, shown, rotation=90 if sum(map(len, shown)) > 60 else 0)
    for ax in (above, below):
        ax.set_xlim(-0.5, len(x) - 0.5)
    below.set_ylim(0, None)
    style.say(above, y="rank (dimensions)")
    style.say(below, x="layer, from input to output", y="rank / width")
    style.legend(above, "lower center", 1.0)
    return figure


def normalised(values: Values, name: str) -> Float[np.ndarray, "_"]:
    """Return the finite ones of ``values`` over the largest, largest first; nothing where none is positive.

    Raises:
        InputError: when ``values`` is empty or no vector.
    """
    s = style.array(values, f"the spectrum of {name}", "index")
    s = np.sort(s[np.isfinite(s)])[::-1]
    return s / s[0] if s.size and s[0] > 0 else s[:0]


def _largest(values: Values, name: str) -> float:
    s = style.array(values, f"the spectrum of {name}", "index")
    return float(s[np.isfinite(s)].max())


def plot_spectra(
    spectra: Mapping[str, Float[Tensor, "_"]], title: str = "", *, absolute: bool = False
) -> Figure:
    """Draw the singular values of each layer, largest first, over the first and against index / width.

    Args:
        spectra: singular values by layer, from input to output; values that are not finite are left out,
            and so is a layer without a positive one, which the figure says.
        title: stands above the picture.
        absolute: draw the values themselves, against their index.

    Raises:
        InputError: when there is no layer, or one has no singular value.
    """
    every = {name: normalised(values, name) for name, values in _some(spectra, "spectra").items()}
    known = {name: s for name, s in every.items() if s.size}
    labels = [style.label(name, 24) for name in known]
    many = len(known) > style.CATEGORIES
    figure, [ax] = style.grid(1, 1, aspect=0.65, extra=0.0 if many else 0.5)
    top = {name: _largest(spectra[name], name) if absolute else 1.0 for name in known}
    across = {name: 1 if absolute else len(s) for name, s in known.items()}
    lines = [(np.arange(1, len(s) + 1) / across[name], top[name] * s) for name, s in known.items()]
    style.log_lines(ax, lines, labels)
    style.say(
        ax,
        title=style.label(title),
        x="index, largest first" if absolute else "index / width",
        y="singular value" if absolute else "singular value / largest",
    )
    ax.set_xlim(0, 1.02 * max((x[-1] for x, _ in lines), default=1.0))
    ax.set_ylim(bottom=max(ax.get_ylim()[0], _FLOOR * max(top.values(), default=1.0)))
    if many:
        style.colorbar(figure, style.ordered(len(known)), "layer, from input to output").set_ticks([])
    elif known:
        style.legend(ax, "upper center", -0.17)
    if lost := len(spectra) - len(known):
        style.footnote(figure, f"{lost} of {len(spectra)} layers have no positive value")
    return figure


def plot_activation_histograms(histograms: Mapping[str, tuple[Values, Values]]) -> Figure:
    """Draw a histogram of activations for each layer, with the counts on a log axis.

    Of more than twelve layers, twelve are drawn, evenly spaced from the first to the last; the figure says
    so.

    Args:
        histograms: (counts [bin], edges [bin + 1]) by layer, from input to output.

    Raises:
        InputError: when there is no layer, or one has not one edge more than counts.
    """
    every = list(_some(histograms, "histograms").items())
    chosen = np.unique(np.linspace(0, len(every) - 1, _MOST_PANELS).round().astype(int))
    figure, panels = style.grid(len(chosen), 3, aspect=0.8)
    for ax, index in zip(panels, chosen, strict=True):
        name, (given_counts, given_edges) = every[index]
        counts = np.nan_to_num(style.array(given_counts, f"the counts of {name}", "bin"))
        edges = style.array(given_edges, f"the edges of {name}", "edge")
        if len(edges) != len(counts) + 1:
            raise InputError(
                f"{name} has {len(counts)} counts and {len(edges)} edges; give one edge more than counts"
            )
        bottom = 0.7  # where a count of one still has a height
        ax.stairs(
            np.maximum(counts, bottom), edges, baseline=bottom, fill=True, color=style.line_colors(1)[0]
        )
        style.log_axis(ax, [np.array([1, max(counts.max(), 10)])])
        ax.set_ylim(bottom=bottom)
        ax.xaxis.set_major_locator(MaxNLocator(3))
        style.say(ax, title=style.label(name, 20))
        if not counts.any():
            style.note(ax, "no values")
    style.say(panels[0], y="count")
    rest = "" if len(chosen) == len(every) else f"; {len(chosen)} of {len(every)} layers, evenly spaced"
    style.footnote(figure, f"activation{rest}")
    return figure


def _some(given: Mapping[str, V], what: str) -> Mapping[str, V]:
    if not given:
        raise InputError(f"{what} is empty; give at least one layer")
    return given
