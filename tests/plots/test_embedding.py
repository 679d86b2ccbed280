"""Samples in the plane: classes told apart while they are few, names that Plotly must not read as HTML."""

import numpy as np
import pytest
import torch

from superscope.core.errors import InputError
from superscope.plots import explore_embedding, inline_svg, plot_embedding
from superscope.plots.embedding import TELLABLE

HOSTILE = "</script><img src=x onerror=alert(1)>"


def points(count: int) -> torch.Tensor:
    return torch.stack([torch.arange(count), torch.arange(count) % 7], 1).double()


def test_each_class_has_its_points_and_its_own_look():
    labels = torch.arange(180) % 18
    figure = plot_embedding(
        points(180), labels, [f"class {k}" for k in range(18)], title="t", axes=("u", "v")
    )
    [ax] = figure.axes
    assert len(ax.collections) == TELLABLE == 18
    for k, dots in enumerate(ax.collections):
        np.testing.assert_array_equal(dots.get_offsets(), points(180)[labels == k])
    looks = {(tuple(d.get_facecolor()[0]), d.get_paths()[0].vertices.tobytes()) for d in ax.collections}
    assert len(looks) == 18
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [f"class {k}" for k in range(18)]
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("t", "u", "v")


def test_many_classes_have_a_bar():
    figure = plot_embedding(points(100), torch.arange(100))
    ax, bar = figure.axes
    assert ax.get_legend() is None
    assert bar.get_ylabel() == "class"
    assert len({tuple(d.get_facecolor()[0]) for d in ax.collections}) > 90  # viridis repeats one in 256 steps


def test_many_points_are_a_picture_in_the_svg():
    few, many = (inline_svg(plot_embedding(points(count)), "points", "f") for count in (100, 9000))
    assert "<image" not in few
    assert "<image" in many
    assert len(many) < 300_000


def test_points_that_are_not_finite_are_left_out_and_counted():
    given = points(4)
    given[1, 0] = torch.nan
    figure = plot_embedding(given, [0, 1, 0, 0], ["a", "b"])
    assert figure.get_supxlabel() == "1 of 4 points are not finite"
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["a"]
    assert len(explore_embedding(given).data[0].x) == 3
    nothing = plot_embedding(torch.full((2, 2), torch.nan), [0, 1])
    assert [text.get_text() for text in nothing.axes[0].texts] == ["no finite point to draw"]
    assert len(explore_embedding(torch.full((2, 2), torch.nan)).data) == 0


def test_hovering_tells_class_and_text():
    figure = explore_embedding(points(3), [0, 1, 0], ["cat", "dog"], ["a", HOSTILE, "c"], axes=("u", "v"))
    cat, dog = figure.data
    assert list(cat.hovertext) == ["<b>cat</b><br>a", "<b>cat</b><br>c"]
    assert "&lt;img" in dog.hovertext[0]
    assert "<img" not in figure.to_json().replace("\\u003c", "<")
    assert cat.type == "scatter"  # not scattergl: a page's policy and old machines
    assert figure.layout.xaxis.title.text == "u"
    assert figure.layout.showlegend
    assert list(explore_embedding(points(1)).data[0].hovertext) == ["sample 0"]


def test_a_menu_shows_one_class_before_the_others():
    every, cat, _ = explore_embedding(points(4), [0, 1, 0, 1], ["cat", "dog"]).layout.updatemenus[0].buttons
    assert list(every.args[0]["marker.opacity"]) == [0.8, 0.8]
    assert list(cat.args[0]["marker.opacity"]) == [1.0, 0.15]
    assert cat.label == "cat"
    assert not explore_embedding(points(4)).layout.updatemenus


def test_of_many_points_5000_are_drawn_and_the_axis_says_so():
    figure = explore_embedding(points(20_000), torch.arange(20_000) % 100)
    assert sum(len(dots.x) for dots in figure.data) == 5000
    assert figure.layout.xaxis.title.text.endswith(" · 5,000 of 20,000 points")
    assert not figure.layout.showlegend
    assert len(figure.layout.updatemenus[0].buttons) == 101


@pytest.mark.parametrize("draw", [plot_embedding, explore_embedding])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(3, 3),), "two coordinates"),
        ((torch.ones(3, 2), [0, 1]), "labels has 2 entries for 3 points"),
        ((torch.ones(2, 2), [0, -1]), "a class number from 0"),
        ((torch.ones(2, 2), [0, 2], ["a", "b"]), "a label is 2 and classes has 2 names"),
    ],
)
def test_what_does_not_fit_is_refused(draw, arguments, message):
    with pytest.raises(InputError, match=message):
        draw(*arguments)


def test_texts_are_one_for_each_point():
    with pytest.raises(InputError, match="texts has 1 entries for 2 points"):
        explore_embedding(torch.ones(2, 2), texts=["a"])
