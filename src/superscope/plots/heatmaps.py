"""Heat maps of matrices: weights, activations, correlations.

Cells are a picture inside the SVG, so that files stay small.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from superscope.core.errors import InputError
from superscope.plots import style
from superscope.plots.style import Values

_MOST_PANELS = 12
_MOST_CELLS = 256
"""Cells across a panel: on a phone, a cell is then about a pixel wide. More are drawn as block means."""
_MOST_NAMES = 40
_LINE = 0.155
"""Inches from one name of a row to the next."""
_TAIL = 0.995
_ON_LIGHT, _ON_DARK = "#1e2b3b", "#ffffff"
"""Of numbers on a cell, whatever the page; not ``style.INK``, which the page replaces."""


class Heatmap(NamedTuple):
    """One matrix to draw, its axes and, where they have them, the names of its rows and columns."""

    values: Values
    title: object
    x_name: str = "column"
    y_name: str = "row"
    columns: Sequence[object] = ()
    rows: Sequence[object] = ()


def plot_heatmaps(maps: Sequence[Heatmap], value_name: str) -> Figure:
    """Draw matrices as heat maps, each on its own scale: around 0 where values have both signs, else from 0.

    The scale ends at the largest value, or where 99.5 % of the values end if the largest is more than twice
    that; its bar is then pointed, and cells beyond have the colour of its end. Of more than 256 rows or
    columns (128 where panels stand in two columns), means over blocks of equal size are drawn, and the
    axis says so. A value that is not finite is left out of its block's mean; a block of such values is grey.

    Args:
        maps: what to draw; of more than twelve, twelve, evenly spaced from first to last.
        value_name: what the values are, with their unit.

    Raises:
        InputError: when there is no map, one is no matrix, or has not a name for each row and column.
    """
    if not maps:
        raise InputError("maps is empty; give at least one matrix")
    chosen = np.unique(np.linspace(0, len(maps) - 1, _MOST_PANELS).round().astype(int))
    shown = [maps[index] for index in chosen]
    columns = 1 if len(shown) < 4 else 2
    rows = max(len(one.rows) if len(one.rows) <= _MOST_NAMES else 0 for one in shown)
    height = max(1.9 / columns**0.35, _LINE * rows)
    figure, panels = style.grid(len(shown), columns, aspect=height / (style.WIDTH / columns))
    lost = 0
    for ax, one in zip(panels, shown, strict=True):
        values = style.array(one.values, f"the values of {one.title}", "row column")
        lost += int((~np.isfinite(values)).sum())
        cells, block = block_means(values, _MOST_CELLS // columns)
        colors = scale(cells)
        _draw(ax, one, values.shape, cells, block, colors)
        style.say(ax, title=style.label(one.title, 48 // columns))
        style.colorbar(figure, colors, style.label(value_name), ax).locator = MaxNLocator(4)
    notes = [f"{len(shown)} of {len(maps)} matrices, evenly spaced"] * (len(shown) < len(maps))
    notes += [f"{lost:,} values are not finite"] * (lost > 0)
    if notes:
        style.footnote(figure, "; ".join(notes))
    return figure


def plot_weights(weights: Mapping[str, Values]) -> Figure:
    """Draw weights as heat maps, blue below 0 and red above, as :func:`plot_heatmaps` draws matrices.

    Args:
        weights: by layer, [out, in] or [out, in, ...]; a kernel's positions become columns beside each
            other, input channel by input channel.

    Raises:
        InputError: when there is no layer, or a weight has fewer than two axes.
    """
    if not weights:
        raise InputError("weights is empty; give at least one layer's")
    maps = []
    for name, weight in weights.items():
        if weight.ndim < 2:
            raise InputError(
                f"the weight of {name} has the shape {list(weight.shape)}; give [out, in] or [out, in, ...]"
            )
        kernel = " × ".join(map(str, weight.shape[2:]))
        x_name = f"input channel × {kernel}" if kernel else "input"
        maps.append(Heatmap(weight.reshape(len(weight), -1), name, x_name, "output"))
    return plot_heatmaps(maps, "weight")


def plot_correlation(
    matrix: Values,
    names: Sequence[object],
    *,
    title: str = "",
    value_name: str = "correlation",
    decimals: int = 2,
) -> Figure:
    """Draw a matrix of correlations or cosines, from −1 (blue) to 1 (red).

    Up to ten names, each cell has its number. What is not finite, as of a constant variable, is grey.

    Args:
        matrix: [name, name], in [−1, 1] up to rounding.
        names: of its rows and columns.
        title: stands above the picture.
        value_name: what the entries are.
        decimals: of the numbers.

    Raises:
        InputError: when the matrix is not square, has not a name for each row, or leaves [−1, 1].
    """
    values = style.array(matrix, "matrix", "name name")
    if values.shape[0] != values.shape[1]:
        raise InputError(f"matrix has the shape {list(values.shape)}; give a square one")
    style.names(names, len(values), "names")
    beyond = np.abs(values[np.isfinite(values)]).max(initial=0.0)
    if beyond > 1 + 1e-4:
        raise InputError(f"matrix holds {beyond:.4g}; correlations are from −1 to 1")
    colors = ScalarMappable(Normalize(-1, 1), style.diverging())
    figure, [ax] = style.grid(1, 1, aspect=0.8)
    cells, block = block_means(values, _MOST_CELLS)
    _draw(ax, Heatmap(values, title, "", "", names, names), values.shape, cells, block, colors)
    ax.set_aspect("equal")
    if len(values) <= 10:
        for (row, column), value in np.ndenumerate(values):
            dark = abs(value) > 0.6
            ax.text(
                column + 0.5, row + 0.5, _number(value, decimals), ha="center", va="center", fontsize=8,
                color=_ON_DARK if dark else _ON_LIGHT,
            )  # fmt: skip
    style.say(ax, title=style.label(title))
    style.colorbar(figure, colors, style.label(value_name)).set_ticks([-1, -0.5, 0, 0.5, 1])
    return figure


def scale(values: Float[np.ndarray, "..."], *, signed: bool | None = None) -> ScalarMappable:
    """Return colours for values: around 0 where some are negative, else from 0.

    Args:
        values: what is to be drawn.
        signed: whether to centre on 0 whatever the signs.
    """
    sizes = np.abs(values[np.isfinite(values)])
    top, tail = (sizes.max(), np.quantile(sizes, _TAIL)) if sizes.size else (0.0, 0.0)
    cut = bool(0 < 2 * tail < top)
    limit = float(tail if cut else top) or 1.0
    centred = bool((values < 0).any()) if signed is None else signed
    colors = (style.diverging() if centred else style.sequential()).copy()
    colors.colorbar_extend = ("both" if centred else "max") if cut else False  # pyright: ignore[reportAttributeAccessIssue]
    return ScalarMappable(Normalize(-limit if centred else 0.0, limit), colors)


def block_means(
    values: Float[np.ndarray, "row column"], most: int
) -> tuple[Float[np.ndarray, "_ _"], tuple[int, int]]:
    """Return means over blocks, at most ``most`` either way, and the shape of a block.

    Values that are not finite are left out; a block without a finite one is NaN. The last blocks take what
    is left.
    """
    rows, columns = (math.ceil(size / most) for size in values.shape)
    padded = np.pad(
        values, [(0, -values.shape[0] % rows), (0, -values.shape[1] % columns)], constant_values=np.nan
    )
    blocks = padded.reshape(padded.shape[0] // rows, rows, padded.shape[1] // columns, columns)
    known = np.isfinite(blocks)
    count = known.sum((1, 3))
    total = np.where(known, blocks, 0.0).sum((1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), (rows, columns)


def _draw(
    ax: Axes,
    one: Heatmap,
    shape: tuple[int, ...],
    cells: Float[np.ndarray, "_ _"],
    block: tuple[int, int],
    colors: ScalarMappable,
) -> None:
    (rows, columns), (down, across) = shape, block
    # "none" puts the cells as they are into the SVG, and the browser enlarges them without blurring.
    ax.imshow(
        colors.to_rgba(np.ma.masked_invalid(cells)), interpolation="none", aspect="auto",
        extent=(0, cells.shape[1] * across, cells.shape[0] * down, 0),
    )  # fmt: skip
    ax.set(xlim=(0, columns), ylim=(rows, 0))
    ax.spines[:].set_visible(False)
    _name(ax.xaxis, one.columns, columns, one)
    _name(ax.yaxis, one.rows, rows, one)
    style.say(ax, x=_means(one.x_name, across), y=_means(one.y_name, down))


def _name(axis: Axis, given: Sequence[object], count: int, one: Heatmap) -> None:
    if not len(given):
        axis.set_major_locator(MaxNLocator(5, integer=True))
        return
    shown = style.names(given, count, f"names of an axis of {one.title}", 20)
    ticks = style.some_ticks(count, _MOST_NAMES)
    axis.set_ticks([tick + 0.5 for tick in ticks], [shown[tick] for tick in ticks])
    long = isinstance(axis, XAxis) and sum(map(len, shown)) > 50
    axis.set_tick_params(length=0, labelrotation=90 if long else 0)


def _means(name: str, block: int) -> str:
    return style.label(name) + ("" if block == 1 else f" (means of {block})")


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace("-", "−") if np.isfinite(value) else "–"
