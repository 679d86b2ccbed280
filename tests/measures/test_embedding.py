"""Rows in the plane: against scikit-learn's PCA, groups that stay together, rows that have no place."""

import sys

import numpy as np
import pytest
import torch

from superscope.core.errors import InputError
from superscope.core.random import generator
from superscope.measures import embed


def groups(rows: int = 60, width: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(rows) % 3
    centres = 12 * torch.randn(3, width, generator=generator(0, "centres"))
    return centres[labels] + torch.randn(rows, width, generator=generator(0, "rows")), labels


def test_pca_is_scikit_learns_up_to_sign():
    from sklearn.decomposition import PCA

    x, _ = groups()
    made, oracle = embed(x, "pca"), PCA(2).fit(x.double().numpy())
    expected = oracle.transform(x.double().numpy())
    np.testing.assert_allclose(made.points.abs(), np.abs(expected), atol=1e-8)
    assert f"({oracle.explained_variance_ratio_[0]:.1%} of the variance)" in made.axes[0]


def test_a_components_largest_loading_is_positive():
    x = torch.tensor([[0.0, 0.0], [-3.0, 1.0], [-6.0, 2.0]])
    points = embed(x, "pca").points
    assert points[0, 0] > points[1, 0] > points[2, 0]
    np.testing.assert_allclose(points[:, 1], 0, atol=1e-12)


@pytest.mark.parametrize("library", ["openTSNE", "scikit-learn"])
def test_tsne_keeps_groups_together_and_is_deterministic(library, monkeypatch):
    if library == "scikit-learn":
        monkeypatch.setitem(sys.modules, "openTSNE", None)
    x, labels = groups()
    made = embed(x, seed=1)
    assert library in made.detail
    assert "from 50 principal components" in made.detail
    assert torch.equal(made.points, embed(x, seed=1).points)
    distances = torch.cdist(made.points, made.points).fill_diagonal_(torch.inf)
    assert (labels[distances.argmin(1)] == labels).double().mean() > 0.95


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_rows_that_are_not_finite_are_left_out_and_counted(method):
    x, _ = groups(12, 5)
    x[3, 1], x[7, 0] = torch.nan, torch.inf
    made = embed(x, method)
    assert made.left_out == 2
    assert made.kept.tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10, 11]
    assert made.points.shape == (10, 2)
    assert made.points.isfinite().all()


def test_the_perplexity_is_lowered_to_a_third_of_the_other_rows():
    assert "perplexity 3," in embed(groups(10, 4)[0]).detail
    assert "perplexity 2," in embed(groups(10, 4)[0], perplexity=2.0).detail


@pytest.mark.parametrize("x", [torch.zeros(6, 3), torch.arange(6.0)[:, None]])
@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_equal_rows_and_one_column_have_points(x, method):
    assert embed(x, method).points.isfinite().all()


@pytest.mark.parametrize(
    ("x", "arguments", "message"),
    [
        (torch.zeros(3, 0), {}, r"\[3, 0\]; give it as \[row, width\]"),
        (torch.zeros(4, 2), {}, "x has 4 finite rows of 4; tsne needs 5"),
        (torch.full((4, 2), torch.nan), {"method": "pca"}, "x has 0 finite rows of 4; pca needs 2"),
        (torch.zeros(9, 2), {"perplexity": 0.5}, "perplexity is 0.5"),
    ],
)
def test_what_cannot_be_embedded_is_refused(x, arguments, message):
    with pytest.raises(InputError, match=message):
        embed(x, **arguments)
