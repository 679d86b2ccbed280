import pytest
import torch
from scipy.integrate import dblquad

from superscope.core import generator
from superscope.toy import loss, one_sparse_terms, reconstruct, sample, two_feature_loss


def drawn(seed, m=1):
    g = generator(seed, "test")
    W = torch.randn(m, 2, generator=g, dtype=torch.float64)
    b = 0.5 * torch.randn(2, generator=g, dtype=torch.float64)
    return (
        W,
        b,
        torch.rand(2, generator=g, dtype=torch.float64),
        torch.rand(2, generator=g, dtype=torch.float64),
    )


def test_both_active_by_hand():
    # on one ray, b = 0: each is read as x₁ + x₂, with error x_k, E[x²] = 1/3; antipodal: E[min²] = 1/6
    ones, zero = torch.ones(2).double(), torch.zeros(2).double()
    assert float(two_feature_loss(torch.tensor([[1.0, 1.0]]).double(), zero, ones, ones)) == pytest.approx(
        2 / 3
    )
    assert float(two_feature_loss(torch.tensor([[1.0, -1.0]]).double(), zero, ones, ones)) == pytest.approx(
        1 / 3
    )


def test_silent_and_constant_outputs_by_hand():
    W, I = torch.zeros(1, 2).double(), torch.tensor([1.0, 2.0]).double()  # noqa: E741
    p = torch.tensor([0.5, 0.2]).double()
    silent = two_feature_loss(W, torch.full((2,), -1.0).double(), I, p)
    assert float(silent) == pytest.approx(0.5 / 3 + 2 * 0.2 / 3)  # E[x²] = p/3
    mean = two_feature_loss(W, p / 2, I, p)
    assert float(mean) == pytest.approx(0.5 / 3 - 0.25 / 4 + 2 * (0.2 / 3 - 0.04 / 4))  # the variance


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("m", [1, 3])
def test_monte_carlo_agrees_at_any_density(seed, m):
    W, b, importance, density = drawn(seed, m)
    size = 200_000
    x = sample(density.float(), size, generator(seed, "draws")).double()
    squares = (x - reconstruct(x, W, b)).square() @ importance
    expected = two_feature_loss(W, b, importance, density)
    assert abs(squares.mean() - expected) < 4 * squares.std() / size**0.5


@pytest.mark.parametrize("seed", range(3))
def test_both_active_equals_quadrature(seed):
    W, b, importance, _ = drawn(seed)
    (w, u), (b_0, b_1), (i_0, i_1) = W[0].tolist(), b.tolist(), importance.tolist()

    def error(y, x):
        h = w * x + u * y
        return i_0 * (x - max(w * h + b_0, 0.0)) ** 2 + i_1 * (y - max(u * h + b_1, 0.0)) ** 2

    value = dblquad(error, 0, 1, 0, 1, epsabs=1e-7, epsrel=1e-7)[0]
    exact = float(two_feature_loss(W, b, importance, torch.ones(2).double()))
    assert exact == pytest.approx(value, abs=1e-5)


def test_both_active_equals_a_midpoint_rule_that_converges_to_it():
    W, b, importance, _ = drawn(9)
    exact = two_feature_loss(W, b, importance, torch.ones(2).double())
    errors = []
    for count in (50, 200, 800):
        nodes = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        x = torch.cartesian_prod(nodes, nodes)
        errors.append(abs(float(loss(x, reconstruct(x, W, b), importance) - exact)))
    assert errors[1] < errors[0] / 10
    assert errors[2] < errors[1] / 10
    assert errors[2] < 1e-6


def test_sparse_limit_is_the_one_sparse_loss():
    W, b, importance, _ = drawn(4)
    b = -b.abs()
    p = torch.full((2,), 1e-7, dtype=torch.float64)
    first = sum(term.sum() for term in one_sparse_terms(W, b, importance))
    torch.testing.assert_close(two_feature_loss(W, b, importance, p) / 1e-7, first, rtol=1e-5, atol=1e-9)


def test_renaming_the_features_changes_nothing_and_batches_are_apart():
    W = torch.randn(4, 3, 2, 2, generator=generator(0, "test"), dtype=torch.float64)
    _, b, importance, density = drawn(0)
    losses = two_feature_loss(W, b, importance, density)
    assert losses.shape == (4, 3)
    torch.testing.assert_close(
        losses, two_feature_loss(W.flip(-1), b.flip(-1), importance.flip(-1), density.flip(-1))
    )
    torch.testing.assert_close(losses[2, 1], two_feature_loss(W[2, 1], b, importance, density))


def test_gradients_are_those_of_finite_differences():
    for seed in range(4):
        W, b, importance, density = drawn(seed, 2)
        W.requires_grad_()
        b.requires_grad_()
        assert torch.autograd.gradcheck(
            lambda W, b, i=importance, d=density: two_feature_loss(W, b, i, d), (W, b)
        )


@pytest.mark.parametrize("weights", [(0.0, 0.0), (1.0, 0.0), (1.0, -1.0), (1e-30, 1.0)])
def test_gradients_are_finite_where_weights_or_biases_are_zero(weights):
    W = torch.tensor([weights], requires_grad=True)
    b = torch.zeros(2, requires_grad=True)
    two_feature_loss(W, b, torch.ones(2), torch.full((2,), 0.5)).backward()
    assert W.grad.isfinite().all()
    assert b.grad.isfinite().all()
