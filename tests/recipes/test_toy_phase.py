"""Maps of phases are made, compared and judged as they say, on weights made by hand."""

import math

import pytest
import torch

from superscope.recipes import toy_phase
from superscope.recipes.phase_maps import (
    PhaseMap,
    agreement,
    best_of_two_features,
    boundary_lines,
    clear_of_boundaries,
    expected_loss,
    extra_feature,
    jumping_rows,
    the_best,
    without_the_worst,
)
from superscope.recipes.toy_phase import crossing
from superscope.toy import PHASES, phase, relaxed_boundary, two_feature_loss

IGNORED, DEDICATED, SUPERPOSED = range(3)


@pytest.mark.parametrize(
    ("W", "name"),
    [
        ([[1.0, 0.2]], "ignored"),
        ([[0.2, 1.0]], "dedicated"),
        ([[1.0, -1.0]], "superposed"),
        ([[0.45, 0.55]], "dedicated"),
        ([[0.55, 0.55]], "superposed"),
        ([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]], "dedicated"),
        ([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]], "superposed"),
        ([[1.0, 0.0, 0.1], [0.0, 1.0, 0.1]], "ignored"),
    ],
)
def test_the_extra_feature_has_one_phase_however_the_space_is_turned(W, name):
    W = torch.tensor(W)
    turn = torch.linalg.qr(torch.randn(len(W), len(W), generator=torch.Generator().manual_seed(0)))[0]
    for each in (W, turn @ W):
        assert PHASES[extra_feature(each).phases] == name


def test_the_worst_is_dropped_and_the_best_kept():
    pair, single = torch.tensor([[1.0, -1.0]]), torch.tensor([[1.0, 0.0]])
    W = torch.stack([pair, single, single, pair, pair])[None, None]
    assert without_the_worst(W, torch.tensor([[[9.0, 1, 2, 3, 0]]])).phases.item() == IGNORED  # lower median
    assert without_the_worst(W, torch.tensor([[[0.0, 1, 9, 3, 2]]])).phases.item() == SUPERPOSED
    assert the_best(W, torch.tensor([[[1.0, 0, 2, 3, 4]]])).phases.item() == IGNORED
    assert the_best(W, torch.tensor([[[0.0, 1, 2, 3, 4]]])).phases.item() == SUPERPOSED


def test_quadrature_gives_the_exact_loss_of_two_features_and_of_three_apart():
    generator = torch.Generator().manual_seed(1)
    W, b = torch.randn(40, 1, 2, generator=generator), 0.3 * torch.randn(40, 2, generator=generator)
    importance, p = torch.rand(40, 2, generator=generator), torch.rand(40, generator=generator)
    exact = two_feature_loss(W.double(), b.double(), importance.double(), p[:, None].double().expand(-1, 2))
    torch.testing.assert_close(expected_loss(W, b, importance, p), exact, rtol=0.01, atol=1e-4)

    third = torch.cat([torch.zeros(40, 1, 2), torch.ones(40, 1, 1)], 2)  # in a dimension of its own, perfect
    beside = torch.cat([torch.cat([W, torch.zeros(40, 1, 1)], 2), third], 1)
    with_third = torch.cat([importance, torch.ones(40, 1)], 1)
    found = expected_loss(beside, torch.cat([b, torch.zeros(40, 1)], 1), with_third, p)
    torch.testing.assert_close(found, exact, rtol=0.01, atol=1e-4)


def test_points_near_a_boundary_are_not_counted():
    density, importance = torch.tensor([1.0, 0.3, 0.01]), torch.tensor([0.2, 0.3, 1.0])
    clear = clear_of_boundaries(density, importance, 2)  # the boundary is at 0.267 for 0.2, 0.343 for 0.3
    assert clear.tolist() == [[True, False, True], [True, False, True], [False, True, True]]
    assert clear_of_boundaries(density, importance, 3)[2].tolist() == [False] * 3  # r = 1 is one of n = 3


def test_agreement_by_hand():
    found, expected = torch.tensor([[0, 1], [2, 2]]), torch.tensor([[0, 1], [2, 0]])
    assert agreement(found, expected, torch.ones(2, 2, dtype=torch.bool)) == 0.75
    assert agreement(found, expected, torch.tensor([[True, True], [True, False]])) == 1.0


def test_rows_that_jump_are_told_from_rows_that_rise_by_and_by():
    jump = torch.tensor([0.0, 0.05, 1.0, 1.05])
    slope = torch.linspace(0, 1.05, 4)
    flat = torch.full((4,), 0.1)  # no change of phase: not counted
    assert jumping_rows(torch.stack([jump, slope, flat])) == 0.5
    assert jumping_rows(torch.stack([jump, jump.flip(0)])) == 1.0
    assert jumping_rows(flat[None]) == 0.0


def test_the_least_exact_loss_changes_phase_at_the_relaxed_boundary():
    r = 0.3
    edge = relaxed_boundary(r, 0.01)
    density = torch.tensor([1.06 * edge, 0.94 * edge])
    W = best_of_two_features(density, torch.tensor([r, 1 / r]), steps=200)
    assert extra_feature(W).phases.tolist() == [[IGNORED, SUPERPOSED], [DEDICATED, SUPERPOSED]]


@pytest.mark.parametrize("n", [2, 3])
def test_boundary_lines_lie_between_phases(n):
    for s, r in boundary_lines(n):
        inside = (s[:-1] < 0.9) & (s[:-1] > 0.01) & (r[:-1] < 1) & (r[:-1] > 0.1)
        below, above = (
            phase(0.99 * s[:-1], 0.995 * r[:-1], n),
            phase((1.01 * s[:-1]).clamp(max=1), 1.005 * r[:-1], n),
        )
        assert (below != above)[inside].all()
    (_, around), (_, horizontal) = boundary_lines(n)
    assert horizontal.tolist() == [1, 1]
    assert around.max() == pytest.approx(1 if n == 3 else 10**1.5)


DENSITIES = torch.tensor([0.1, 0.2, 0.4, 0.8], dtype=torch.float64)
STAND = torch.ones(2, 4, dtype=torch.bool)


def test_a_crossing_by_hand():
    losses = torch.stack([DENSITIES, 8 * DENSITIES**3])  # cross at 1/√8, slopes 1 and 3
    density, angle = crossing(losses, STAND, DENSITIES)
    assert density == pytest.approx(1 / math.sqrt(8))
    assert angle == pytest.approx(2 / 3)


def test_where_there_is_no_crossing():
    losses = torch.stack([DENSITIES, 8 * DENSITIES**3])
    gone = STAND.clone()
    gone[0, 1] = False  # one has turned into the other before they cross
    assert crossing(losses, gone, DENSITIES) is None
    assert crossing(torch.stack([DENSITIES, 2 * DENSITIES]), STAND, DENSITIES) is None
    twice = torch.stack([DENSITIES, DENSITIES * torch.tensor([0.5, 2, 0.5, 0.5])])
    assert crossing(twice, STAND, DENSITIES) is None


def judged(right, losses, standing):
    grid = toy_phase._Grid(torch.logspace(0, -2, 6), torch.logspace(-1, 1, 5))
    maps = {}
    for n in (2, 3):
        theory = phase(grid.density, grid.importance[:, None], n)
        given = [theory if each else torch.zeros_like(theory) for each in right]
        filled = [
            PhaseMap((each > 0)[None].float(), (each == 2)[None].float(), (each == 2)[None].float())
            for each in given
        ]
        maps[n] = toy_phase._Maps(*filled, torch.ones(1))
    exact = phase(grid.density, grid.importance[:, None], 2)
    exact = PhaseMap((exact > 0).float(), (exact == 2).float(), (exact == 2).float())
    rows = toy_phase._judged(grid, maps, exact, losses[None], standing[None], DENSITIES)
    assert [row.id for row in rows] == [claim.id for claim in toy_phase.TOY_PHASE.claims]
    return {row.id.removeprefix("T5-"): row.measured for row in rows}


def test_the_published_picture_holds_and_another_does_not():
    losses = torch.stack([DENSITIES, 8 * DENSITIES**3])
    found = judged((True, True), losses, STAND)
    assert found.pop("crossing") == pytest.approx(1 / math.sqrt(8))
    assert set(found.values()) == {1.0}

    found = judged((False, True), losses, ~STAND)
    assert (found["agreement-2"], found["agreement-3"], found["best-2"], found["exact-2"]) == (0, 0, 1, 1)
    assert (found["first-order"], found["crossing"]) == (0, None)
    found = judged((True, False), torch.stack([DENSITIES, 0.25**-0.05 * DENSITIES**1.05]), STAND)
    assert (found["agreement-2"], found["best-2"], found["exact-2"], found["jump-2"]) == (1, 0, 0, 0)
    assert found["first-order"] == 0  # they cross at 0.25, at no angle to speak of
