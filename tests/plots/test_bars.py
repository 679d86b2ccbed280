"""Bars: lengths, intervals, and published marks beside them."""

import numpy as np
import pytest
import torch

from superscope.core.errors import InputError
from superscope.plots import inline_svg, plot_bars


def lengths(ax) -> list[float]:
    return [bar.get_width() for bar in ax.patches]


def test_bars_have_their_lengths_intervals_and_marks():
    figure = plot_bars(
        torch.tensor([0.3, -0.1]), ["positive", "in $"], errors=[0.1, np.nan], published=[0.35, np.nan],
        value_name="mean correlation",
    )  # fmt: skip
    [ax] = figure.axes
    np.testing.assert_allclose(lengths(ax), [0.3, -0.1], atol=1e-7)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["positive", r"in \$"]
    [intervals] = ax.collections
    np.testing.assert_allclose(intervals.get_segments()[0][:, 0], [0.2, 0.4], atol=1e-7)
    [marks] = [line for line in ax.lines if line.get_label() == "published"]
    np.testing.assert_allclose(marks.get_xdata(), [0.35, np.nan])
    assert ax.get_xlabel() == "mean correlation"
    assert ax.yaxis_inverted()
    inline_svg(figure, "bars", "f")


def test_series_stand_beside_each_other():
    [ax] = plot_bars({"padded": [1.0, 2.0], "masked": [3.0, np.nan]}, "ab", value_name="x").axes
    assert lengths(ax) == [1, 2, 3]
    first, second, third = (bar.get_y() + bar.get_height() / 2 for bar in ax.patches)
    np.testing.assert_allclose([first, second, third], [-0.2, 0.8, 0.2])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["padded", "masked"]
    assert [text.get_text().strip() for text in ax.texts] == ["–"]


def test_a_single_series_needs_no_legend():
    [ax] = plot_bars([1.0], "a", value_name="x").axes
    assert ax.get_legend() is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": {}}, "values is empty"),
        ({"values": [1.0]}, "2 entries for 1"),
        ({"values": [1.0, 2.0], "errors": [1.0]}, "errors has 1 entries for 2"),
        ({"values": [1.0, 2.0], "published": [1.0]}, "published has 1 entries for 2"),
        ({"values": {"a": [1.0, 2.0], "b": [1.0]}}, "values b has 1 entries for 2"),
        ({"values": {"a": [1.0, 2.0]}, "errors": {"b": [1.0, 2.0]}}, "errors has the series b and values a"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        plot_bars(names=["x", "y"], value_name="z", **arguments)
