"""Curves with intervals, relations, and solutions over each other."""

import numpy as np
import pytest
import torch

from superscope.core.errors import InputError
from superscope.plots import inline_svg, plot_relation, plot_solutions, plot_sweep
from superscope.toy import regular_polygon

NAN = float("nan")
NAMES = {"x_name": "density", "y_name": "loss"}


def test_a_line_is_the_mean_and_its_band_students_interval_by_hand():
    values = torch.tensor([[[1.0, 4.0, NAN]], [[2.0, NAN, NAN]], [[3.0, NAN, NAN]]])
    [ax] = plot_sweep(values, [0.1, 1.0, 10.0], ["a"], **NAMES, marks=[0.4]).axes
    [line] = [line for line in ax.lines if line.get_label() == "a"]
    np.testing.assert_allclose(line.get_ydata(), [2.0, 4.0, NAN])
    # s = 1, t_{0.975, 2} = 4.302653, half = 4.302653/√3; one seed has no band
    corners = ax.collections[0].get_paths()[0].vertices
    at = {x: sorted(corners[np.isclose(corners[:, 0], x), 1]) for x in (0.1, 1.0)}
    assert (at[0.1][0], at[0.1][-1]) == pytest.approx((2 - 2.484138, 2 + 2.484138), rel=1e-5)
    assert set(at[1.0]) == {4.0}
    assert ax.get_xscale() == "log"
    assert [list(line.get_xdata()) for line in ax.lines if line.get_linestyle() == "--"] == [[0.4, 0.4]]


def test_points_are_drawn_in_order_and_a_plain_axis_takes_negative_places():
    values = torch.tensor([[[1.0, 2.0, 3.0]]])
    [ax] = plot_sweep(values, [0.0, -1.0, -0.5], ["a"], **NAMES, log_x=False).axes
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[-1, 2], [-0.5, 3], [0, 1]])


def test_a_relation_has_a_dot_for_each_pair():
    figure = plot_relation(
        torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]), [0.1, 1.0], **NAMES, color_name="S"
    )
    np.testing.assert_allclose(figure.axes[0].collections[0].get_offsets(), [[1, 3], [2, 4]])
    assert inline_svg(figure, "dots", "f").startswith("<svg")


def test_solutions_are_polygons_of_what_is_embedded_and_a_nan_is_left_out():
    pentagon = regular_polygon(5)
    square = pentagon * (torch.arange(5) < 3)
    W = torch.stack([torch.stack([pentagon, square]), torch.stack([pentagon, torch.full((2, 5), NAN)])])
    figure = plot_solutions(W, ["one", "two"], [0.1, 1.0], "density")
    one, two = figure.axes[:2]
    assert [len(line.get_xdata()) for line in one.lines[1:]] == [6, 4]
    assert len(two.lines) == 2
    assert inline_svg(plot_solutions(W, ["one", "two"], [0.1, 1.0], "density"), "s", "f").startswith("<svg")


@pytest.mark.parametrize("points", [1, 2])
def test_a_few_points_still_give_a_picture(points):
    x = torch.ones(points)
    assert inline_svg(plot_sweep(torch.ones(1, 1, points), x, ["a"], **NAMES), "c", "f").startswith("<svg")
    figure = plot_solutions(torch.zeros(1, points, 2, 3), ["zero"], x, "density")
    assert inline_svg(figure, "z", "f").startswith("<svg")


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="x has 1 entries for 2 points"):
        plot_sweep(torch.ones(1, 1, 2), [1.0], ["a"], **NAMES)
    with pytest.raises(InputError, match="labels has 2 entries for 1"):
        plot_sweep(torch.ones(1, 1, 2), [1.0, 2.0], ["a", "b"], **NAMES)
    with pytest.raises(InputError, match="not positive on a log scale"):
        plot_sweep(torch.ones(1, 1, 2), [0.0, 2.0], ["a"], **NAMES)
    with pytest.raises(InputError, match="2, 2 and 1 entries"):
        plot_relation(torch.ones(2), torch.ones(2), [1.0], **NAMES, color_name="S")
    with pytest.raises(InputError, match="not positive on a log scale"):
        plot_relation(torch.ones(1), torch.ones(1), [-1.0], **NAMES, color_name="S")
    with pytest.raises(InputError, match="2 hidden dimensions"):
        plot_solutions(torch.ones(1, 1, 3, 3), ["a"], [1.0], "S")
