"""The features of each model as a graph, drawn component by component."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from superscope.core.errors import InputError
from superscope.measures import STRUCTURES, Component, components, feature_dimensionality, feature_graph, gram
from superscope.plots import style

_FRACTIONS = {"1": 1, "3/4": 3 / 4, "2/3": 2 / 3, "1/2": 1 / 2, "2/5": 2 / 5, "0": 0}
_RADII = {"single": 0.1, "digon": 0.5, "triangle": 0.6, "tetrahedron": 0.62, "square antiprism": 0.85}
_HEADING, _LETTER = 0.16, 0.062
"""Inches that the name of a structure takes above its components, and a letter of it along them."""
_STRONGEST = 4
"""Edges drawn for each feature of a component that is larger than any polytope here."""
_CROWD = 12

Place = tuple[Component, np.ndarray]
Group = tuple[str, list[Place]]
Block = tuple[tuple[float, float], str, list[tuple[Place, tuple[float, float]]]]


def plot_feature_graph(
    W: Float[Tensor, "instance hidden feature"],
    titles: Sequence[object],
    importance: Float[Tensor, "feature"] | Sequence[float] | None = None,
    embedded: float = 0.5,
    edge: float = 1 / 6,
) -> Figure:
    """Draw the graph of the features that are not orthogonal, a panel an instance, by the names of its parts.

    Dots are features, coloured by their dimensionality D_i or by importance; lines join those with |Ŵ_i·Ŵ_j|
    > ``edge``, their width |W_i·W_j| and their colour its sign: negative overlap costs nothing behind a ReLU
    where one feature is active, positive overlap does. A polygon lies in its plane; a tetrahedron is seen
    along one of its directions, a square antiprism from above a square. In other components, features that
    overlap are drawn near each other, and of more than 12 features each shows its four strongest lines. After
    Elhage et al. 2022 (arXiv 2209.10652).

    Args:
        W: directions.
        titles: a title for each instance.
        importance: colours the dots, most important feature first; D_i does where None.
        embedded: as in :func:`~superscope.measures.feature_graph`.
        edge: as in :func:`~superscope.measures.feature_graph`.

    Raises:
        InputError: when W has another shape or holds a value that is not finite, or there is not a title an
            instance or an importance a feature.
    """
    instances, _, features = style.array(W, "W", "instance hidden feature").shape
    exact = W.detach().cpu().double()
    columns = min(instances, 3 if instances == 3 else 2)
    shown = style.names(titles, instances, "titles", 64 // columns)
    if importance is None:
        values = feature_dimensionality(exact).numpy()
        colors = ScalarMappable(Normalize(0, 1), style.sequential())
    else:
        weights = style.array(torch.as_tensor(importance), "importance", "feature")
        if len(weights) != features:
            raise InputError(
                f"importance has {len(weights)} entries for {features} features; give one for each"
            )
        rank = np.argsort(np.argsort(-weights, kind="stable"), kind="stable")
        values, colors = np.tile(rank, (instances, 1)), style.ordered(features)

    rules = {"embedded": embedded, "edge": edge}
    found = [components(w, **rules) for w in exact]
    graphs = [feature_graph(w, **rules).numpy() for w in exact]
    rows = [_arranged(*given) for given in zip(exact, found, graphs, strict=True)]
    inches = (style.WIDTH - 0.9) / columns - 0.1
    high = inches * (1.0 if columns > 1 else 0.75)
    scales = [_fitting_scale(groups, inches, high) for groups in rows]
    high = max(_flow(*given, inches)[1] for given in zip(rows, scales, strict=True))
    figure, panels = style.grid(instances, columns, high / (style.WIDTH / columns), extra=0.3)
    for ax, w, groups, value, scale, title in zip(panels, exact, rows, values, scales, shown, strict=True):
        _draw(ax, w, groups, colors.to_rgba(value), scale, inches, high, edge)
        style.say(ax, title=title)
    if importance is None:
        bar = style.colorbar(figure, colors, "dimensionality D_i")
        bar.set_ticks(list(_FRACTIONS.values()), labels=list(_FRACTIONS))
    else:
        bar = style.colorbar(figure, colors, "rank by importance, 0 the highest")
        bar.set_ticks(style.some_ticks(features))
        bar.ax.invert_yaxis()
    blue, orange = style.line_colors(2)
    signs = ((blue, "W_i·W_j < 0"), (orange, "W_i·W_j > 0"))
    handles = [Line2D([], [], color=color, label=text) for color, text in signs]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8, labelcolor=style.INK,
    )  # fmt: skip
    return figure


def _arranged(
    W: Tensor, found: Sequence[Component], graph: Bool[np.ndarray, "feature feature"]
) -> list[Group]:
    """Return the components with the places of their features, under one heading for each name."""
    order = {name: i for i, name in enumerate(STRUCTURES[:-1])}
    last = len(order)
    known = sorted(found, key=lambda c: (c.name == "other", order.get(c.name, last), len(c.features), c.name))
    directions = (W / W.norm(dim=0).clamp(min=1e-300)).numpy()
    rows = []
    for name, group in groupby(known, key=lambda c: c.name):
        parts = list(group)
        heading = name if len(parts) == 1 and name != "other" else f"{len(parts)} × {name}"
        if name == "other":
            heading += f" ({sum(len(c.features) for c in parts)} features)"
        inside = [np.ix_(c.features, c.features) for c in parts]
        places = [
            _places(directions[:, c.features], name, graph[at]) for c, at in zip(parts, inside, strict=True)
        ]
        rows.append((heading, list(zip(parts, places, strict=True))))
    left = W.shape[1] - sum(len(c.features) for c in found)
    return [*rows, (f"{left} not embedded", [])] if left else rows


def _places(
    directions: Float[np.ndarray, "hidden point"], name: str, graph: Bool[np.ndarray, "point point"]
) -> Float[np.ndarray, "point 2"]:
    """Return where a component's features are drawn, around the origin, at the size of its name."""
    k = directions.shape[1]
    if k == 1:
        return np.zeros((1, 2))
    if name == "digon":
        return np.array([[0, -0.5], [0, 0.5]])
    if name == "other" and k > 3:
        flat = _springs(graph, _plane(directions))
        return flat * (0.3 * k**0.5 / np.abs(flat).max())
    nearness = np.ones(k)
    if name == "tetrahedron":
        directions = _beside(directions, directions[:, 0])
    if name == "square antiprism":
        top = np.argsort(directions.T @ directions[:, 0])[[2, 5, 6, 7]]
        axis = directions[:, top].sum(1)
        nearness = np.where(np.isin(np.arange(k), top), 1.0, 0.62)  # the far square looks smaller
        directions = _beside(directions, axis)
    flat = _plane(directions)
    turns = np.angle(flat[-1, 0] + 1j * flat[-1, 1]) - np.pi / 2
    turned = np.stack([flat @ (np.cos(turns), np.sin(turns)), flat @ (-np.sin(turns), np.cos(turns))], axis=1)
    longest = max(float(np.linalg.norm(turned, axis=1).max()), 1e-9)
    size = _RADII[name] if name in _RADII else 0.55 + 0.03 * k
    return nearness[:, None] * turned * size / longest


def _beside(directions: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Return the directions without what is along ``axis``."""
    unit = axis / np.linalg.norm(axis)
    return directions - np.outer(unit, unit @ directions)


def _plane(directions: Float[np.ndarray, "hidden point"]) -> Float[np.ndarray, "point 2"]:
    """Return the directions in the plane that they have most of their length in."""
    _, sizes, rows = np.linalg.svd(directions, full_matrices=False)
    flat = np.zeros((directions.shape[1], 2))
    flat[:, : len(sizes[:2])] = (sizes[:2, None] * rows[:2]).T
    return flat


def _springs(graph: Bool[np.ndarray, "point point"], start: Float[np.ndarray, "point 2"]) -> np.ndarray:
    """Return places at which neighbours are near, by Fruchterman and Reingold's forces (1991)."""
    k = len(graph)
    length = k**-0.5
    turns = np.arange(k) * np.pi * (3 - 5**0.5)  # a spiral, so that no two start at one place
    spiral = np.sqrt(np.arange(1, k + 1) / k) * np.stack([np.cos(turns), np.sin(turns)])
    places = start + 0.3 * spiral.T
    joined = graph & ~np.eye(k, dtype=bool)
    for heat in np.linspace(0.1, 0.002, 80):
        apart = places[:, None] - places[None]
        distance = np.hypot(apart[..., 0], apart[..., 1]).clip(1e-3)
        push = length**2 / distance**2 - joined * distance / length / max(1.0, joined.sum(1).mean() / 4)
        move = (apart * push[..., None]).sum(1)
        size = np.linalg.norm(move, axis=1, keepdims=True).clip(1e-9)
        places = places + move / size * np.minimum(size, heat)
    return places - (places.max(0) + places.min(0)) / 2


def _box(places: Float[np.ndarray, "point 2"]) -> Float[np.ndarray, "2"]:
    """Return the width and height that a component takes, with the room around it."""
    return np.ptp(places, axis=0) + 0.45


def _flow(groups: Sequence[Group], scale: float, width: float) -> tuple[list[Block], float]:
    """Lay the groups out like words, a group's components below its heading, and return the height of all."""
    left, top, line, laid = 0.0, 0.0, 0.0, []
    for heading, parts in groups:
        boxes = [scale * _box(places) for _, places in parts]
        wide = max(_LETTER * len(heading), min(width, sum(box[0] for box in boxes)))
        if left and left + wide > width:
            left, top, line = 0.0, top + line, 0.0
        x, y, row, centres = left, top + _HEADING, 0.0, []
        for part, (across, tall) in zip(parts, boxes, strict=True):
            if x > left and x + across > left + wide + 1e-9:
                x, y, row = left, y + row, 0.0
            centres.append((part, (x + across / 2, y + tall / 2)))
            x, row = x + across, max(row, tall)
        laid.append(((left, top), heading, centres))
        left, line = left + wide + _LETTER, max(line, y + row - top + 0.03)
    return laid, top + line


def _fitting_scale(groups: Sequence[Group], width: float, height: float) -> float:
    """Return the largest scale, up to 0.45 inches a unit, at which all components fit the panel."""
    widest = max((_box(places)[0] for _, parts in groups for _, places in parts), default=1.0)
    scale = min(0.45, width / widest)
    while _flow(groups, scale, width)[1] > height and scale > 0.01:
        scale *= 0.97
    return scale


def _draw(
    ax: Axes,
    W: Tensor,
    groups: Sequence[Group],
    paint: Float[np.ndarray, "feature 4"],
    scale: float,
    width: float,
    height: float,
    edge: float,
) -> None:
    overlaps = gram(W).numpy()
    norms = np.sqrt(overlaps.diagonal()).clip(1e-300)
    largest = np.abs(overlaps - np.diag(overlaps.diagonal())).max() or 1.0
    blue, orange = style.line_colors(2)
    for corner, heading, centres in _flow(groups, scale, width)[0]:
        ax.text(corner[0], corner[1] + 0.02, heading, color=style.INK, fontsize=7.5, va="top")
        for (component, places), centre in centres:
            members = list(component.features)
            middle = (places.max(0) + places.min(0)) / 2
            at = (places - middle) * (scale, -scale) + centre
            inner = overlaps[np.ix_(members, members)]
            cosines = np.abs(inner) / np.outer(norms[members], norms[members])
            first, second = np.nonzero(np.triu(_drawn(cosines, edge), 1))
            weights = inner[first, second]
            lines = LineCollection(
                list(np.stack([at[first], at[second]], axis=1)),
                colors=[blue if w < 0 else orange for w in weights],
                linewidths=0.3 + 1.2 * np.abs(weights) / largest,
                alpha=0.85 if len(members) <= _CROWD else 0.3,
            )
            ax.add_collection(lines)
            ax.scatter(*at.T, c=paint[members], s=(14 if scale > 0.2 else 8), linewidths=0, zorder=3)
    ax.set(xlim=(-0.08, width), ylim=(height, -0.02), xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(False)


def _drawn(cosines: Float[np.ndarray, "point point"], edge: float) -> Bool[np.ndarray, "point point"]:
    """Return which edges are drawn: all, or of a crowd each point's strongest."""
    sizes = cosines - np.eye(len(cosines)) * cosines.diagonal()
    drawn = sizes > edge
    if len(sizes) > _CROWD:
        least = np.sort(sizes, axis=1)[:, -_STRONGEST]
        drawn &= (sizes >= least[:, None]) | (sizes >= least[None])
    return drawn
