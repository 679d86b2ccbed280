"""Pictures of training."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from torch import Tensor

from superscope.core.errors import InputError
from superscope.plots import style


def plot_history(
    history: Float[Tensor, "record instance"],
    labels: Sequence[object],
    steps: Int[Tensor, "record"] | Sequence[int],
) -> Figure:
    """Draw the loss of each instance over training, on a log axis.

    A loss that is zero, negative or not finite has no place on that axis and leaves a gap in its line.

    Args:
        history: the losses.
        labels: a name for each instance.
        steps: the training step of each record.

    Raises:
        InputError: when the shapes do not fit each other.
    """
    losses = style.array(history, "history", "record instance")
    places = style.array(torch.as_tensor(steps), "steps", "record")
    if len(places) != len(losses):
        raise InputError(f"steps has {len(places)} entries for {len(losses)} records; give one for each")
    labels = style.names(labels, losses.shape[1], "labels")
    figure, [ax] = style.grid(1, 1, aspect=0.6, extra=0.2 * -(-len(labels) // 3))
    style.log_lines(ax, [(places, line) for line in losses.T], labels)
    style.say(ax, x="training step", y="loss")
    style.legend(ax, "upper center", -0.18)
    return figure
