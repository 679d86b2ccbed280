"""Layer by layer: published beside measured, runs beside each other, differences with their intervals."""

import numpy as np
import pandas as pd
import pytest

from superscope.core.errors import InputError
from superscope.plots import inline_svg, plot_differences, plot_rank_comparison, plot_runs, style


def named(ax):
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def ranks(count: int = 3) -> pd.DataFrame:
    falling = np.linspace(0.9, 0.1, count)
    return pd.DataFrame(
        {"name": [f"conv{i}" for i in range(count)], "published": falling, "as_published": falling + 0.01,
         "measured": falling / 2, "measured_low": falling / 2 - 0.05, "measured_high": falling / 2 + 0.05}
    )  # fmt: skip


@pytest.mark.parametrize("count", [1, 53])
def test_published_values_are_marks_beside_measured_lines(count):
    figure = plot_rank_comparison(ranks(count))
    [ax] = figure.axes
    lines = named(ax)
    assert list(lines) == ["published", "measured as published", "measured rightly"]
    assert lines["published"].get_marker() == "D"
    assert lines["published"].get_color() == "none"
    for text, column in (("published", "published"), ("measured rightly", "measured")):
        np.testing.assert_allclose(lines[text].get_ydata(), ranks(count)[column])
    assert len(ax.collections) == 1  # the band
    assert len(ax.get_xticks()) <= 27
    inline_svg(figure, "ranks", "f")


def test_other_columns_can_be_compared():
    [ax] = plot_rank_comparison(ranks(), {"as_published": "the paper's", "measured": "ours"}).axes
    assert list(named(ax)) == ["the paper's", "ours"]
    with pytest.raises(InputError, match="with name, published, as_published, measured"):
        plot_rank_comparison(ranks()[["name"]])
    with pytest.raises(InputError, match="with name, other"):
        plot_rank_comparison(ranks(), {"other": "x"})


def test_runs_are_matched_by_the_names_of_their_layers():
    one = pd.DataFrame({"name": ["a", "b", "c"], "stable_rank": [1.0, 2, 3], "low": 0.5, "high": 3.5})
    two = pd.DataFrame({"name": ["c", "d", "a"], "stable_rank": [30.0, 40, 10]})
    figure = plot_runs({"before": one, "after": two}, "stable_rank")
    [ax] = figure.axes
    lines = named(ax)
    np.testing.assert_array_equal(lines["before"].get_ydata(), [1, 2, 3, np.nan])
    np.testing.assert_array_equal(lines["after"].get_ydata(), [10, np.nan, 30, 40])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b", "c", "d"]
    assert len(ax.collections) == 1
    assert ax.get_ylabel() == "stable rank"
    assert plot_runs({"one": one}, "stable_rank", value_name="m²").axes[0].get_ylabel() == "m²"
    inline_svg(figure, "runs", "f")


def test_runs_that_cannot_be_matched_are_refused():
    one = pd.DataFrame({"name": ["a", "a"], "rank": [1.0, 2.0]})
    with pytest.raises(InputError, match="the table of x has the layer a twice"):
        plot_runs({"x": one}, "rank")
    with pytest.raises(InputError, match=r"table of x has 2 rows and the columns name, rank;.*name, other"):
        plot_runs({"x": one}, "other")
    with pytest.raises(InputError, match="tables is empty"):
        plot_runs({}, "rank")


def differences(count: int) -> pd.DataFrame:
    middle = np.linspace(-1, 1, count)
    return pd.DataFrame(
        {
            "name": [f"l{i}" for i in range(count)], "difference": middle, "low": middle - 0.3,
            "high": middle + 0.3,
        }
    )  # fmt: skip


@pytest.mark.parametrize("count", [2, 5, 60])
def test_differences_are_grey_where_0_is_in_the_interval(count):
    given = differences(count)
    figure = plot_differences(given, "stable_rank")
    [ax] = figure.axes
    lines = named(ax)
    sure = (given["low"] > 0) | (given["high"] < 0)
    np.testing.assert_allclose(lines["interval without 0"].get_xdata(), given["difference"][sure])
    np.testing.assert_array_equal(lines["interval without 0"].get_ydata(), np.flatnonzero(sure))
    if count > 2:
        assert lines["interval with 0, or none"].get_color() == style.GREY
    ends = np.concatenate([c.get_segments() for c in ax.collections])[:, :, 0]
    np.testing.assert_allclose(np.sort(ends[:, 0]), given["low"])
    assert ax.get_xlabel() == "difference of stable rank"
    assert ax.yaxis_inverted()
    inline_svg(figure, "differences", "f")


def test_differences_without_an_interval_are_drawn_in_grey_or_not_at_all():
    given = differences(3)
    given.loc[0, ["low", "high"]] = np.nan
    given.loc[2, "difference"] = np.nan
    lines = named(plot_differences(given, "rank").axes[0])
    np.testing.assert_array_equal(lines["interval with 0, or none"].get_ydata(), [0, 1])
    given["difference"] = np.nan
    [ax] = plot_differences(given, "rank").axes
    assert [text.get_text() for text in ax.texts] == ["no difference to draw"]
    with pytest.raises(InputError, match="has 0 rows"):
        plot_differences(given[:0], "rank")
