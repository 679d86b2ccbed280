import pytest
import torch

from superscope.recipes import toy_demonstration
from superscope.recipes.toy_training import Sweep

N, M, DENSITIES = 20, 5, 7


def sweep(*models):
    """One seed of seven densities; the last model stands for those that are not given."""
    W = torch.stack([*models, *[models[-1]] * (DENSITIES - len(models))])[None]
    other = torch.zeros(1, DENSITIES, N)
    return Sweep(W, other, other[..., 0], torch.ones(1, 3, DENSITIES), torch.arange(3))


def top(count=M):
    return torch.eye(M, N) * (torch.arange(N) < count)


def pairs(first=1):
    """Features 0 to 4 on their own axes, and the antipode of each from ``first`` on behind them."""
    W = top()
    for i in range(first, M):
        W[i, M + i] = -1.0
    return W


def measured(sweeps):
    return {row.id: row.measured for row in toy_demonstration._judged(sweeps)}


def test_every_claim_is_not_run_without_a_training():
    rows = toy_demonstration._judged({})
    assert [row.id for row in rows] == [claim.id for claim in toy_demonstration.TOY_DEMONSTRATION.claims]
    assert {row.verdict for row in rows} == {"not run"}


def test_the_published_geometry_is_reproduced():
    found = measured({"linear": sweep(top()), "relu": sweep(top(), pairs(), pairs(0))})
    assert [found[f"T3-{part}"] for part in ("linear", "dense", "antipodal", "sparse")] == [1.0] * 4
    assert found["T3-wide-linear"] is None
    assert found["T3-norm-1"] is None


@pytest.mark.parametrize(
    ("linear", "relu", "fails"),
    [
        ((top(), top(), top(4)), (top(), pairs(), pairs(0)), "linear"),  # one feature is lost at one density
        ((top().flip(1),), (top(), pairs(), pairs(0)), "linear"),  # the least important ones
        ((top(),), (pairs(), pairs(), pairs(0)), "dense"),
        ((top(),), (top(), pairs(0), pairs(0)), "antipodal"),  # the most important feature is shared at once
        (
            (top(),),
            (top(), pairs() + 0.6 * pairs().roll(1, 0), pairs(0)),
            "antipodal",
        ),  # spread over two axes
        ((top(),), (top(), pairs(), pairs()), "sparse"),  # feature 0 keeps its dimension
    ],
)
def test_another_geometry_is_not(linear, relu, fails):
    found = measured({"linear": sweep(*linear), "relu": sweep(*relu)})
    assert {part: found[f"T3-{part}"] for part in ("linear", "dense", "antipodal", "sparse")}[fails] == 0.0


def test_without_superposition_at_any_density_neither_pairs_nor_all_superposed_hold():
    found = measured({"linear": sweep(top()), "relu": sweep(top())})
    assert (found["T3-dense"], found["T3-antipodal"], found["T3-sparse"]) == (1.0, 0.0, 0.0)


def test_squared_norms_are_those_of_the_single_training():
    found = measured({"single": sweep(top(), pairs(), 1.1 * pairs(0))})
    assert found["T3-norm-1"] == pytest.approx(5.0)
    assert found["T3-norm-0.3"] == pytest.approx(9.0)
    assert found["T3-norm-0.001"] == pytest.approx(12.1)
    assert found["T3-linear"] is None
