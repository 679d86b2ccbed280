"""Values beside the distribution that chance gives."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from superscope.core.errors import InputError
from superscope.plots import style
from superscope.plots.style import Values

_BINS = 60
_ROOM = 0.09
"""Height of a row of marks, in heights of the histogram."""


def plot_chance(
    chance: Values, found: Mapping[str, Values], *, value_name: str, limit: float | None = None
) -> Figure:
    """Draw the distribution of values that chance gives, and below it a row of marks for those found.

    Args:
        chance: [draw].
        found: [value], by the name of what they are of; six or fewer.
        value_name: what the values are, with their unit.
        limit: dashed lines are drawn at ± this, such as where 95 % of chance lies.

    Raises:
        InputError: when there is nothing found or more than six names, a vector is empty or none, or a value
            is not finite.
    """
    if not 0 < len(found) <= style.CATEGORIES:
        raise InputError(f"found has {len(found)} entries; give one to {style.CATEGORIES}")
    drawn = style.array(chance, "chance", "draw")
    rows = {name: style.array(values, f"the values of {name}", "value") for name, values in found.items()}
    if not all(np.isfinite(values).all() for values in (drawn, *rows.values())):
        raise InputError("a value is not finite; leave it out")
    density, edges = np.histogram(drawn, _BINS, density=True)
    figure, [ax] = style.grid(1, 1, aspect=0.55, extra=0.25)
    ax.stairs(density, edges, fill=True, color=style.GREY, alpha=0.5, label="chance")
    top = float(density.max())
    for index, ((name, values), color) in enumerate(
        zip(rows.items(), style.line_colors(len(rows)), strict=True)
    ):
        low = -(index + 1) * _ROOM * top
        ax.vlines(values, low, low + 0.75 * _ROOM * top, color=color, linewidth=1.8, label=style.label(name))
    if limit is not None:
        for place in (-limit, limit):
            ax.axvline(place, color=style.INK, linewidth=0.9, linestyle="--")
    ax.axhline(0, color=style.INK, linewidth=0.8)
    ax.set_yticks([])
    ax.spines[["left"]].set_visible(False)
    style.say(ax, x=style.label(value_name, 64))
    style.legend(ax, "lower center", 1.0)
    return figure
