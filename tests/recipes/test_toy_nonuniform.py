import math

import pytest
import torch

from superscope.recipes import toy_nonuniform
from superscope.recipes.toy_deformation import (
    aligned,
    crossings,
    gaps,
    is_digons,
    is_pentagon,
    kind,
    room,
    turns,
)
from superscope.toy import four_feature_face, regular_polygon

PENTAGON = regular_polygon(5, 1.13)
DIGONS = torch.cat([torch.full((2, 1), 0.1), four_feature_face()], 1)


def at(*degrees, radius=1.1):
    angles = torch.tensor(degrees).float().deg2rad()
    return radius * torch.stack([angles.cos(), angles.sin()])


def test_gaps_and_room_by_hand():
    W = at(10, 70, 150, 220, 290)
    torch.testing.assert_close(
        gaps(W).sort().values, torch.tensor([60.0, 70.0, 70.0, 80.0, 80.0]), atol=1e-3, rtol=0
    )
    assert room(W) == pytest.approx(60 + 80, abs=1e-3)  # to 70° on one side, to 290° on the other
    assert room(PENTAGON) == pytest.approx(144, abs=1e-3)


@pytest.mark.parametrize(
    ("W", "name"),
    [
        (PENTAGON, "pentagon"),
        (PENTAGON[:, [2, 0, 4, 1, 3]], "pentagon"),
        (at(0, 55, 140, 220, 305), "pentagon"),  # deformed
        (at(0, 20, 120, 200, 280), "other"),  # two side by side
        (at(0, 40, 80, 160, 200), "other"),  # all on one side
        (DIGONS, "digons"),
        (DIGONS.roll(1, 1), "other"),  # another feature is the one left out
        (torch.cat([torch.tensor([[0.6], [0.0]]), four_feature_face()], 1), "other"),
        (0.4 * PENTAGON, "other"),
    ],
)
def test_geometries_have_one_name_whichever_way_they_are_turned(W, name):
    turn = torch.tensor([[math.cos(1.1), math.sin(1.1)], [-math.sin(1.1), math.cos(1.1)]])
    flip = torch.tensor([[-1.0], [1.0]])
    for each in (W, turn @ W, flip * W):
        assert kind(each) == name
        assert (is_pentagon(each), is_digons(each)) == (name == "pentagon", name == "digons")


@pytest.mark.parametrize("feature", [0, 1])
def test_solutions_that_differ_by_a_turn_and_a_reflection_are_aligned_to_one(feature):
    turn = torch.tensor([[math.cos(2.3), math.sin(2.3)], [-math.sin(2.3), math.cos(2.3)]])
    W = at(0, 55, 140, 220, 305)
    found = aligned(W, feature)
    torch.testing.assert_close(found[:, feature], torch.tensor([0.0, 1.1]))
    for other in (turn @ W, torch.tensor([[1.0], [-1.0]]) * W):
        torch.testing.assert_close(aligned(other, feature), found, atol=1e-5, rtol=0)


def test_a_crossing_by_hand_and_only_where_both_stand():
    relative = [0.1, 0.4, 1.6]
    losses = torch.tensor([[3.0, 2.0, 1.0], [1.0, 1.0, 2.0]])  # differences 2, 1, −1: midway in log density
    every = torch.ones(2, 3, dtype=torch.bool)
    assert crossings(relative, losses, every) == pytest.approx([0.8])
    without = torch.tensor([[True, False, True], [True, True, True]])
    assert crossings(relative, losses, without) == pytest.approx([0.1 * 16 ** (2 / 3)])
    assert crossings(relative, losses.flip(0), every) == []
    assert crossings(relative, losses, torch.zeros(2, 3, dtype=torch.bool)) == []


def test_where_digons_turn_to_pentagons():
    relative = [0.1, 0.2, 0.4, 0.8]
    assert turns(["digons", "digons", "pentagon", "pentagon"], relative) == pytest.approx(0.08**0.5)
    assert turns(["digons", "other", "pentagon", "pentagon"], relative) == pytest.approx(0.2)
    assert turns(["digons", "pentagon", "digons", "pentagon"], relative) is None
    assert turns(["pentagon"] * 4, relative) is None


def judged(free, pentagons, losses, standing):
    relative = [0.1, 0.4, 1.0, 3.0]
    kinds = {"free": [[kind(W) for W in seed] for seed in free]} | {
        name: [[name if stands else "other" for stands in standing[j]]]
        for j, name in enumerate(("pentagon", "digons"))
    }
    rows = toy_nonuniform._judged(relative, free, pentagons, losses, kinds)
    assert [row.id for row in rows] == [claim.id for claim in toy_nonuniform.TOY_NONUNIFORM.claims]
    return {row.id.removeprefix("T7-"): row.measured for row in rows}


DEFORMED = torch.stack(
    [at(0, 60, 140, 220, 300), at(0, 66, 142, 218, 294), PENTAGON, at(0, 85, 150, 210, 275)]
)[None]  # the denser feature 0 is, the more room it has
CROSSING = torch.tensor([[[3.0, 2.0, 2.0, 4.0], [1.0, 1.0, 3.0, 8.0]]])
ALL = [[True] * 4] * 2


def test_the_published_picture_holds():
    free = torch.stack([DIGONS, DIGONS, PENTAGON, PENTAGON])[None]
    found = judged(free, DEFORMED, CROSSING, ALL)
    assert (found["geometries"], found["first-order"], found["deformation"]) == (1.0, 1.0, 1.0)
    assert found["switch"] == pytest.approx(1 / 0.4**0.5)
    assert found["crossing"] == pytest.approx(1 / 0.4**0.5)


def test_another_picture_does_not():
    digons = torch.stack([DIGONS] * 4)[None]
    assert judged(digons, DEFORMED.flip(1), CROSSING, ALL)["deformation"] == 0.0
    assert judged(digons, DEFORMED, CROSSING, ALL)["geometries"] == 0.0
    assert judged(digons, DEFORMED, CROSSING, ALL)["switch"] is None
    gone = [[True, False, True, True], [True] * 4]  # no pentagon beside the crossing
    free = torch.stack([DIGONS, DIGONS, PENTAGON, PENTAGON])[None]
    assert judged(free, DEFORMED, CROSSING, gone)["first-order"] == 0.0
    never = judged(free, DEFORMED, CROSSING.flip(1), ALL)
    assert (never["first-order"], never["crossing"]) == (0.0, None)
