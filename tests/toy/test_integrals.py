import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from superscope.toy.integrals import squared_error

number = st.one_of(st.floats(-3, 3), st.sampled_from([0.0, 1.0, -1.0, 1e-12, -1e-12]))


def integral(t_0, t_1, v_0, v_1):
    tensors = [torch.tensor(each, dtype=torch.float64) for each in (v_0, v_1)]
    return squared_error((t_0, t_1), (tensors[0], tensors[1]))


def by_quadrature(t_0, t_1, v_0, v_1):
    def f(x):
        return (t_0 + (t_1 - t_0) * x - max(v_0 + (v_1 - v_0) * x, 0.0)) ** 2

    kink = v_0 / (v_0 - v_1) if v_0 * v_1 < 0 else 0.5
    return quad(f, 0, kink, epsabs=1e-13)[0] + quad(f, kink, 1, epsabs=1e-13)[0]


@pytest.mark.parametrize(
    ("target", "read", "value"),
    [
        ((0.0, 1.0), (0.0, 1.0), 0.0),  # read back whole
        ((0.0, 1.0), (-1.0, -2.0), 1 / 3),  # silent: ∫ x²
        ((0.0, 0.0), (2.0, 2.0), 4.0),  # slope 0, positive
        ((0.0, 0.0), (-2.0, -2.0), 0.0),  # slope 0, negative
        ((0.0, 0.0), (0.0, 0.0), 0.0),
        ((0.0, 0.0), (1.0, -1.0), 1 / 6),  # falls through 0 in the middle: ∫ (1 − 2x)² to ½
        ((0.0, 0.0), (-1.0, 1.0), 1 / 6),
        ((0.0, 1.0), (0.5, 0.5), 1 / 12),  # a feature read as its mean costs its variance
        ((0.0, 0.0), (1.0, 2.0), 7 / 3),
    ],
)
def test_by_hand(target, read, value):
    assert float(integral(*target, *read)) == pytest.approx(value, abs=1e-15)


@settings(deadline=None, max_examples=100)
@given(number, number, number, number)
def test_equals_quadrature(t_0, t_1, v_0, v_1):
    assert float(integral(t_0, t_1, v_0, v_1)) == pytest.approx(
        by_quadrature(t_0, t_1, v_0, v_1), abs=1e-10, rel=1e-10
    )


@settings(deadline=None, max_examples=50)
@given(number, number, number, number)
def test_the_other_way_round_is_the_same(t_0, t_1, v_0, v_1):
    torch.testing.assert_close(
        integral(t_0, t_1, v_0, v_1), integral(t_1, t_0, v_1, v_0), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("read", [(0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0), (0.3, 0.8), (0.3, -0.8)])
def test_the_gradient_is_right_where_the_kink_is_at_an_end_too(read):
    # −2 ∫ (1 − x) (t − v) over where v > 0, and −2 ∫ x (t − v)
    v = torch.tensor(read, dtype=torch.float64, requires_grad=True)
    squared_error((0.0, 0.5), (v[0], v[1])).backward()

    def slope(weight):
        def f(x):
            y = read[0] + (read[1] - read[0]) * x
            return -2 * weight(x) * (0.5 * x - y) * (y > 0)

        return quad(f, 0, 1, epsabs=1e-12, limit=200, points=[3 / 11])[0]

    assert v.grad.tolist() == pytest.approx([slope(lambda x: 1 - x), slope(lambda x: x)], abs=1e-6)


def test_gradients_are_finite_at_the_corner():
    v = torch.zeros(2, requires_grad=True)
    squared_error((0.0, 1.0), (v[0], v[1])).backward()
    assert v.grad.isfinite().all()


def test_a_tiny_slope_costs_no_digits():
    # ∫ (1 + εx)² = 1 + ε + ε²/3, where (v₁³ − v₀³)/3ε would be noise
    for epsilon in (1e-8, 1e-12, 1e-15):
        value = float(integral(0.0, 0.0, 1.0, 1.0 + epsilon))
        assert value == pytest.approx(1 + epsilon, rel=1e-15)
