import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core import generator
from superscope.toy import (
    linear_loss,
    linear_terms,
    loss,
    reconstruct,
    sample,
    variance,
)


def test_linear_loss_by_hand():
    # ‖W_1‖² = 4, ‖W_2‖² = 1, W_1·W_2 = 2: benefit 1·(1−4)² + 3·0, interference (1 + 3)·2²
    W = torch.tensor([[2.0, 1.0]])
    benefit, interfering = linear_loss(W, torch.tensor([1.0, 3.0]))
    assert (float(benefit), float(interfering)) == (9.0, 16.0)


def test_each_features_terms_by_hand():
    benefit, interfering = linear_terms(torch.tensor([[2.0, 1.0]]), torch.tensor([1.0, 3.0]))
    assert (benefit.tolist(), interfering.tolist()) == ([9.0, 0.0], [4.0, 12.0])


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
