import math

import pytest
import torch

from superscope.recipes import toy_correlated
from superscope.recipes.toy_correlated import TOY_CORRELATED, sweep_densities
from superscope.recipes.toy_sets import (
    antipodal_sets,
    collapsed,
    hexagon_of_pairs,
    local_bases,
    odd_share,
    orthogonal_sets,
    principal_components,
)


def at(*degrees, radius=1.0):
    angles = torch.tensor(degrees).float().deg2rad()
    return radius * torch.stack([angles.cos(), angles.sin()])


HEXAGON = at(0, 60, 120, 180, 240, 300)
TRIANGLE = at(0, 0, 120, 120, 240, 240, radius=0.5**0.5)
PROJECTION = torch.tensor([[1.0, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]]) * 0.5**0.5


def turned(W):
    turn = torch.tensor([[math.cos(0.7), math.sin(0.7)], [-math.sin(0.7), math.cos(0.7)]])
    return turn @ W


@pytest.mark.parametrize(
    ("W", "orthogonal", "antipodal"),
    [
        (at(0, 90, 180, 270), True, False),
        (at(0, 180, 90, 270), False, True),
        (at(0, 90, 0, 90), True, False),  # what another set does is not asked
        (at(0, 80, 180, 270), False, False),
        (at(0, 90, 180, 270, radius=0.4), False, False),
        (at(0, 170, 90, 260), False, True),  # cos 170° = −0.985
        (at(0, 160, 90, 270), False, False),
    ],
)
def test_sets_of_two(W, orthogonal, antipodal):
    for each in (W, turned(W)):
        assert orthogonal_sets(each, (2, 2)) == orthogonal
        assert antipodal_sets(each, (2, 2)) == antipodal


@pytest.mark.parametrize(
    ("W", "holds"),
    [
        (HEXAGON, True),
        (HEXAGON[:, [4, 5, 0, 1, 2, 3]], True),
        (HEXAGON[:, [5, 0, 2, 1, 3, 4]], True),
        (HEXAGON[:, [0, 3, 1, 4, 2, 5]], False),  # antipodal pairs
        (HEXAGON[:, [0, 2, 1, 3, 4, 5]], False),
        (at(0, 45, 120, 165, 240, 285), True),
        (at(0, 35, 120, 155, 240, 275), False),
        (TRIANGLE, False),
    ],
)
def test_a_hexagon_of_pairs(W, holds):
    assert hexagon_of_pairs(W) == hexagon_of_pairs(turned(W)) == holds


def test_local_bases():
    eye = torch.eye(10)
    assert local_bases(torch.cat([eye, -eye], 1), (10, 10))
    assert not local_bases(torch.cat([eye, 0 * eye], 1), (10, 10))  # no superposition
    mixed = eye.clone()
    mixed[0, 1] = 0.3
    assert not local_bases(torch.cat([eye, -mixed], 1), (10, 10))
    fewer = torch.cat([eye[:, :8], torch.zeros(10, 2)], 1)
    assert local_bases(torch.cat([eye, -fewer], 1), (10, 10))  # what is left out has no direction


@pytest.mark.parametrize(
    ("W", "count", "share", "components"),
    [
        (HEXAGON, 0, 0.25, False),
        (TRIANGLE, 3, 0.0, False),
        (PROJECTION, 2, 0.0, True),
        (1.2 * PROJECTION, 2, 0.0, False),
        (at(0, 0, 120, 150, 240, 240), 2, (2 * math.sin(math.radians(15))) ** 2 / 2 / 6, False),
        (torch.zeros(2, 6), 0, 0.0, False),
        (at(0, 0, 120, 120, 240, 240, radius=0.4), 0, 0.0, False),  # too short
        (at(0, 0, 120, 120, 240, 240) * torch.tensor([1.0, 0.8, 1, 1, 1, 1]), 2, None, False),
    ],
)
def test_pairs_that_collapse(W, count, share, components):
    for each in (W, turned(W)):
        assert collapsed(each) == count
        assert share is None or float(odd_share(each)) == pytest.approx(share, abs=1e-6)
        assert principal_components(each) == components


def judged(by_density, **models):
    densities = sweep_densities(3)
    given = {
        "orthogonal": at(0, 90, 180, 270),
        "antipodal": at(0, 180, 90, 270),
        "hexagon": HEXAGON,
        "bases": torch.cat([torch.eye(10), -torch.eye(10)], 1),
    } | models
    W = torch.stack([by_density(p) for p in densities])[None]
    rows = toy_correlated._judged({part: each[None, None] for part, each in given.items()}, W, densities)
    assert [row.id for row in rows] == [claim.id for claim in TOY_CORRELATED.claims]
    return {row.id.removeprefix("T8-"): row.measured for row in rows}


def published(p):
    pairs = 0 if p <= 0.05 else 1 if p <= 0.15 else 2 if p <= 0.2 else 3
    if p > 0.5:
        return PROJECTION
    apart = [0.0 if k < pairs else 40 + 10 * (1 - p) for k in range(3)]
    return at(*(120 * k + s * a / 2 for k, a in enumerate(apart) for s in (-1, 1)), radius=0.8)


def test_the_published_phases_hold():
    assert set(judged(published).values()) == {1.0}


def test_other_phases_do_not():
    never = judged(lambda p: HEXAGON * (1 + p))
    assert [never[part] for part in ("none", "one", "two", "all", "pca")] == [1.0, 0.0, 0.0, 0.0, 0.0]
    swapped = judged(lambda p: published(1.0 - p if p < 0.95 else 0.05))
    assert swapped["none"] == swapped["rising"] == 0.0
    assert judged(published, hexagon=TRIANGLE)["hexagon"] == 0.0
    assert judged(published, orthogonal=at(0, 180, 90, 270))["orthogonal"] == 0.0


def test_the_sweep_holds_what_is_judged():
    densities = sweep_densities(15)
    assert densities == sorted(densities)
    assert {0.01, 0.02, 0.09, 0.17, 0.35, 0.7, 0.95} <= set(densities)
    assert len(densities) == 20
