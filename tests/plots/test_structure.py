"""The feature graph shows every embedded feature once, joined as it is, under the name of its component."""

import math

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba

from superscope.core.errors import InputError
from superscope.measures import feature_graph
from superscope.measures.polytopes import square_antiprism
from superscope.plots import inline_svg, plot_feature_graph, style

TURNS = torch.arange(5) * (2 * math.pi / 5)
PENTAGON = torch.stack([TURNS.cos(), TURNS.sin()])
TETRAHEDRON = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / math.sqrt(3)
W = torch.block_diag(torch.ones(1, 1), torch.tensor([[1.0, -1.0]]), PENTAGON, torch.zeros(1, 2))[None]


def panel(figure, title):
    [ax] = [ax for ax in figure.axes if ax.get_title() == title]
    return ax


def edges(ax):
    return [
        (segment, tuple(color))
        for lines in ax.collections
        if isinstance(lines, LineCollection)
        for segment, color in zip(lines.get_segments(), lines.get_colors(), strict=True)
    ]


def dots(ax):
    return np.concatenate(
        [dots.get_offsets() for dots in ax.collections if not isinstance(dots, LineCollection)]
    )


def test_components_under_their_names():
    ax = panel(plot_feature_graph(W, ["p"]), "p")
    assert [text.get_text() for text in ax.texts] == ["single", "digon", "pentagon", "2 not embedded"]
    assert len(dots(ax)) == 8
    assert len({tuple(np.round(place, 6)) for place in dots(ax)}) == 8


def test_edges_are_those_of_the_graph_and_have_the_colour_of_their_sign():
    ax = panel(plot_feature_graph(W, ["p"]), "p")
    graph = feature_graph(W[0])
    drawn = edges(ax)
    assert len(drawn) == (int(graph.sum()) - 8) // 2 == 11
    blue, orange = (to_rgba(color)[:3] for color in style.line_colors(2))
    signs = [color[:3] for _, color in drawn]
    assert (signs.count(blue), signs.count(orange)) == (6, 5)


def test_a_pentagon_lies_in_its_plane():
    """Its long edges, of negative overlap, are the golden ratio longer than the others."""
    ax = panel(plot_feature_graph(PENTAGON[None], ["p"]), "p")
    orange = to_rgba(style.line_colors(2)[1])[:3]
    long = [np.ptp(segment, axis=0) for segment, color in edges(ax) if color[:3] != orange]
    short = [np.ptp(segment, axis=0) for segment, color in edges(ax) if color[:3] == orange]
    golden = (1 + 5**0.5) / 2
    np.testing.assert_allclose([np.hypot(*d) for d in long], golden * np.hypot(*short[0]), rtol=1e-5)
    np.testing.assert_allclose([np.hypot(*d) for d in short], np.hypot(*short[0]), rtol=1e-5)


def test_no_two_features_of_a_polytope_hide_each_other():
    cube = torch.tensor([[i, j, k] for i in (-1.0, 1) for j in (-1, 1) for k in (-1, 1)]).T
    for shape in (TETRAHEDRON, torch.from_numpy(square_antiprism()).float(), cube):
        ax = panel(plot_feature_graph(shape[None], ["p"]), "p")
        apart = dots(ax)[:, None] - dots(ax)[None]
        distance = np.hypot(apart[..., 0], apart[..., 1]) + np.eye(len(dots(ax)))
        assert distance.min() > 0.05  # inches


def test_dots_are_coloured_by_dimensionality_or_importance():
    def colors(figure):
        ax = panel(figure, "p")
        return [
            tuple(color)
            for c in ax.collections
            if not isinstance(c, LineCollection)
            for color in c.get_facecolors()
        ]

    by_share = colors(plot_feature_graph(W, ["p"]))
    for color, share in zip(by_share, [1.0, 0.5, 0.5, *[0.4] * 5], strict=True):
        assert color == pytest.approx(style.sequential()(share), abs=0.01)
    ranked = colors(plot_feature_graph(W, ["p"], importance=torch.arange(10.0)))
    expected = style.ordered(10).to_rgba(9 - np.arange(8))
    np.testing.assert_allclose(ranked, expected)


def test_components_do_not_overlap_and_stay_in_the_panel():
    blocks = [torch.ones(1, 1)] * 5 + [torch.tensor([[1.0, -1.0]])] * 25 + [PENTAGON] * 6 + [TETRAHEDRON] * 3
    many = torch.block_diag(*blocks)
    figure = plot_feature_graph(torch.stack([many, many.roll(3, 1), 0 * many]), ["p", "q", "r"])
    for title in ("p", "q"):
        ax = panel(figure, title)
        places = dots(ax)
        assert len(places) == many.shape[1]
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        assert places[:, 0].min() > left
        assert places[:, 0].max() < right
        assert places[:, 1].min() > top
        assert places[:, 1].max() < bottom
        boxes = []
        for lines in ax.collections:
            if isinstance(lines, LineCollection) and len(lines.get_segments()):
                points = np.concatenate(lines.get_segments())
                boxes.append((points.min(0), points.max(0)))
        for i, (low, high) in enumerate(boxes):
            for other_low, other_high in boxes[:i]:
                assert (low >= other_high).any() or (other_low >= high).any()
    assert [text.get_text() for text in panel(figure, "r").texts] == [f"{many.shape[1]} not embedded"]


def test_a_crowd_of_400_features_is_thinned_and_fits():
    crowd = torch.randn(1, 30, 400, generator=torch.Generator().manual_seed(0))
    crowd /= crowd.norm(dim=1, keepdim=True)
    figure = plot_feature_graph(crowd, ["p"])
    ax = panel(figure, "p")
    assert [text.get_text() for text in ax.texts] == ["1 × other (400 features)"]
    assert 800 <= len(edges(ax)) <= 1600
    assert figure.get_size_inches()[0] == style.WIDTH
    assert len(inline_svg(figure, "crowd", "c")) < 2_000_000


def test_degenerate_directions_still_give_a_picture():
    for weights in (torch.zeros(1, 1, 1), torch.ones(1, 1, 1), torch.ones(2, 2, 3), torch.ones(1, 3, 20)):
        figure = plot_feature_graph(weights, range(len(weights)))
        assert inline_svg(figure, "graph", "g").startswith("<svg")


def test_wrong_arguments_are_refused():
    with pytest.raises(InputError, match="importance has 3 entries for 10 features"):
        plot_feature_graph(W, ["p"], importance=[1.0, 2.0, 3.0])
    with pytest.raises(InputError, match="titles has 2 entries for 1"):
        plot_feature_graph(W, ["p", "q"])
    with pytest.raises(InputError, match="not finite"):
        plot_feature_graph(W / 0, ["p"])
