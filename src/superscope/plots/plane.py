"""A classifier that reads its classes off a plane: where samples lie, and what each place is read as."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torch import Tensor

from superscope.core.errors import InputError
from superscope.plots import style

_CELLS = 160


def plot_plane(
    W: Float[Tensor, "hidden class"],
    b: Float[Tensor, " class"],
    names: Sequence[object],
    known: tuple[Float[Tensor, "sample hidden"], Int[Tensor, " sample"]],
    unknown: tuple[Float[Tensor, "other hidden"], Bool[Tensor, " other"]],
    titles: tuple[str, str],
) -> Figure:
    """Draw hidden vectors in the plane over the areas where each class has the largest logit Wᵀh + b.

    At the left samples of one class, in its colour; at the right others, a dot where the answer is right and
    a cross where it is wrong. Lines from the origin have the directions of the read-outs W_i, and one
    length.

    Args:
        W: read-outs, with hidden = 2.
        b: biases.
        names: a name for each class.
        known: hidden vectors and their classes.
        unknown: hidden vectors, and whether the answer is right.
        titles: of the two panels.

    Raises:
        InputError: when W is not of two hidden dimensions, or the shapes do not fit each other.
    """
    readouts, biases = style.array(W, "W", "hidden class"), style.array(b, "b", "class")
    if len(readouts) != 2:
        raise InputError(f"W has {len(readouts)} hidden dimensions and a plane has 2; use plot_gram")
    count = readouts.shape[1]
    labels = style.names(names, count, "names")
    points, others = (style.array(each[0], "hidden vectors", "sample hidden") for each in (known, unknown))
    classes, right = known[1].cpu().numpy(), unknown[1].cpu().numpy()
    for what, rows, marks in (("classes", points, classes), ("answers", others, right)):
        if rows.shape != (len(marks), 2):
            raise InputError(f"hidden vectors of shape {list(rows.shape)} came with {len(marks)} {what}")

    every = np.concatenate([points, others])
    reach = float(every.max(initial=0.0)) or 1.0
    low, high = min(float(every.min(initial=0.0)), 0.0) - 0.06 * reach, 1.06 * reach
    places = np.linspace(low, high, _CELLS)
    logits = np.stack(np.meshgrid(places, places), -1) @ readouts + biases
    colors = style.line_colors(count)
    norms = np.linalg.norm(readouts, axis=0)
    arrows = 0.3 * reach * readouts / np.where(norms == 0, 1, norms)
    edge = min(low, float(arrows.min()) - 0.06 * reach)

    figure, panels = style.grid(2, 2, aspect=1.0, extra=0.55)
    for ax, title in zip(panels, titles, strict=True):
        ax.imshow(
            logits.argmax(-1), extent=(low, high, low, high), origin="lower", interpolation="nearest",
            cmap=ListedColormap(colors), vmin=-0.5, vmax=count - 0.5, alpha=0.22,
        )  # fmt: skip
        for (x, y), color in zip(arrows.T, colors, strict=True):
            ax.plot([0, x], [0, y], color=color, linewidth=2)
            ax.plot([x], [y], "o", color=color, markersize=4)
        ax.set(xlim=(edge, high), ylim=(edge, high), aspect="equal")
        style.say(ax, title=style.label(title), x="hidden neuron 1")
    style.say(panels[0], y="hidden neuron 2")
    for index, (label, color) in enumerate(zip(labels, colors, strict=True)):
        panels[0].plot(*points[classes == index].T, "o", color=color, markersize=2.6, label=label)
    panels[1].plot(*others[right].T, ".", color=style.INK, markersize=3, alpha=0.6, label="right")
    panels[1].plot(
        *others[~right].T, "x", color=style.INK, markersize=3.5, markeredgewidth=0.8, alpha=0.6, label="wrong"
    )
    for ax in panels:
        style.legend(ax, "upper center", -0.24)
    return figure
