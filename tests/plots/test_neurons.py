"""Stacks have the heights of the weights, strips the kinds of neurons, and motifs their weights."""

import re
from inspect import unwrap

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba

from superscope.core.errors import InputError
from superscope.measures import inhibition_motifs
from superscope.plots import inline_svg, plot_motif, plot_neurons, style

W = torch.tensor([[[0.0, -2.0, 0.6], [1.0, 0.1, 0.0]]])
"""Neuron 0 is for features 1 and 2, neuron 1 for feature 0, which comes first."""
MOTIF_W = torch.tensor([[2.0, -0.5], [1.0, 0.0]])
MOTIF_OUT = torch.tensor([[0.5, 2.0], [0.1, -3.0]])


def stacks(ax):
    """For each neuron its rectangles as (left, bottom, top, colour)."""
    drawn = []
    for collection in ax.collections[:-1]:
        boxes = [path.vertices for path in collection.get_paths()]
        colors = collection.get_facecolors()
        drawn.append(
            [
                (box[:, 0].min(), box[:, 1].min(), box[:, 1].max(), tuple(color))
                for box, color in zip(boxes, colors, strict=True)
            ]
        )
    return drawn


def panel(figure, title):
    [ax] = [ax for ax in figure.axes if ax.get_title() == title]
    return ax


def test_stacks_are_the_weights_in_the_order_of_importance():
    ax = panel(plot_neurons(W, ["p"]), "p")
    first, second = stacks(ax)
    tolerance = {"abs": 0.02}
    assert [box[1:3] for box in first] == [
        pytest.approx((0, 1), **tolerance),
        pytest.approx((1, 1.1), **tolerance),
    ]
    assert [box[1:3] for box in second] == [
        pytest.approx((0, 0.6), **tolerance),
        pytest.approx((-2, 0), **tolerance),
    ]
    assert first[0][0] < second[0][0]
    by_feature = [tuple(color) for color in style.ordered(3).to_rgba(range(3))]
    assert [box[3] for box in first + second] == [pytest.approx(by_feature[i]) for i in (0, 1, 2, 1)]


def test_importance_orders_neurons_and_colours():
    ax = panel(plot_neurons(W, ["p"], importance=[0.1, 0.2, 0.3]), "p")
    first, second = stacks(ax)
    assert first[1][1] == pytest.approx(-2, abs=0.02)
    colors = [tuple(color) for color in style.ordered(3).to_rgba(range(3))]
    assert [box[3] for box in first + second] == [pytest.approx(colors[i]) for i in (0, 1, 2, 1)]


def test_untied_stacks_are_paths():
    W_out = torch.tensor([[[0.0, 0.5, -2.0], [3.0, 0.0, 0.0]]])
    [first, second] = stacks(panel(plot_neurons(W, ["p"], W_out), "p"))
    assert [box[1:3] for box in first] == [pytest.approx((0, 3), abs=0.05)]
    assert [box[1:3] for box in second] == [
        pytest.approx((0, 1), abs=0.05),
        pytest.approx((-1.2, 0), abs=0.05),
    ]


def test_the_strip_and_the_colours_say_the_kind():
    figure = plot_neurons(torch.cat([W, torch.zeros(1, 2, 3)]), ["p", "q"], by="semanticity")
    blue, orange = (to_rgba(color) for color in style.line_colors(2))
    used, empty = panel(figure, "p"), panel(figure, "q")
    strip = used.collections[-1]
    assert [tuple(color) for color in strip.get_facecolors()] == [blue, orange]
    assert {tuple(color) for color in empty.collections[-1].get_facecolors()} == {to_rgba(style.GREY)}
    assert [{box[3] for box in stack} for stack in stacks(used)] == [{blue}, {orange}]
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["monosemantic", "polysemantic", "unused"]
    [at_a_tenth] = plot_neurons(W, ["p"], by="semanticity", fraction=0.05).legends
    assert [text.get_text() for text in at_a_tenth.get_texts()] == ["polysemantic"]


def test_thin_rectangles_are_one_pale_rest_of_their_height():
    many = torch.full((1, 2, 400), 0.002)
    many[0, :, 0] = 1
    [stack, _] = stacks(panel(plot_neurons(many, ["p"]), "p"))
    assert len(stack) == 2
    assert stack[1][2] == pytest.approx(1 + 399 * 0.002, abs=0.02)
    assert stack[1][3][3] < 1


def test_panels_share_a_scale_or_have_their_own():
    pair = torch.cat([W, 10 * W])
    shared, own = (plot_neurons(pair, ["small", "large"], scale=scale) for scale in ("shared", "own"))
    tops = [[panel(figure, title).get_ylim()[1] for title in ("small", "large")] for figure in (shared, own)]
    assert tops[0][0] == tops[0][1] == pytest.approx(tops[1][1])
    assert tops[1][0] == pytest.approx(tops[1][1] / 10)


def test_motif_shows_its_weights():
    motifs = inhibition_motifs(MOTIF_W, MOTIF_OUT)
    figure = plot_motif([*motifs, *motifs], ["one", "two"])
    for title in ("one", "two"):
        ax = panel(figure, title)
        written = {text.get_text() for text in ax.texts}
        assert {"x0", "x1", "y0", "y1", "neuron 0 shared", "neuron 1 inhibits"} <= written
        assert {"2", "0.5", "−0.5", "1", "−3"} <= written
        assert ax.get_xlabel() == r"takes back 75% of the wrong y1"
        widths = {(tuple(line.get_xdata()), tuple(line.get_ydata())): line for line in ax.lines}
        big, small = widths[(0, 1), (1, 1)], widths[(0, 1), (0, 1)]
        assert big.get_linewidth() > small.get_linewidth()
        assert (big.get_color(), small.get_color()) == tuple(style.line_colors(2))
    assert panel(plot_motif(motifs), "features 0 and 1")


def test_degenerate_networks_still_give_a_picture():
    for weights in (torch.zeros(1, 1, 1), torch.full((1, 3, 2), 1e-30), torch.randn(5, 26, 40)):
        figure = plot_neurons(weights, range(len(weights)))
        assert figure.get_size_inches()[0] == style.WIDTH
        assert inline_svg(figure, "neurons", "f").startswith("<svg")


def test_all_ink_is_ink():
    figure = plot_motif(inhibition_motifs(MOTIF_W, MOTIF_OUT))
    colors = {
        text.get_color()
        for ax in figure.axes
        for text in [*ax.texts, ax.title, ax.xaxis.label]
        if text.get_text()
    }
    assert colors == {style.INK}
    svg = inline_svg(figure, "motif", "m")
    assert "currentColor" in svg
    assert not re.search("#000000|black", svg)


def test_wrong_arguments_are_refused():
    with pytest.raises(InputError, match="importance has 2 entries for 3 features"):
        plot_neurons(W, ["p"], importance=[1.0, 2.0])
    with pytest.raises(InputError, match="titles has 2 entries for 1"):
        plot_neurons(W, ["p", "q"])
    with pytest.raises(InputError, match="W has the shape"):
        unwrap(plot_neurons)(W[0], ["p"])
    with pytest.raises(InputError, match="not finite"):
        plot_neurons(W * np.inf, ["p"])
    with pytest.raises(InputError, match="there is no motif"):
        plot_motif([])
    with pytest.raises(InputError, match="titles has 2 entries for 1"):
        plot_motif(inhibition_motifs(MOTIF_W, MOTIF_OUT), ["a", "b"])
