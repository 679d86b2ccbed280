"""Neurons are counted by the features they serve, and planted motifs are found: those and no others."""

import math
from dataclasses import replace
from inspect import unwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core.errors import InputError
from superscope.measures import inhibition_motifs, neuron_census, neuron_order, weight_stacks


def pairs(n):
    """The exact |x| with two neurons a feature."""
    eye = torch.eye(n, dtype=torch.float64)
    return torch.cat([eye, -eye]), torch.cat([eye, eye])


def planted(motifs, others, seed=0, noise=0.02):
    """A network with ``motifs`` of the paper's kind; every other feature has its two neurons, all with noise.

    Features 2k and 2k+1 are a and b of motif k; neurons 4k … 4k+3 are the shared one, the inhibitor (the
    other half of b), and the halves that are left.
    """
    generator = torch.Generator().manual_seed(seed)
    n, m = 2 * motifs + others, 4 * motifs + 2 * others
    W = torch.zeros(m, n, dtype=torch.float64)
    V = torch.zeros(m, n, dtype=torch.float64)
    for k in range(motifs):
        a, b, h = 2 * k, 2 * k + 1, 4 * k
        W[h, [a, b]], V[h, [a, b]] = torch.tensor([[2.0, -0.5], [0.5, 2.0]]).double()
        W[h + 1, a], V[h + 1, b] = 1.5, -2.4  # takes back 3.6 of 4
        W[h + 2, a], V[h + 2, a] = -1, 1
        W[h + 3, b], V[h + 3, b] = 1, 1
    halves = pairs(others)
    W[4 * motifs :, 2 * motifs :], V[4 * motifs :, 2 * motifs :] = halves
    noises = noise * torch.randn(2, m, n, dtype=torch.float64, generator=generator)
    return W + noises[0], V + noises[1]


def key(motif):
    return motif.neuron, *motif.features, motif.inhibitor


def test_stacks_by_hand():
    W = torch.tensor([[2.0, -0.5], [1.0, 0.0]])
    V = torch.tensor([[0.5, 2.0], [-3.0, 4.0]])
    assert torch.equal(weight_stacks(W, V), torch.tensor([[1.0, 1.0], [-3.0, 0.0]]))
    assert weight_stacks(W) is W


def test_a_path_is_the_rise_of_its_own_output():
    W, V = planted(1, 2, seed=3)
    stacks = weight_stacks(W, V)
    for h, i in ((0, 0), (0, 1), (3, 1)):
        x = torch.zeros(W.shape[1], dtype=torch.float64)
        x[i] = W[h, i].sign()
        assert stacks[h, i].item() == pytest.approx((torch.relu(W @ x)[h] * V[h, i]).item())


def test_census_by_hand():
    W = torch.tensor([[1.0, 0.24, 0.0], [1.0, -0.26, 0.0], [0.5, 0.5, -0.5], [0.0, 0.0, 0.09], [0.0, 0, 0]])
    census = neuron_census(W)
    assert census.features.tolist() == [1, 2, 3, 0, 0]
    assert (int(census.unused), int(census.monosemantic), int(census.polysemantic)) == (2, 1, 2)
    assert neuron_census(W, fraction=0.3, floor=0.05).features.tolist() == [1, 1, 3, 1, 0]
    assert neuron_census(torch.zeros(2, 3)).unused.item() == 2


def test_exact_pairs_are_monosemantic():
    census = neuron_census(*pairs(4))
    assert census.features.tolist() == [1] * 8
    assert int(census.monosemantic) == 8


def test_census_of_a_batch_is_that_of_each_model():
    models = [planted(1, 3, seed) for seed in range(3)]
    W, V = (torch.stack(weights) for weights in zip(*models, strict=True))
    whole = neuron_census(W, V)
    for i, model in enumerate(models):
        alone = neuron_census(*model)
        assert torch.equal(whole.features[i], alone.features)
        assert (whole.unused[i], whole.monosemantic[i], whole.polysemantic[i]) == (
            alone.unused,
            alone.monosemantic,
            alone.polysemantic,
        )
    assert torch.equal(neuron_order(W, V)[2], neuron_order(*models[2]))


def test_order_by_importance_of_the_largest_feature():
    W = torch.tensor([[0.1, 0.9, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.2], [-0.3, 0.1, 0.0]])
    assert neuron_order(W).tolist() == [3, 2, 0, 1]
    assert neuron_order(W, importance=torch.tensor([0.1, 0.2, 0.9])).tolist() == [1, 2, 0, 3]
    V = torch.tensor([[20.0, 1, 1], [1.0, 1, 1], [1.0, 1, 1], [1.0, 1, 1]])
    assert neuron_order(W, V).tolist() == [0, 3, 2, 1]  # neuron 0 is now largest for feature 0


@pytest.mark.parametrize("motifs", [0, 1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_planted_motifs_and_no_others_are_found(motifs, seed):
    W, V = planted(motifs, 5, seed)
    found = inhibition_motifs(W, V)
    assert [key(m) for m in found] == [(4 * k, 2 * k, 2 * k + 1, 4 * k + 1) for k in range(motifs)]
    for motif in found:
        assert motif.in_weights == pytest.approx((2, -0.5), abs=0.1)
        assert motif.out_weights == pytest.approx((0.5, 2), abs=0.1)
        assert motif.inhibitor_in[0] == pytest.approx(1.5, abs=0.1)
        assert motif.inhibitor_out[1] == pytest.approx(-2.4, abs=0.1)
        assert motif.strength == pytest.approx(0.9, abs=0.15)


def test_what_the_motif_says_is_what_the_network_does():
    W, V = planted(2, 3, seed=5)
    for motif in inhibition_motifs(W, V):
        a, b = motif.features
        x = torch.zeros(W.shape[1], dtype=torch.float64)
        x[a] = 0.7 * math.copysign(1, motif.in_weights[0])
        h = torch.relu(W @ x)
        assert motif.leak == pytest.approx((V[:, b] @ h).item() / 0.7)
        wrong, back = (V[g, b] * h[g] for g in (motif.neuron, motif.inhibitor))
        assert motif.strength == pytest.approx((-back / wrong).item())


def test_exact_pairs_and_parts_of_the_motif_are_none():
    assert inhibition_motifs(*pairs(6)) == ()
    whole = planted(1, 2, noise=0.0)
    assert len(inhibition_motifs(*whole)) == 1

    def changed(weights, neuron, feature, value):
        W, V = (x.clone() for x in whole)
        (W if weights == "in" else V)[neuron, feature] = value
        return inhibition_motifs(W, V)

    assert changed("out", 1, 1, 2.4) == ()  # what should inhibit excites
    assert changed("out", 1, 1, -1.3) == ()  # takes back 1.95 of 4
    assert changed("in", 1, 0, -1.5) == ()  # fires on the other side of a
    assert changed("in", 0, 0, 0.9) == ()  # sizes 0.9 and 0.5
    assert changed("out", 0, 0, 1.5) == ()  # out-weights 1.5 and 2, path 3
    assert changed("out", 0, 1, -2.0) == ()  # the shared neuron itself holds b down
    assert changed("out", 0, 1, 0.8) == ()  # b is served by 0.4 alone


def test_symmetric_superposition_is_none():
    W = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    V = torch.tensor([[1.0, 1.0], [0.0, -1.0], [-1.0, 0.0]])
    assert inhibition_motifs(W, V) == ()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_renumbering_renumbers_the_answer(seed, motifs):
    W, V = planted(motifs, 4, seed)
    generator = torch.Generator().manual_seed(seed)
    neurons = torch.randperm(W.shape[0], generator=generator)
    features = torch.randperm(W.shape[1], generator=generator)
    moved = inhibition_motifs(W[neurons][:, features], V[neurons][:, features])
    where_n, where_f = neurons.argsort().tolist(), features.argsort().tolist()
    expected = {
        replace(
            m,
            neuron=where_n[m.neuron],
            inhibitor=where_n[m.inhibitor],
            features=(where_f[m.features[0]], where_f[m.features[1]]),
            leak=0.0,
        )
        for m in inhibition_motifs(W, V)
    }
    assert len(moved) == motifs
    assert {replace(m, leak=0.0) for m in moved} == expected
    assert torch.equal(neuron_census(W, V).features[neurons], neuron_census(W[neurons], V[neurons]).features)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6))
def test_the_sign_of_a_feature_and_the_scale_of_a_neuron_do_not_matter(seed):
    W, V = planted(2, 4, seed)
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (W.shape[1],), generator=generator).double() * 2 - 1
    c = torch.exp(2 * torch.randn(W.shape[0], 1, dtype=torch.float64, generator=generator))
    x = torch.randn(5, W.shape[1], dtype=torch.float64, generator=generator)
    torch.testing.assert_close(torch.relu((x * signs) @ (W * signs).T) @ V, torch.relu(x @ W.T) @ V)
    torch.testing.assert_close(torch.relu(x @ (W * c).T) @ (V / c), torch.relu(x @ W.T) @ V)

    before, after = inhibition_motifs(W, V), inhibition_motifs(W * signs * c, V / c)
    assert [key(m) for m in before] == [key(m) for m in after]
    for old, new in zip(before, after, strict=True):
        assert new.strength == pytest.approx(old.strength)
        assert new.leak == pytest.approx(old.leak)
        h, (a, b) = old.neuron, old.features
        s, k = signs.tolist(), c[h].item()
        assert new.in_weights == pytest.approx((old.in_weights[0] * s[a] * k, old.in_weights[1] * s[b] * k))
        assert new.out_weights == pytest.approx((old.out_weights[0] / k, old.out_weights[1] / k))
    assert torch.equal(neuron_census(W, V).features, neuron_census(W * signs * c, V / c).features)
    torch.testing.assert_close(weight_stacks(W, V), weight_stacks(W * signs * c, V / c))


def test_the_strongest_inhibitor_is_named():
    W = torch.tensor([[2.0, -0.5], [1.0, 0.0], [3.0, 0.0], [1.0, 0.0]])
    V = torch.tensor([[0.5, 2.0], [0.0, -2.0], [0.0, -1.0], [0.0, 0.5]])
    [motif] = inhibition_motifs(W, V)
    assert motif.inhibitor == 2
    assert motif.strength == pytest.approx(3 / 4)
    assert motif.leak == pytest.approx(4 - 2 - 3 + 0.5)


def test_wrong_weights_and_thresholds_are_refused():
    W = torch.eye(2)
    with pytest.raises(InputError, match=r"W_out has shape \(3, 2\) beside W of \(2, 2\)"):
        unwrap(weight_stacks)(W, torch.zeros(3, 2))
    with pytest.raises(InputError, match="expected"):
        neuron_census(torch.zeros(0, 3))
    with pytest.raises(InputError, match="not finite"):
        neuron_census(torch.tensor([[math.nan]]))
    with pytest.raises(InputError, match="not finite"):
        neuron_order(W, W * math.inf)
    with pytest.raises(InputError, match="fraction is 1"):
        neuron_census(W, fraction=1.0)
    with pytest.raises(InputError, match="importance has 3 entries for 2 features"):
        unwrap(neuron_order)(W, None, torch.ones(3))
    with pytest.raises(InputError, match="give one model at a time"):
        unwrap(inhibition_motifs)(W[None], W[None])
    for wrong in ({"tolerance": 1.0}, {"ratio": 1.0}, {"inhibition": 0.0}):
        with pytest.raises(InputError, match="give one in"):
            inhibition_motifs(W, W, **wrong)
