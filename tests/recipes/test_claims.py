import dataclasses
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core import InputError
from superscope.recipes import Claim, judge

NUMBER = Claim("T0-number", "the norm", "n = 5", "slides", published=6.4, tolerance=0.4)
STATEMENT = Claim("T0-statement", "a pentagon", "n = 5", "slides")


def test_a_number_with_students_interval_by_hand():
    # mean 6.2, s² = (0.04 + 0 + 0.04)/2, s/√3 = 0.115470, t_{0.975, 2} = 4.302653
    row = judge(NUMBER, [6.0, 6.2, 6.4])
    assert (row.verdict, row.seeds) == ("reproduced", 3)
    assert row.measured == pytest.approx(6.2)
    assert (row.low, row.high) == pytest.approx((6.2 - 0.496828, 6.2 + 0.496828), abs=1e-6)
    assert row.evidence == "The mean is 0.2 from the published number; 0.4 is allowed."


def test_a_statement_with_wilsons_interval_by_hand():
    # k = 4, n = 5, z = 1.959964: centre (k + z²/2)/(n + z²), half z/(n + z²) √(k(n−k)/n + z²/4)
    z2 = 1.959964**2
    centre = (4 + z2 / 2) / (5 + z2)
    half = math.sqrt(z2) / (5 + z2) * math.sqrt(4 / 5 + z2 / 4)
    row = judge(STATEMENT, [1, 1, 0, 1, 1])
    assert (row.measured, row.verdict, row.seeds) == (0.8, "reproduced", 5)
    assert (row.low, row.high) == pytest.approx((centre - half, centre + half), abs=1e-6)


@pytest.mark.parametrize(
    ("held", "count", "verdict"),
    [
        (4, 5, "reproduced"),
        (3, 4, "not reproduced"),
        (8, 10, "reproduced"),
        (7, 9, "not reproduced"),
        (0, 3, "not reproduced"),
        (3, 3, "reproduced"),
    ],
)
def test_a_statement_is_reproduced_when_it_holds_in_80_percent_of_the_seeds(held, count, verdict):
    row = judge(STATEMENT, [1] * held + [0] * (count - held))
    assert row.verdict == verdict
    assert f"Holds in {held} of {count} seeds" in row.evidence


@pytest.mark.parametrize(
    ("values", "verdict"),
    [([6.0625, 6.0625], "reproduced"), ([5.9, 6.0], "not reproduced"), ([7.0], "not reproduced")],
)
def test_a_number_is_reproduced_when_the_mean_is_within_the_tolerance(values, verdict):
    assert judge(NUMBER, values).verdict == verdict


@pytest.mark.parametrize(("claim", "value"), [(NUMBER, 6.3), (STATEMENT, 1.0)])
def test_one_seed_gives_no_interval_and_says_so(claim, value):
    row = judge(claim, [value])
    assert (row.measured, row.low, row.high, row.seeds) == (value, None, None, 1)
    assert "One seed gives no interval." in row.evidence


def test_a_claim_without_values_is_not_run_and_says_why():
    row = judge(NUMBER, [], "The preset leaves it out.")
    assert (row.verdict, row.measured, row.low, row.high, row.seeds) == ("not run", None, None, None, 0)
    assert row.evidence == "The preset leaves it out."
    with pytest.raises(InputError, match="T0-number has no values; say in evidence why"):
        judge(NUMBER, [])


def test_a_verdict_carries_the_claim():
    claim = dataclasses.replace(STATEMENT, published="five features")
    row = dataclasses.asdict(judge(claim, [1, 1], "Seen in the picture."))
    assert {name: row[name] for name in dataclasses.asdict(claim)} == dataclasses.asdict(claim)
    assert row["evidence"].startswith("Seen in the picture. Holds in 2 of 2")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8), st.floats(-10, 10), st.floats(0.1, 10))
def test_the_interval_holds_the_mean_and_moves_and_scales_with_the_values(values, shift, scale):
    row = judge(NUMBER, values)
    assert row.low <= row.measured <= row.high
    other = judge(NUMBER, [shift + scale * value for value in values])
    expected = [shift + scale * end for end in (row.low, row.measured, row.high)]
    assert (other.low, other.measured, other.high) == pytest.approx(expected, rel=1e-6, abs=1e-3)


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 30).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_is_a_share_and_mirrors_when_every_value_is_turned(counts):
    held, count = counts
    row = judge(STATEMENT, [1] * held + [0] * (count - held))
    turned = judge(STATEMENT, [0] * held + [1] * (count - held))
    assert 0 <= row.low <= row.measured <= row.high <= 1
    assert (turned.low, turned.high) == pytest.approx((1 - row.high, 1 - row.low))


@pytest.mark.parametrize(
    ("claim", "values", "message"),
    [
        (NUMBER, [6.0, float("nan")], "each value must be finite"),
        (STATEMENT, [1.0, float("inf")], "each value must be finite"),
        (STATEMENT, [0.5], "is a statement and was measured as [0.5]; give 1 or 0"),
        (dataclasses.replace(NUMBER, published="near 6"), [6.0], "publishes 'near 6'; give a number"),
    ],
)
def test_values_that_cannot_be_judged(claim, values, message):
    with pytest.raises(InputError, match=re.escape(message)):
        judge(claim, values)
