"""Bars: one number for each name, measured beside published."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from superscope.core.errors import InputError
from superscope.plots import style
from superscope.plots.style import Values

Numbers = Values | Sequence[float]

_LINE = 0.24
"""Inches from one bar to the next."""


def plot_bars(
    values: Numbers | Mapping[str, Numbers],
    names: Sequence[object],
    errors: Numbers | Mapping[str, Numbers] | None = None,
    published: Numbers | None = None,
    *,
    value_name: str,
) -> Figure:
    """Draw a bar for each name, or one in each series, and a diamond where the published value is.

    Bars lie, so that names can be read. A value that is not finite has no bar, and "–" in its place.

    Args:
        values: [name], or such a vector for each series.
        names: of the bars, from top to bottom.
        errors: half the width of each interval, in the form of ``values``; NaN where unknown.
        published: [name], NaN where nothing was published.
        value_name: what the values are, with their unit, and what the intervals are.

    Raises:
        InputError: when there is not a value for each name, or an error for each value.
    """
    several = isinstance(values, Mapping)
    count = _count(values)
    shown = style.names(names, count, "names", 28)
    series = _series(values, "values", count)
    halves = {} if errors is None else _series(errors, "errors", count)
    if errors is not None and list(halves) != list(series):
        raise InputError(
            f"errors has the series {', '.join(halves)} and values {', '.join(series)}; give the same"
        )
    marks = None if published is None else _series(published, "published", count)[""]

    legend = several or marks is not None
    inches = _LINE * count * (0.4 + 0.6 * len(series))
    figure, [ax] = style.grid(1, 1, aspect=(inches + 0.5) / style.WIDTH, extra=0.25 * legend)
    thick = 0.8 / len(series)
    colors = style.line_colors(len(series))
    for k, (name, row) in enumerate(series.items()):
        places = np.arange(count) + (k - (len(series) - 1) / 2) * thick
        known = np.isfinite(row)
        text = style.label(name or "measured", 24)
        ax.barh(places[known], row[known], thick * 0.92, color=colors[k], label=text)
        if name in halves:
            reach = np.nan_to_num(halves[name])
            ax.errorbar(row, places, xerr=reach, fmt="none", ecolor=style.INK, elinewidth=1)
        for place in places[~known]:
            ax.text(0, place, " –", va="center", color=style.INK, fontsize=8)
    if marks is not None:
        ax.plot(
            marks, np.arange(count), "D", color="none", markersize=6, markeredgecolor=style.INK,
            markeredgewidth=1.3, label="published",
        )  # fmt: skip
    ax.set_yticks(np.arange(count), shown)
    ax.set_ylim(count - 0.45, -0.55)
    ax.tick_params("y", length=0)
    low, high = ax.get_xlim()
    if low < 0 < high:
        ax.axvline(0, color=style.INK, linewidth=0.8)
    style.say(ax, x=style.label(value_name, 64))
    if legend:
        style.legend(ax, "lower center", 1.0)
    return figure


def _count(values: Numbers | Mapping[str, Numbers]) -> int:
    if isinstance(values, Mapping):
        if not values:
            raise InputError("values is empty; give at least one series")
        values = next(iter(values.values()))
    return len(_vector(values, "values"))


def _series(given: Numbers | Mapping[str, Numbers], what: str, count: int) -> dict[str, np.ndarray]:
    """Return vectors by series, the one without a name as ``""``."""
    rows = given if isinstance(given, Mapping) else {"": given}
    made = {name: _vector(row, f"{what} {name}".strip()) for name, row in rows.items()}
    for name, row in made.items():
        if len(row) != count:
            raise InputError(
                f"{what} {name}".strip() + f" has {len(row)} entries for {count} names; give one for each"
            )
    return made


def _vector(given: Numbers, what: str) -> np.ndarray:
    return style.array(given if isinstance(given, Tensor) else np.asarray(given), what, "name")
