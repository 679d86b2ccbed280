"""Pictures of neurons: the features that each one serves as a stack, and the motif in which two share one."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import PowerNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from superscope.core.errors import InputError
from superscope.measures import InhibitionMotif, neuron_census, neuron_order, weight_stacks
from superscope.plots import style

Point = tuple[float, float]
_LEAST = 0.012
"""Share of the panel's height under which a rectangle is too thin to see and joins the grey rest."""
_REST = to_rgba(style.GREY, 0.45)
_KINDS = ("unused", "monosemantic", "polysemantic")


def plot_neurons(
    W: Float[Tensor, "instance hidden feature"],
    titles: Sequence[object],
    W_out: Float[Tensor, "instance hidden feature"] | None = None,
    importance: Float[Tensor, "feature"] | Sequence[float] | None = None,
    by: Literal["importance", "semanticity"] = "importance",
    fraction: float = 0.25,
    scale: Literal["shared", "own"] = "shared",
) -> Figure:
    """Draw each neuron as a stack of what it has to do with the features, a panel an instance.

    A rectangle is an entry of :func:`~superscope.measures.weight_stacks`, the weight W_ai of a tied network
    or the path |W_ai| W_out_ai: positive ones go up from 0 and negative ones down, the largest next to 0. One
    rectangle is a neuron for one feature. Neurons are sorted by the importance of their largest feature. The
    strip below says which are mono- and which polysemantic. What is too thin to draw is one pale end. After
    Elhage et al. 2022 (arXiv 2209.10652).

    Args:
        W: in-weights.
        titles: a title for each instance.
        W_out: out-weights; None for a tied network.
        importance: of each feature, for the order of neurons and colours; by index where None.
        by: what colours the rectangles: their feature's importance, or the neuron's kind.
        fraction: of a neuron's largest entry, from which a feature counts, as in
            :func:`~superscope.measures.neuron_census`.
        scale: whether all panels share one, or each has its own, for stacks of very different heights.

    Raises:
        InputError: when the shapes do not fit each other, a value is not finite, or there is not a title an
            instance.
    """
    instances, hidden, features = style.array(W, "W", "instance hidden feature").shape
    weights = torch.arange(features, 0, -1) if importance is None else torch.as_tensor(importance)
    if weights.shape != (features,):
        raise InputError(f"importance has {len(weights)} entries for {features} features; give one for each")
    order = neuron_order(W, W_out, weights.double()).cpu().numpy()
    kinds = np.minimum(neuron_census(W, W_out, fraction=fraction).features.cpu().numpy(), 2)
    stacks = weight_stacks(W, W_out).detach().cpu().double().numpy()
    rank = np.argsort(np.argsort(-weights.double().numpy(), kind="stable"), kind="stable")
    colors = _rank_colors(features)
    feature_colors, kind_colors = colors.to_rgba(rank), _kind_colors()

    columns = 1 if hidden > 24 else 2 if hidden > 10 else 3
    shown = style.names(titles, instances, "titles", 60 // columns)
    figure, panels = style.grid(instances, columns, (0.24, 0.6, 0.8)[columns - 1], extra=0.35)
    for ax, stack, places, kind, title in zip(panels, stacks, order, kinds, shown, strict=True):
        low, high = _heights(stacks if scale == "shared" else stack[None])
        margin = 0.035 * (high - low)
        for x, neuron in enumerate(places):
            paint = feature_colors if by == "importance" else kind_colors[[kind[neuron]] * features]
            _draw_stack(ax, x, stack[neuron], paint, high - low)
        strip = [_box(x, low - 2 * margin, low - margin) for x in range(hidden)]
        ax.add_collection(PolyCollection(strip, facecolors=kind_colors[kind[places]], linewidths=0))
        ax.axhline(0, color=style.INK, linewidth=0.6)
        ax.set(xlim=(-0.7, hidden - 0.3), ylim=(low - 2 * margin, high), xticks=[])
        ax.yaxis.set_major_locator(MaxNLocator(3))
        style.say(ax, title=title)
    style.say(panels[0], y="weight W_ai" if W_out is None else "|W_ai| W_out_ai")
    style.footnote(figure, "neurons, sorted by the importance of their largest feature")
    if by == "importance":
        bar = style.colorbar(figure, colors, "feature, rank by importance")
        bar.set_ticks(_rank_ticks(features))
        bar.ax.invert_yaxis()
    seen = [k for k in (1, 2, 0) if (kinds == k).any()]
    handles = [Patch(color=kind_colors[k], label=_KINDS[k]) for k in seen]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=8, labelcolor=style.INK,
        handlelength=1.2,
    )  # fmt: skip
    return figure


def plot_motif(motifs: Sequence[InhibitionMotif], titles: Sequence[object] | None = None) -> Figure:
    """Draw each asymmetric superposition with inhibition as the weights of its two neurons.

    Inputs a and b at the left, the shared neuron and the inhibitor in the middle, outputs at the right. The
    width of a line is the size of its weight, the colour its sign; what the motif is about is labelled.

    Args:
        motifs: as :func:`~superscope.measures.inhibition_motifs` returns them.
        titles: one for each motif; its features where None.

    Raises:
        InputError: when there is no motif, or not a title for each.
    """
    if not motifs:
        raise InputError("there is no motif to draw; ask inhibition_motifs first whether it found one")
    made = [f"features {m.features[0]} and {m.features[1]}" for m in motifs] if titles is None else titles
    shown = style.names(made, len(motifs), "titles", 32)
    figure, panels = style.grid(len(motifs), 2, 0.95 if len(motifs) > 1 else 0.6, extra=0.3)
    weights = [(m.in_weights, m.out_weights, m.inhibitor_in, m.inhibitor_out) for m in motifs]
    widest = float(np.abs(weights).max())
    for ax, motif, title in zip(panels, motifs, shown, strict=True):
        _draw_motif(ax, motif, widest)
        style.say(ax, title=title)
    positive, negative = style.line_colors(2)
    handles = [Patch(color=positive, label="weight > 0"), Patch(color=negative, label="weight < 0")]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8,
        labelcolor=style.INK, handlelength=1.2,
    )  # fmt: skip
    return figure


def _rank_colors(count: int) -> ScalarMappable:
    """Return colours that spend half of their range on the first quarter of many ranks."""
    if count <= 12:
        return style.ordered(count)
    return ScalarMappable(PowerNorm(0.5, 0, count - 1), style.sequential())


def _rank_ticks(count: int) -> list[int]:
    if count <= 12:
        return style.some_ticks(count)
    return sorted({round((count - 1) * (k / 5) ** 2) for k in range(6)})


def _kind_colors() -> Float[np.ndarray, "3 4"]:
    blue, orange = style.line_colors(2)
    return np.array([to_rgba(color) for color in (style.GREY, blue, orange)])


def _heights(stacks: Float[np.ndarray, "instance hidden feature"]) -> tuple[float, float]:
    """Return the lowest and the highest end of a stack, with room."""
    low = float(np.minimum(stacks, 0).sum(-1).min())
    high = float(np.maximum(stacks, 0).sum(-1).max())
    room = 0.04 * (high - low) or 1.0
    return (low - room if low < -1e-3 * high else 0.0), high + room


def _draw_stack(ax: Axes, x: int, entries: np.ndarray, colors: np.ndarray, height: float) -> None:
    """Draw one neuron: its rectangles up and down from 0, and what is too thin to see as one grey rest."""
    thin, gap = _LEAST * height, 0.25 * _LEAST * height
    boxes, paints = [], []
    for sign in (1, -1):
        sizes = np.maximum(sign * entries, 0)
        seen = [i for i in np.argsort(-sizes, kind="stable") if sizes[i] > thin]
        heights = [*sizes[seen], sizes.sum() - sizes[seen].sum()]
        ends = np.cumsum(heights)
        paint = [*colors[seen], _REST]
        for start, end, color in zip(ends - heights, ends, paint, strict=True):
            if end - start > gap:
                bottom, top = sign * (start + gap), sign * (end - gap)
                boxes.append(_box(x, bottom, top))
                paints.append(color)
    ax.add_collection(PolyCollection(boxes, facecolors=paints, linewidths=0))


def _box(x: int, bottom: float, top: float) -> list[tuple[float, float]]:
    return [(x - 0.42, bottom), (x + 0.42, bottom), (x + 0.42, top), (x - 0.42, top)]


def _draw_motif(ax: Axes, motif: InhibitionMotif, widest: float) -> None:
    a, b = motif.features
    held = (0.0, motif.inhibitor_in, motif.inhibitor_out)
    for row, ins, outs in ((1.0, motif.in_weights, motif.out_weights), held):
        for y, inward, outward in zip((1.0, 0.0), ins, outs, strict=True):
            _draw_weight(ax, (0.0, y), (1.0, row), inward, widest, told=row == 1 or y == 1)
            _draw_weight(ax, (1.0, row), (2.0, y), outward, widest, told=row == 1 or y == 0)
    for y, feature in ((1.0, a), (0.0, b)):
        for x, name, shift, side in ((0.0, "x", -9.0, "right"), (2.0, "y", 9.0, "left")):
            ax.plot(x, y, "o", color=style.GREY, markersize=9, zorder=3)
            _write(ax, f"{name}{feature}", (x, y), (shift, 0.0), 9, ha=side, va="center")
    ax.plot([1, 1], [0, 1], "o", color=style.INK, markersize=12, zorder=3)
    _write(ax, f"neuron {motif.neuron} shared", (1.0, 1.0), (0.0, 17.0), 8, ha="center", va="bottom")
    _write(ax, f"neuron {motif.inhibitor} inhibits", (1.0, 0.0), (0.0, -17.0), 8, ha="center", va="top")
    ax.set(xlim=(-0.35, 2.35), ylim=(-0.4, 1.4), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    style.say(ax, x=f"takes back {motif.strength:.0%} of the wrong y{b}")


def _draw_weight(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    weight: float,
    widest: float,
    *,
    told: bool,
) -> None:
    """Draw a line of the width and colour of a weight, and its number beside it."""
    color = style.line_colors(2)[0 if weight >= 0 else 1]
    width = 0.3 + 6 * abs(weight) / widest
    ax.plot(
        *zip(start, end, strict=True), color=color, linewidth=width, alpha=0.95 if told else 0.35,
        solid_capstyle="butt",
    )  # fmt: skip
    if told:
        flat = start[1] == end[1]
        share = 0.5 if flat else 0.3
        place = (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]))
        away = 4 + width / 2
        up = start[1] > end[1] or (flat and start[1] == 1)
        side = "center" if flat else "left"
        shift = (0.0 if flat else 0.8 * away, away if up else -away)
        _write(ax, f"{weight:.2g}".replace("-", "−"), place, shift, 8, ha=side, va="bottom" if up else "top")


def _write(ax: Axes, text: str, at: Point, shift: Point, size: int, *, ha: str, va: str) -> None:
    how = {"xytext": shift, "textcoords": "offset points", "ha": ha, "va": va}
    ax.annotate(text, at, color=style.INK, fontsize=size, **how)
