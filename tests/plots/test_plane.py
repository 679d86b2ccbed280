"""The plane of a classifier draws the points and areas it is given."""

import inspect

import numpy as np
import pytest
import torch

from superscope.core.errors import InputError
from superscope.plots import inline_svg, plot_plane

W = torch.tensor([[1.0, 0.0, -2.0], [0.0, 1.0, 0.0]])
B = torch.tensor([0.0, 0.0, 0.5])
POINTS = torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.1, 0.0], [2.0, 1.0]])
CLASSES = torch.tensor([0, 1, 2, 0])
OTHERS = torch.tensor([[2.0, 2.5], [5.0, 1.0], [1.0, 1.0]])
RIGHT = torch.tensor([True, False, False])


def figure(**changes):
    given = {"W": W, "b": B, "names": "abc", "known": (POINTS, CLASSES), "unknown": (OTHERS, RIGHT)} | changes
    return inspect.unwrap(plot_plane)(**given, titles=("one", "two"))


def test_points_lie_where_they_are_in_the_colour_of_their_class():
    one, two = figure().axes
    dots = {line.get_label(): line for line in one.lines if not line.get_label().startswith("_")}
    assert list(dots) == ["a", "b", "c"]
    np.testing.assert_allclose(dots["a"].get_xydata(), POINTS[[0, 3]])
    np.testing.assert_allclose(dots["c"].get_xydata(), POINTS[[2]])
    assert len({line.get_color() for line in dots.values()}) == 3
    marks = {line.get_label(): line.get_xydata() for line in two.lines}
    np.testing.assert_allclose(marks["right"], OTHERS[:1])
    np.testing.assert_allclose(marks["wrong"], OTHERS[1:])


def test_areas_are_the_largest_logit():
    ax = figure().axes[0]
    [area] = ax.images
    values, (left, right, low, high) = area.get_array(), area.get_extent()
    rows = np.linspace(low, high, len(values))
    columns = np.linspace(left, right, values.shape[1])
    for x, y in POINTS.tolist():
        seen = values[np.abs(rows - y).argmin(), np.abs(columns - x).argmin()]
        assert seen == (W.T @ torch.tensor([x, y]) + B).argmax()


def test_lines_from_the_origin_have_the_directions_of_the_readouts_and_one_length():
    ends = np.array(
        [line.get_xydata()[1] for line in figure().axes[0].lines if len(line.get_xydata()) == 2][:3]
    )
    np.testing.assert_allclose(ends / np.linalg.norm(ends[0]), [[1, 0], [0, 1], [-1, 0]], atol=1e-9)


@pytest.mark.parametrize("right", [[True] * 3, [False] * 3])
def test_degenerate_hidden_vectors_still_give_a_picture(right):
    nothing = torch.zeros(4, 2)
    drawn = figure(W=0 * W, known=(nothing, CLASSES), unknown=(nothing[:3], torch.tensor(right)))
    assert inline_svg(drawn, "degenerate", "f").startswith("<svg")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"W": torch.zeros(3, 3)}, "W has 3 hidden dimensions and a plane has 2"),
        ({"names": "ab"}, "names has 2 entries for 3"),
        ({"known": (POINTS, CLASSES[:2])}, r"shape \[4, 2\] came with 2 classes"),
        ({"unknown": (torch.zeros(3, 3), RIGHT)}, r"shape \[3, 3\] came with 3 answers"),
    ],
)
def test_wrong_shapes_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        figure(**changes)
