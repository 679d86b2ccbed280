import numpy as np
import pytest
import torch

from superscope.toy import kernels

LANES = 48
SIZES = [(1, 1), (2, 5), (4, 4), (5, 20), (6, 9), (13, 31)]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("rows", "inner"), SIZES)
def test_products_are_matrix_products(rows, inner):
    A, B, bias = draw(rows, inner), draw(inner, LANES, seed=1), draw(rows, seed=2)
    out = np.empty((rows, LANES), np.float32)
    kernels.product(out, A, B)
    np.testing.assert_allclose(out, A @ B, rtol=1e-4, atol=1e-5)
    kernels.product_and_bias(out, np.ascontiguousarray(A.T), B, bias)
    np.testing.assert_allclose(out, A @ B + bias[:, None], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_outer_sums_are_added(rows, columns):
    G, A, B = draw(rows, columns), draw(rows, LANES, seed=1), draw(columns, LANES, seed=2)
    expected = G + A @ B.T
    kernels.add_outer(G, A, B)
    np.testing.assert_allclose(G, expected, rtol=1e-4, atol=1e-4)


def test_relu_and_its_gradient():
    h, dh = draw(3, LANES), draw(3, LANES, seed=1)
    cut = np.maximum(h, 0)
    expected = dh * (h > 0)
    kernels.rectify(h)
    np.testing.assert_array_equal(h, cut)
    kernels.stop_cut(dh, h)
    np.testing.assert_array_equal(dh, expected)


@pytest.mark.parametrize("threshold", [-np.inf, np.nextafter(np.float32(0), np.float32(1)), -0.25])
@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("count", [LANES, 37])
def test_errors_are_the_gradient_of_the_loss(threshold, absolute, count):
    d, x = draw(4, LANES), draw(4, LANES, seed=1)
    importance, gb = np.array([1, 0.5, 0, 2], np.float32), np.ones(4, np.float32)
    pre = torch.tensor(d, requires_grad=True)
    output = torch.where(pre >= threshold, pre, 0)
    wanted = torch.tensor(abs(x) if absolute else x)
    squares = (output - wanted).square() * torch.tensor(importance)[:, None]
    expected = float(squares[:, :count].sum().detach())
    squares[:, :count].sum().backward()
    loss = kernels.errors(d, x, count, importance, np.float32(threshold), absolute, np.float32(2 / 10), gb)
    assert loss == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(d, pre.grad.numpy() / 10, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(gb, 1 + pre.grad.sum(1).numpy() / 10, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("threshold", [-np.inf, np.nextafter(np.float32(0), np.float32(1)), -0.25])
def test_empty_samples_cost_what_samples_of_zeros_do(threshold):
    b, importance = draw(4) / 3, np.array([1, 0.5, 0, 2], np.float32)
    d, x = np.repeat(b[:, None], LANES, 1), np.zeros((4, LANES), np.float32)
    drawn, closed = np.zeros(4, np.float32), np.zeros(4, np.float32)
    rule = importance, np.float32(threshold)
    plain = False
    expected = kernels.errors(d, x, LANES, *rule, plain, np.float32(0.1), drawn)
    found = kernels.empty_errors(b, np.float32(LANES), *rule, np.float32(0.1), closed)
    assert found == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(closed, drawn, rtol=1e-4, atol=1e-6)


def test_a_nan_stays_one():
    d, x = np.zeros((1, LANES), np.float32), np.zeros((1, LANES), np.float32)
    d[0, 3] = np.nan
    above, plain = np.nextafter(np.float32(0), np.float32(1)), False
    loss = kernels.errors(
        d, x, LANES, np.ones(1, np.float32), above, plain, np.float32(1), np.zeros(1, np.float32)
    )
    assert np.isnan(loss)


def test_adamw_is_torchs():
    weights = torch.nn.Parameter(torch.tensor(draw(50)))
    w, first, second = weights.detach().numpy().copy(), np.zeros(50, np.float32), np.zeros(50, np.float32)
    optimizer = torch.optim.AdamW([weights], lr=0.02, weight_decay=0.3)
    for t in range(1, 8):
        gradient = draw(50, seed=t)
        weights.grad = torch.tensor(gradient)
        optimizer.step()
        given = gradient.copy()
        kernels.adamw(
            w, given, first, second,
            np.float32(0.02 / (1 - 0.9**t)), np.float32(1 - 0.02 * 0.3), np.float32((1 - 0.999**t) ** -0.5),
        )  # fmt: skip
        assert not given.any()  # ready for the next step
    np.testing.assert_allclose(w, weights.detach().numpy(), rtol=1e-5, atol=1e-6)
