"""What dictionaries find of known features."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from superscope.core.errors import InputError
from superscope.plots import style
from superscope.plots.style import Values

_MOST_PAIRS = 64
"""Features across a panel: on a phone, three panels wide, a cell is then more than a pixel."""


class RecoveryLine(NamedTuple):
    """A dictionary at several L0: where it is, how much it recovers, and over how many seeds."""

    l0: Values
    """[point], mean over seeds."""
    recovered: Values
    """[point], mean over seeds."""
    half: Values
    """[point], half the width of the interval over seeds; NaN where unknown."""


def plot_recovery(
    dictionaries: Mapping[str, tuple[RecoveryLine, RecoveryLine | None]],
    true_l0: float,
    *,
    names: tuple[str, str],
    y_name: str,
) -> Figure:
    """Draw what dictionaries recover against their L0, a panel for each, all on the same axes.

    Dots and a line stand for the first of two ways of training, rings and a dashed line for the second. A
    grey line marks the true L0. The axes fit the dots; an interval that is wider goes out of its panel.

    Args:
        dictionaries: by name, the two ways; None where there is no second.
        true_l0: latents that a sample needs.
        names: of the two ways.
        y_name: what is recovered.

    Raises:
        InputError: when there is no dictionary, or a line's entries are not equally many.
    """
    if not dictionaries:
        raise InputError("dictionaries is empty; give at least one")
    figure, axes = style.grid(len(dictionaries), 3, aspect=1.0, extra=0.35)
    colors = style.line_colors(2)
    for ax, (name, ways) in zip(axes, dictionaries.items(), strict=True):
        ax.axvline(true_l0, color=style.GREY, linewidth=1.0)
        for second, line in enumerate(ways):
            if line is not None:
                _draw(ax, *_checked(name, line), names[second], color=colors[second], second=second == 1)
        style.say(ax, title=style.label(name, 22))
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.yaxis.set_major_locator(MaxNLocator(5))
    lines = [line for ways in dictionaries.values() for line in ways if line is not None]
    for k, (put, extra) in enumerate((("set_xlim", [true_l0]), ("set_ylim", []))):
        every = np.concatenate([style.array(line[k], "the line", "point") for line in lines] + [extra])
        low, high = np.nanmin(every), np.nanmax(every)
        margin = max(0.12 * (high - low), 0.005)
        for ax in axes:
            getattr(ax, put)(low - margin, high + margin)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=2, frameon=False, fontsize=8, labelcolor=style.INK
    )
    figure.supylabel(style.label(y_name), color=style.INK, fontsize=9)
    style.footnote(figure, "L0, active latents a sample")
    return figure


def plot_matches(cosines: Mapping[str, Values], value_name: str = "|cosine|") -> Figure:
    """Draw |cosine| of features (rows) and the latents that are matched with them, in the same order.

    All panels have one scale, from 0 to 1. A feature that is found has its cell on the diagonal at 1; what
    stands beside the diagonal is shared. Of more than 64 pairs, 64 are drawn, evenly spaced; the figure says
    so.

    Args:
        cosines: [pair, pair] by dictionary, in [0, 1] up to rounding.
        value_name: what the entries are.

    Raises:
        InputError: when there is no dictionary, one is not square, or an entry is not in [0, 1].
    """
    if not cosines:
        raise InputError("cosines is empty; give at least one dictionary's")
    figure, axes = style.instances(cosines, len(cosines))
    norm = Normalize(0, 1)
    colors = ScalarMappable(norm, style.sequential())
    pairs = 0
    for ax, (name, given) in zip(axes, cosines.items(), strict=True):
        table = style.array(given, f"the cosines of {name}", "pair pair")
        known = table[np.isfinite(table)]
        if (
            table.shape[0] != table.shape[1]
            or known.min(initial=0) < -1e-4
            or known.max(initial=1) > 1 + 1e-4
        ):
            raise InputError(
                f"the cosines of {name} have the shape {list(table.shape)} and go from "
                f"{known.min(initial=0):.3g} to {known.max(initial=0):.3g}; give a square table in [0, 1]"
            )
        pairs = max(pairs, len(table))
        kept = np.unique(np.linspace(0, len(table) - 1, min(_MOST_PAIRS, len(table))).round().astype(int))
        shown = table[np.ix_(kept, kept)]
        ax.imshow(shown, cmap=colors.cmap, norm=norm, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    style.say(axes[0], y="feature")
    style.colorbar(figure, colors, style.label(value_name))
    some = f"; {_MOST_PAIRS} of {pairs}, evenly spaced" if pairs > _MOST_PAIRS else ""
    style.footnote(figure, f"latent matched with each feature, in the same order{some}")
    return figure


def _checked(name: str, line: RecoveryLine) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    l0, recovered, half = (
        style.array(part, f"{name}'s {what}", "point") for part, what in zip(line, line._fields, strict=True)
    )
    if not len(l0) == len(recovered) == len(half):
        raise InputError(
            f"{name} has {len(l0)} L0, {len(recovered)} values and {len(half)} intervals; as many of each"
        )
    return l0, recovered, half


def _draw(
    ax: Axes, l0: np.ndarray, recovered: np.ndarray, half: np.ndarray, text: str, *, color: str, second: bool
) -> None:
    ax.plot(
        l0, recovered, "o--" if second else "o-", color=color, linewidth=1.0 if second else 1.4, markersize=4,
        markerfacecolor="none" if second else color, label=style.label(text, 28),
    )  # fmt: skip
    known = np.isfinite(half)
    ax.errorbar(l0[known], recovered[known], yerr=half[known], fmt="none", ecolor=color, elinewidth=0.8)
