import pytest
import torch

from superscope.recipes import toy_privileged as recipe
from superscope.recipes.toy_privileged import Code, _code, _judged

N, M = 10, 5
UNIT = 2**-0.5


def laid(*columns):
    """A model whose features have the given weights by neuron; the others are not embedded."""
    W = torch.zeros(M, N)
    for i, column in enumerate(columns):
        for neuron, weight in column.items():
            W[neuron, i] = weight
    return W


DEDICATED = laid(*({k: 1.0} for k in range(M)))
BINARY = [{3: UNIT, 4: UNIT}, {3: UNIT, 4: -UNIT}, {3: -UNIT, 4: UNIT}]
THREE_IN_TWO = laid({0: 1.0}, {1: 1.0}, {2: 1.0}, *BINARY)
FIVE_IN_THREE = laid(
    {0: 1.0}, {1: 1.0}, {2: 1, 3: 1}, {3: 1, 4: 1}, {2: 1, 4: 1}, {2: 1, 3: -1}, {4: 1, 3: -1}
)
SIX_IN_FOUR = laid(
    {0: 1.0},
    *({1: 1.0, a: 0.6, b: 0.6} for a, b in ((2, 3), (3, 4), (2, 4))),
    *({1: -0.5, a: 1.0} for a in (2, 3, 4)),
)
EIGHT_IN_FIVE = laid(
    *({0: 0.7} | {a: 0.5 for a in (1, 2, 3, 4) if a != left} for left in (1, 2, 3, 4)),
    *({0: -0.5, a: 0.8} for a in (1, 2, 3, 4)),
)
PAIRS = laid(*({k: UNIT if k in (a, b) else -0.6 for k in range(M)} for a in range(M) for b in range(a)))
TWO_BLOCKS = laid({0: 1.0}, *BINARY, {1: UNIT, 2: UNIT}, {1: UNIT, 2: -UNIT}, {1: -UNIT, 2: UNIT})


@pytest.mark.parametrize(
    ("W", "code"),
    [
        (torch.zeros(M, N), Code(0, 0, 0, ())),
        (DEDICATED, Code(0, 0, 0, (0, 1, 2, 3, 4))),
        (DEDICATED.flip(1), Code(0, 0, 0, (5, 6, 7, 8, 9))),
        (THREE_IN_TWO, Code(3, 2, 1, (0, 1, 2))),
        (FIVE_IN_THREE, Code(5, 3, 1, (0, 1))),
        (SIX_IN_FOUR, Code(6, 4, 1, (0,))),
        (EIGHT_IN_FIVE, Code(8, 5, 1, ())),
        (PAIRS, Code(10, 5, 1, ())),
        (TWO_BLOCKS, Code(6, 4, 2, (0,))),
        (laid({0: 0.8, 1: 0.8}, {2: 1.0}), Code(0, 0, 0, (1,))),  # feature 0 has two neurons to itself
        (laid({0: 1.0}, {0: 0.15, 1: 1.0}), Code(0, 0, 0, (0, 1))),  # less than a fifth of the largest
        (laid({0: 1.0}, {0: 0.25, 1: 1.0}), Code(2, 2, 1, ())),
        (laid({0: 1.0}, {0: 0.45}), Code(0, 0, 0, (0,))),  # too short to be embedded
    ],
)
def test_codes_of_weights_made_by_hand(W, code):
    assert _code(W) == code


def test_the_order_of_neurons_and_their_size_do_not_matter():
    order = torch.tensor([3, 0, 4, 2, 1])
    assert _code(1.3 * SIX_IN_FOUR[order]) == _code(SIX_IN_FOUR)


def measured(models):
    """One seed with the models at their densities, and no feature embedded at the others."""
    W = torch.zeros(1, len(recipe._DENSITIES), M, N)
    for density, model in models.items():
        W[0, recipe._DENSITIES.index(density)] = model
    return {row.id.removeprefix("T11-"): row.measured for row in _judged(W)}


PUBLISHED = {
    1.0: DEDICATED,
    0.7: DEDICATED,
    0.35: THREE_IN_TWO,
    0.25: THREE_IN_TWO,
    0.15: FIVE_IN_THREE,
    0.12: SIX_IN_FOUR,
    0.065: EIGHT_IN_FIVE,
    0.04: PAIRS,
}


def test_the_published_codes_are_reproduced():
    assert set(measured(PUBLISHED).values()) == {1.0}
    assert list(measured(PUBLISHED)) == list(recipe._RULES)


EQUAL_SIGNS = THREE_IN_TWO.abs()
REPEATED = PAIRS.clone()
REPEATED[:, 1] = REPEATED[:, 0]


@pytest.mark.parametrize(
    ("changed", "fails"),
    [
        ({0.7: THREE_IN_TWO}, {"monosemantic"}),
        ({1.0: DEDICATED.flip(1)}, {"dense"}),  # the least important features
        ({0.35: DEDICATED}, {"three-in-two", "binary-code"}),
        ({0.25: EQUAL_SIGNS}, {"binary-code"}),  # three features in two neurons, by another code
        ({0.25: THREE_IN_TWO.roll(1, 1)}, {"three-in-two"}),  # of features 1 to 6
        ({0.15: THREE_IN_TWO}, {"five-in-three"}),
        ({0.12: TWO_BLOCKS}, {"six-in-four"}),
        ({0.065: PAIRS}, {"eight-in-five"}),
        ({0.04: EIGHT_IN_FIVE}, {"pairs"}),
        ({0.04: REPEATED}, {"pairs"}),
    ],
)
def test_another_code_is_not(changed, fails):
    found = measured(PUBLISHED | changed)
    assert {name for name, value in found.items() if value == 0} == fails
