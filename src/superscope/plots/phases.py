"""The phase diagram of a feature: over density and importance, whether and how it is represented."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from superscope.core.errors import InputError
from superscope.plots import style

_TICKS = (1.0, 2.0, 5.0)
_ROUNDING = 1e-6
"""Of a float32 beside its decimal, in decades."""


class PhasePanel(NamedTuple):
    """One map: what became of the feature at each importance and density."""

    norm: Float[Tensor, "importance density"]
    """‖W_e‖: 0 where the feature is not represented, about 1 where it is."""
    superposition: Float[Tensor, "importance density"]
    """Σ_{j≠e} (Ŵ_e·W_j)²: 0 for a dimension of its own, about 1 for one that it shares."""
    title: str


def plot_phases(
    panels: Sequence[PhasePanel],
    density: Float[Tensor, " density"],
    importance: Float[Tensor, " importance"],
    boundaries: Sequence[Float[Tensor, "2 _"]] = (),
) -> Figure:
    """Draw maps of a feature's phase side by side: strength of the colour is the norm, hue the superposition.

    Blue stands for a dimension of its own, orange for superposition, the page's own colour for a feature that
    is not represented. Density falls from left to right, on log axes both. As in Elhage et al. 2022, "Toy
    Models of Superposition" (arXiv 2209.10652).

    Args:
        panels: the maps. One of another resolution than the grid is stretched over the same range.
        density: of the grid, evenly spaced on a log scale.
        importance: relative importance of the feature, spaced so too.
        boundaries: lines to draw over every map, each a row of densities and one of importances.

    Raises:
        InputError: when a map has not two axes, norm and superposition of one differ in shape, a grid has
            fewer than two places, or a place is not positive, finite and in order.
    """
    across, up = _exponents(density, "density"), _exponents(importance, "importance")
    columns = 3 if len(panels) == 3 else 2
    shown = style.names([panel.title for panel in panels], len(panels), "panels", 64 // columns)
    figure, axes = style.grid(len(panels), columns, aspect=0.95, extra=0.4)
    for ax, panel, title in zip(axes, panels, shown, strict=True):
        norm = style.array(panel.norm, "norm", "importance density")
        shared = style.array(panel.superposition, "superposition", "importance density")
        if norm.shape != shared.shape:
            raise InputError(
                f"the map {title!r} has a norm of shape {list(norm.shape)} and a superposition of shape "
                f"{list(shared.shape)}; give both for every point"
            )
        extent = (*_ends(across), *_ends(up))
        ax.imshow(_paint(norm, shared), extent=extent, origin="lower", aspect="auto", interpolation="nearest")
        for line in boundaries:
            ax.plot(*np.log10(style.array(line, "boundary", "axis place")), color=style.INK, linewidth=1.1)
        ax.set(xlim=extent[:2], ylim=extent[2:])
        _ticks(ax.xaxis, across)
        _ticks(ax.yaxis, up)
        ax.spines[:].set_visible(True)
        style.say(ax, title=title, x="density 1 − S")
    for ax in axes[::columns]:
        style.say(ax, y="relative importance")
    own, shared_color = style.line_colors(2)
    keys = (("not represented", "none"), ("own dimension", own), ("in superposition", shared_color))
    handles = [Patch(facecolor=color, edgecolor=style.INK, linewidth=0.8, label=text) for text, color in keys]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8, labelcolor=style.INK,
    )  # fmt: skip
    return figure


def _paint(
    norm: Float[np.ndarray, "importance density"], shared: Float[np.ndarray, "importance density"]
) -> Float[np.ndarray, "importance density 4"]:
    """Return the colours: between blue and orange by superposition, as opaque as the norm is large."""
    own, other = (np.array(to_rgb(color)) for color in style.line_colors(2))
    share = np.clip(np.nan_to_num(shared), 0, 1)[..., None]
    return np.concatenate(
        [(1 - share) * own + share * other, np.clip(np.nan_to_num(norm), 0, 1)[..., None]], -1
    )


def _exponents(places: Tensor, name: str) -> Float[np.ndarray, " place"]:
    values = style.array(places, name, name)
    rising = np.diff(values)
    if len(values) < 2 or not (np.isfinite(values) & (values > 0)).all() or not (rising != 0).all():
        raise InputError(f"{name} is {values.tolist()}; give two or more different positive places")
    if not ((rising > 0).all() or (rising < 0).all()):
        raise InputError(f"{name} is {values.tolist()}; give the places in order")
    return np.log10(values)


def _ends(exponents: Float[np.ndarray, " place"]) -> tuple[float, float]:
    """Return the outer edges of the first and the last cell."""
    half = (exponents[-1] - exponents[0]) / (len(exponents) - 1) / 2
    return exponents[0] - half, exponents[-1] + half


def _ticks(axis: Axis, exponents: Float[np.ndarray, " place"]) -> None:
    low, high = exponents.min() - _ROUNDING, exponents.max() + _ROUNDING
    decades = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    major = [k for k in decades if low <= k <= high]
    if len(major) < 2:
        major = [place for k in decades for t in _TICKS if low <= (place := k + np.log10(t)) <= high]
    axis.set_ticks(major, labels=[f"{10.0**place:.3g}" for place in major])
    minor = [k + np.log10(t) for k in decades for t in range(2, 10)]
    axis.set_ticks([place for place in minor if low <= place <= high], minor=True)
