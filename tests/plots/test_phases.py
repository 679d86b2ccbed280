"""Phase maps show the colours and places they say, and refuse what does not fit."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from superscope.core.errors import InputError
from superscope.plots import PhasePanel, inline_svg, plot_phases, style

DENSITY, IMPORTANCE = torch.tensor([1.0, 0.1, 0.01]), torch.tensor([0.1, 10.0])
NORM = torch.tensor([[0.0, 0.5, 1.0], [1.2, 1.0, float("nan")]])
SHARED = torch.tensor([[1.0, 0.0, 0.0], [0.5, 1.5, 1.0]])


def test_opacity_is_the_norm_and_hue_the_superposition():
    [ax] = plot_phases([PhasePanel(NORM, SHARED, "p")], DENSITY, IMPORTANCE).axes
    [image] = ax.images
    colors = np.asarray(image.get_array())
    np.testing.assert_allclose(colors[..., 3], [[0, 0.5, 1], [1, 1, 0]])
    own, shared = (np.array(to_rgb(color)) for color in style.line_colors(2))
    np.testing.assert_allclose(colors[0, 2, :3], own)
    np.testing.assert_allclose(colors[1, 1, :3], shared)
    np.testing.assert_allclose(colors[1, 0, :3], (own + shared) / 2)


def test_cells_lie_around_their_density_and_importance():
    lines = [torch.tensor([[0.1, 0.01], [1.0, 1.0]]), torch.ones(2, 3)]
    [ax] = plot_phases([PhasePanel(NORM, SHARED, "p")], DENSITY, IMPORTANCE, lines).axes
    assert ax.images[0].get_extent() == pytest.approx((0.5, -2.5, -2, 2))
    assert ax.images[0].origin == "lower"
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[-1, 0], [-2, 0]])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0.01", "0.1", "1"]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0.1", "1", "10"]


def test_a_narrow_range_has_ticks_too():
    [ax] = plot_phases([PhasePanel(NORM, SHARED, "p")], DENSITY, torch.tensor([0.4, 3.0])).axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0.5", "1", "2"]


def test_panels_of_any_resolution_make_a_picture():
    fine = torch.zeros(7, 9)
    figure = plot_phases(
        [PhasePanel(fine, fine, "closed"), PhasePanel(NORM, SHARED, "a $b$")], DENSITY, IMPORTANCE
    )
    assert [ax.get_title() for ax in figure.axes] == ["closed", r"a \$b\$"]
    assert inline_svg(figure, "phases", "f").startswith("<svg")


@pytest.mark.parametrize(
    ("panel", "density", "message"),
    [
        (PhasePanel(NORM, SHARED[:, :2], "p"), DENSITY, r"norm of shape \[2, 3\] and a superposition"),
        (PhasePanel(NORM[0], SHARED[0], "p"), DENSITY, r"norm has the shape \[3\]"),
        (PhasePanel(NORM, SHARED, "p"), DENSITY[:1], "density is .* two or more"),
        (PhasePanel(NORM, SHARED, "p"), torch.tensor([1.0, 0.1, 0.3]), "in order"),
        (PhasePanel(NORM, SHARED, "p"), torch.tensor([1.0, 0.1, 0.0]), "positive"),
    ],
)
def test_what_does_not_fit_is_refused(panel, density, message):
    with pytest.raises(InputError, match=message):
        plot_phases([panel], density, IMPORTANCE)
