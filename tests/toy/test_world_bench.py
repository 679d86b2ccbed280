"""The large benchmark's world, scaled down: its forest, probabilities, magnitudes and directions."""

import math

import pytest
import torch

from superscope.core import generator
from superscope.core.errors import InputError
from superscope.toy import NormalMagnitude, synth_sae_bench
from superscope.toy.world_bench import _apart, _compensated, _zipf, forest

SMALL = {"roots": 4, "branching": 3, "depth": 2, "rank": 5, "orthogonal_steps": 20}


def small(seed=0, **options):
    return synth_sae_bench(generator(seed, "world"), 80, 24, **(SMALL | options))


def test_the_forest_of_the_benchmark_has_its_published_sizes():
    parent = forest(16_384, 128, 4, 3)
    depth = torch.zeros(16_384, dtype=torch.long)
    for feature, above in enumerate(parent.tolist()):
        depth[feature] = 0 if above < 0 else depth[above] + 1
    assert depth[:10_880].bincount().tolist() == [128, 512, 2048, 8192]
    assert (parent[10_880:] == -1).all()
    children = parent[parent >= 0].bincount()
    assert children[children > 0].unique().tolist() == [4]
    with pytest.raises(InputError, match="need 52 features, there are 51"):
        forest(51, 4, 3, 2)


def test_probabilities_are_zipfs_and_made_up_for_the_parent_and_the_siblings():
    p = _zipf(16_384)
    assert p[[0, -1]].tolist() == pytest.approx([0.4, 5e-4])
    assert (p[1:] < p[:-1]).all()
    assert p[3] == pytest.approx(5e-4 + (0.4 - 5e-4) * (0.5 - 1 / 128) / (1 - 1 / 128))
    p, parent = torch.tensor([0.4, 0.1, 0.2]), torch.tensor([-1, 0, 0])
    found = _compensated(p, parent)
    assert found.tolist() == pytest.approx([0.4, 0.25 * (1 + 0.5), 0.5 * (1 + 0.25)])
    assert _compensated(torch.tensor([0.1, 0.1, 0.1]), parent).max() == 1


def test_a_small_world_is_what_its_parts_say():
    world = small()
    x, s = world.sample(20_000, generator(1, "draws"))
    assert world.bias is not None
    assert float(world.bias.norm()) == pytest.approx(0.5)
    torch.testing.assert_close(x, s @ world.directions + world.bias, atol=1e-4, rtol=1e-5)
    fires = s > 0
    parent = world.firing.parent
    assert parent is not None
    children = (parent >= 0).nonzero().squeeze(1)
    assert len(children) == 4 * (3 + 9)
    assert not (fires[:, children] & ~fires[:, parent[children]]).any()
    for above in parent[children].unique():
        assert fires[:, parent == above].sum(1).max() <= 1
    assert (fires[:, children].sum(0) > 0).all()
    free = (parent < 0).nonzero().squeeze(1)
    p = _zipf(80)[free]
    assert ((fires[:, free].double().mean(0) - p).abs() < 5 * (p * (1 - p) / 20_000).sqrt()).all()
    l0 = fires.sum(1).double()
    assert abs(l0.mean() - world.true_l0) < 5 * l0.std() / math.sqrt(4096)


def test_magnitudes_follow_the_published_lines_and_their_parents():
    world = small()
    assert isinstance(world.magnitude, NormalMagnitude)
    mean, std = world.magnitude.mean, world.magnitude.std
    assert mean[[0, -1]].tolist() == [5, 4]
    assert (std >= 0).all()
    _, s = world.sample(20_000, generator(1, "draws"))
    parent = world.firing.parent
    assert parent is not None
    for feature in (0, 4, 79):
        fired = s[:, feature] > 0
        above = int(parent[feature])
        own = s[fired, feature] if above < 0 else s[fired, feature] / s[fired, above] * mean[above]
        spread = max(float(std[feature]), 1e-3)
        assert abs(own.mean() - mean[feature]) < 5 * spread / math.sqrt(len(own)) + 1e-3


def test_directions_are_pushed_apart_and_stay_of_norm_one():
    plain, apart = small(orthogonal_steps=0).directions, small(orthogonal_steps=400).directions

    def overlap(D):
        return float((D @ D.T).fill_diagonal_(0).square().sum())

    least = 80**2 / 24 - 80  # of a tight frame
    assert overlap(apart) - least < (overlap(plain) - least) / 2
    torch.testing.assert_close(apart.norm(dim=1), torch.ones(80))
    # the gradient without a Gram matrix is that of the overlap, along the sphere
    D = plain[:6].double().requires_grad_()
    (gradient,) = torch.autograd.grad((D @ D.T).fill_diagonal_(0).square().sum(), D)
    D = D.detach()
    short = 4 * (D @ (D.T @ D) - D)
    torch.testing.assert_close(short, gradient, atol=1e-6, rtol=1e-5)
    assert torch.equal(_apart(plain, 3), _apart(plain, 3))


def test_a_world_depends_on_its_generator_alone():
    a, b, c = small(0), small(0), small(1)
    assert torch.equal(a.directions, b.directions)
    assert torch.equal(a.stream(50, generator(2, "d")), b.stream(50, generator(2, "d")))
    assert a.true_l0 == b.true_l0
    assert not torch.equal(a.directions, c.directions)


def test_long_loadings_are_shortened_together():
    world = small(correlation_scale=1.0)
    assert world.firing.loadings is not None
    assert float(world.firing.loadings.square().sum(1).max()) == pytest.approx(0.99)
