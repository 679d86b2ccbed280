"""The picture of training shows the records, the jumps and the drops that it is given."""

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection

from superscope.core.errors import InputError
from superscope.plots import inline_svg, style
from superscope.plots.dynamics import plot_dynamics

STEPS = torch.tensor([10, 20, 30, 40])
LOSS = torch.tensor([4.0, 3.0, 1.0, 0.9])
D = torch.tensor([[0.0, 0.1], [0.5, 0.1], [0.5, 0.2], [0.5, 0.2]])
JUMPS = torch.tensor([[False, False], [True, False], [False, False], [False, False]])
DROPS = torch.tensor([False, False, True, False])


def test_loss_above_dimensionality_below_over_the_same_steps():
    figure = plot_dynamics(LOSS, D, STEPS, JUMPS, DROPS, "a $b$")
    above, below = figure.axes
    np.testing.assert_allclose(above.lines[0].get_xydata(), torch.stack([STEPS, LOSS], 1))
    [lines] = [each for each in below.collections if isinstance(each, LineCollection)]
    np.testing.assert_allclose(lines.get_segments()[0], torch.stack([STEPS, D[:, 0]], 1))
    assert above.get_xlim() == below.get_xlim() == (0, 40)
    assert (above.get_yscale(), below.get_ylabel()) == ("log", "dimensionality D_i")
    assert above.get_title() == r"a \$b\$"


def test_jumps_are_dots_on_both_and_drops_are_lines_through_both():
    above, below = plot_dynamics(LOSS, D, STEPS, JUMPS, DROPS).axes
    np.testing.assert_allclose(above.collections[-1].get_offsets(), [[20, 3]])
    np.testing.assert_allclose(below.collections[-1].get_offsets(), [[20, 0.5]])
    for ax in (above, below):
        assert [line.get_xdata() for line in ax.lines if line.get_linestyle() == "--"] == [[30, 30]]


@pytest.mark.parametrize("features", [1, 400])
def test_without_jumps_or_with_many_features_there_is_a_picture(features):
    figure = plot_dynamics(LOSS, torch.rand(4, features), STEPS)
    svg = inline_svg(figure, "training", "f")
    assert svg.startswith("<svg")
    assert style.INK not in svg


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"shapes \(4,\), \(4, 2\), \(3,\)"):
        plot_dynamics(LOSS, D, [10, 20, 30], JUMPS, DROPS)
