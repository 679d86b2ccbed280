"""Pictures of known feature directions W [instance, hidden, feature]: themselves, WᵀW, norms, and D_i."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

from superscope.core.errors import InputError
from superscope.measures import feature_norms, gram, interference
from superscope.plots import style

_FRACTIONS = {
    "1 alone": 1,
    "3/4 tetrahedron": 3 / 4,
    "2/3 triangle": 2 / 3,
    "1/2 digon": 1 / 2,
    "2/5 pentagon": 2 / 5,
    "3/8 square antiprism": 3 / 8,
    "0 not embedded": 0,
}
"""Where features gather, and as what."""


def plot_features(
    W: Float[Tensor, "instance hidden feature"],
    titles: Sequence[object],
    importance: Float[Tensor, "feature"] | Sequence[float] | None = None,
    limit: float | None = None,
) -> Figure:
    """Draw the feature directions W_i of models with two hidden dimensions, a panel an instance.

    A line runs from the origin to each W_i, with a dot at its end; the faint circle has radius 1. All
    panels have the same scale. As in Elhage et al. 2022, "Toy Models of Superposition" (arXiv 2209.10652).

    Args:
        W: directions, with hidden = 2; one that is not finite is not drawn.
        titles: a title for each instance.
        importance: orders the colours, most important feature first; by index where None.
        limit: half the width of a panel; from the longest direction where None.

    Raises:
        InputError: when W has another shape, there is not a title an instance or an importance a feature,
            or the limit is not positive.
    """
    directions = style.array(W, "W", "instance hidden feature")
    instances, hidden, features = directions.shape
    if hidden != 2:
        raise InputError(f"W has {hidden} hidden dimensions and a plane has 2; use plot_gram or plot_norms")
    rank, meaning = np.arange(features), "feature"
    if importance is not None:
        weights = style.array(torch.as_tensor(importance), "importance", "feature")
        if len(weights) != features:
            raise InputError(
                f"importance has {len(weights)} entries for {features} features; give one for each"
            )
        rank[np.argsort(-weights, kind="stable")] = np.arange(features)
        meaning = "rank by importance, 0 the highest"
    if limit is None:
        longest = np.hypot(directions[:, 0], directions[:, 1])
        limit = 1.12 * float(longest[np.isfinite(longest)].max(initial=1.0))
    if not limit > 0:
        raise InputError(f"limit is {limit}; give a positive one, or None")

    colors = style.ordered(features)
    turn = np.linspace(0, 2 * np.pi, 181)
    figure, panels = style.instances(titles, instances)
    for ax, pairs in zip(panels, directions, strict=True):
        ax.plot(np.cos(turn), np.sin(turn), color=style.INK, alpha=0.35, linewidth=0.7)
        lines = np.stack([np.zeros_like(pairs.T), pairs.T], axis=1)
        ax.add_collection(LineCollection(list(lines), colors=colors.to_rgba(rank), linewidths=1.8))
        ax.scatter(*pairs, c=colors.to_rgba(rank), s=20, linewidths=0)
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    bar = style.colorbar(figure, colors, meaning)
    bar.set_ticks(style.some_ticks(features))
    bar.ax.invert_yaxis()
    return figure


def plot_gram(
    W: Float[Tensor, "instance hidden feature"],
    b: Float[Tensor, "instance feature"],
    titles: Sequence[object],
) -> Figure:
    """Draw WᵀW of each instance as a heat map, and the bias b as a column at its right.

    Row i is output i of x' = ReLU(WᵀW x + b). All panels share one colour scale, centred on 0; an entry
    that is not finite is grey.

    Args:
        W: directions.
        b: output biases.
        titles: a title for each instance.

    Raises:
        InputError: when the shapes do not fit each other, or there is not a title an instance.
    """
    instances, _, features = style.array(W, "W", "instance hidden feature").shape
    biases = style.array(b, "b", "instance feature")
    if biases.shape != (instances, features):
        raise InputError(
            f"b has the shape {list(biases.shape)}; beside this W give [{instances}, {features}]"
        )
    grams = gram(W.detach().cpu().double()).numpy()
    shown = np.abs(np.concatenate([grams.ravel(), biases.ravel()]))
    largest = shown[np.isfinite(shown)].max(initial=0.0) or 1.0
    colors = style.diverging()

    scale = Normalize(-largest, largest)
    gap, column = max(0.4, 0.04 * features), max(1.0, 0.05 * features)
    edge, start, end = features - 0.5, features - 0.5 + gap, features - 0.5 + gap + column
    ticks = style.some_ticks(features, 5)
    figure, panels = style.instances(titles, instances, aspect=0.85)
    for ax, matrix, bias in zip(panels, grams, biases, strict=True):
        for values, left, right in ((matrix, -0.5, edge), (bias[:, None], start, end)):
            ax.imshow(
                np.ma.masked_invalid(values), extent=(left, right, edge, -0.5), interpolation="nearest",
                norm=scale, cmap=colors,
            )  # fmt: skip
        ax.set(xlim=(-0.5, end), ylim=(edge, -0.5), aspect="equal", yticks=ticks)
        ax.set_xticks([*ticks, start + column / 2], [*map(str, ticks), "b"])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    style.colorbar(figure, ScalarMappable(scale, colors), "entry of WᵀW, of b")
    return figure


def plot_norms(W: Float[Tensor, "instance hidden feature"], titles: Sequence[object]) -> Figure:
    """Draw the norms ‖W_i‖ as bars, coloured by the interference Σ_{j≠i}(Ŵ_i·W_j)², a panel an instance.

    A dark bar is a feature with a direction of its own, a light one shares it with as much as a whole other
    feature or more; the faint line is at 1. As in Elhage et al. 2022 (arXiv 2209.10652).

    Args:
        W: directions; a feature whose norm is not finite has no bar.
        titles: a title for each instance.

    Raises:
        InputError: when W has another shape or there is not a title an instance.
    """
    instances, _, features = style.array(W, "W", "instance hidden feature").shape
    exact = W.detach().cpu().double()
    norms, shared = feature_norms(exact).numpy(), interference(exact).numpy()
    widest = norms[np.isfinite(norms)].max(initial=1.0)
    colors = ScalarMappable(Normalize(0, 1), style.sequential())

    figure, panels = style.instances(titles, instances, aspect=min(1.8, 0.75 + 0.035 * features))
    for ax, lengths, interferences in zip(panels, norms, shared, strict=True):
        known = np.where(np.isfinite(lengths), lengths, 0)
        ax.barh(np.arange(features), known, color=colors.to_rgba(interferences), height=0.85)
        ax.axvline(1, color=style.INK, alpha=0.35, linewidth=0.7)
        ax.set(xlim=(0, 1.05 * widest), ylim=(features - 0.5, -0.5), yticks=style.some_ticks(features))
        style.say(ax, x="‖W_i‖")
    style.say(panels[0], y="feature i")
    bar = style.colorbar(figure, colors, "interference")
    bar.set_ticks([0, 0.5, 1], labels=["0", "0.5", "≥ 1"])
    return figure


def plot_dimensionality(
    D: Float[Tensor, "instance feature"],
    x: Float[Tensor, "instance"] | Sequence[float],
    name: str = "density 1 − S",
) -> Figure:
    """Draw each feature's dimensionality D_i against a positive quantity of its instance, on a log axis.

    Lines mark the fractions at which features gather, with the polytopes whose corners have them. Dots of an
    instance are spread along x, over most of the room that it has, so that they do not hide each other. As in
    Elhage et al. 2022 (arXiv 2209.10652).

    Args:
        D: feature dimensionalities, from 0 to 1.
        x: the positive quantity, such as the density.
        name: what x is, with its unit.

    Raises:
        InputError: when the shapes do not fit each other, or an x is not positive.
    """
    values = style.array(D, "D", "instance feature")
    places = style.array(torch.as_tensor(x), "x", "instance")
    if len(places) != len(values):
        raise InputError(f"x has {len(places)} entries for {len(values)} instances; give one for each")
    if not (np.isfinite(places) & (places > 0)).all():
        raise InputError("x holds a value that is not positive and finite; a log axis needs positive ones")

    figure, [ax] = style.grid(1, 1, aspect=0.75)
    for text, value in _FRACTIONS.items():
        ax.axhline(value, color=style.INK, alpha=0.35, linewidth=0.7)
        ax.annotate(
            text, (1, value), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            va={"2/5": "bottom", "3/8": "top"}.get(text[:3], "center"), color=style.INK, fontsize=8,
        )  # fmt: skip
    logs = np.unique(np.log(places))
    apart = float(np.diff(logs).min()) if len(logs) > 1 else 0.1
    spread = np.exp(0.35 * np.clip(apart, 0.02, 0.25) * np.linspace(-1, 1, values.shape[1]))
    alpha = float(np.clip(10 / values.size**0.5, 0.3, 1))
    dots = {"color": style.line_colors(1)[0], "alpha": alpha, "markersize": 2.6, "markeredgewidth": 0}
    ax.plot((places[:, None] * spread).ravel(), values.ravel(), "o", **dots)
    ax.set_xscale("log")
    ax.set_ylim(-0.04, 1.06)
    ax.xaxis.set_major_formatter("{x:g}")
    style.say(ax, x=style.label(name), y="dimensionality D_i")
    return figure
