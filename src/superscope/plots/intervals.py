"""Means with their intervals, over a few settings."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from superscope.core.errors import InputError
from superscope.plots import style


def plot_intervals(
    lines: Mapping[str, Float[Tensor, "setting 3"]], settings: Sequence[object], x: str, y: str
) -> Figure:
    """Draw the mean of each line at each setting, with a bar for its interval.

    Settings stand side by side, equally far apart; lines are moved a little so that bars do not hide each
    other.

    Args:
        lines: mean, low and high end by setting, for each name; a bar that is not finite is left out.
        settings: a label for each setting.
        x: what the settings are.
        y: what is drawn, with its unit.

    Raises:
        InputError: when there is no line, or one has not three numbers for each setting.
    """
    if not lines:
        raise InputError("lines is empty; give at least one")
    labels = style.names(settings, len(settings), "settings", 16)
    figure, [ax] = style.grid(1, 1, aspect=0.6, extra=0.2 * -(-len(lines) // 3))
    places = np.arange(len(labels))
    shifts = 0.06 * (np.arange(len(lines)) - (len(lines) - 1) / 2)
    for (name, given), shift, color in zip(lines.items(), shifts, style.line_colors(len(lines)), strict=True):
        values = style.array(given, name, "setting end")
        if values.shape != (len(labels), 3):
            raise InputError(
                f"{name} has the shape {list(values.shape)}; give [{len(labels)}, 3]: mean, low and high"
            )
        mean, low, high = values.T
        ax.plot(
            places + shift, mean, "o-", color=color, linewidth=1.4, markersize=3.5, label=style.label(name)
        )
        ax.vlines(places + shift, low, high, color=color, linewidth=1.2)
    ax.set_xticks(places, labels)
    style.say(ax, x=style.label(x), y=style.label(y))
    style.legend(ax, "upper center", -0.18)
    return figure
