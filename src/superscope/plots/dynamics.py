"""Training seen twice over one axis of steps: the loss, and the dimensionality of each feature."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from superscope.core.errors import InputError
from superscope.plots import style

_FRACTIONS = {"1": 1, "3/4": 3 / 4, "2/3": 2 / 3, "1/2": 1 / 2, "2/5": 2 / 5, "0": 0}
_NARROW = 2.5
"""A loss that stays within this factor is drawn on a linear axis, where a fall by some percent is seen."""


def plot_dynamics(
    loss: Float[Tensor, " record"],
    D: Float[Tensor, "record feature"],
    steps: Int[Tensor, " record"] | Sequence[int],
    jumps: Bool[Tensor, "record feature"] | None = None,
    drops: Bool[Tensor, " record"] | None = None,
    title: str = "",
) -> Figure:
    """Draw the loss above and each feature's dimensionality D_i below, over the same steps.

    The loss has a log axis if it changes by more than a factor of 2.5.
    A line of D_i is thin where it drifts; where it jumps there is a dot at its new place, and a mark on the
    loss at that step. Drops of the loss are dashed lines through both panels. After Elhage et al. 2022, "Toy
    Models of Superposition" (arXiv 2209.10652).

    Args:
        loss: training loss at each record.
        D: dimensionality of each feature that is to be drawn.
        steps: the training step of each record.
        jumps: where each feature jumps.
        drops: where the loss drops at once.
        title: what is trained.

    Raises:
        InputError: when the shapes do not fit each other.
    """
    losses, values = style.array(loss, "loss", "record"), style.array(D, "D", "record feature")
    places = style.array(torch.as_tensor(steps), "steps", "record")
    jumping = np.zeros(values.shape, bool) if jumps is None else jumps.cpu().numpy()
    dropping = np.zeros(losses.shape, bool) if drops is None else drops.cpu().numpy()
    if not len(losses) == len(values) == len(places) or (jumping.shape, dropping.shape) != (
        values.shape,
        losses.shape,
    ):
        raise InputError(
            f"loss, D, steps, jumps and drops have the shapes {losses.shape}, {values.shape}, "
            f"{places.shape}, {jumping.shape} and {dropping.shape}; give one record of each for every step"
        )

    figure, [above, below] = style.grid(2, 1, aspect=0.42)
    blue, orange = style.line_colors(2)
    style.log_lines(above, [(places, losses)], [""])
    known = losses[np.isfinite(losses) & (losses > 0)]
    if known.size and known.max() < _NARROW * known.min():
        room = 0.06 * float(np.ptp(known)) or 0.06 * float(known.max())
        above.set_yscale("linear")
        above.yaxis.set_major_formatter("{x:g}")
        above.set_ylim(known.min() - room, known.max() + room)
    at = np.flatnonzero(jumping.any(1))
    counts = jumping.sum(1)[at]
    above.scatter(
        places[at], losses[at], s=10 + 26 * counts / counts.max(initial=1), color=orange, zorder=3,
        linewidths=0, label="a feature jumps",
    )  # fmt: skip

    alpha = float(np.clip(6 / values.shape[1] ** 0.5, 0.25, 0.9))
    lines = [np.stack([places, line], 1) for line in values.T]
    below.add_collection(LineCollection(lines, colors=blue, linewidths=0.7, alpha=alpha))
    record, feature = np.nonzero(jumping)
    below.scatter(places[record], values[record, feature], s=7, color=orange, linewidths=0, zorder=3)
    for text, value in _FRACTIONS.items():
        below.axhline(value, color=style.INK, alpha=0.35, linewidth=0.7)
        below.annotate(
            text, (1, value), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            va="center", color=style.INK, fontsize=8,
        )  # fmt: skip
    for ax in (above, below):
        for place in places[dropping]:
            ax.axvline(place, color=style.INK, alpha=0.45, linewidth=0.8, linestyle="--", zorder=0)
        ax.set_xlim(0, places.max())
    below.set_ylim(-0.04, 1.06)
    above.tick_params(labelbottom=False)
    style.say(above, title=style.label(title, 64), y="loss")
    style.say(below, x="training step", y="dimensionality D_i")
    return figure
