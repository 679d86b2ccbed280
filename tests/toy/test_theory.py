import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core import generator
from superscope.measures import feature_dimensionality, interference
from superscope.toy import (
    four_feature_face,
    linear_loss,
    loss,
    reconstruct,
    regular_polygon,
    sample,
    variance,
)


def test_linear_loss_by_hand():
    # ‖W_1‖² = 4, ‖W_2‖² = 1, W_1·W_2 = 2: benefit 1·(1−4)² + 3·0, interference (1 + 3)·2²
    W = torch.tensor([[2.0, 1.0]])
    benefit, interfering = linear_loss(W, torch.tensor([1.0, 3.0]))
    assert (float(benefit), float(interfering)) == (9.0, 16.0)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6))
def test_linear_loss_equals_the_sums_written_out(seed, n, m):
    g = generator(seed, "test")
    W = torch.randn(2, m, n, generator=g, dtype=torch.float64)
    importance = torch.rand(2, n, generator=g, dtype=torch.float64)
    benefit, interfering = linear_loss(W, importance)
    for k in range(2):
        columns = [W[k, :, i] for i in range(n)]
        one = sum(importance[k, i] * (1 - c @ c) ** 2 for i, c in enumerate(columns))
        other = sum(
            importance[k, i] * (columns[i] @ columns[j]) ** 2 for i in range(n) for j in range(n) if j != i
        )
        torch.testing.assert_close(benefit[k], one)
        torch.testing.assert_close(interfering[k], torch.as_tensor(other, dtype=torch.float64))


@pytest.mark.parametrize("p", [1.0, 0.3, 0.05])
def test_expected_loss_of_a_linear_model_with_the_best_bias_is_variance_times_the_terms(p):
    n, m, size = 6, 3, 400_000
    g = generator(0, "test")
    W = torch.randn(m, n, generator=g)
    importance = torch.rand(n, generator=g)
    density = torch.full((n,), p)
    mean = density / 2
    x = sample(density, size, g)
    squares = (x - reconstruct(x, W, mean - mean @ W.mT @ W, "linear")).square() @ importance
    error = squares.std() / size**0.5
    benefit, interfering = linear_loss(W, importance)
    assert abs(squares.mean() - variance(density)[0] * (benefit + interfering)) < 4 * error


def test_without_a_bias_the_terms_hold_for_inputs_of_mean_zero_and_not_for_others():
    n, m, size = 6, 3, 200_000
    g = generator(1, "test")
    W, importance = torch.randn(m, n, generator=g), torch.rand(n, generator=g)
    x = sample(torch.ones(n), size, g)
    terms = variance(torch.tensor(1.0)) * sum(linear_loss(W, importance))
    centred = loss(x - 0.5, reconstruct(x - 0.5, W, torch.zeros(n), "linear"), importance)
    plain = loss(x, reconstruct(x, W, torch.zeros(n), "linear"), importance)
    torch.testing.assert_close(centred, terms, rtol=0.02, atol=0)
    assert plain > 1.5 * terms


def test_variance_is_that_of_the_samples():
    density = torch.tensor([1.0, 0.5, 0.1])
    x = sample(density, 400_000, generator(2, "test")).double()
    torch.testing.assert_close(variance(density).double(), x.var(0), rtol=0.02, atol=0)


def test_face_has_interference_one_and_half_a_dimension_for_each_feature():
    W = four_feature_face()
    assert interference(W).tolist() == [1.0] * 4
    assert feature_dimensionality(W).tolist() == [0.5] * 4


@pytest.mark.parametrize("k", range(3, 9))
def test_a_polygon_has_equal_norms_equal_angles_and_two_kth_of_a_dimension(k):
    W = regular_polygon(k, 1.5).double()
    torch.testing.assert_close(W.norm(dim=0), torch.full((k,), 1.5).double(), rtol=1e-6, atol=0)
    beside = (W * W.roll(-1, 1)).sum(0)
    torch.testing.assert_close(beside, beside[:1].expand(k), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(feature_dimensionality(W), torch.full((k,), 2 / k).double(), rtol=1e-6, atol=0)
