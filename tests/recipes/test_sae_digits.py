import dataclasses
import json

import pytest
import torch

from superscope.core import ConfigError, checked, generator
from superscope.core.artifacts import read_tensors
from superscope.core.config import from_json, to_json
from superscope.dictionary import DictionaryConfig, make_dictionary
from superscope.measures import class_selectivity
from superscope.models import DigitsMLP
from superscope.recipes.recipe import execute
from superscope.recipes.sae_digits import _CLAIMS, SAE_DIGITS, judged
from superscope.recipes.sae_digits_training import (
    NUMBERS,
    Fitted,
    SaeDigitsConfig,
    Subject,
    Units,
    covered,
    load_digits,
    principal,
    read_out,
    unexplained,
    unit_sets,
)

SMALL = dataclasses.replace(SAE_DIGITS.presets["smoke"], seeds=(1,), ks=(8,), steps=60)


def subject(seed=0, fvu_train=0.05, **numbers):
    draws = generator(seed, "test")
    train, test = (torch.randn(count, 64, generator=draws).relu() for count in (90, 40))
    settings = DictionaryConfig("topk", n_latents=128, k=8)
    made = [make_dictionary(settings, 64, generator=draws).requires_grad_(requires_grad=False) for _ in "ab"]
    found = dict.fromkeys(NUMBERS, 0.9) | {"recovered": 0.99, "fvu": 0.1, "spliced_accuracy": 0.895}
    return Subject(
        seed, DigitsMLP(draws), train, test, {8: Fitted(made[0], found | numbers, fvu_train)}, made[1]
    )


def units(mean, own=range(10)):
    """128 units of one selectivity, those of the first ten classes that are ``own`` all for one class."""
    means = torch.ones(10, 128)
    for digit in own:
        means[:, digit] = 0.01
        means[digit, digit] = 1.0
    selectivity = torch.full((128,), mean)
    return Units(means, torch.full((128,), 0.1), selectivity, selectivity / 2, 0.1)


def sets(latents=0.8, neurons=0.4, few=0.7, random=0.7, own=range(10)):
    return {
        "neurons": units(neurons), "the 8 strongest neurons": units(few), "random directions": units(random),
        "latents": units(latents, own),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("numbers", "change", "fails"),
    [
        ({}, {}, set()),
        ({"recovered": 0.94}, {}, {"recovered"}),
        ({"spliced_accuracy": 0.88}, {}, {"accuracy"}),
        ({"fvu": 0.99}, {}, {"components", "fits"}),
        ({"fvu": 0.3, "fvu_train": 0.1}, {}, {"fits"}),
        ({}, {"neurons": 0.75}, {"selective"}),
        ({}, {"random": 0.78}, {"learned"}),
        ({}, {"few": 0.85}, {"learned"}),
        ({}, {"own": range(9)}, {"digits"}),
    ],
)
def test_each_claim_falls_by_its_own_rule(numbers, change, fails):
    made = judged(SaeDigitsConfig(), [subject(seed, **numbers) for seed in range(2)], [sets(**change)] * 2)
    assert [row.id for row in made] == [claim.id for claim in _CLAIMS]
    found = {row.id.removeprefix("SD-") for row in made if row.verdict == "not reproduced"}
    assert found == fails
    assert all(row.verdict != "not run" for row in made)


def test_another_setting_settles_nothing():
    for change in ({"layer": "relu2"}, {"n_latents": 64}):
        made = judged(dataclasses.replace(SaeDigitsConfig(), **change), [subject()], [sets()])
        assert {row.verdict for row in made} == {"not run"}


def test_sets_of_units_are_what_they_are_called():
    each, labels = subject(), torch.arange(40) % 10
    found = unit_sets(each, labels, 8)
    neurons, few, random, latents = found.values()
    for k in range(10):
        torch.testing.assert_close(neurons.means[k].float(), each.test[labels == k].mean(0))
    assert few.frequency.sum() == pytest.approx(8, abs=1e-4)
    assert latents.frequency.sum() <= 8 + 1e-4
    f = each.fitted[8].dictionary.encode(each.test)
    torch.testing.assert_close(latents.means[3].float(), f[labels == 3].mean(0))
    torch.testing.assert_close(latents.selectivity, class_selectivity(latents.means), equal_nan=True)
    assert not torch.equal(latents.selectivity.nan_to_num(), latents.shuffled.nan_to_num())
    assert random.means.shape == (10, 128)
    assert neurons.unexplained < 0.05 < few.unexplained


def test_what_is_read_out_is_the_least_squares():
    draws = generator(1)
    f, W = torch.randn(200, 5, generator=draws), torch.randn(5, 3, generator=draws)
    x = f @ W + 2
    new = torch.randn(7, 5, generator=draws)
    torch.testing.assert_close(read_out(f, x, new), new @ W + 2, rtol=0.01, atol=0.02)
    dead = torch.cat([f, torch.zeros(200, 2)], 1)
    assert read_out(dead, x, torch.cat([new, torch.ones(7, 2)], 1)).isfinite().all()


def test_principal_components_explain_what_they_should():
    each = subject()
    assert principal(each, 64) == pytest.approx(0, abs=1e-5)
    assert 0.3 < principal(each, 8) < 1
    mean = each.train.mean(0)
    assert unexplained(each.train, mean.expand_as(each.train)) == pytest.approx(1, abs=1e-5)


def test_classes_are_covered_by_units_that_are_of_them():
    made = units(0.5, own=(2, 7))
    assert covered(made, 0.5) == [2, 7]
    assert covered(made, 0.95) == []
    silent = dataclasses.replace(made, means=torch.zeros(10, 128))
    assert covered(silent, 0.5) == []


def test_a_closer_look_is_at_a_dictionary_that_is_trained(tmp_path):
    with pytest.raises(ConfigError, match="k: 5 is none of ks"):
        execute(SAE_DIGITS, dataclasses.replace(SMALL, k=5), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_presets_are_sound_configs_that_survive_json():
    assert list(SAE_DIGITS.presets) == ["smoke", "quick", "paper"]
    for preset in SAE_DIGITS.presets.values():
        assert from_json(SaeDigitsConfig, to_json(preset)) == checked(preset) == preset


def test_a_run_is_whole_and_the_same_twice(tmp_path):
    path, made = execute(SAE_DIGITS, SMALL, tmp_path / "run")
    assert "not run" not in {row.verdict for row in made}
    assert {table.stem for table in (path / "tables").iterdir()} == {"ks", "units"}
    assert {figure.stem for figure in (path / "figures").iterdir()} == {
        "selectivity", "classes", "examples", "recovered",
    }  # fmt: skip
    tensors = read_tensors(path / "tensors.safetensors")
    assert tensors["seed-1/k-8/W_dec"].shape == (128, 64)
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert len([json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]) == 1
    report = (path / "report.html").read_text()
    assert all(row.id in report for row in made)
    again, rows = execute(SAE_DIGITS, SMALL, tmp_path / "again")
    assert rows == made
    assert (again / "tensors.safetensors").read_bytes() == (path / "tensors.safetensors").read_bytes()


def test_the_digits_are_divided():
    digits = load_digits()
    assert digits.train.shape == (1437, 1, 8, 8)
    assert digits.test.shape == (360, 1, 8, 8)
    assert digits.labels.unique().tolist() == list(range(10))
