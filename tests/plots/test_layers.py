"""Pictures of layers: of three and of sixty, of none and of broken ones."""

import numpy as np
import pandas as pd
import pytest
import torch

from superscope.core.errors import InputError
from superscope.plots import inline_svg, plot_activation_histograms, plot_rank_per_layer, plot_spectra
from superscope.plots.layers import normalised, rank_columns, ratios


def table(count: int) -> pd.DataFrame:
    width = np.full(count, 10)
    rank = np.linspace(1, 9, count)
    return pd.DataFrame(
        {
            "name": [f"layer{i}" for i in range(count)], "width": width, "samples": 1000, "stable_rank": rank,
            "stable_rank_ratio": rank / 10, "participation_ratio": rank,
            "participation_ratio_ratio": rank / 10,
            "stable_rank_se": 0.5,
        }
    )  # fmt: skip


def test_rank_columns_are_those_with_a_ratio():
    assert rank_columns(table(2)) == ["stable_rank", "participation_ratio"]
    assert rank_columns(table(2), ["samples"]) == ["samples"]


def test_ratios_are_computed_where_the_table_lacks_them():
    np.testing.assert_allclose(
        ratios(table(3).drop(columns="stable_rank_ratio"), "stable_rank"), [0.1, 0.5, 0.9]
    )


def named(ax):
    return {line.get_label(): line.get_ydata() for line in ax.lines if not line.get_label().startswith("_")}


@pytest.mark.parametrize("count", [1, 3, 60])
def test_ranks_are_drawn_beside_the_width_and_as_ratios(count):
    given = table(count)
    figure = plot_rank_per_layer(given, ["stable_rank"])
    above, below = figure.axes
    np.testing.assert_allclose(named(above)["stable rank"], given["stable_rank"])
    np.testing.assert_allclose(named(above)["width"], given["width"])
    np.testing.assert_allclose(below.lines[0].get_ydata(), given["stable_rank_ratio"])
    assert above.get_yscale() == "log"
    ticks = [text.get_text() for text in below.get_xticklabels()]
    assert ticks[0] == "layer0"
    assert len(ticks) <= 24
    assert inline_svg(figure, "ranks", "f").startswith("<svg")


def test_error_bars_are_95_percent_intervals():
    figure = plot_rank_per_layer(table(3), ["stable_rank"])
    for ax, half in zip(figure.axes, (0.98, 0.098), strict=True):
        [bars] = ax.collections
        low, high = bars.get_segments()[1][:, 1]
        assert (high - low) / 2 == pytest.approx(half)
    assert not plot_rank_per_layer(table(3), ["stable_rank"], errors=False).axes[0].collections


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_rows_without_a_rank_leave_a_gap(value):
    given = table(3)
    given.loc[1, ["stable_rank", "stable_rank_ratio"]] = value
    figure = plot_rank_per_layer(given, ["stable_rank"])
    assert np.isnan(named(figure.axes[0])["stable rank"][1])
    inline_svg(figure, "ranks", "f")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (table(0), "0 rows"),
        (table(2).drop(columns="width"), "give a row for each layer, and width"),
        (table(2)[["name", "width"]], "a rank with its <rank>_ratio"),
        (pd.DataFrame(), "the columns none"),
    ],
)
def test_tables_without_ranks_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        plot_rank_per_layer(given)


def test_spectra_are_sorted_over_the_largest():
    np.testing.assert_allclose(normalised(torch.tensor([1.0, 4, float("nan"), 2]), "fc"), [1, 0.5, 0.25])
    [ax] = plot_spectra({"fc": torch.tensor([1.0, 4, 2, 0])}, "a title").axes
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0.25, 1], [0.5, 0.5], [0.75, 0.25], [1, np.nan]])
    assert ax.get_title() == "a title"


def test_spectra_can_be_drawn_as_they_are():
    given = {"fc": torch.tensor([1.0, 4, 2, 0, float("nan")], requires_grad=True), "dead": torch.zeros(2)}
    [ax] = plot_spectra(given, absolute=True).axes
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[1, 4], [2, 2], [3, 1], [4, np.nan]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("index, largest first", "singular value")
    inline_svg(plot_spectra({"dead": torch.zeros(2)}, absolute=True), "none", "f")


def test_few_spectra_have_a_legend_and_many_a_colour_bar():
    few = plot_spectra({f"l{i}": torch.rand(9) for i in range(3)})
    many = plot_spectra({f"l{i}": torch.rand(9) for i in range(60)})
    assert [text.get_text() for text in few.axes[0].get_legend().get_texts()] == ["l0", "l1", "l2"]
    assert many.axes[0].get_legend() is None
    assert len(many.axes) == 2
    assert len([line for line in many.axes[0].lines if len(line.get_xdata())]) == 60


def test_spectra_of_different_layers_may_have_the_same_short_name():
    long = "block" * 20
    figure = plot_spectra({f"{long}{i}{long}": torch.rand(4) for i in range(3)})
    assert len([line for line in figure.axes[0].lines if len(line.get_xdata())]) == 3


def test_spectra_without_a_positive_value_are_counted():
    figure = plot_spectra({"a": torch.zeros(3), "b": torch.ones(1)})
    assert figure.get_supxlabel() == "1 of 2 layers have no positive value"
    inline_svg(figure, "one", "f")
    inline_svg(plot_spectra({"a": torch.full((3,), float("nan"))}), "none", "f")


def test_histograms_are_drawn_with_their_counts():
    counts, edges = torch.tensor([0, 1, 100]), torch.tensor([0.0, 1, 2, 3])
    figure = plot_activation_histograms({"fc": (counts, edges), "dead": (np.zeros(3), edges.numpy())})
    full, dead = figure.axes
    np.testing.assert_allclose(full.patches[0].get_data().values, [0.7, 1, 100])
    np.testing.assert_allclose(full.patches[0].get_data().edges, edges)
    assert full.get_yscale() == "log"
    assert [text.get_text() for text in dead.texts] == ["no values"]
    assert figure.get_supxlabel() == "activation"
    inline_svg(figure, "histograms", "f")


def test_of_many_histograms_twelve_are_drawn_and_the_figure_says_so():
    given = {f"l{i}": (np.ones(2), np.arange(3)) for i in range(60)}
    figure = plot_activation_histograms(given)
    assert len(figure.axes) == 12
    assert figure.axes[0].get_title() == "l0"
    assert figure.axes[-1].get_title() == "l59"
    assert figure.get_supxlabel() == "activation; 12 of 60 layers, evenly spaced"


def test_empty_or_uneven_layers_are_refused():
    with pytest.raises(InputError, match="spectra is empty"):
        plot_spectra({})
    with pytest.raises(InputError, match=r"the spectrum of fc has the shape \[0\]"):
        plot_spectra({"fc": torch.zeros(0)})
    with pytest.raises(InputError, match="histograms is empty"):
        plot_activation_histograms({})
    with pytest.raises(InputError, match="fc has 2 counts and 2 edges"):
        plot_activation_histograms({"fc": (np.ones(2), np.arange(2))})
