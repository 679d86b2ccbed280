import pytest
import torch

from superscope.recipes import toy_abs as recipe
from superscope.recipes.toy_abs import Kinds, _is_exact, _judged, _kinds
from superscope.recipes.toy_training import Sweep
from superscope.toy import exact_abs

N, M, DENSITIES = 100, 40, 7


def pure():
    """Two neurons for each of the first twenty features, as in the exact solution."""
    W, W_out = (weights[:, :N] for weights in exact_abs(N))
    kept = [*range(M // 2), *range(N, N + M // 2)]
    return W[kept].clone(), W_out[kept].clone()


def shared(neurons, second, first_feature=60):
    """The pure network, with a second feature of the given in-weight in some of its neurons."""
    W, W_out = pure()
    for k, neuron in enumerate(neurons):
        W[neuron, first_feature + k] = second
        W_out[neuron, first_feature + k] = 1.0
    return W, W_out


def sweep(models, b=0.0):
    """One seed of models, with the same output bias in each."""
    W, W_out = (torch.stack(each)[None] for each in zip(*models, strict=True))
    count = len(models)
    b = torch.zeros(1, count, W.shape[-1]) + b
    return Sweep(W, b, b[..., 0], torch.ones(1, 3, count), torch.arange(3), W_out)


EXACT = sweep([exact_abs(3)])
LATE = [19, 18, 17, 16]
"""Neurons of unimportant features; the median neuron is for feature 10."""
PUBLISHED = [
    pure(),
    pure(),
    shared(LATE, 0.3),
    shared([*LATE, 15], 0.8),
    shared(range(20), 0.8),
    shared(range(30), 0.8),
    shared(range(M), 0.8),
]


def measured(models, exact=EXACT):
    return {row.id.removeprefix("T12-"): row.measured for row in _judged(exact, sweep(models))}


def test_the_published_course_is_reproduced():
    assert set(measured(PUBLISHED).values()) == {1.0}
    assert len(measured(PUBLISHED)) == len(recipe._CLAIMS)


@pytest.mark.parametrize(
    ("place", "model", "fails"),
    [
        (0, shared([3], 0.3), {"dense"}),
        (1, shared([3], 0.3), {"moderate"}),
        (2, pure(), {"slight"}),
        (2, shared(LATE, 0.8), {"slight"}),  # highly
        (2, shared(range(11), 0.3), {"slight", "grows"}),  # not a few
        (3, shared([*LATE, 15], 0.3), {"high"}),
        (3, shared(range(15, 20), 0.8, first_feature=19), set()),
        (3, shared(range(5), 0.8), {"high"}),  # neurons of the most important features
        (4, shared(range(5), 0.8), {"grows"}),
        (6, shared(range(29), 0.8), {"below"}),
    ],
)
def test_another_course_is_not(place, model, fails):
    models = [*PUBLISHED]
    models[place] = model
    assert {part for part, value in measured(models).items() if value == 0} == fails


def test_kinds_do_not_depend_on_the_scale_of_a_neuron():
    W, W_out = shared([0, 1], 0.3)
    W[2, 50] = 0.9
    W_out[3] = 0.0
    expected = Kinds(unused=1, monosemantic=M - 4, slightly=2, highly=1)
    assert _kinds(W, W_out) == expected
    scale = torch.linspace(0.1, 10, M)[:, None]
    assert _kinds(scale * W, W_out / scale) == expected
    assert expected.polysemantic == 3


def test_an_exact_solution_in_any_order_and_scale():
    W, W_out = exact_abs(3)
    b, scale = torch.zeros(3), torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0, 1.0])[:, None]
    order = torch.tensor([5, 0, 3, 2, 4, 1])
    assert _is_exact((scale * W)[order], (W_out / scale)[order], b)


@pytest.mark.parametrize("fault", ["sign", "leak in", "leak out", "gain", "bias", "twice"])
def test_what_is_not_exact(fault):
    W, W_out = exact_abs(3)
    b = torch.zeros(3)
    match fault:
        case "sign":
            W[0, 0] = -1.0
        case "leak in":
            W[0, 1] = 0.1
        case "leak out":
            W_out[0, 1] = 0.1
        case "gain":
            W_out[0, 0] = 0.9
        case "bias":
            b[0] = -0.1
        case _:
            W[0], W_out[0] = W[1].clone(), W_out[1].clone()
    assert not _is_exact(W, W_out, b)
    assert measured(PUBLISHED, sweep([(W, W_out)], b))["exact"] == 0.0
