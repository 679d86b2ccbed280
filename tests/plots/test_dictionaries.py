import math

import numpy as np
import pytest
import torch

from superscope.core.errors import InputError
from superscope.plots import RecoveryLine, plot_matches, plot_recovery

LINE = RecoveryLine(
    torch.tensor([2.0, 4.0, 6.0]), torch.tensor([0.5, 0.9, 0.7]), torch.tensor([0.1, 0.2, math.nan])
)
OTHER = RecoveryLine(torch.tensor([3.0, 5.0, 9.0]), torch.tensor([0.4, 0.8, 0.6]), torch.full((3,), 0.1))
NAMES = ("annealed", "constant")


def test_recovery_draws_both_ways_on_shared_axes_with_the_true_l0():
    figure = plot_recovery({"TopK": (LINE, OTHER), "alone $": (OTHER, None)}, 4.5, names=NAMES, y_name="MCC")
    first, second = figure.axes
    assert first.get_xlim() == second.get_xlim()
    assert first.get_ylim() == second.get_ylim()
    assert first.get_ylim()[1] == pytest.approx(0.9 + 0.12 * 0.5)  # of the dots, not of the intervals
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(NAMES)
    truth, one, two = (line for line in first.lines if len(line.get_xdata()) in (2, 3))
    assert list(truth.get_xdata()) == [4.5, 4.5]
    np.testing.assert_allclose(one.get_ydata(), [0.5, 0.9, 0.7], rtol=1e-6)
    np.testing.assert_allclose(two.get_xdata(), [3, 5, 9])
    assert (one.get_linestyle(), two.get_linestyle()) == ("-", "--")
    bars = first.containers[0]
    assert len(bars.lines[2][0].get_segments()) == 2  # an unknown interval is not drawn
    assert len(second.containers) == 1
    figure.draw_without_rendering()


def test_matches_share_a_scale_and_thin_out_large_tables():
    large = torch.rand(100, 100, generator=torch.Generator().manual_seed(0))
    large.fill_diagonal_(1)
    figure = plot_matches({"TopK": large, "small": torch.eye(3)})
    images = [ax.images[0] for ax in figure.axes if ax.images]
    assert [image.get_array().shape for image in images] == [(64, 64), (3, 3)]
    assert all((image.norm.vmin, image.norm.vmax) == (0, 1) for image in images)
    assert (np.diag(images[0].get_array()) == 1).all()  # pairs are kept together
    assert "64 of 100" in figure._supxlabel.get_text()
    assert "of" not in plot_matches({"small": torch.eye(3)})._supxlabel.get_text().replace("of each", "")
    figure.draw_without_rendering()


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(InputError, match="at least one"):
        plot_recovery({}, 1.0, names=NAMES, y_name="MCC")
    short = RecoveryLine(torch.ones(2), torch.ones(3), torch.ones(3))
    with pytest.raises(InputError, match="TopK has 2 L0, 3 values"):
        plot_recovery({"TopK": (short, None)}, 1.0, names=NAMES, y_name="MCC")
    with pytest.raises(InputError, match="at least one"):
        plot_matches({})
    with pytest.raises(InputError, match="square table"):
        plot_matches({"TopK": torch.zeros(2, 3)})
    with pytest.raises(InputError, match=r"in \[0, 1\]"):
        plot_matches({"TopK": -torch.eye(3)})
