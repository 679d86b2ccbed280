import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from superscope.core import generator
from superscope.toy import linear_terms, one_sparse_terms, reconstruct, regular_polygon, sample


def drawn(seed, n, m, *batch, scale=1.0):
    g = generator(seed, "test")
    W = torch.randn(*batch, m, n, generator=g, dtype=torch.float64)
    b = scale * torch.randn(*batch, n, generator=g, dtype=torch.float64)
    return W, b, torch.rand(*batch, n, generator=g, dtype=torch.float64)


def test_by_hand():
    # G = [[4, 2], [2, 1]], b = (−1, 0): feature 0 is read as ReLU(4x − 1), feature 1 exactly
    W, b = torch.tensor([[2.0, 1.0]]).double(), torch.tensor([-1.0, 0.0]).double()
    benefit, interference = one_sparse_terms(W, b, torch.tensor([1.0, 3.0]).double())
    own = (1 / 4) ** 3 / 3 + ((3 - 1) ** 3 - (3 / 4 - 1) ** 3) / 9  # x² up to ¼, then (3x − 1)²
    assert benefit.tolist() == pytest.approx([own, 0.0], abs=1e-15)
    assert interference.tolist() == pytest.approx([1 / 6, 3 * 4 / 3], abs=1e-15)  # ReLU(2x − 1)², (2x)²
    benefit, interference = one_sparse_terms(W, b, torch.tensor([1.0, 3.0]).double(), "one")
    assert (benefit.tolist(), interference.tolist()) == ([4.0, 0.0], [1.0, 12.0])


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 4), st.sampled_from([0.0, 0.1, 1.0]))
def test_equals_the_integrals_of_the_source_by_quadrature(seed, n, m, scale):
    W, b, importance = drawn(seed, n, m, scale=scale)
    benefit, interference = one_sparse_terms(W, b, importance)

    def integral(f, slope, bias):
        kink = min(max(-bias / slope, 0.0), 1.0) if slope else 0.0
        return quad(f, 0, kink, epsabs=1e-13)[0] + quad(f, kink, 1, epsabs=1e-13)[0]

    for j in range(n):
        a, c = float(W[:, j] @ W[:, j]), float(b[j])
        own = integral(lambda x, a=a, c=c: (x - max(a * x + c, 0.0)) ** 2, a, c)
        others = 0.0
        for i in set(range(n)) - {j}:
            g = float(W[:, j] @ W[:, i])
            others += integral(lambda x, g=g, c=c: max(g * x + c, 0.0) ** 2, g, c)
        assert float(benefit[j]) == pytest.approx(float(importance[j]) * own, abs=1e-10, rel=1e-10)
        assert float(interference[j]) == pytest.approx(float(importance[j]) * others, abs=1e-10, rel=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_monte_carlo_with_one_feature_active_agrees(seed):
    n, m, size = 6, 3, 200_000
    W, b, importance = drawn(seed, n, m, scale=0.3)
    g = generator(seed, "draws")
    active = torch.randint(n, (size,), generator=g)
    x = torch.zeros(size, n, dtype=torch.float64)
    x[torch.arange(size), active] = torch.rand(size, generator=g, dtype=torch.float64)
    squares = (x - reconstruct(x, W, b)).square() @ importance
    expected = sum(term.sum() for term in one_sparse_terms(W, b, importance)) / n
    assert abs(squares.mean() - expected) < 4 * squares.std() / size**0.5


@pytest.mark.parametrize("density", [0.01, 0.001])
def test_it_is_what_remains_of_the_loss_of_sparse_features(density):
    n, m, size = 4, 2, 400_000
    W, b, importance = drawn(5, n, m)
    b = -b.abs() / 4
    x = sample(torch.full((n,), density), size, generator(5, "draws")).double()
    squares = (x - reconstruct(x, W, b)).square() @ importance
    first = density * sum(term.sum() for term in one_sparse_terms(W, b, importance))
    kept = first * (1 - density) ** (n - 1)
    pairs = n * (n - 1) / 2 * density**2  # the share of samples with two active or more is below this
    largest = squares.max()
    assert abs(squares.mean() - kept) < 4 * squares.std() / size**0.5 + pairs * largest


def test_at_one_equals_the_model_run_on_the_unit_vectors():
    W, b, importance = drawn(0, 5, 2, 3)
    benefit, interference = one_sparse_terms(W, b, importance, "one")
    eye = torch.eye(5, dtype=torch.float64).expand(3, 5, 5)
    squares = (eye - reconstruct(eye, W, b)).square() * importance.unsqueeze(-2)
    torch.testing.assert_close(benefit, squares.diagonal(dim1=-2, dim2=-1))
    torch.testing.assert_close(benefit + interference, squares.sum(-2))


def test_relu_never_makes_things_worse_than_the_linear_terms():
    W, _, importance = drawn(1, 7, 3, 20)
    for relu, linear in zip(
        one_sparse_terms(W, torch.zeros(7).double(), importance, "one"),
        linear_terms(W, importance),
        strict=True,
    ):
        assert (relu <= linear + 1e-12).all()


def test_negative_interference_and_what_a_bias_pushes_below_zero_is_free():
    triangle = regular_polygon(3).double()
    assert (
        one_sparse_terms(triangle, torch.zeros(3).double(), torch.ones(3).double())[1].tolist() == [0.0] * 3
    )
    pentagon = regular_polygon(5).double()
    assert one_sparse_terms(pentagon, torch.full((5,), -0.31).double(), torch.ones(5).double())[1].sum() == 0
    assert one_sparse_terms(pentagon, torch.full((5,), -0.30).double(), torch.ones(5).double())[1].sum() > 0


def test_the_best_bias_of_a_feature_left_out_is_its_expected_value():
    # one of n active: E[x] = 1/(2n)
    n = 4
    W = torch.zeros(1, n, dtype=torch.float64)
    b = torch.full((n,), 1 / (2 * n), dtype=torch.float64, requires_grad=True)
    total = sum(term.sum() for term in one_sparse_terms(W, b, torch.ones(n).double()))
    total.backward()
    assert b.grad.abs().max() < 1e-15
    assert float(total.detach()) == pytest.approx(n / 3 - 1 / 4)


def test_moves_with_rotation_renaming_and_importance():
    W, b, importance = drawn(2, 5, 3)
    terms = torch.stack(one_sparse_terms(W, b, importance))
    Q = torch.linalg.qr(torch.randn(3, 3, generator=generator(2, "turn"), dtype=torch.float64)).Q
    torch.testing.assert_close(torch.stack(one_sparse_terms(Q @ W, b, importance)), terms)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(
        torch.stack(one_sparse_terms(W[:, order], b[order], importance[order])), terms[:, order]
    )
    torch.testing.assert_close(torch.stack(one_sparse_terms(W, b, 2 * importance)), 2 * terms)


def test_leading_axes_are_batches_and_shared_bias_and_importance_broadcast():
    W, b, importance = drawn(3, 4, 2, 2, 3)
    benefit, interference = one_sparse_terms(W, b[:1, :1], importance[:1, :1])
    assert benefit.shape == interference.shape == (2, 3, 4)
    for i in range(2):
        for j in range(3):
            alone = one_sparse_terms(W[i, j], b[0, 0], importance[0, 0])
            torch.testing.assert_close((benefit[i, j], interference[i, j]), alone)


@pytest.mark.parametrize("amplitude", ["uniform", "one"])
@pytest.mark.parametrize("start", ["zero", "zero bias", "drawn"])
def test_gradients_are_finite(amplitude, start):
    W, b, importance = drawn(4, 5, 2)
    W, b = W * (start != "zero"), b * (start == "drawn")
    W.requires_grad_()
    b.requires_grad_()
    sum(term.sum() for term in one_sparse_terms(W, b, importance, amplitude)).backward()
    assert W.grad.isfinite().all()
    assert b.grad.isfinite().all()


def test_gradients_are_those_of_finite_differences():
    W, b, importance = drawn(6, 4, 2)
    W.requires_grad_()
    b.requires_grad_()
    assert torch.autograd.gradcheck(lambda W, b: one_sparse_terms(W, b, importance), (W, b))


def test_a_weight_that_is_no_number_is_not_hidden():
    W, b, importance = drawn(7, 3, 2)
    W[0, 0] = float("nan")
    benefit, interference = one_sparse_terms(W, b, importance)
    assert benefit.isnan().tolist() == [True, False, False]
    assert interference.isnan().all()
