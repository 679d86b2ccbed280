"""Terms of a loss, closed forms beside measurements, and deviations."""

import numpy as np
import pytest
import torch

from superscope.core.errors import InputError
from superscope.plots import inline_svg, plot_closed_form, plot_deviations, plot_terms


def test_each_bar_is_benefit_and_then_interference_on_one_scale():
    benefit, interference = torch.tensor([[1.0, 2.0], [0.5, 0.0]]), torch.tensor([[0.5, 3.0], [0.0, 0.0]])
    first, second = plot_terms(benefit, interference, ["a", "b"]).axes
    bars = [(bar.get_x(), bar.get_width()) for bar in first.patches]
    assert bars == [(0.0, 1.0), (0.0, 2.0), (1.0, 0.5), (2.0, 3.0)]
    assert first.get_xlim() == second.get_xlim()
    assert first.get_xlim()[1] > 5


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_terms_that_are_all_zero_or_no_numbers_still_give_a_picture(value):
    terms = torch.full((1, 2), value)
    assert inline_svg(plot_terms(terms, terms, ["a"]), "terms", "f").startswith("<svg")


def test_a_closed_form_is_a_curve_and_measurements_are_points_with_bars():
    x = torch.tensor([0.0, 1.0, 2.0])
    points = torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor([0.5])
    figure = plot_closed_form(
        x, {"f": x, "g": 2 * x}, axes=("x", "y"), measured=points, measured_label="seen"
    )
    [ax] = figure.axes
    np.testing.assert_allclose(ax.lines[1].get_xydata(), [[0, 0], [1, 2], [2, 4]])
    [container] = ax.containers
    np.testing.assert_allclose(container.lines[0].get_xydata(), [[1, 3]])
    np.testing.assert_allclose(container.lines[2][0].get_segments()[0], [[1, 2.5], [1, 3.5]])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["f", "g", "seen"]


def test_deviations_are_shares_that_sum_to_one_and_none_is_cut_off():
    z = torch.tensor([-9.0, 0.1, 0.2, 0.3])
    [ax] = plot_deviations({"z": z}).axes
    [stairs] = ax.patches
    values, edges, _ = stairs.get_data()
    assert (values * np.diff(edges)).sum() == pytest.approx(1)
    assert ax.get_xlim()[0] <= -9


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(
        InputError, match=r"interference has the shape \[1, 3\]; beside this benefit give \[1, 2\]"
    ):
        plot_terms(torch.ones(1, 2), [[1.0, 1.0, 1.0]], ["a"])
    with pytest.raises(InputError, match="f has 2 values for 3 places"):
        plot_closed_form([1.0, 2.0, 3.0], {"f": [1.0, 2.0]}, axes=("x", "y"))
    with pytest.raises(InputError, match="measured has 2 places, 1 values and 2 errors"):
        plot_closed_form([1.0], {"f": [1.0]}, axes=("x", "y"), measured=([1.0, 1.0], [1.0], [1.0, 1.0]))
    with pytest.raises(InputError, match="z has the shape"):
        plot_deviations({"z": []})
