import numpy as np
import pytest
import torch

from superscope.core.errors import InputError
from superscope.plots import inline_svg, plot_chance

CHANCE = torch.linspace(-1, 1, 601)


def test_the_histogram_has_an_area_of_one_and_marks_stand_where_the_values_are():
    figure = plot_chance(
        CHANCE, {"seen": torch.tensor([-0.5, 0.25]), "other": torch.tensor([0.9])}, value_name="r", limit=0.4
    )
    [ax] = figure.axes
    heights, edges, _ = ax.patches[0].get_data()
    assert float((heights * np.diff(edges)).sum()) == pytest.approx(1)
    marks = [[segment[0][0] for segment in each.get_segments()] for each in ax.collections]
    assert marks == [[-0.5, 0.25], [pytest.approx(0.9)]]
    first, second = (each.get_segments()[0] for each in ax.collections)
    assert second[:, 1].max() < first[:, 1].min() < first[:, 1].max() < 0  # rows below the histogram
    assert [line.get_xdata()[0] for line in ax.lines[:2]] == [-0.4, 0.4]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["chance", "seen", "other"]
    assert ax.get_xlabel() == "r"


def test_names_are_text():
    figure = plot_chance(CHANCE, {"<b>$x": torch.tensor([0.0])}, value_name="a & b")
    assert "&lt;b&gt;$x" in inline_svg(figure, "chance", "f")


@pytest.mark.parametrize(
    ("chance", "found", "fault"),
    [
        (CHANCE, {}, "found has 0 entries"),
        (CHANCE, {str(k): torch.tensor([0.0]) for k in range(7)}, "found has 7 entries"),
        (CHANCE[None], {"a": torch.tensor([0.0])}, "chance has the shape"),
        (CHANCE, {"a": torch.empty(0)}, "the values of a has the shape"),
        (CHANCE, {"a": torch.tensor([float("nan")])}, "not finite"),
    ],
)
def test_what_cannot_be_drawn(chance, found, fault):
    with pytest.raises(InputError, match=fault):
        plot_chance(chance, found, value_name="r")
