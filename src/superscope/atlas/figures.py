"""The figures of an atlas, for print."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from superscope.measures.codes import frequency_histogram
from superscope.plots.style import grid, line_colors, log_lines, note, say


def plot_frequencies(frequency: Float[Tensor, " latent"], rows: int) -> Figure:
    """Draw how many latents are active at which share of ``rows`` positions, on a log axis."""
    figure, [ax] = grid(1, 1, 0.55)
    counts, edges = (each.numpy() for each in frequency_histogram(frequency, rows, bins_per_decade=6))
    say(ax, x="share of positions at which a latent is active", y="latents")
    if not counts.sum():
        note(ax, "every latent is dead")
        return figure
    ax.bar(10 ** edges[:-1], counts, np.diff(10**edges), align="edge", color=line_colors(1)[0], linewidth=0)
    ax.set_xscale("log")
    return figure


def plot_values(frequency: Float[Tensor, " latent"], maxima: Float[Tensor, " latent"]) -> Figure:
    """Draw each latent's largest activation against how often it is active, both on log axes."""
    figure, [ax] = grid(1, 1, 0.6)
    alive = (frequency > 0) & (maxima > 0)
    say(ax, x="share of positions at which a latent is active", y="largest activation")
    if not bool(alive.any()):
        note(ax, "every latent is dead")
        return figure
    alpha = 0.35 if int(alive.sum()) > 2000 else 0.7
    x, y = frequency[alive].numpy(), maxima[alive].numpy()
    # one picture in the file, and not thousands of marks
    ax.scatter(x, y, s=5, color=line_colors(1)[0], alpha=alpha, linewidths=0, rasterized=len(x) > 2000)
    ax.set_xscale("log")
    ax.set_yscale("log")
    return figure


def plot_training(steps: Sequence[int], fvu: Sequence[float]) -> Figure:
    """Draw the fraction of variance unexplained while a dictionary was trained, on a log axis."""
    figure, [ax] = grid(1, 1, 0.5)
    log_lines(ax, [(np.asarray(steps, np.float64), np.asarray(fvu, np.float64))], ["FVU"])
    say(ax, x="step", y="fraction of variance unexplained")
    return figure
