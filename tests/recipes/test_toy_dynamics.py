"""Triangles, octahedra, and jumps at drops of the loss are judged as they say, on paths made by hand."""

import math

import pytest
import torch

from superscope.measures.dynamics import Coincidence
from superscope.recipes import toy_dynamics
from superscope.recipes.toy_dynamics import coincides, for_good, motion, octahedron, triangles

OCTAHEDRON = torch.cat([torch.eye(3), -torch.eye(3)[:, [1, 2, 0]]], 1)


def prism(turn):
    """Two triangles of radius 1 at heights ±0.7, the second turned by so many degrees."""
    angles = torch.tensor([0.0, 120, 240, turn, turn + 120, turn + 240]).deg2rad()
    return torch.stack([angles.cos(), angles.sin(), torch.tensor([0.7] * 3 + [-0.7] * 3)])


def turned(W):
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    return turn @ W


@pytest.mark.parametrize(
    ("W", "triangle", "octahedral"),
    [
        (OCTAHEDRON, True, True),
        (1.1 * OCTAHEDRON, True, True),
        (OCTAHEDRON[:, [0, 5, 1, 2, 4, 3]], False, False),  # pairs within the triples
        (prism(0), True, False),
        (prism(60), True, True),
        (prism(40), True, False),
        (0.3 * OCTAHEDRON, False, False),
        (OCTAHEDRON * torch.tensor([1, 1, 0.7, 1, 1, 1]), False, True),
        (torch.cat([torch.eye(3), torch.eye(3)], 1), True, False),
    ],
)
def test_shapes_of_two_triples_whichever_way_they_are_turned(W, triangle, octahedral):
    for each in (W, turned(W), W[:, [1, 2, 0, 3, 4, 5]], W[:, [3, 4, 5, 0, 1, 2]]):
        assert (triangles(each), octahedron(each)) == (triangle, octahedral)


def test_the_record_from_which_something_stands_for_good():
    path = torch.stack([OCTAHEDRON, prism(0), prism(30), OCTAHEDRON, OCTAHEDRON])
    assert for_good(path, octahedron) == 3
    assert for_good(path, triangles) == 0
    assert for_good(path[:3], octahedron) is None


def growing_pairs(jump):
    """Pairs of features in 4 dimensions that appear at records 30, 45, 60, 75, at once or by and by."""
    t = torch.arange(100.0)
    W = torch.zeros(100, 4, 8)
    for k in range(4):
        at = 30.0 + 15 * k
        norm = (t >= at).float() if jump else torch.sigmoid((t - at) / 15)
        W[:, k, 2 * k], W[:, k, 2 * k + 1] = norm, -norm
        W[:, (k + 1) % 4, 2 * k] += 0.3 * (1 - norm)  # something of another dimension before
    return W


def test_motion_finds_the_jumps_and_whether_the_loss_falls_at_them():
    W = growing_pairs(jump=True)
    t = torch.arange(100)
    drops = sum(0.2 * (t >= at).float() for at in (30, 45, 60, 75))
    found = motion(W, torch.exp(-drops - 1e-4 * t))
    assert found.D.shape == (100, 8)
    assert set(found.jumps.any(1).nonzero().flatten().tolist()) <= set(range(28, 78))
    assert found.jumps.any(0).double().mean() >= 0.5
    assert coincides(found.coincidence)
    assert not coincides(motion(W, torch.exp(-0.05 * t.float())).coincidence)
    assert motion(W, torch.exp(0.05 * t.float())).coincidence is None  # a loss that rises
    smooth = motion(growing_pairs(jump=False), torch.exp(-0.05 * t.float()))
    assert not smooth.jumps.any()
    assert smooth.coincidence is None


@pytest.mark.parametrize(
    ("enrichment", "shifted", "holds"),
    [(3.0, [1.0] * 40, True), (1.9, [1.0] * 40, False), (3.0, [1.0] * 37 + [4.0] * 3, False)],
)
def test_coincidence_needs_strength_and_no_chance(enrichment, shifted, holds):
    assert coincides(Coincidence(enrichment, tuple(shifted))) is holds


def test_rows_are_judged_by_their_rules():
    t = torch.arange(100)
    loss = torch.exp(-sum(0.2 * (t >= at).float() for at in (30, 45, 60, 75)))
    good = motion(growing_pairs(jump=True), loss)
    bad = motion(growing_pairs(jump=False), loss)
    turning = [prism(60 * math.sin(math.pi / 2 * k / 99)) for k in range(100)]
    rows = toy_dynamics._judged([[good], [bad], [good]], torch.stack(turning)[None])
    assert [row.id for row in rows] == [claim.id for claim in toy_dynamics.TOY_DYNAMICS.claims]
    assert [row.measured for row in rows] == [1, 0, 1, 0, 1, 1, 1]
    at_once = torch.stack([prism(0)[:, [0, 0, 0, 3, 3, 3]], OCTAHEDRON, OCTAHEDRON])[None]
    rows = toy_dynamics._judged([[bad], [bad], [bad]], at_once)
    assert [row.measured for row in rows[-2:]] == [1, 0]
