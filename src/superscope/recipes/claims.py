"""Claims: what is published, the rule by which it is judged, and what came out.

Two kinds of claim, told apart by ``tolerance``:

- A number, with a tolerance: *reproduced* when the mean m over seeds has |m − published| ≤ tolerance. Its
  interval is Student's: m ± t_{0.975, k−1} s/√k for k seeds with standard deviation s.
- A statement, without one: each seed gives 1 (it holds) or 0, and it is *reproduced* when it holds in at
  least 80 % of the seeds. Its interval is Wilson's for the share of seeds.

Both intervals are of 95 %; one seed has none. A claim without values is *not run* and says why. The rules are
fixed before a run: a threshold is never moved until a row turns green.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from superscope.core import InputError

_SHARE_PERCENT = 80
_LEVEL = 0.95


@dataclass(frozen=True)
class Claim:
    """A published number or statement."""

    id: str
    """The row of the list of claims, and a word for the part of it."""
    statement: str
    """What is claimed, with the thresholds that decide it."""
    setting: str
    """Under which conditions."""
    source: str
    """Who published it."""
    published: float | str = "holds"
    """The number; for a statement a text."""
    tolerance: float | None = None
    """How far the mean may be from the number; None for a statement."""


@dataclass(frozen=True)
class Verdict:
    """A claim beside what was measured: one row of ``claims.json`` and of the report."""

    id: str
    statement: str
    setting: str
    source: str
    published: float | str
    tolerance: float | None
    measured: float | None
    """Mean over seeds; for a statement the share of seeds in which it holds."""
    low: float | None
    high: float | None
    """Ends of the 95 % interval; None for fewer than two seeds."""
    seeds: int
    verdict: Literal["reproduced", "not reproduced", "not run"]
    evidence: str


def judge(
    claim: Claim, values: Sequence[float] | Sequence[bool] | Sequence[int], evidence: str = ""
) -> Verdict:
    """Judge a claim by its measured values, one a seed, by the rules of this module.

    Args:
        claim: what is published.
        values: measured numbers, or 1 and 0 for a statement that holds and does not; none if it was not run.
        evidence: goes before the sentence that is made from the values; the reason if the claim was not run.

    Raises:
        InputError: when a number's claim publishes text, a value is not finite, a statement's value is not
            0 or 1, or there is neither a value nor a reason.

    >>> norm = Claim("T", "‖W‖²", "n = 5", "nobody", published=6.4, tolerance=0.4)
    >>> judge(norm, [6.0, 6.2, 6.4]).verdict
    'reproduced'
    >>> judge(Claim("T", "five features", "n = 5", "nobody"), [1, 1, 1, 0]).evidence
    'Holds in 3 of 4 seeds; at least 80 % are needed.'
    """
    tolerance = claim.tolerance
    if tolerance is not None and isinstance(claim.published, str):
        raise InputError(f"claim {claim.id} has a tolerance and publishes {claim.published!r}; give a number")
    if not all(map(math.isfinite, values)):
        raise InputError(f"claim {claim.id} was measured as {list(values)}; each value must be finite")
    if tolerance is None and not set(values) <= {0, 1}:
        raise InputError(f"claim {claim.id} is a statement and was measured as {list(values)}; give 1 or 0")
    if not values:
        if not evidence:
            raise InputError(f"claim {claim.id} has no values; say in evidence why it was not run")
        return _row(claim, None, (None, None), 0, "not run", evidence)

    count = len(values)
    mean = math.fsum(values) / count
    if tolerance is not None:
        distance = abs(mean - float(claim.published))
        holds, interval = distance <= tolerance, student_interval(values)
        found = f"The mean is {distance:.3g} from the published number; {tolerance:.3g} is allowed."
    else:
        successes = round(math.fsum(values))
        holds, interval = 100 * successes >= _SHARE_PERCENT * count, _wilson(successes, count)
        found = f"Holds in {successes} of {count} seeds; at least {_SHARE_PERCENT} % are needed."
    if count == 1:
        found += " One seed gives no interval."
    verdict = "reproduced" if holds else "not reproduced"
    return _row(claim, mean, interval, count, verdict, f"{evidence} {found}".strip())


def _row(
    claim: Claim,
    measured: float | None,
    interval: tuple[float | None, float | None],
    seeds: int,
    verdict: Literal["reproduced", "not reproduced", "not run"],
    evidence: str,
) -> Verdict:
    low, high = interval
    return Verdict(
        **vars(claim), measured=measured, low=low, high=high, seeds=seeds, verdict=verdict, evidence=evidence
    )


def student_interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the ends of the 95 % interval of the mean, m ± t_{0.975, k−1} s/√k; None for one value.

    Of differences that are paired by seed it is the paired interval.

    >>> [round(end, 3) for end in student_interval([1.0, 2.0, 3.0])]
    [-0.484, 4.484]
    """
    count = len(values)
    if count == 1:
        return None, None
    mean = math.fsum(values) / count
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = float(stats.t.ppf((1 + _LEVEL) / 2, count - 1)) * deviation / math.sqrt(count)
    return mean - half, mean + half


def _wilson(successes: int, count: int) -> tuple[float | None, float | None]:
    if count == 1:
        return None, None
    interval = stats.binomtest(successes, count).proportion_ci(_LEVEL, "wilson")
    return float(interval.low), float(interval.high)
