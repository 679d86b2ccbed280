"""Pictures of losses in closed form: their terms, curves beside measurements, and how far those are off."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from superscope.core.errors import InputError
from superscope.plots import style

Values = Tensor | Sequence[float] | Sequence[Sequence[float]]


def plot_terms(
    benefit: Float[Tensor, "instance feature"],
    interference: Float[Tensor, "instance feature"] | Sequence[Sequence[float]],
    titles: Sequence[object],
) -> Figure:
    """Draw the two terms of each feature's loss as a bar in two parts, a panel an instance.

    All panels have the same scale.

    Args:
        benefit: the loss of the feature's own reconstruction.
        interference: the loss from what it reads of the others.
        titles: a title for each instance.

    Raises:
        InputError: when the shapes do not fit each other, or there is not a title an instance.
    """
    own, others = (
        style.array(benefit, "benefit", "instance feature"),
        _array(interference, "interference", "instance feature"),
    )
    if own.shape != others.shape:
        raise InputError(
            f"interference has the shape {list(others.shape)}; beside this benefit give {list(own.shape)}"
        )
    features = own.shape[1]
    total = own + others
    first, second = style.line_colors(2)
    figure, panels = style.instances(titles, len(own), aspect=min(1.8, 0.75 + 0.035 * features))
    place = np.arange(features)
    for ax, near, far in zip(panels, own, others, strict=True):
        ax.barh(place, near, color=first, height=0.85, label="benefit term")
        ax.barh(place, far, left=near, color=second, height=0.85, label="interference term")
        ax.set(
            xlim=(0, 1.05 * total[np.isfinite(total)].max(initial=1e-9)),
            ylim=(features - 0.5, -0.5),
            yticks=style.some_ticks(features),
        )
        style.say(ax, x="loss")
    style.say(panels[0], y="feature i")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8, labelcolor=style.INK
    )
    return figure


def plot_closed_form(
    x: Float[Tensor, " place"] | Sequence[float],
    curves: Mapping[str, Float[Tensor, " place"] | Sequence[float]],
    *,
    axes: tuple[str, str],
    dots: bool = False,
    measured: Sequence[Float[Tensor, " point"] | Sequence[float]] = (),
    measured_label: str = "measured",
) -> Figure:
    """Draw named curves over x, and measured points with error bars beside them.

    Args:
        x: where the curves are known.
        curves: values by name.
        axes: what x and y are, with units.
        dots: mark each place, for an x that only takes some values.
        measured: x, value, and half the length of the error bar of each point.
        measured_label: names the points and says what the bars are.

    Raises:
        InputError: when a curve is not as long as x, or the three of ``measured`` differ in length.
    """
    places = _array(x, "x", "place")
    figure, [ax] = style.grid(1, 1, aspect=0.62, extra=0.2 * (1 + (len(curves) + 1) // 3))
    for (name, values), color in zip(curves.items(), style.line_colors(len(curves)), strict=True):
        known = _array(values, style.label(name), "place")
        if len(known) != len(places):
            raise InputError(f"{name} has {len(known)} values for {len(places)} places; give one for each")
        ax.plot(
            places,
            known,
            "o-" if dots else "-",
            color=color,
            linewidth=1.4,
            markersize=4,
            label=style.label(name),
        )
    if len(measured):
        at, value, half = (
            _array(each, name, "point") for each, name in zip(measured, ("x", "value", "error"), strict=True)
        )
        if not len(at) == len(value) == len(half):
            raise InputError(
                f"measured has {len(at)} places, {len(value)} values and {len(half)} errors; give as many "
                "of each"
            )
        ax.errorbar(
            at, value, half, fmt="o", color=style.INK, markersize=3, linewidth=0, elinewidth=1.2, capsize=2.5,
            label=style.label(measured_label),
        )  # fmt: skip
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    style.say(ax, x=style.label(axes[0]), y=style.label(axes[1]))
    style.legend(ax, "upper center", -0.18)
    return figure


def plot_deviations(
    groups: Mapping[str, Float[Tensor, " comparison"] | Sequence[float]], expected: str = "standard normal"
) -> Figure:
    """Draw how far measurements are from theory, in standard errors, against the normal curve.

    Args:
        groups: (measured − expected)/standard error, by the name of what was compared.
        expected: names the curve.

    Raises:
        InputError: when a group is empty or not a vector.
    """
    values = {name: _array(each, style.label(name), "comparison") for name, each in groups.items()}
    reach = max(4.0, 1.05 * max(float(np.abs(each).max()) for each in values.values()))
    edges = np.linspace(-reach, reach, 17)
    figure, [ax] = style.grid(1, 1, aspect=0.55, extra=0.3)
    for (name, each), color in zip(values.items(), style.line_colors(len(values)), strict=True):
        density, _ = np.histogram(each, edges, density=True)
        ax.stairs(density, edges, color=color, linewidth=1.6, label=f"{style.label(name)} ({len(each)})")
    z = torch.linspace(-reach, reach, 201).numpy()
    ax.plot(
        z, np.exp(-z * z / 2) / np.sqrt(2 * np.pi), color=style.INK, linewidth=1, label=style.label(expected)
    )
    ax.set_xlim(-reach, reach)
    ax.set_ylim(bottom=0)
    style.say(ax, x="(measured − closed form) / standard error", y="share per standard error")
    style.legend(ax, "upper center", -0.2)
    return figure


def _array(values: Values, name: str, axes: str) -> Float[np.ndarray, "..."]:
    return style.array(torch.as_tensor(values, dtype=torch.float64), name, axes)
