"""Worlds with known truth: firings against their formulas, sums against the plain product, streams."""

import math
from itertools import pairwise

import pytest
import torch

from superscope.core import generator
from superscope.core.errors import InputError
from superscope.toy import (
    Firing,
    NormalMagnitude,
    UniformMagnitude,
    World,
    WorldSource,
    correlated_world,
    decaying_world,
    even_world,
    hierarchical_world,
    orthogonal_directions,
    random_correlations,
    random_directions,
)

WORLDS = (even_world, decaying_world, correlated_world, hierarchical_world)
DRAWS = 40_000


def near(share, p, draws=DRAWS, sigmas=5.0):
    return ((share - p).abs() < sigmas * (p * (1 - p) / draws).sqrt() + 1e-9).all()


@pytest.mark.parametrize("make", WORLDS)
def test_x_is_the_sum_of_the_directions_that_fire(make):
    world = make(generator(0, "world"))
    x, s = world.sample(500, generator(1, "draws"))
    torch.testing.assert_close(x, s @ world.directions, atol=1e-5, rtol=0)
    torch.testing.assert_close(world.directions.norm(dim=1), torch.ones(world.n_features))


@pytest.mark.parametrize("make", WORLDS)
def test_draws_are_those_of_the_generator_alone(make):
    world = make(generator(0, "world"))
    again = make(generator(0, "world"))
    x, _ = world.sample(300, generator(1, "draws"))
    assert torch.equal(x, again.stream(300, generator(1, "draws")))
    assert not torch.equal(x, world.stream(300, generator(2, "draws")))


@pytest.mark.parametrize("make", WORLDS)
def test_every_feature_fires_as_often_as_its_formula_says(make):
    world = make(generator(0, "world"))
    _, s = world.sample(DRAWS, generator(1, "draws"))
    p = world.firing.marginals()
    assert near((s > 0).double().mean(0), p)
    assert world.true_l0 == pytest.approx(float(p.sum()), rel=1e-6)
    l0 = (s > 0).sum(1).double()
    assert abs(l0.mean() - world.true_l0) < 5 * l0.std() / math.sqrt(DRAWS)


def test_the_four_worlds_are_of_the_published_sizes():
    even, decaying, correlated, hierarchical = (make(generator(0, "w")) for make in WORLDS)
    assert (even.n_features, even.width, even.true_l0) == (256, 64, 4)
    assert torch.equal(even.firing.probabilities, torch.full((256,), 4 / 256))
    assert (decaying.n_features, decaying.width, decaying.true_l0) == (512, 256, 5)
    p = decaying.firing.probabilities
    torch.testing.assert_close(p[1:] / p[:-1], torch.full((511,), 0.99))
    assert (correlated.n_features, correlated.width) == (50, 100)
    assert correlated.true_l0 == pytest.approx(11.2975)
    assert correlated.firing.probabilities[[0, 49]].tolist() == pytest.approx([0.395, 0.0569])
    assert (hierarchical.n_features, hierarchical.width) == (80, 100)
    assert hierarchical.true_l0 == pytest.approx(6)


def test_magnitudes_have_their_distributions():
    _, s = even_world(generator(0, "w")).sample(DRAWS, generator(1, "d"))
    fired = s[s > 0]
    assert fired.min() >= 0.5
    assert fired.max() <= 1.5
    assert abs(fired.mean() - 1) < 5 * math.sqrt(1 / 12 / len(fired))
    _, s = decaying_world(generator(0, "w")).sample(DRAWS, generator(1, "d"))
    fired = s[s > 0]
    assert abs(fired.mean() - 0.25) < 5 * fired.std() / math.sqrt(len(fired))
    assert abs(fired.square().mean() - 1 / 9) < 5 * fired.square().std() / math.sqrt(len(fired))
    _, s = correlated_world(generator(0, "w")).sample(DRAWS, generator(1, "d"))
    fired = s[s > 0]
    assert abs(fired.mean() - 1) < 5 * 0.15 / math.sqrt(len(fired))
    assert abs(fired.std() - 0.15) < 0.002


def test_independent_features_fire_without_regard_to_each_other():
    p = torch.tensor([0.5, 0.02, 1.0, 0.0, 0.3])
    sample, feature = Firing(p).draw(DRAWS, generator(0, "d"))
    fires = torch.zeros(DRAWS, 5, dtype=torch.double)
    fires[sample, feature] = 1
    assert near(fires.mean(0), p.double())
    assert fires[:, 2].all()
    assert not fires[:, 3].any()
    both = fires.T @ fires / DRAWS
    for i, j in ((0, 1), (0, 4), (1, 4)):
        assert near(both[i, j], (p[i] * p[j]).double())
    later = (fires[1:, 0] * fires[:-1, 0]).mean()  # and without regard to the sample before
    assert near(later, torch.tensor(0.25), DRAWS / 2)


def test_firings_are_sorted_and_none_comes_twice():
    for make in WORLDS:
        world = make(generator(0, "w"))
        sample, feature = world.firing.draw(2000, generator(1, "d"))
        key = (sample * world.n_features + feature).tolist()
        assert all(a < b for a, b in pairwise(key))
        assert sample.max() < 2000


def test_copula_has_the_correlations_of_its_matrix():
    C = torch.tensor([[1.0, 0.8, -0.5], [0.8, 1.0, -0.3], [-0.5, -0.3, 1.0]])
    firing = Firing(torch.full((3,), 0.5), loadings=torch.linalg.cholesky(C))
    sample, feature = firing.draw(DRAWS, generator(0, "d"))
    fires = torch.zeros(DRAWS, 3)
    fires[sample, feature] = 1
    both = fires.T @ fires / DRAWS
    expected = 0.25 + torch.arcsin(C) / (2 * math.pi)  # of two Gaussians above their medians (Sheppard)
    assert near(both, expected)


def test_low_rank_loadings_leave_the_rest_to_each_feature():
    firing = Firing(torch.full((2,), 0.5), loadings=torch.tensor([[0.6], [0.5]]))
    sample, feature = firing.draw(DRAWS, generator(0, "d"))
    fires = torch.zeros(DRAWS, 2)
    fires[sample, feature] = 1
    assert near(fires.prod(1).mean(), torch.tensor(0.25 + math.asin(0.3) / (2 * math.pi)))


def test_random_correlations_are_a_correlation_matrix():
    C = random_correlations(50, (0.3, 0.9), generator(0, "c"))
    assert torch.equal(C, random_correlations(50, (0.3, 0.9), generator(0, "c")))
    torch.testing.assert_close(C, C.T)
    torch.testing.assert_close(C.diagonal(), torch.ones(50, dtype=torch.float64))
    assert torch.linalg.eigvalsh(C).min() > 0
    off = C[~torch.eye(50, dtype=torch.bool)].abs()
    assert 0.1 < off.mean() < 0.2
    assert 0.3 < off.max() < 0.7


def test_a_child_fires_only_with_its_parent():
    world = hierarchical_world(generator(0, "w"))
    _, s = world.sample(DRAWS, generator(1, "d"))
    fires = s > 0
    assert world.firing.parent is not None
    children = (world.firing.parent >= 0).nonzero().squeeze(1)
    parents = world.firing.parent[children]
    assert len(children) == 60
    assert not (fires[:, children] & ~fires[:, parents]).any()
    given = (fires[:, children] & fires[:, parents]).sum(0) / fires[:, parents].sum(0)
    assert near(given, torch.full_like(given, 1 / 3), draws=0.15 * DRAWS * 0.9)
    siblings = fires[:, 20:23].double()
    assert near((siblings[:, 0] * siblings[:, 1]).mean(), torch.tensor(0.15 / 9).double())


TREE = torch.tensor([-1, -1, 0, 0, 0, 1, 2])


def test_exclusive_siblings_fire_one_at_a_time_as_often_as_the_closed_form_says():
    q = torch.tensor([0.9, 0.5, 0.5, 0.7, 0.2, 0.6, 0.5])
    firing = Firing(q, parent=TREE, exclusive=True)
    sample, feature = firing.draw(DRAWS, generator(0, "d"))
    fires = torch.zeros(DRAWS, 7, dtype=torch.double)
    fires[sample, feature] = 1
    assert fires[:, 2:5].sum(1).max() == 1
    p = firing.marginals()
    assert near(fires.mean(0), p)
    # by hand, feature 3 of the siblings 2, 3, 4: alone, with either, with both
    alone, one, other, both = 0.5 * 0.8, 0.5 * 0.8, 0.5 * 0.2, 0.5 * 0.2
    assert p[3] == pytest.approx(0.9 * 0.7 * (alone + one / 2 + other / 2 + both / 3))


def test_children_follow_the_shared_gaussian_too():
    firing = Firing(torch.full((7,), 0.5), loadings=torch.full((7, 1), math.sqrt(0.5)), parent=TREE)
    sample, feature = firing.draw(DRAWS, generator(0, "d"))
    fires = torch.zeros(DRAWS, 7)
    fires[sample, feature] = 1
    # parent and child are above their medians together with 1/4 + asin(1/2)/2π = 1/3
    assert near(fires[:, 2:6].mean(0), torch.full((4,), 1 / 3))
    with pytest.raises(InputError, match="no closed form"):
        firing.marginals()


def test_a_child_is_scaled_by_its_ancestors():
    n = len(TREE)
    mean = torch.arange(1.0, n + 1)
    world = World(
        random_directions(n, 4, generator(0, "w")),
        Firing(torch.full((n,), 0.7), parent=TREE),
        NormalMagnitude(mean, torch.zeros(n)),
        1.0,
        scaled_by_parent=True,
    )
    _, s = world.sample(200, generator(0, "d"))
    torch.testing.assert_close(s, mean.where(s > 0, torch.zeros(())))  # no spread: every ratio is 1
    spread = World(
        world.directions, world.firing, NormalMagnitude(mean, mean / 5), 1.0, scaled_by_parent=True
    )
    plain = World(world.directions, world.firing, spread.magnitude, 1.0)
    _, own = plain.sample(200, generator(0, "d"))
    _, s = spread.sample(200, generator(0, "d"))
    expected = own.clone()
    for i, parent in enumerate(TREE.tolist()):
        if parent >= 0:
            expected[:, i] = own[:, i] * expected[:, parent] / mean[parent]
    torch.testing.assert_close(s, expected)


def test_bias_is_added_to_samples_where_nothing_fires_too():
    bias = torch.tensor([1.0, 2.0])
    world = World(torch.eye(2), Firing(torch.full((2,), 0.1)), UniformMagnitude(), 0.2, bias=bias)
    x, s = world.sample(100, generator(0, "d"))
    torch.testing.assert_close(x, s + bias)
    assert (s.sum(1) == 0).any()
    assert world.stream(0, generator(0, "d")).shape == (0, 2)


def test_chunks_do_not_repeat_each_other(monkeypatch):
    monkeypatch.setattr("superscope.toy.worlds._CHUNK", 64)
    world = even_world(generator(0, "w"), n_features=16, width=8)
    x, s = world.sample(200, generator(1, "d"))
    torch.testing.assert_close(x, s @ world.directions, atol=1e-5, rtol=0)
    assert not torch.equal(x[:64], x[64:128])
    assert torch.equal(x, world.stream(200, generator(1, "d")))


def test_orthogonal_directions_are_orthonormal():
    W = orthogonal_directions(5, 7, generator(0, "w"))
    torch.testing.assert_close(W @ W.T, torch.eye(5), atol=1e-6, rtol=0)
    with pytest.raises(InputError, match="8 features cannot be orthogonal in 7"):
        orthogonal_directions(8, 7, generator(0, "w"))


@pytest.mark.parametrize(
    ("faulty", "message"),
    [
        (lambda: Firing(torch.tensor([0.1, 1.2])), r"in \[0, 1\]"),
        (lambda: Firing(torch.tensor([0.1, math.nan])), r"in \[0, 1\]"),
        (lambda: Firing(torch.empty(0)), "at least one"),
        (lambda: Firing(torch.tensor([0.1, 0.1]), loadings=torch.tensor([[1.1], [0.0]])), "norm up to 1"),
        (lambda: Firing(torch.tensor([0.1, 0.1]), parent=torch.tensor([1, -1])), "comes before"),
        (
            lambda: World(2 * torch.eye(2), Firing(torch.tensor([0.1, 0.1])), UniformMagnitude(), 0.2),
            "unit rows",
        ),
        (lambda: World(torch.eye(3), Firing(torch.tensor([0.1, 0.1])), UniformMagnitude(), 0.2), "one each"),
        (
            lambda: World(
                torch.eye(2), Firing(torch.tensor([0.1, 0.1])), UniformMagnitude(), 0.2, scaled_by_parent=True
            ),
            "needs parents",
        ),
    ],
)
def test_faulty_worlds_are_refused(faulty, message):
    with pytest.raises(InputError, match=message):
        faulty()


def test_a_source_gives_fresh_batches_that_its_seed_and_their_number_decide():
    world = even_world(generator(0, "w"))
    source = WorldSource(world, samples=350)
    batches = list(source.batches(100, seed=3))
    assert [batch.shape for batch in batches] == [(100, 64)] * 3
    assert not torch.equal(batches[0], batches[1])
    assert torch.equal(batches[2], next(source.batches(100, seed=3, start=2)))
    assert not torch.equal(batches[0], next(source.batches(100, seed=4)))
    assert (source.width, source.samples) == (64, 350)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no graphics card")
@pytest.mark.parametrize("make", WORLDS)
def test_a_world_draws_where_it_is_put(make):
    world = make(generator(0, "w")).to("cuda")
    x, s = world.sample(DRAWS, generator(1, "d", device="cuda"))
    assert x.device.type == s.device.type == "cuda"
    torch.testing.assert_close(x, s @ world.directions, atol=1e-4, rtol=0)
    assert near((s > 0).double().mean(0).cpu(), make(generator(0, "w")).firing.marginals())
