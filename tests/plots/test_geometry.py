"""Pictures of feature directions draw the numbers they are given, and bear degenerate ones."""

import inspect

import numpy as np
import pytest
import torch

from superscope.core.errors import InputError
from superscope.plots import inline_svg, plot_dimensionality, plot_features, plot_gram, plot_norms, style

FACE = torch.tensor([[[1.0, 0, -1, 0], [0, 1, 0, -1]]])
"""The four-feature face: two antipodal pairs, each feature of norm 1 with interference 1."""


def panels(figure, title):
    return [ax for ax in figure.axes if ax.get_title().startswith(title)]


def test_features_are_lines_from_the_origin():
    W = torch.stack([FACE[0], 3 * FACE[0]])
    figure = plot_features(W, ["p1", "p2"])
    for ax, directions in zip(panels(figure, "p"), W, strict=True):
        lines, dots = ax.collections
        np.testing.assert_allclose([line[1] for line in lines.get_segments()], directions.T)
        np.testing.assert_allclose([line[0] for line in lines.get_segments()], 0)
        np.testing.assert_allclose(dots.get_offsets(), directions.T)
        assert ax.get_xlim() == ax.get_ylim() == pytest.approx((-3.36, 3.36))
        assert ax.get_aspect() == 1


def test_features_are_coloured_by_importance():
    def colors(importance):
        [ax] = panels(plot_features(FACE, ["p"], importance), "p")
        return [tuple(color) for color in ax.collections[0].get_colors()]

    by_index = colors(None)
    assert colors(torch.tensor([0.1, 0.5, 0.2, 0.9])) == [by_index[i] for i in (3, 1, 2, 0)]
    assert colors([1.0] * 4) == by_index


def test_gram_and_bias_share_one_scale_around_0():
    b = torch.tensor([[0.5, 0, 0, -2]])
    figure = plot_gram(FACE, b, ["p"])
    gram, bias = panels(figure, "p")[0].images
    np.testing.assert_allclose(gram.get_array(), FACE[0].T @ FACE[0])
    np.testing.assert_allclose(bias.get_array(), b.T)
    assert gram.get_clim() == bias.get_clim() == (-2, 2)
    assert bias.get_extent()[0] > gram.get_extent()[1]


def test_norms_are_bars_coloured_by_interference():
    W = torch.cat([FACE, 2 * torch.eye(2).repeat(1, 2)[None] * torch.tensor([1.0, 1, 0, 0])])
    face, alone = panels(plot_norms(W, ["p1", "p2"]), "p")
    np.testing.assert_allclose([bar.get_width() for bar in face.patches], [1, 1, 1, 1])
    np.testing.assert_allclose([bar.get_width() for bar in alone.patches], [2, 2, 0, 0])
    colors = style.sequential()
    assert face.patches[0].get_facecolor() == pytest.approx(colors(1.0))
    assert alone.patches[0].get_facecolor() == pytest.approx(colors(0.0))


def test_dimensionality_is_on_a_log_axis_with_the_fractions():
    D = torch.tensor([[1.0, 0.5], [0.4, 0.0]])
    figure = plot_dimensionality(D, [0.01, 1.0])
    [ax] = figure.axes
    dots = ax.lines[-1].get_xydata()
    np.testing.assert_allclose(dots[:, 1], [1, 0.5, 0.4, 0])
    np.testing.assert_allclose(dots[:, 0], [0.01, 0.01, 1, 1], rtol=0.1)
    assert ax.get_xscale() == "log"
    fractions = {text.get_text(): text.xy[1] for text in ax.texts}
    assert [name.split(" ", 1)[1] for name in sorted(fractions, key=fractions.get)] == [
        "not embedded", "square antiprism", "pentagon", "digon", "triangle", "tetrahedron", "alone",
    ]  # fmt: skip
    for name, value in fractions.items():
        over, _, under = name.split(" ")[0].partition("/")
        assert value == int(over) / int(under or 1)


def test_dots_of_neighbouring_instances_do_not_mix():
    D = torch.rand(3, 50, generator=torch.Generator().manual_seed(0))
    [ax] = plot_dimensionality(D, [1.0, 1.5, 10.0], "1/density").axes
    x = ax.lines[-1].get_xdata().reshape(3, 50)
    assert (x[0].max() < x[1].min()) & (x[1].max() < x[2].min())
    assert len(np.unique(x)) == 150
    assert ax.get_xlabel() == "1/density"


@pytest.mark.parametrize(
    ("features", "value"), [(1, 0.0), (1, 1.0), (1, 1e-30), (3, float("nan")), (3, float("inf"))]
)
def test_degenerate_directions_still_give_a_picture(features, value):
    W = torch.full((1, 2, features), value)
    for figure in (
        plot_features(W, ["p"]),
        plot_gram(W, torch.full((1, features), value), ["p"]),
        plot_norms(W, ["p"]),
        plot_dimensionality(torch.full((1, features), value), [0.1]),
    ):
        assert inline_svg(figure, "degenerate", "f").startswith("<svg")


def test_many_instances_and_features_fit_the_width():
    W = torch.randn(9, 2, 100)
    for figure in (plot_features(W, range(9)), plot_gram(W, W[:, 0], range(9)), plot_norms(W, range(9))):
        assert figure.get_size_inches()[0] == style.WIDTH
        assert len(figure.axes) == 10


def test_wrong_shapes_are_refused():
    with pytest.raises(InputError, match="W has 3 hidden dimensions and a plane has 2"):
        plot_features(torch.zeros(1, 3, 2), ["p"])
    with pytest.raises(InputError, match="titles has 2 entries for 1"):
        plot_norms(FACE, ["p", "q"])
    with pytest.raises(InputError, match="importance has 3 entries for 4 features"):
        plot_features(FACE, ["p"], [1.0, 2.0, 3.0])
    with pytest.raises(InputError, match=r"limit is 0"):
        plot_features(FACE, ["p"], limit=0.0)
    with pytest.raises(InputError, match=r"b has the shape \[1, 3\]; beside this W give \[1, 4\]"):
        inspect.unwrap(plot_gram)(FACE, torch.zeros(1, 3), ["p"])  # pytest's shape check would come first
    with pytest.raises(InputError, match="x has 2 entries for 1 instances"):
        plot_dimensionality(torch.zeros(1, 3), [0.1, 0.2])
    with pytest.raises(InputError, match="not positive"):
        plot_dimensionality(torch.zeros(1, 3), [0.0])
