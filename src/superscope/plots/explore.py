"""Plotly figures, for pages where people look around. Plotly reads labels as HTML: names are escaped."""

import html
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from plotly.graph_objects import Figure, Scatter
from torch import Tensor

from superscope.core.errors import InputError
from superscope.plots import style
from superscope.plots.layers import normalised, rank_columns, ratios

_MOST_POINTS = 256
_MOST_IN_LEGEND = 12
_ABOVE = {"x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}
_BELOW = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"}


def explore_ranks(table: pd.DataFrame, measures: Sequence[str] | None = None) -> Figure:
    """Let people look at each layer's ranks: buttons for dimensions or ratio, the legend for the measure.

    Args:
        table: as for :func:`plot_rank_per_layer`; ``kind`` and ``samples`` are shown where the table has
            them.
        measures: the columns to draw; every one that has a ratio where None.

    Raises:
        InputError: when the table is empty or a column is missing.
    """
    measures = rank_columns(table, measures)
    width, x = table["width"].to_numpy(float), np.arange(len(table))
    about = [_about(row) for row in table.to_dict("records")]
    lines: list[Scatter] = []
    for name, color in zip(measures, style.line_colors(len(measures)), strict=True):
        words, missing = name.replace("_", " "), np.full(len(x), np.nan)
        reach = 1.96 * table[f"{name}_se"].to_numpy(float) if f"{name}_se" in table else missing
        for unit, y, bar in (
            ("", table[name].to_numpy(float), reach),
            (" / width", ratios(table, name), reach / width),
        ):
            text = [
                f"{layer}<br>{words}{unit}: {value:.4g}"
                + (f" ± {error:.2g} (95 %)" if error == error else "")
                for layer, value, error in zip(about, y, bar, strict=True)
            ]
            line = _line(x, y, words, color, text)
            line.update(visible=unit == "", error_y={"array": np.nan_to_num(bar), "thickness": 1, "width": 0})
            lines.append(line)
    lines.append(_line(x, width, "width", style.GREY, about))
    lines[-1].update(line_dash="dash", mode="lines" if len(x) > 1 else "markers")
    in_dimensions = [True, False] * len(measures) + [True]
    as_ratio = [False, True] * len(measures) + [False]
    round_numbers = [digit * 10**power for power in range(-6, 10) for digit in (1, 2, 5)]
    scale = {"type": "log", "tickmode": "array", "tickvals": round_numbers, "rangemode": "normal"}
    linear = {"type": "linear", "tickmode": "auto", "rangemode": "tozero"}
    buttons = [
        _button(name, "update", {"visible": shown}, {"yaxis.title.text": name, **_within("yaxis", axis)})
        for name, shown, axis in (
            ("rank (dimensions)", in_dimensions, scale),
            ("rank / width", as_ratio, linear),
        )
    ]
    ticks = style.some_ticks(len(x), 16)
    shown = [_safe(table["name"].iloc[index], 24) for index in ticks]
    return _figure(
        lines,
        {
            "title": {"text": "layer, from input to output"},
            "tickvals": ticks,
            "ticktext": shown,
            "tickangle": -90 if sum(map(len, shown)) > 30 else 0,
        },
        {"title": {"text": "rank (dimensions)"}, **scale},
        {"type": "buttons", "direction": "right", "buttons": buttons},
        height=600,
    )


def explore_spectra(spectra: Mapping[str, Float[Tensor, "_"]]) -> Figure:
    """Let people look at each layer's singular values over the first, against index / width, on a log axis.

    Lines are coloured by depth. A menu shows one layer alone; the legend, where there are few layers, hides
    some. Of more than 256 values of a layer, 256 are drawn, evenly spaced from the first to the last.

    Args:
        spectra: singular values by layer, from input to output; values that are not finite are left out.

    Raises:
        InputError: when there is no layer, or one has no singular value.
    """
    if not spectra:
        raise InputError("spectra is empty; give at least one layer")
    lines = []
    for (name, values), color in zip(spectra.items(), style.line_colors(len(spectra)), strict=True):
        s = normalised(values, name)
        index = np.unique(np.linspace(0, max(len(s) - 1, 0), _MOST_POINTS).round().astype(int))[: len(s)]
        text = [f"<b>{_safe(name)}</b><br>index {i + 1} of {len(s)}: {s[i]:.3g}" for i in index]
        positive = np.where(s > 0, s, np.nan)[index]
        lines.append(_line((index + 1) / max(len(s), 1), positive, _safe(name, 24), color, text))
        lines[-1].update(mode="lines" if len(s) > 1 else "markers")
    alone = np.eye(len(spectra), dtype=bool).tolist()
    choices = zip(
        ("all layers", *(_safe(name, 24) for name in spectra)), ([True] * len(alone), *alone), strict=True
    )
    figure = _figure(
        lines,
        {"title": {"text": "index / width"}, "range": [0, 1.02]},
        {"title": {"text": "singular value / largest"}, "type": "log", "tickformat": "~g", "dtick": 1},
        {"buttons": [_button(name, "restyle", {"visible": shown}) for name, shown in choices]},
        height=520,
    )
    return figure.update_layout(showlegend=len(spectra) <= _MOST_IN_LEGEND)


def _figure(
    lines: list[Scatter], x: dict[str, object], y: dict[str, object], menu: dict[str, object], height: int
) -> Figure:
    return Figure(
        lines,
        {
            "template": "none",
            "xaxis": x | {"automargin": True},
            "yaxis": y | {"automargin": True},
            "updatemenus": [menu | _ABOVE],
            "legend": _BELOW,
            "margin": {"l": 56, "r": 12, "t": 64, "b": 56},
            "height": height,
        },
    )


def _line(x: np.ndarray, y: np.ndarray, name: str, color: str, text: Sequence[str]) -> Scatter:
    return Scatter(
        x=x, y=y, name=name, mode="lines+markers", line={"color": color, "width": 2}, hovertext=text,
        hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip


def _button(label: str, method: str, *changes: Mapping[str, object]) -> dict[str, object]:
    return {"label": label, "method": method, "args": list(changes)}


def _within(name: str, parts: Mapping[str, object]) -> dict[str, object]:
    return {f"{name}.{part}": value for part, value in parts.items()}


def _about(row: Mapping[object, object]) -> str:
    kind = f" ({_safe(row['kind'])})" if "kind" in row else ""
    samples = f", {row['samples']:,} samples" if "samples" in row else ""
    return f"<b>{_safe(row['name'])}</b>{kind}<br>width {row['width']:,}{samples}"


def _safe(text: object, limit: int = 80) -> str:
    return html.escape(style.label(text, limit).replace(r"\$", "$"))
