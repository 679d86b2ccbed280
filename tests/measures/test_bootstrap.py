"""Intervals over seeds: SciPy's tests, every resample counted, simulated coverage, and what is left out."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from superscope.core import InputError
from superscope.measures import difference_intervals, normal_interval


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def one(first: list[float], other: list[float], *, paired: bool = False):
    [row] = difference_intervals(np.array([first]), np.array([other]), paired=paired)
    return row


def test_few_pairs_have_the_interval_and_p_of_scipys_paired_test() -> None:
    a, b = drawn(2, 4)
    test = stats.ttest_rel(b, a)
    ends = test.confidence_interval(0.95)
    row = one(list(a), list(b), paired=True)
    assert row.method == "Student, paired"
    assert (row.low, row.high, row.p) == pytest.approx((ends.low, ends.high, test.pvalue))
    assert row.difference == pytest.approx(b.mean() - a.mean())


def test_few_seeds_apart_have_the_interval_and_p_of_welchs_test() -> None:
    a, b = drawn(3), drawn(4, seed=1) * 3
    test = stats.ttest_ind(b, a, equal_var=False)
    ends = test.confidence_interval(0.95)
    row = one(list(a), list(b))
    assert row.method == "Welch"
    assert (row.low, row.high, row.p) == pytest.approx((ends.low, ends.high, test.pvalue))
    assert (row.n_first, row.n_other) == (3, 4)


@pytest.mark.parametrize("swapped", [False, True])
def test_one_seed_against_several_has_the_pooled_interval(swapped: bool) -> None:
    # mean 2, deviation 1, t of 2 degrees of freedom 4.3027: 3 ± 4.3027 √(1 + 1/3)
    pair = ([5.0], [1.0, 2.0, 3.0])
    row = one(*(pair[::-1] if swapped else pair))
    reach = 4.302653 * math.sqrt(4 / 3)
    middle = 3.0 if swapped else -3.0
    assert (row.low, row.high) == pytest.approx((middle - reach, middle + reach))


def test_the_bootstrap_is_the_percentile_of_every_resample_at_the_widened_level() -> None:
    differences = np.array([0.1, 0.9, 1.4, 2.0, 4.1])
    means = [np.mean(resample) for resample in itertools.product(differences, repeat=5)]
    alpha = stats.norm.cdf(-math.sqrt(5 / 4) * stats.t.ppf(0.975, 4))
    row = one([0.0] * 5, list(differences), paired=True)
    assert row.method == "bootstrap, paired"
    assert (row.low, row.high) == pytest.approx(np.quantile(means, [alpha, 1 - alpha]), abs=0.12)
    plain = np.quantile(means, [0.025, 0.975])
    assert row.low < plain[0] < plain[1] < row.high


@pytest.mark.parametrize(
    ("seeds", "paired"), [(5, True), (5, False), (8, True), (8, False), (3, True), (3, False)]
)
def test_intervals_hold_the_truth_about_as_often_as_they_say(seeds: int, paired: bool) -> None:
    rows = difference_intervals(drawn(1500, seeds), drawn(1500, seeds, seed=1), paired=paired)
    assert 0.9 < np.mean([row.low <= 0 <= row.high for row in rows]) < 0.98


def test_intervals_miss_a_difference_that_is_there() -> None:
    rows = difference_intervals(drawn(200, 6), drawn(200, 6, seed=1) + 4)
    assert np.mean([row.low > 0 for row in rows]) > 0.95


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    a, b = drawn(6, 5), drawn(6, 5, seed=1)
    a[1, 2] = np.nan
    every = difference_intervals(a, b, paired=True)
    assert every == difference_intervals(a, b, paired=True)
    for index in range(6):
        assert difference_intervals(a[[index]], b[[index]], paired=True) == [every[index]]
    assert difference_intervals(a, b, paired=True, seed=1) != every


@pytest.mark.parametrize("seeds", [3, 5])
def test_the_interval_moves_with_the_values_and_turns_with_the_groups(seeds: int) -> None:
    a, b = drawn(4, seeds), drawn(4, seeds, seed=1)
    plain = difference_intervals(a, b, paired=True)
    moved = difference_intervals(a, 2 * b - a + 5, paired=True)  # twice the differences, and 5 more
    turned = difference_intervals(b, a, paired=True)
    for row, other, back in zip(plain, moved, turned, strict=True):
        assert (other.low, other.high) == pytest.approx((2 * row.low + 5, 2 * row.high + 5))
        assert back.difference == pytest.approx(-row.difference)
        assert (back.low, back.high) == pytest.approx((-row.high, -row.low), abs=0.1)


def test_what_is_not_finite_is_left_out_with_its_pair() -> None:
    nan = math.nan
    paired = one([1.0, nan, 3.0, 4.0], [2.0, 2.0, math.inf, 6.0], paired=True)
    assert (paired.n_first, paired.n_other, paired.left_out) == (2, 2, 4)
    assert paired.difference == pytest.approx(1.5)
    alone = one([1.0, nan, 3.0], [2.0, 4.0, 6.0])
    assert (alone.n_first, alone.n_other, alone.left_out, alone.difference) == (2, 3, 1, 2.0)
    nothing = one([nan, nan], [1.0, 2.0])
    assert nothing.method == "none: no finite value in a group"
    assert math.isnan(nothing.difference)


@pytest.mark.parametrize(
    ("first", "other", "method"),
    [
        ([1.0], [4.0], "none: one value a group"),
        ([1.0] * 5, [4.0] * 5, "none: no spread over seeds"),
        ([0.1] * 3, [0.1 + 0.2] * 3, "none: no spread over seeds"),
        ([1.0, 1.0], [4.0], "none: no spread over seeds"),
    ],
)
def test_without_spread_there_is_no_interval(first: list[float], other: list[float], method: str) -> None:
    for paired in {False, len(first) == len(other)}:
        row = one(first, other, paired=paired)
        assert row.method == method
        assert math.isnan(row.low)
        assert math.isnan(row.high)
        assert math.isnan(row.p)
        assert row.difference == pytest.approx(other[0] - first[0])


def test_rounding_is_no_spread() -> None:
    first = [1e9, 2e9, 3e9]
    row = one(
        first, [value + 1 + error for value, error in zip(first, (0, 2e-7, 0), strict=True)], paired=True
    )
    assert row.method == "none: no spread over seeds"


def test_errors_of_samples_add_as_squares() -> None:
    low, high, p = normal_interval(2.0, 0.6, 0.8)
    assert (low, high) == pytest.approx((2 - 1.959964, 2 + 1.959964))
    assert p == pytest.approx(2 * stats.norm.sf(2))
    assert all(map(math.isnan, normal_interval(1.0, 0.0, 0.0)))
    assert all(map(math.isnan, normal_interval(1.0, math.nan, 1.0)))


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="3 and 4 seeds are no pairs"):
        difference_intervals(drawn(2, 3), drawn(2, 4), paired=True)
