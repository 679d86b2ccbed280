from itertools import pairwise

import pytest

from superscope.dictionary import DictionaryConfig
from superscope.dictionary.schedules import Steering, k_at, rate_at


def test_the_learning_rate_is_never_zero_and_ends_near_it():
    config = DictionaryConfig(lr=1.0)
    rates = [rate_at(config, step, 100) for step in range(100)]
    assert min(rates) > 0
    assert max(rates) == 1.0
    assert rates[-1] == pytest.approx(1 / 20)


def test_k_falls_to_itself_and_stays():
    config = DictionaryConfig(k=4, n_latents=256, k_start=3.0, k_anneal=0.5)
    ks = [k_at(config, step, 100) for step in range(100)]
    assert ks[0] == 12
    assert all(a >= b for a, b in pairwise(ks))
    assert ks[50:] == [4.0] * 50


def test_k_without_annealing():
    config = DictionaryConfig(k=4, n_latents=256, k_anneal=0.0)
    assert k_at(config, 0, 100) == 4


@pytest.mark.parametrize("first", [0.001, 0.1, 10.0])
def test_steering_finds_the_weight_that_gives_the_wanted_l0(first):
    """Of a layer whose L0 answers to the weight with a delay, as training does."""
    assert Steering.steers(DictionaryConfig(architecture="standard"))
    steering, l0 = Steering(first, 5.0), 256.0
    for _ in range(4000):
        l0 += 0.02 * (512 / (1 + 20 * steering.weight) - l0)
        steering.advance(l0, 8.0)
    assert l0 == pytest.approx(8.0, rel=0.02)


def test_a_fixed_weight_stays():
    config = DictionaryConfig(architecture="standard", n_latents=512, k=8, sparsity=0.7)
    assert Steering.start(config).weight == 0.7
    assert not Steering.steers(config)
    assert not Steering.steers(DictionaryConfig())
