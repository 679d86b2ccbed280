"""Pictures of what changes along a sweep: curves with an interval over seeds, and solutions in the plane."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from superscope.core.errors import InputError
from superscope.plots import style

_LEVEL = 0.95


def plot_sweep(
    values: Float[Tensor, "seed line point"],
    x: Float[Tensor, " point"] | Sequence[float],
    labels: Sequence[object],
    *,
    x_name: str,
    y_name: str,
    log_x: bool = True,
    marks: Sequence[float] = (),
) -> Figure:
    """Draw the mean over seeds of each line against x, in a band of Student's 95 % interval.

    A NaN is left out of its mean. A point that no seed has is a gap in the line; one that a single seed has
    is drawn without a band.

    Args:
        values: what was measured.
        x: where; positive on a log axis.
        labels: a name for each line.
        x_name: what x is, with its unit.
        y_name: what the values are, with their unit.
        log_x: whether x has a log axis.
        marks: places on x that a faint dashed line goes through.

    Raises:
        InputError: when the shapes do not fit each other, or an x on a log axis is not positive.
    """
    measured = style.array(values, "values", "seed line point")
    places = style.array(torch.as_tensor(x), "x", "point")
    labels = style.names(labels, measured.shape[1], "labels")
    if len(places) != measured.shape[2]:
        raise InputError(f"x has {len(places)} entries for {measured.shape[2]} points; give one for each")
    _axis_fits(places, log=log_x)

    order = np.argsort(places)
    several = len(labels) > 1  # the axis alone says what a single line is
    figure, [ax] = style.grid(1, 1, aspect=0.62, extra=0.2 * -(-len(labels) // 3) if several else 0.0)
    colors = style.line_colors(len(labels))
    for k, (text, color) in enumerate(zip(labels, colors, strict=True)):
        mean, half = _interval(measured[:, k, order])
        ax.fill_between(places[order], mean - half, mean + half, color=color, alpha=0.22, linewidth=0)
        ax.plot(places[order], mean, "o-", color=color, markersize=3.5, linewidth=1.4, label=text)
    for place in marks:
        ax.axvline(place, color=style.INK, alpha=0.45, linewidth=0.8, linestyle="--")
    low, high = ax.get_ylim()
    if low < 0 < high:
        ax.axhline(0, color=style.INK, alpha=0.45, linewidth=0.8)
    if log_x:
        ax.set_xscale("log")
        _number(ax.xaxis, places)
    style.say(ax, x=style.label(x_name, 64), y=style.label(y_name))
    if several:
        style.legend(ax, "upper center", -0.2)
    return figure


def plot_relation(
    x: Float[Tensor, " point"],
    y: Float[Tensor, " point"],
    color: Float[Tensor, " point"] | Sequence[float],
    *,
    x_name: str,
    y_name: str,
    color_name: str,
) -> Figure:
    """Draw a dot for each pair (x, y), coloured on a log scale by a positive third quantity.

    Args:
        x: the first quantity.
        y: the second.
        color: the third, positive.
        x_name: what x is, with its unit.
        y_name: what y is, with its unit.
        color_name: what the third is, with its unit.

    Raises:
        InputError: when the shapes do not fit each other, or a colour is not positive.
    """
    across, up = style.array(x, "x", "point"), style.array(y, "y", "point")
    shades = style.array(torch.as_tensor(color), "color", "point")
    if not len(across) == len(up) == len(shades):
        raise InputError(
            f"x, y and color have {len(across)}, {len(up)} and {len(shades)} entries; as many each"
        )
    _axis_fits(shades, log=True)
    colors = _log_colors(shades)
    figure, [ax] = style.grid(1, 1, aspect=0.62)
    ax.scatter(across, up, c=colors.to_rgba(shades), s=22, linewidths=0)
    style.say(ax, x=style.label(x_name), y=style.label(y_name))
    _number(style.colorbar(figure, colors, color_name).ax.yaxis, shades)
    return figure


def plot_solutions(
    W: Float[Tensor, "panel point hidden feature"],
    titles: Sequence[object],
    x: Float[Tensor, " point"] | Sequence[float],
    name: str,
) -> Figure:
    """Draw the directions W_i of many solutions over each other, coloured by the x of each, in the plane.

    The ends of a solution's W_i, in order of their angle, are joined to a polygon. The faint circle has
    radius 1. As in Elhage et al. 2022, "Toy Models of Superposition" (arXiv 2209.10652).

    Args:
        W: directions, with hidden = 2; a solution with a NaN is not drawn.
        titles: a title for each panel.
        x: a positive quantity of each point, such as a density.
        name: what x is, with its unit.

    Raises:
        InputError: when W has another shape, there is not a title a panel and an x a point, or an x is not
            positive.
    """
    stack = style.array(W, "W", "panel point hidden feature")
    places = style.array(torch.as_tensor(x), "x", "point")
    if stack.shape[2] != 2 or len(places) != stack.shape[1]:
        raise InputError(
            f"W has the shape {list(stack.shape)} beside {len(places)} entries of x; 2 hidden dimensions and "
            "an x for each point are needed"
        )
    _axis_fits(places, log=True)
    colors = _log_colors(places)
    lengths = np.hypot(stack[:, :, 0], stack[:, :, 1])
    limit = 1.12 * float(lengths[np.isfinite(lengths)].max(initial=1.0))
    turn = np.linspace(0, 2 * np.pi, 181)
    figure, panels = style.instances(titles, len(stack))
    for ax, solutions in zip(panels, stack, strict=True):
        ax.plot(np.cos(turn), np.sin(turn), color=style.INK, alpha=0.35, linewidth=0.7)
        for directions, place in zip(solutions, places, strict=True):
            if not np.isfinite(directions).all():
                continue
            color = colors.to_rgba(place)
            long = directions[:, np.hypot(*directions) > 0.5]
            ring = long[:, np.argsort(np.arctan2(long[1], long[0]))]
            ax.plot(*np.concatenate([ring, ring[:, :1]], axis=1), color=color, linewidth=0.7, alpha=0.7)
            ax.scatter(*directions, color=color, s=14, linewidths=0, zorder=3)
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    _number(style.colorbar(figure, colors, style.label(name)).ax.yaxis, places)
    return figure


def _log_colors(values: Float[np.ndarray, " point"]) -> ScalarMappable:
    low, high = values.min(), values.max()
    spread = 1.0 if high > low else 1.05  # a single value needs a scale around it
    return ScalarMappable(LogNorm(low / spread, high * spread), style.sequential())


def _number(axis: Axis, values: Float[np.ndarray, " point"]) -> None:
    """Put plain numbers on a log axis: at 1, 2 and 5 where it is short, else at 1 alone."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if values.max() < 50 * values.min() else (1.0,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _axis_fits(places: Float[np.ndarray, " point"], *, log: bool) -> None:
    if not np.isfinite(places).all() or (log and not (places > 0).all()):
        raise InputError("an axis holds a value that is not finite, or not positive on a log scale")


def _interval(values: Float[np.ndarray, "seed point"]) -> tuple[np.ndarray, np.ndarray]:
    """Return each point's mean and half the width of its interval, over the seeds that have it."""
    from scipy import stats

    known = np.isfinite(values)
    count = known.sum(0)
    mean = np.where(count > 0, np.where(known, values, 0).sum(0) / np.maximum(count, 1), np.nan)
    square = np.where(known, values - mean, 0) ** 2
    freedom = np.maximum(count - 1, 1)
    half = stats.t.ppf((1 + _LEVEL) / 2, freedom) * np.sqrt(square.sum(0) / freedom / np.maximum(count, 1))
    return mean, np.where(count > 1, half, 0)
