import pytest
import torch

from superscope.recipes import toy_inhibition as recipe
from superscope.recipes.toy_inhibition import _asymmetry, _found, _judged, _sorted
from superscope.recipes.toy_training import Sweep
from superscope.toy import exact_abs

N, M, DENSITIES = 20, 10, len(recipe._DENSITIES)


def pure():
    W, W_out = exact_abs(N)
    kept = [*range(M // 2), *range(N, N + M // 2)]
    return W[kept].clone(), W_out[kept].clone()


def with_motifs(count, inhibited=True, size=2.0):
    """The pure network, in which some neurons serve a second feature that a neuron of the first inhibits."""
    W, W_out = pure()
    for k in range(count):
        neuron, inhibitor, b = k, (k + 1) % M, 10 + k
        W[neuron, k], W[neuron, b] = size, -1 / size
        W_out[neuron, k], W_out[neuron, b] = 1 / size, size
        if inhibited:
            W[inhibitor, k] = 1.0
            W_out[inhibitor, b] = -(size**2)
    return W, W_out


def found(models, starts=1):
    """One seed; a list of models for each density, the first of them the best start."""
    W, W_out = (torch.stack(each).view(1, DENSITIES, starts, M, N) for each in zip(*models, strict=True))
    return _found(W, W_out)


def measured(models, starts=1):
    return {row.id.removeprefix("T13-"): row.measured for row in _judged(found(models, starts))}


def test_two_instances_at_the_published_density():
    values = measured([with_motifs(2), *[pure()] * (DENSITIES - 1)])
    assert values == {"two": 1.0, "start": 1.0, "density": 1.0, "asymmetry": pytest.approx(4.0)}


def test_two_instances_at_another_density():
    values = measured([pure(), with_motifs(2), *[pure()] * (DENSITIES - 2)])
    assert (values["two"], values["start"], values["density"]) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("model", [pure(), with_motifs(1), with_motifs(2, inhibited=False)])
def test_fewer_instances_do_not_count(model):
    values = measured([model] * DENSITIES)
    assert (values["two"], values["start"], values["density"]) == (0.0, 0.0, 0.0)


def test_without_an_instance_the_weights_are_not_judged():
    assert measured([pure()] * DENSITIES)["asymmetry"] is None


def test_a_start_that_is_not_the_best_counts_for_the_start_alone():
    values = measured([pure(), with_motifs(2), *[pure()] * (2 * DENSITIES - 2)], starts=2)
    assert (values["two"], values["start"], values["density"]) == (0.0, 1.0, 0.0)


def test_a_network_of_shared_neurons_is_more_than_limited_superposition():
    assert measured([with_motifs(6)] * DENSITIES)["density"] == 0.0


@pytest.mark.parametrize("size", [1.5, 3.0])
def test_asymmetry_does_not_depend_on_the_scale_of_the_neuron(size):
    W, W_out = with_motifs(1, size=size)
    W[0] *= 5
    W_out[0] /= 5
    [motif] = found([(W, W_out)] * DENSITIES).motifs[0][0]
    assert _asymmetry(motif) == pytest.approx(size**2)


def test_starts_are_sorted_by_their_loss():
    W = torch.arange(2 * 3.0).view(1, 6, 1, 1).expand(1, 6, M, N)
    loss = torch.tensor([[0.3, 0.1, 0.2, 0.5, 0.6, 0.4]])
    other = torch.zeros(1, 6, N)
    sweep = Sweep(W, other, loss, torch.ones(1, 3, 6), torch.arange(3), W + 10)
    inner, outer, by_loss = _sorted(sweep, 3)
    assert inner[0, :, :, 0, 0].tolist() == [[1, 2, 0], [5, 3, 4]]
    assert torch.equal(outer, inner + 10)
    assert by_loss.tolist() == [[pytest.approx([0.1, 0.2, 0.3]), pytest.approx([0.4, 0.5, 0.6])]]
