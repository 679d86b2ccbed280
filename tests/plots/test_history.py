"""The loss over training."""

import numpy as np
import pytest
import torch

from superscope.core.errors import InputError
from superscope.plots import inline_svg, plot_history


def test_each_instance_is_a_named_line_on_a_log_axis():
    history = torch.tensor([[1.0, 2.0], [0.1, 0.2], [0.01, float("nan")]])
    [ax] = plot_history(history, ["a", "b"], torch.tensor([0, 10, 20])).axes
    named = [line for line in ax.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in named] == ["a", "b"]
    np.testing.assert_allclose(named[0].get_xydata(), [[0, 1], [10, 0.1], [20, 0.01]], rtol=1e-6)
    np.testing.assert_allclose(named[1].get_ydata(), [2, 0.2, np.nan], rtol=1e-6)
    assert ax.get_yscale() == "log"


@pytest.mark.parametrize("value", [0.0, 1.0, float("nan")])
def test_one_record_still_gives_a_picture(value):
    assert inline_svg(plot_history(torch.tensor([[value]]), ["a"], [0]), "one", "f").startswith("<svg")


def test_wrong_lengths_are_refused():
    with pytest.raises(InputError, match="steps has 1 entries for 2 records"):
        plot_history(torch.ones(2, 1), ["a"], [0])
    with pytest.raises(InputError, match="labels has 1 entries for 2"):
        plot_history(torch.ones(1, 2), ["a"], [0])
