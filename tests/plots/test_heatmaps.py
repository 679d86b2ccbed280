"""Heat maps: what each cell shows, whatever the matrix's size, signs and gaps."""

import re

import numpy as np
import pytest
import torch

from superscope.core.errors import InputError
from superscope.plots import Heatmap, inline_svg, plot_correlation, plot_heatmaps, plot_weights, style
from superscope.plots.heatmaps import block_means, scale


def cells(ax) -> np.ndarray:
    [picture] = ax.images
    return np.asarray(picture.get_array())


def test_block_means_are_those_of_the_finite_values():
    values = np.arange(15.0).reshape(3, 5)
    values[0, 0], values[2, 4] = np.nan, np.inf
    means, block = block_means(values, 3)
    assert block == (1, 2)
    np.testing.assert_allclose(means, [[1, 2.5, 4], [5.5, 7.5, 9], [10.5, 12.5, np.nan]])
    same, block = block_means(values, 5)
    assert block == (1, 1)
    np.testing.assert_array_equal(same[1], values[1])


def test_the_scale_is_around_0_where_values_have_both_signs():
    assert scale(np.array([-1.0, 3.0])).get_clim() == (-3, 3)
    assert scale(np.array([1.0, 3.0])).get_clim() == (0, 3)
    assert scale(np.array([0.0, np.nan])).get_clim() == (0, 1)


def test_one_huge_value_does_not_wash_out_the_others():
    values = np.append(np.linspace(-1, 1, 999), 50.0)
    made = scale(values)
    assert made.get_clim()[1] < 1.01
    assert made.cmap.colorbar_extend == "both"
    assert scale(values[:-1]).cmap.colorbar_extend is False


def test_weights_are_blue_below_0_and_red_above():
    figure = plot_weights({"fc": torch.tensor([[-1.0, 0.0, 1.0], [0.5, torch.nan, -0.5]])})
    ax, _ = figure.axes
    shown = cells(ax)
    assert shown.shape == (2, 3, 4)
    blue, white, red = shown[0]
    assert blue[2] > 2 * blue[0]
    assert red[0] > 2 * red[2]
    assert white[:3].min() > 0.95
    np.testing.assert_allclose(shown[1, 1], style.diverging().get_bad())
    assert ax.get_title() == "fc"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("input", "output")
    assert figure.get_supxlabel() == "1 values are not finite"


def test_many_columns_are_drawn_as_means_and_the_axis_says_so():
    figure = plot_weights({"fc1": torch.randn(128, 784), "fc2": torch.randn(64, 128)})
    wide, narrow = figure.axes[:2]
    assert cells(wide).shape == (128, 196, 4)
    assert wide.get_xlabel() == "input (means of 4)"
    assert wide.get_xlim() == (0, 784)
    assert narrow.get_xlabel() == "input"
    svg = inline_svg(figure, "weights", "f")
    assert svg.count("<image") >= 2
    assert len(svg) < 400_000


def test_kernels_stand_beside_each_other():
    [ax, _] = plot_weights({"conv": torch.zeros(4, 3, 2, 2)}).axes
    assert cells(ax).shape == (4, 12, 4)
    assert ax.get_xlabel() == "input channel × 2 × 2"


def test_of_many_matrices_twelve_are_drawn_and_the_figure_says_so():
    figure = plot_weights({f"l{i}": torch.ones(2, 2) for i in range(53)})
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert (len(titles), titles[0], titles[-1]) == (12, "l0", "l52")
    assert figure.get_supxlabel() == "12 of 53 matrices, evenly spaced"


def test_rows_and_columns_are_named():
    one = Heatmap(torch.rand(2, 3), "concepts", "neuron", "", rows=["animals", "cost in $"], columns="abc")
    ax = plot_heatmaps([one], "activation").axes[0]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["animals", r"cost in \$"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b", "c"]
    np.testing.assert_allclose(ax.get_yticks(), [0.5, 1.5])


def test_a_correlation_has_its_numbers_while_they_are_few():
    matrix = torch.tensor([[1.0, -0.2627], [-0.2627, 1.0]])
    ax = plot_correlation(matrix, ["a", "b"], decimals=4).axes[0]
    assert [text.get_text() for text in ax.texts] == ["1.0000", "−0.2627", "−0.2627", "1.0000"]
    assert all(text.get_color() != style.INK for text in ax.texts)  # the page would change it, not the cell
    many = plot_correlation(torch.eye(30), range(30)).axes[0]
    assert not many.texts
    assert cells(many).shape == (30, 30, 4)


def test_a_constant_variable_is_grey():
    ax = plot_correlation(np.array([[1.0, np.nan], [np.nan, np.nan]]), "ab").axes[0]
    assert [text.get_text() for text in ax.texts] == ["1.00", "–", "–", "–"]
    np.testing.assert_allclose(cells(ax)[0, 1], style.diverging().get_bad())


def test_the_same_figure_gives_the_same_bytes():
    first, again = (
        inline_svg(plot_weights({"fc": torch.arange(6.0).reshape(2, 3)}), "weights", "f") for _ in range(2)
    )
    assert re.sub(r"\s", "", first) == re.sub(r"\s", "", again)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plot_weights({}), "weights is empty"),
        (lambda: plot_heatmaps([], "x"), "maps is empty"),
        (lambda: plot_weights({"bias": torch.ones(3)}), r"weight of bias has the shape \[3\]"),
        (lambda: plot_weights({"fc": torch.ones(3, 0)}), "no axis empty"),
        (lambda: plot_heatmaps([Heatmap(torch.ones(2, 2), "m", rows=["a"])], "x"), "1 entries for 2"),
        (lambda: plot_correlation(torch.ones(2, 3), "ab"), "give a square one"),
        (lambda: plot_correlation(torch.ones(2, 2), "abc"), "3 entries for 2"),
        (lambda: plot_correlation(2 * torch.ones(1, 1), "a"), "matrix holds 2"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, message):
    with pytest.raises(InputError, match=message):
        draw()
