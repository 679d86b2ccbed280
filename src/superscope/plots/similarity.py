"""Histograms of cosine similarities, layers or runs over each other or side by side."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from superscope.core.errors import InputError
from superscope.plots import style
from superscope.plots.style import Values

_MOST_PANELS = 12
_MOST_OVERLAID = 4
_EDGE = 1e-3
"""Of all pairs: the axis leaves out so much at either end at most."""


def plot_cosine_histograms(
    histograms: Mapping[str, tuple[Values, Values]],
    means: Mapping[str, float] | None = None,
    *,
    overlaid: bool | None = None,
    value_name: str = "cosine similarity",
) -> Figure:
    """Draw the density of cosines for each layer or run, and its mean as a dashed line.

    Densities integrate to 1, so that histograms of different counts and bins can be compared. The axis covers
    99.8 % or more of every histogram. Of more than twelve panels, twelve are drawn, evenly spaced from the
    first to the last; the figure says so.

    Args:
        histograms: (counts [bin], edges [bin + 1]) by name.
        means: exact ones by name; from the middles of the bins where None.
        overlaid: in one panel or in one each; in one up to four where None.
        value_name: what is counted.

    Raises:
        InputError: when there is no histogram, one has not one edge more than counts, edges do not rise, a
            count is negative, or a mean is missing.
    """
    if not histograms:
        raise InputError("histograms is empty; give at least one")
    densities = {name: _density(name, *pair) for name, pair in histograms.items()}
    if means is not None and (missing := [name for name in densities if name not in means]):
        raise InputError(f"means lacks {', '.join(missing)}; give one for each histogram, or None")
    middles = {
        name: _mean(*pair) if means is None else float(means[name]) for name, pair in densities.items()
    }
    together = len(densities) <= _MOST_OVERLAID if overlaid is None else overlaid
    every = list(densities)
    kept = np.unique(np.linspace(0, len(every) - 1, _MOST_PANELS).round().astype(int))
    chosen = every if together else [every[i] for i in kept]
    limits = _limits([densities[name] for name in chosen])
    if together:
        figure, [ax] = style.grid(1, 1, aspect=0.6, extra=0.2 + 0.2 * -(-len(every) // 3))
        for name, color in zip(every, style.line_colors(len(every)), strict=True):
            text = f"{style.label(name, 20)}, mean {_number(middles[name])}"
            _draw(ax, *densities[name], middles[name], color, text)
        panels = [ax]
        style.legend(ax, "lower center", 1.0)
    else:
        figure, panels = style.grid(len(chosen), 3, aspect=0.8)
        for ax, name in zip(panels, chosen, strict=True):
            _draw(ax, *densities[name], middles[name], style.line_colors(1)[0], "")
            style.say(ax, title=style.label(name, 22))
            ax.xaxis.set_major_locator(MaxNLocator(3))
            ax.yaxis.set_major_locator(MaxNLocator(3))
            style.say(ax, x=f"mean {_number(middles[name])}")
            if not densities[name][0].any():
                style.note(ax, "no pairs")
    for ax in panels:
        ax.set_xlim(limits)
        ax.set_ylim(0, None)
    style.say(panels[0], y="density")
    rest = "" if len(chosen) == len(every) else f"; {len(chosen)} of {len(every)}, evenly spaced"
    style.footnote(figure, style.label(value_name) + rest)
    return figure


def _density(name: str, counts: Values, edges: Values) -> tuple[np.ndarray, np.ndarray]:
    heights = style.array(counts, f"the counts of {name}", "bin")
    ends = style.array(edges, f"the edges of {name}", "edge")
    if len(ends) != len(heights) + 1 or not (np.diff(ends) > 0).all():
        raise InputError(
            f"{name} has {len(heights)} counts and {len(ends)} edges; give one edge more than counts, rising"
        )
    if not (heights >= 0).all():
        raise InputError(f"{name} has a count that is negative or not a number; give counts of 0 or more")
    return heights / max(heights.sum(), 1e-300) / np.diff(ends), ends


def _mean(density: np.ndarray, edges: np.ndarray) -> float:
    share = density * np.diff(edges)
    return float((share * (edges[1:] + edges[:-1]) / 2).sum()) if share.any() else float("nan")


def _limits(densities: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    lows, highs = [], []
    for density, edges in densities:
        below = np.cumsum(density * np.diff(edges))
        if below[-1] > 0:
            lows.append(edges[np.searchsorted(below, _EDGE, "right")])
            highs.append(edges[np.searchsorted(below, 1 - _EDGE) + 1])
    low, high = (min(lows), max(highs)) if lows else (-1.0, 1.0)
    margin = 0.03 * (high - low)
    return low - margin, high + margin


def _draw(ax: Axes, density: np.ndarray, edges: np.ndarray, mean: float, color: str, text: str) -> None:
    ax.stairs(density, edges, fill=True, color=color, alpha=0.25)
    ax.stairs(density, edges, color=color, linewidth=1.3, label=text)
    if np.isfinite(mean):
        ax.axvline(mean, color=color, linewidth=1.2, linestyle="--")


def _number(mean: float) -> str:
    return f"{round(mean, 3) + 0.0:.3f}".replace("-", "−") if np.isfinite(mean) else "–"
