"""Histograms of cosines: densities that integrate to 1, means, one panel or many."""

import numpy as np
import pytest
import torch

from superscope.core.errors import InputError
from superscope.plots import inline_svg, plot_cosine_histograms

EDGES = torch.linspace(-1, 1, 5)


def test_densities_integrate_to_1_whatever_the_counts_and_bins():
    figure = plot_cosine_histograms(
        {
            "few": (torch.tensor([0, 1, 3, 0]), EDGES),
            "many": (np.array([200, 200]), np.array([-1.0, 0.0, 1.0])),
        }
    )
    [ax] = figure.axes
    for patch in ax.patches:
        assert (patch.get_data().values * np.diff(patch.get_data().edges)).sum() == pytest.approx(1)
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["few, mean 0.125", "many, mean 0.000"]
    assert sorted(line.get_xdata()[0] for line in ax.lines) == [0, 0.125]
    assert figure.get_supxlabel() == "cosine similarity"
    inline_svg(figure, "cosines", "f")


def test_exact_means_are_used_where_given():
    [ax] = plot_cosine_histograms({"a": (torch.ones(4), EDGES)}, {"a": -0.3333}).axes
    assert ax.get_legend().get_texts()[0].get_text() == "a, mean −0.333"
    with pytest.raises(InputError, match="means lacks a"):
        plot_cosine_histograms({"a": (torch.ones(4), EDGES)}, {"b": 0.0})


def test_the_axis_leaves_out_empty_ends():
    counts, edges = np.zeros(200), np.linspace(-1, 1, 201)
    counts[150:160] = 1000
    counts[3] = 1  # one pair in ten thousand
    [ax] = plot_cosine_histograms({"a": (counts, edges)}).axes
    low, high = ax.get_xlim()
    assert 0.45 < low < 0.5
    assert 0.6 < high < 0.65


def test_more_than_four_have_a_panel_each_and_of_many_twelve_are_drawn():
    given = {f"l{i}": (torch.ones(4), EDGES) for i in range(53)}
    figure = plot_cosine_histograms(given)
    assert len(figure.axes) == 12
    assert figure.axes[-1].get_title() == "l52"
    assert figure.axes[-1].get_xlabel() == "mean 0.000"
    assert figure.get_supxlabel() == "cosine similarity; 12 of 53, evenly spaced"
    assert len(plot_cosine_histograms(given, overlaid=True).axes) == 1


def test_an_empty_histogram_says_so():
    figure = plot_cosine_histograms({"a": (torch.zeros(4), EDGES)}, overlaid=False)
    assert [text.get_text() for text in figure.axes[0].texts] == ["no pairs"]
    assert figure.axes[0].get_xlabel() == "mean –"


@pytest.mark.parametrize(
    ("histograms", "message"),
    [
        ({}, "histograms is empty"),
        ({"a": (torch.ones(4), EDGES[:4])}, "a has 4 counts and 4 edges"),
        ({"a": (torch.ones(4), EDGES.flip(0))}, "one edge more than counts, rising"),
        ({"a": (torch.tensor([1, -1, 0, 0]), EDGES)}, "negative"),
    ],
)
def test_what_is_no_histogram_is_refused(histograms, message):
    with pytest.raises(InputError, match=message):
        plot_cosine_histograms(histograms)
