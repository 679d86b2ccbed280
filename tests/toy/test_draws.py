import math

import numpy as np
import pytest
import torch

from superscope.core import generator
from superscope.toy import ToyConfig, draw
from superscope.toy.draws import AMPLITUDES, QUADS, draw_active, draw_block
from superscope.toy.fused import _instance
from superscope.toy.problem import Problem

BATCH, STEPS, LANES = 256, 160, 64


def world(config, p, batch=BATCH):
    rows = torch.tensor([p])
    problem = Problem(config, rows, torch.ones_like(rows), 1, STEPS, batch, 1e-3, 0.0, "constant", 3)
    return _instance(problem, 0).world


def by_jump(config, p, batch=BATCH, steps=STEPS):
    """Return what is drawn in some steps as [step · batch, feature], and the samples found in each step."""
    *_, amplitude, key, _, table, low, high = world(config, p, batch)
    n = len(p)
    x = np.full((-(-batch // LANES), n, LANES), np.nan, np.float32)
    columns, words = np.empty(batch, np.int32), np.empty((4, QUADS), np.uint32)
    found, counts = [], []
    for step in range(steps):
        count = draw_active(x, columns, words, batch, step, key, table, low, high, amplitude)
        samples = np.zeros((batch, n), np.float32)
        kept = columns >= 0
        assert kept.sum() == count
        samples[kept] = x.transpose(0, 2, 1).reshape(-1, n)[columns[kept]]
        found.append(samples)
        counts.append(count)
    return np.concatenate(found), np.array(counts)


def by_sample(config, p, steps=STEPS):
    *_, amplitude, key, inverse, _, _, _ = world(config, p)
    n = len(p)
    words = np.empty((4, n * LANES // 4), np.uint32)
    x, found = np.empty((n, LANES), np.float32), []
    for step in range(steps):
        for block in range(BATCH // LANES):
            draw_block(x, words, words.reshape(n, LANES), step, block, key, inverse, amplitude)
            found.append(x.T.copy())
    return np.concatenate(found)


def assert_same_distribution(found, config, p):
    """Compare moments of single features and products of pairs with the reference's draws."""
    reference = draw(config, torch.tensor(p), len(found), generator(0, "test")).numpy()
    pairs = np.triu_indices(len(p), 1)
    for of in (
        lambda x: x != 0,
        lambda x: x,
        lambda x: x**2,
        lambda x: (x[:, pairs[0]] != 0) & (x[:, pairs[1]] != 0),
        lambda x: x[:, pairs[0]] * x[:, pairs[1]],
    ):
        a, b = of(found).astype(float), of(reference).astype(float)
        error = np.sqrt((a.var(0) + b.var(0)) / len(a)) + 1e-3 / math.sqrt(len(a))
        assert (abs(a.mean(0) - b.mean(0)) < 4.5 * error).all()


@pytest.mark.parametrize("amplitude", ["uniform", "signed", "constant"])
@pytest.mark.parametrize("p", [[1.0, 0.5, 0.1, 0.02], [0.03] * 4])
def test_draws_by_sample_and_by_jump_are_those_of_the_reference(amplitude, p):
    config = ToyConfig(4, 2, amplitude=amplitude)
    assert_same_distribution(by_sample(config, p), config, p)
    assert_same_distribution(by_jump(config, p)[0], config, p)


@pytest.mark.parametrize(
    ("groups", "p"),
    [
        ({"correlated": (2, 3)}, [0.2] * 2 + [0.4] * 3 + [0.1]),
        ({"anticorrelated": (2, 3)}, [0.2] * 2 + [0.4] * 3 + [0.1]),
        ({"anticorrelated": (3,), "marginal": "feature"}, [0.2, 0.1, 0.5, 0.3, 0.1]),
        ({"correlated": (2,), "anticorrelated": (2,)}, [0.05] * 5),
    ],
)
@pytest.mark.parametrize("amplitude", list(AMPLITUDES))
def test_groups_drawn_by_jump_are_those_of_the_reference(groups, p, amplitude):
    config = ToyConfig(len(p), 2, amplitude=amplitude, **groups)
    assert_same_distribution(by_jump(config, p)[0], config, p)


def test_only_samples_with_an_active_feature_are_kept():
    samples, counts = by_jump(ToyConfig(3, 1), [0.01, 0.02, 0.03])
    assert (np.count_nonzero(samples.any(1)) == counts.sum()).all()
    empty = 0.99 * 0.98 * 0.97
    assert abs(counts.mean() - BATCH * (1 - empty)) < 4.5 * math.sqrt(BATCH * empty * (1 - empty) / STEPS)


@pytest.mark.parametrize("p", [1.0, 1e-7])
def test_densities_at_the_ends(p):
    samples, _ = by_jump(ToyConfig(2, 1), [p, p], steps=20)
    assert (samples != 0).mean() == pytest.approx(p, abs=1e-3)


def test_a_batch_that_is_no_multiple_of_a_block():
    samples, _ = by_jump(ToyConfig(2, 1), [0.5, 0.5], batch=130, steps=300)
    assert abs((samples != 0).mean() - 0.5) < 4.5 * math.sqrt(0.25 / samples.size)
