import pytest

from superscope.core import ConfigError, from_json
from superscope.dictionary import DictionaryConfig
from superscope.dictionary.config import checked_config, group_sizes, learning_rate


def test_every_fault_is_told_at_once():
    config = DictionaryConfig(architecture="topk", n_latents=8, k=9, sparsity=0.1, groups=(3, 4), warmup=2.0)
    with pytest.raises(ConfigError) as caught:
        checked_config(config)
    told = str(caught.value)
    for word in ("warmup", "9 of 8 latents", "topk has no penalty", "groups: topk has none", "hold 7"):
        assert word in told


def test_a_field_of_the_wrong_kind_is_a_fault():
    with pytest.raises(ConfigError, match="n_latents"):
        from_json(DictionaryConfig, '{"n_latents": "many"}')


def test_an_unknown_architecture_is_told_with_the_choices():
    with pytest.raises(ConfigError, match="batchtopk"):
        from_json(DictionaryConfig, '{"architecture": "deep"}')


@pytest.mark.parametrize("n_latents", [1, 5, 16, 100, 4096])
def test_groups_hold_every_latent_once(n_latents):
    sizes = group_sizes(DictionaryConfig(architecture="matryoshka", n_latents=n_latents, k=1))
    assert sum(sizes) == n_latents
    assert all(size > 0 for size in sizes)


def test_the_learning_rate_falls_with_the_root_of_the_latents_and_has_a_ceiling():
    rates = [learning_rate(DictionaryConfig(n_latents=n)) for n in (4096, 16384, 64)]
    assert rates[0] == pytest.approx(2 * rates[1])
    assert rates[2] == 1e-2
    assert learning_rate(DictionaryConfig(lr=0.5)) == 0.5
