"""Plateaus, gathering and components are judged as they say, on curves and weights made by hand."""

import pytest
import torch

from superscope.measures import components
from superscope.recipes import toy_geometry
from superscope.recipes.toy_geometry import FRACTIONS, gathering, in_shapes, plateau

X = torch.logspace(0, 2, 41)


def test_an_even_fall_sticks_nowhere():
    curve = torch.linspace(1, 0.2, 41)
    for level in (1.0, 0.5):
        length, even = plateau(curve, X, level)
        assert length == pytest.approx(even, rel=0.05)
    assert plateau(curve, X, 0.5)[1] == pytest.approx(0.05 / 0.8)


def test_a_curve_that_rests_at_a_level_does():
    logs = X.log10()
    curve = torch.where(logs < 0.5, 1 - logs, torch.where(logs < 1.0, torch.tensor(0.5), 1 - logs / 2))
    length, even = plateau(curve, X, 0.5)
    assert length == pytest.approx(0.28, abs=0.02)
    assert length > 4 * even
    assert plateau(curve, X, 1.0)[0] < 0.04
    assert plateau(curve, X, 2.0) == (0.0, 0.0)


def test_gathering_by_hand():
    D = torch.tensor([0.5] * 12 + [0.47, 0.475, 0.525, 0.53])
    count, ratio = gathering(D, 0.5)
    assert count == 12
    assert ratio == pytest.approx((12 / 0.02) / (4 / 0.06))


@pytest.mark.parametrize("fraction", FRACTIONS.values(), ids=FRACTIONS)
def test_a_smooth_spread_gathers_nowhere_and_a_heap_where_it_is(fraction):
    smooth = torch.linspace(0, 1, 20_001)
    assert gathering(smooth, fraction)[1] == pytest.approx(1, abs=0.05)
    heap = torch.cat([smooth, torch.full((2_000,), fraction)])
    assert gathering(heap, fraction)[1] > 4
    for other in FRACTIONS.values():
        if other != fraction:
            assert gathering(heap, other)[1] == pytest.approx(1, abs=0.05)


def digons(pairs, hidden=8, extra=0):
    W = torch.zeros(hidden, 2 * pairs + extra)
    for k in range(pairs):
        W[k, 2 * k], W[k, 2 * k + 1] = 1.0, -1.0
    return W


def test_the_share_in_shapes_counts_models_with_more_features_than_dimensions():
    full = digons(8)
    few = digons(3, extra=10)
    crowd = torch.nn.functional.normalize(
        torch.randn(8, 16, generator=torch.Generator().manual_seed(0)), dim=0
    )
    W = torch.stack([full, few, crowd])
    found = [components(each) for each in W]
    assert in_shapes(W[:1], found[:1]) == (1.0, 1)
    assert in_shapes(W[1:2], found[1:2]) == (0.0, 0)  # six features in eight dimensions
    assert in_shapes(W, found) == (0.5, 2)
    assert in_shapes(3 * W[2:], found[2:]) == (0.0, 0)  # m/‖W‖² of a ninth of 1/2


def test_rows_are_judged_by_their_rules():
    W = torch.stack([torch.cat([torch.eye(8), torch.zeros(8, 8)], 1), digons(8), digons(8)])[None]
    found = [[components(each) for each in W[0]]]
    rows = toy_geometry._judged(torch.tensor([1.0, 10.0, 100.0]), W, found)
    assert [row.id for row in rows] == [claim.id for claim in toy_geometry.TOY_GEOMETRY.claims]
    measured = {row.id.removeprefix("T6-"): row.measured for row in rows}
    assert [name for name, value in measured.items() if value == 1] == [
        "plateau-half", "gathers-1-2", "components",
    ]  # fmt: skip
    assert "Missing, by seed: triangle, tetrahedron, pentagon, square antiprism." in rows[-1].evidence
