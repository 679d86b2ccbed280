"""Samples in the plane, as PCA or t-SNE places them, coloured by class: for print and to look around in."""

import html
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from plotly.graph_objects import Figure as PlotlyFigure
from plotly.graph_objects import Scatter
from torch import Tensor

from superscope.core.errors import InputError
from superscope.plots import style
from superscope.plots.style import Values

_MARKERS = (("o", "circle"), ("^", "triangle-up"), ("s", "square"))
"""Matplotlib's name and Plotly's of a shape."""
TELLABLE = style.CATEGORIES * len(_MARKERS)
"""So many classes have a colour and shape of their own; more are coloured in order and told by hovering."""
_AS_PICTURE = 2000
"""So many points are drawn as a picture inside the SVG, which stays small."""
_MOST_POINTS = 5000
"""In a Plotly figure drawn as SVG; more make a page slow."""
_BELOW = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"}
_ABOVE = {"x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}


class _Group(NamedTuple):
    """The points of one class."""

    name: str
    rows: Int[np.ndarray, " _"]
    color: str
    marker: tuple[str, str]


def plot_embedding(
    points: Values,
    labels: Values | Sequence[int] | None = None,
    classes: Sequence[object] | None = None,
    *,
    title: str = "",
    axes: tuple[str, str] = ("first coordinate", "second coordinate"),
) -> Figure:
    """Draw each sample as a dot in the plane, coloured by its class.

    Up to 18 classes each have a colour and a shape; beyond, colours follow the class's number along a bar,
    and only neighbours by number look alike (:func:`explore_embedding` tells them by hovering). Axes have
    one scale, since distances are what is looked at.

    Args:
        points: [sample, 2]; a row that is not finite is left out, and the figure says how many.
        labels: [sample], class numbers from 0; one colour where None.
        classes: names of the classes; their numbers where None.
        title: stands above the picture.
        axes: what the coordinates are, such as "first component (31 % of the variance)".

    Raises:
        InputError: when the shapes do not fit each other, or a label has no name.
    """
    places, numbers, known, named = _checked(points, labels, classes)
    groups = _groups(numbers, known, named)
    few = len(groups) <= TELLABLE
    legend = 0.2 * -(-len(groups) // 3) if few and labels is not None else 0.0
    figure, [ax] = style.grid(1, 1, aspect=0.85, extra=legend)
    count = int(known.sum())
    size = float(np.clip(1500 / max(count, 1), 5, 22))
    alpha = float(np.clip(25 / max(count, 1) ** 0.5, 0.55, 0.9))
    for group in groups:
        ax.scatter(
            *places[group.rows].T, s=size, c=group.color, marker=group.marker[0] if few else "o", alpha=alpha,
            linewidths=0, label=group.name, rasterized=count > _AS_PICTURE,
        )  # fmt: skip
    ax.set_aspect("equal", "datalim")
    if not count:
        style.note(ax, "no finite point to draw")
    style.say(ax, title=style.label(title), x=style.label(axes[0]), y=style.label(axes[1]))
    if labels is not None and few and groups:
        style.legend(ax, "upper center", -0.14)
        box = ax.get_legend()
        assert box is not None
        for handle in filter(None, box.legend_handles):
            handle.set(alpha=1, sizes=[28])
    elif labels is not None and groups:
        colors = ListedColormap([group.color for group in groups])
        bar = style.colorbar(figure, ScalarMappable(Normalize(-0.5, len(groups) - 0.5), colors), "class")
        ticks = style.some_ticks(len(groups), 11)
        bar.set_ticks(ticks, labels=[groups[tick].name for tick in ticks])
    if lost := len(known) - count:
        style.footnote(figure, f"{lost:,} of {len(known):,} points are not finite")
    return figure


def explore_embedding(
    points: Values,
    labels: Values | Sequence[int] | None = None,
    classes: Sequence[object] | None = None,
    texts: Sequence[object] | None = None,
    *,
    axes: tuple[str, str] = ("first coordinate", "second coordinate"),
) -> PlotlyFigure:
    """Let people look at samples in the plane: hovering tells the class and the sample's text.

    A menu shows one class before the others in grey; the legend, up to 18 classes, hides some. Of more than
    5,000 points, 5,000 are drawn, evenly spaced, and the first axis says so.

    Args:
        points: [sample, 2]; a row that is not finite is left out.
        labels: [sample], class numbers from 0; one colour where None.
        classes: names of the classes; their numbers where None.
        texts: what hovering tells of each sample; its number where None.
        axes: what the coordinates are.

    Raises:
        InputError: when the shapes do not fit each other, or a label has no name.
    """
    places, numbers, known, named = _checked(points, labels, classes)
    if texts is not None and len(texts) != len(places):
        raise InputError(f"texts has {len(texts)} entries for {len(places)} points; give one for each")
    drawn = known.copy()
    finite = np.flatnonzero(known)
    if len(finite) > _MOST_POINTS:
        drawn[:] = False
        drawn[finite[np.linspace(0, len(finite) - 1, _MOST_POINTS).round().astype(int)]] = True
    groups = _groups(numbers, drawn, named)
    few = len(groups) <= TELLABLE
    dots = []
    for group in groups:
        about = [
            (f"<b>{_safe(group.name)}</b><br>" if labels is not None else "")
            + (f"sample {row:,}" if texts is None else _safe(texts[row], 120))
            for row in group.rows
        ]
        x, y = places[group.rows].astype(np.float32).T
        symbol, size = group.marker[1] if few else "circle", 6 if drawn.sum() < 1500 else 4
        dots.append(
            Scatter(
                x=x, y=y, mode="markers", name=_safe(group.name, 24), hovertext=about,
                hovertemplate="%{hovertext}<extra></extra>",
                marker={"color": group.color, "symbol": symbol, "size": size, "opacity": 0.8},
            )
        )  # fmt: skip
    colors = [group.color for group in groups]
    choices = [("all classes", colors, [0.8] * len(groups))]
    for k, group in enumerate(groups):
        shown = [color if k == j else style.GREY for j, color in enumerate(colors)]
        choices.append((_safe(group.name, 24), shown, [1.0 if k == j else 0.15 for j in range(len(groups))]))
    menu = {
        "buttons": [
            {"label": name, "method": "restyle", "args": [{"marker.color": shown, "marker.opacity": opacity}]}
            for name, shown, opacity in choices
        ]
    }
    part = f" · {int(drawn.sum()):,} of {len(finite):,} points" if len(finite) > drawn.sum() else ""
    axis = {"automargin": True, "zeroline": False, "constrain": "domain"}
    return PlotlyFigure(
        dots,
        {
            "template": "none",
            "xaxis": axis | {"title": {"text": _safe(axes[0]) + part}},
            "yaxis": axis | {"title": {"text": _safe(axes[1])}, "scaleanchor": "x", "constraintoward": "top"},
            "updatemenus": [menu | _ABOVE] if len(groups) > 1 else [],
            "legend": _BELOW | {"itemsizing": "constant"},
            "showlegend": few and labels is not None,
            "hovermode": "closest",
            "margin": {"l": 56, "r": 12, "t": 64, "b": 56},
            "height": 600,
        },
    )


def _checked(
    points: Values, labels: Values | Sequence[int] | None, classes: Sequence[object] | None
) -> tuple[Float[np.ndarray, "sample 2"], Int[np.ndarray, " sample"], np.ndarray, Sequence[object] | None]:
    places = style.array(points, "points", "sample coordinate")
    if places.shape[1] != 2:
        raise InputError(f"points has the shape {list(places.shape)}; give two coordinates for each sample")
    numbers = np.zeros(len(places), int)
    if labels is not None:
        given = style.array(labels if isinstance(labels, Tensor) else np.asarray(labels), "labels", "sample")
        numbers = given.astype(int)
        if len(given) != len(places) or (numbers != given).any() or numbers.min() < 0:
            raise InputError(
                f"labels has {len(given)} entries for {len(places)} points; give each a class number from 0"
            )
        if classes is not None and numbers.max() >= len(classes):
            raise InputError(
                f"a label is {numbers.max()} and classes has {len(classes)} names; give one for each number"
            )
    known = np.asarray(np.isfinite(places).all(axis=1))
    return places, numbers, known, classes


def _groups(
    numbers: Int[np.ndarray, " sample"], known: np.ndarray, classes: Sequence[object] | None
) -> list[_Group]:
    present = np.unique(numbers[known])
    colors = style.line_colors(style.CATEGORIES if len(present) <= TELLABLE else len(present))
    return [
        _Group(
            style.label(number if classes is None else classes[number], 24),
            np.flatnonzero(known & (numbers == number)),
            colors[k % len(colors)],
            _MARKERS[k // style.CATEGORIES % len(_MARKERS)],
        )
        for k, number in enumerate(present)
    ]


def _safe(text: object, limit: int = 80) -> str:
    return html.escape(style.label(text, limit).replace(r"\$", "$"))
