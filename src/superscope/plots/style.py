"""One look for every Matplotlib figure.

All text, axes and spines are drawn in :data:`INK`, a colour that nothing else uses, so that a page can put
the colour of its own text in its place. Every colour and size is set on the artist itself: ticks are made
when a figure is drawn, long after an ``rc_context`` would have ended.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from superscope.core.errors import InputError

INK = "#1e2b3a"
GREY = "#8a8f98"
"""For what has no value; halfway between white and black."""
WIDTH = 5.2
"""Inches. At 360 CSS pixels, a phone's width, text of 9 points is then drawn about 8 pixels high."""
_TEXT, _SMALL = 9.0, 8.0
_DARK_TO_LIGHT = (0.3, 0.8)  # of viridis: its ends vanish on a dark and on a white page
_OKABE_ITO = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#E69F00",
    "#CC79A7",
    "#56B4E9",
)  # without yellow and black, too
CATEGORIES = len(_OKABE_ITO)
"""So many lines have a colour of their own; more are coloured in sequence."""

Values = Tensor | np.ndarray


def array(value: Values, name: str, axes: str) -> Float[np.ndarray, "..."]:
    """Return ``value`` as a float64 array after checking that it has the ``axes``, none of them empty.

    Raises:
        InputError: when the number of axes is another one, or an axis is empty.
    """
    plain = (
        value.detach().cpu().double().numpy() if isinstance(value, Tensor) else np.asarray(value, np.float64)
    )
    if plain.ndim != len(axes.split()) or plain.size == 0:
        raise InputError(
            f"{name} has the shape {list(plain.shape)}; give it as [{axes.replace(' ', ', ')}], no axis empty"
        )
    return plain


def names(given: Iterable[object], count: int, what: str, limit: int = 48) -> list[str]:
    """Return ``given`` as labels of at most ``limit`` letters after checking that there are ``count``.

    Raises:
        InputError: when there are more or fewer.
    """
    made = [label(name, limit) for name in given]
    if len(made) != count:
        raise InputError(f"{what} has {len(made)} entries for {count} to name; give one for each")
    return made


def label(text: object, limit: int = 48) -> str:
    r"""Return ``text`` as Matplotlib shows it letter by letter: in one line, without mathematics.

    What is longer than ``limit`` letters loses its middle.

    >>> label("cost in $"), label("a\nb"), label("x" * 50, 9)
    ('cost in \\$', 'a b', 'xxxx…xxxx')
    """
    plain = one_line(text)
    if len(plain) > limit:
        plain = plain[: limit // 2] + "…" + plain[len(plain) - (limit - 1) // 2 :]
    return plain.replace("$", r"\$")


def one_line(text: object) -> str:
    """Return ``text`` with white space and what cannot be printed as single spaces."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())


def sequential() -> Colormap:
    """Return the middle of viridis, which stands out from a white page and from a dark one."""
    colors = mpl.colormaps["viridis"](np.linspace(*_DARK_TO_LIGHT, 256))
    return ListedColormap(colors).with_extremes(bad=GREY)


def diverging() -> Colormap:
    """Return the map for signed values: blue below 0, red above."""
    return mpl.colormaps["RdBu_r"].with_extremes(bad=GREY)


def line_colors(count: int) -> list[str]:
    """Return a colour for each of ``count`` lines: categories while there are enough, else a sequence."""
    if count <= CATEGORIES:
        return list(_OKABE_ITO[:count])
    return [to_hex(color) for color in sequential()(np.linspace(0, 1, count))]


def ordered(count: int) -> ScalarMappable:
    """Return the colours of ``count`` things in order, numbered from 0, one band of the colour bar each."""
    colors = ListedColormap(sequential()(np.linspace(0, 1, count)))
    return ScalarMappable(BoundaryNorm(np.arange(count + 1) - 0.5, count), colors)


def grid(count: int, columns: int, aspect: float, extra: float = 0.0) -> tuple[Figure, list[Axes]]:
    """Return a figure of ``count`` panels, with their ink, sizes and two spines.

    Args:
        count: number of panels.
        columns: most panels in a row.
        aspect: height of a panel over its width.
        extra: inches to add to the height, for a legend.
    """
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(WIDTH, rows * (WIDTH / columns * aspect + 0.3) + extra), layout="constrained")
    panels = [figure.add_subplot(rows, columns, index + 1, facecolor="none") for index in range(count)]
    for ax in panels:
        ax.tick_params(which="both", color=INK, labelcolor=INK, labelsize=_SMALL)
        ax.spines[:].set(color=INK, linewidth=0.8)
        ax.spines[["top", "right"]].set_visible(False)
    return figure, panels


def instances(titles: Iterable[object], count: int, aspect: float = 1.0) -> tuple[Figure, list[Axes]]:
    """Return a figure with a titled panel for each of ``count`` instances, and room for a colour bar.

    Raises:
        InputError: when there is not a title for each instance.
    """
    columns = min(count, 4 if count > 3 else 3)
    shown = names(titles, count, "titles", 64 // columns)
    figure, panels = grid(count, columns, 0.85 * aspect)
    for ax, title in zip(panels, shown, strict=True):
        say(ax, title=title)
    return figure, panels


def say(ax: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Write a panel's title and the names of its axes. Text from elsewhere has been through :func:`label`."""
    for text, write in ((title, ax.set_title), (x, ax.set_xlabel), (y, ax.set_ylabel)):
        if text:
            write(text, color=INK, fontsize=_TEXT)


def note(ax: Axes, text: str) -> None:
    """Write in the middle of a panel why there is nothing in it."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=INK, fontsize=_TEXT)


def footnote(figure: Figure, text: str) -> None:
    """Write below all panels."""
    figure.supxlabel(text, color=INK, fontsize=_TEXT)


def legend(ax: Axes, where: Literal["upper center", "lower center"], height: float) -> None:
    """Name the labelled lines of a panel in three columns, above or below it.

    Args:
        ax: the panel.
        where: the side of the legend that meets the panel.
        height: where that side is, in heights of the panel.
    """
    ax.legend(
        loc=where, bbox_to_anchor=(0.5, height), ncols=3, frameon=False, fontsize=_SMALL, labelcolor=INK
    )


def colorbar(figure: Figure, colors: ScalarMappable, text: str, ax: Axes | None = None) -> Colorbar:
    """Draw the colour bar that all panels share at the right of them, or that of the one panel ``ax``."""
    shared = {"ax": figure.axes, "fraction": 0.05, "aspect": 30}
    bar = figure.colorbar(
        colors, pad=0.03, **(shared if ax is None else {"ax": ax, "fraction": 0.07, "aspect": 18})
    )
    bar.set_label(text, color=INK, fontsize=_TEXT)
    bar.ax.minorticks_off()
    bar.ax.tick_params(color=INK, labelcolor=INK, labelsize=_SMALL)
    bar.ax.spines["outline"].set(edgecolor=INK, linewidth=0.8)
    return bar


def log_lines(ax: Axes, lines: Sequence[tuple[np.ndarray, np.ndarray]], labels: Sequence[str]) -> None:
    """Draw a line for each (x, y), y on a log axis; what is not positive and finite leaves a gap.

    A point with a gap on both sides gets a dot, since a line needs two.
    """
    for (x, values), text, color in zip(lines, labels, line_colors(len(lines)), strict=True):
        y = _positive(values)
        known = np.pad(np.isfinite(y), 1)
        alone = known[1:-1] & ~known[:-2] & ~known[2:]
        ax.plot(x, y, color=color, linewidth=1.4, label=text)
        ax.plot(x[alone], y[alone], "o", color=color, markersize=3.5)
    log_axis(ax, [y for _, y in lines])


def log_axis(ax: Axes, values: Iterable[np.ndarray]) -> None:
    """Make y a log axis around the positive ones of ``values``, with plain numbers at 1, 2, 5 or at 1 alone.

    The axis covers a factor of 2.5 or more, so that there is always a number on it.
    """
    known = np.concatenate([_positive(some) for some in values] or [np.empty(0)])
    known = known[np.isfinite(known)]
    if not known.size:
        note(ax, "no positive value to draw")
        return
    low, high = known.min() / 1.15, known.max() * 1.15
    wider = max(1.0, (2.5 / (high / low)) ** 0.5)
    ax.set_yscale("log")
    ax.set_ylim(low / wider, high * wider)
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 1e3 else (1.0,)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())


def some_ticks(count: int, most: int = 10) -> list[int]:
    """Return at most ``most`` evenly spaced indices below ``count``, from 0 on.

    >>> some_ticks(5), some_ticks(60, 10)
    ([0, 1, 2, 3, 4], [0, 6, 12, 18, 24, 30, 36, 42, 48, 54])
    """
    return list(range(0, count, math.ceil(count / most)))


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)
