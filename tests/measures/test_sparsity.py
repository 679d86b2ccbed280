"""Firing of units and kurtosis of rows: by hand, against scipy, and beside values that are not finite."""

import math
from inspect import unwrap

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core.errors import InputError
from superscope.measures import activation_frequency, dead_fraction, kurtosis

NAN, INF = math.nan, math.inf


def randn(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_frequency_and_dead_fraction_by_hand():
    x = torch.tensor([[1.0, 0.0, -2.0, 0.5], [3.0, 0.0, -1.0, 0.0]])
    assert activation_frequency(x).tolist() == [1.0, 0.0, 0.0, 0.5]
    assert dead_fraction(x).item() == 0.5
    assert activation_frequency(x, threshold=0.5).tolist() == [1.0, 0.0, 0.0, 0.0]  # 0.5 is not above 0.5
    assert dead_fraction(x, threshold=0.5).item() == 0.75
    assert dead_fraction(x, threshold=-3.0).item() == 0.0


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 8), st.floats(-2, 2))
def test_frequency_equals_counting(seed, rows, units, threshold):
    x = randn(seed, rows, units)
    x[(randn(seed + 1, rows, units) > 1)] = NAN
    frequencies = activation_frequency(x, threshold)
    seen = []
    for unit in range(units):
        values = [value for value in x[:, unit].tolist() if math.isfinite(value)]
        expected = sum(value > threshold for value in values) / len(values) if values else NAN
        assert frequencies[unit].item() == pytest.approx(expected, nan_ok=True)
        seen += [expected] if values else []
    expected = sum(value == 0 for value in seen) / len(seen) if seen else NAN
    assert dead_fraction(x, threshold).item() == pytest.approx(expected, nan_ok=True)


def test_values_that_are_not_finite_touch_only_their_unit():
    x = torch.tensor([[1.0, INF, NAN, 1.0], [0.0, 0.0, NAN, -INF]])
    torch.testing.assert_close(activation_frequency(x), torch.tensor([0.5, 0.0, NAN, 1.0]), equal_nan=True)
    assert dead_fraction(x).item() == pytest.approx(1 / 3)
    assert math.isnan(dead_fraction(torch.full((2, 2), NAN)).item())


def test_leading_axes_are_rows():
    x = randn(0, 2, 3, 4, 5)
    assert torch.equal(activation_frequency(x), activation_frequency(x.reshape(-1, 5)))
    assert torch.equal(dead_fraction(x, 1.0), dead_fraction(x.reshape(-1, 5), 1.0))
    assert torch.equal(kurtosis(x).flatten(), kurtosis(x.reshape(-1, 5)))
    assert activation_frequency(torch.tensor([1.0, 0.0])).tolist() == [1.0, 0.0]  # one row


def test_more_rows_wake_units_and_never_kill_them():
    x = randn(0, 40, 30) - 2
    shares = [dead_fraction(x[:rows]).item() for rows in (1, 5, 10, 20, 40)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]


def test_kurtosis_by_hand():
    x = torch.tensor([[1.0, -1.0, 1.0, -1.0], [0.0, 0.0, 0.0, 1.0]])
    # the second row: deviations −¼ (three times) and ¾; σ² = 3/16, fourth moment 84/1024
    torch.testing.assert_close(kurtosis(x), torch.tensor([1.0, 7 / 3]))


@pytest.mark.parametrize("units", [2, 3, 17, 500])
def test_kurtosis_equals_scipy(units):
    x = randn(units, 6, units).exp()
    expected = scipy.stats.kurtosis(x.numpy(), axis=-1, fisher=False)
    np.testing.assert_allclose(kurtosis(x).numpy(), expected, rtol=1e-10)


def test_kurtosis_of_a_rotation_invariant_representation_is_3():
    assert kurtosis(randn(0, 200, 2000)).mean().item() == pytest.approx(3, abs=0.02)
    privileged = torch.relu(randn(0, 200, 2000) - 2)
    assert kurtosis(privileged).mean().item() > 10


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 20), st.floats(0.5, 100), st.floats(-100, 100))
def test_kurtosis_ignores_scale_shift_and_order_and_has_its_bounds(seed, units, scale, shift):
    x = randn(seed, 3, units)
    torch.testing.assert_close(kurtosis(x * scale + shift), kurtosis(x), rtol=1e-6, atol=0)
    torch.testing.assert_close(kurtosis(x.flip(-1) * -1), kurtosis(x))
    assert bool((kurtosis(x) >= 1 - 1e-12).all())
    assert bool((kurtosis(x) <= units).all())


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e15, 1e38])
def test_kurtosis_in_float32_at_any_scale(scale):
    x = torch.rand(4, 50, generator=torch.Generator().manual_seed(0)) * 2 - 1
    torch.testing.assert_close(kurtosis(x * scale), kurtosis(x), rtol=1e-4, atol=0)


def test_kurtosis_that_does_not_exist_is_nan_and_alone():
    x = torch.rand(7, 11, generator=torch.Generator().manual_seed(0))
    whole = kurtosis(x)
    x[1] = 0.1  # the float32 mean of eleven times 0.1 is not quite 0.1
    x[2] = 0
    x[3, 0], x[4, 0], x[5, 0] = NAN, INF, -INF
    assert kurtosis(x).isnan().tolist() == [False, True, True, True, True, True, False]
    assert torch.equal(kurtosis(x)[[0, 6]], whole[[0, 6]])


def test_dtypes_and_gradient():
    x = randn(0, 3, 6)
    for measure in (activation_frequency, dead_fraction, kurtosis):
        assert measure(x).dtype == torch.float64
        assert measure(x.float()).dtype == torch.float32
        assert measure(x.half()).dtype == torch.float32
    assert torch.autograd.gradcheck(kurtosis, x.requires_grad_())


def test_bad_input():
    for measure in (activation_frequency, dead_fraction):
        for shape in ((0, 3), (3, 0)):
            with pytest.raises(InputError, match="at least one row and one unit"):
                measure(torch.zeros(shape))
        with pytest.raises(InputError, match=r"shape \(\)"):
            unwrap(measure)(torch.tensor(1.0))
    assert kurtosis(torch.zeros(0, 3)).shape == (0,)
    with pytest.raises(InputError, match="at least one unit"):
        kurtosis(torch.zeros(3, 0))
