"""Pictures of a dictionary's latents: the samples that excite each one most."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from superscope.core.errors import InputError
from superscope.plots import style
from superscope.plots.style import Values

_GAP = 0.06
"""Between tiles, in widths of a tile."""
_PAD = 0.35
"""Between rows, in heights of a tile."""


def plot_examples(images: Values, values: Values, names: Sequence[object], *, value_name: str) -> Figure:
    """Draw the images that excite each latent most, a row for each latent, strongest first.

    Below each image stands its activation. An example that a latent lacks (a value that is 0 or not finite)
    is left out.

    Args:
        images: [latent, example, height, width], dark where there is more; any range, the same for all.
        values: [latent, example], the activations.
        names: of the latents.
        value_name: what the values are, with their unit.

    Raises:
        InputError: when the shapes do not fit each other, or there is not a name for each latent.
    """
    pictures = style.array(images, "images", "latent example height width")
    strengths = style.array(values, "values", "latent example")
    if pictures.shape[:2] != strengths.shape:
        raise InputError(
            f"images has the shape {list(pictures.shape)} beside values of {list(strengths.shape)}; give an "
            "activation for each image"
        )
    shown = style.names(names, len(pictures), "names", 24)
    rows, columns, height, width = pictures.shape
    across, down = width * (1 + _GAP), height * (1 + _PAD)
    figure, [ax] = style.grid(1, 1, aspect=rows * down / (columns * across) * 0.86)
    low, high = float(pictures.min()), float(pictures.max())
    for (row, column), value in np.ndenumerate(strengths):
        if not np.isfinite(value) or value == 0:
            continue
        left, top = column * across, row * down
        ax.imshow(
            pictures[row, column], cmap="Greys", vmin=low, vmax=high, interpolation="none",
            extent=(left, left + width, top + height, top),
        )  # fmt: skip
        ax.text(
            left + width / 2, top + height * 1.03, f"{value:.3g}", ha="center", va="top", fontsize=6.5,
            color=style.INK,
        )  # fmt: skip
    ax.set(xlim=(0, columns * across), ylim=(rows * down, -0.1 * height))
    ax.spines[:].set_visible(False)
    ax.xaxis.set_major_locator(NullLocator())
    ax.set_yticks([row * down + height / 2 for row in range(rows)], shown)
    ax.tick_params("y", length=0)
    style.say(ax, x=style.label(f"strongest first; below each image {value_name}", 64))
    return figure
