"""The recipe on known worlds: judged by hand-made scores, run small, killed and taken up again."""

import dataclasses
import gc
import json

import pandas as pd
import pytest
import torch

from superscope.core import ConfigError, checked, generator
from superscope.core.artifacts import read_tensors, tensor_hashes
from superscope.core.config import from_json, to_json
from superscope.dictionary import DictionaryConfig, make_dictionary
from superscope.recipes import RECIPES, run_recipe, sae_toy_training
from superscope.recipes.sae_toy import SAE_TOY, _judged
from superscope.recipes.sae_toy_pages import gain
from superscope.recipes.sae_toy_training import (
    SCORES,
    SaeToyConfig,
    Training,
    cosines,
    judge_dictionary,
    trainings,
    true_l0,
)
from superscope.toy import even_world

TINY = SaeToyConfig(
    seeds=(0,),
    worlds=("even", "hierarchical"),
    architectures=("topk",),
    size=0.1,
    steps=0.001,
    samples=256,
    threads=1,
)


def test_presets_are_sound_configs_that_survive_json():
    assert RECIPES["sae-toy"] is SAE_TOY
    assert list(SAE_TOY.presets) == ["smoke", "quick", "paper"]
    for config in SAE_TOY.presets.values():
        assert from_json(SaeToyConfig, to_json(config)) == checked(config) == config
    assert len({claim.id for claim in SAE_TOY.claims}) == len(SAE_TOY.claims)
    with pytest.raises(ConfigError, match=r"architectures: .*twice.*; size: "):
        checked(SaeToyConfig(architectures=("topk", "topk"), size=2.0))


def test_trainings_are_every_architecture_at_every_l0():
    paper = trainings(SaeToyConfig(seeds=(0,)))
    assert len(paper) == 6 + 6 + 6 * 3 * 2 * 2
    assert {(one.world, one.k) for one in paper} == {
        *(("even", 4), ("decaying", 5)),
        *(("correlated", k) for k in (6, 11, 17)),
        *(("hierarchical", k) for k in (3, 6, 9)),
    }
    assert all(one.annealed for one in paper if one.world in ("even", "decaying"))
    assert true_l0(SaeToyConfig(), "hierarchical") == pytest.approx(6)


def found(scores):
    """Return the trainings of the whole recipe with an MCC that ``scores`` gives each."""
    config = SaeToyConfig(seeds=(0, 1, 2))
    table = torch.zeros(len(SCORES), dtype=torch.float64)

    def one_of(one):
        values = table.clone()
        values[SCORES.index("MCC")] = scores(one)
        return {"W": torch.eye(2), "scores": values}

    return config, {one: one_of(one) for one in trainings(config)}


def verdicts(scores):
    rows = _judged(*found(scores))
    assert [row.id for row in rows] == [claim.id for claim in SAE_TOY.claims]
    return [row.measured for row in rows]


def test_claims_are_judged_seed_by_seed():
    assert verdicts(lambda _: 1.0) == [1, 1, 1, 1, 1, 1]
    assert verdicts(lambda one: 0.992 if one.seed else 1.0) == [1 / 3, 1, 1, 1, 1, 1]
    assert verdicts(lambda one: 0.89 if one.world == "decaying" else 1.0) == [1, 1, 0, 1, 1, 1]

    def harmed(one):
        return 0.95 - 0.04 * (
            one.architecture == "gated" and one.annealed and one.share == 1.0 and one.seed == 1
        )

    assert verdicts(harmed)[4:] == [2 / 3, 2 / 3]  # 0.04 at one of three k is 0.013 of their mean
    assert gain(*found(harmed), "correlated", "gated") == pytest.approx([0, -0.04 / 3, 0])
    assert verdicts(lambda one: 0.95 - 0.02 * (one.annealed and one.share == 1.0))[4:] == [1, 1]


def test_a_claim_of_another_setting_is_not_run_and_says_why():
    config, results = found(lambda _: 1.0)
    rows = _judged(dataclasses.replace(config, steps=0.5), results)
    assert {row.verdict for row in rows} == {"not run"}
    assert "smaller than the claim's" in rows[0].evidence
    rows = _judged(dataclasses.replace(config, worlds=("even",), architectures=("topk",)), results)
    assert [row.verdict for row in rows] == ["reproduced"] + ["not run"] * 5
    assert "leaves out BatchTopK" in rows[1].evidence
    assert "leaves out the hierarchical world" in rows[5].evidence


def test_a_dictionary_of_the_true_directions_scores_one():
    world = even_world(generator(0, "w"), n_features=16, width=16, l0=1.0)
    world = dataclasses.replace(world, directions=torch.eye(16))
    dictionary = make_dictionary(DictionaryConfig(n_latents=16, k=16), 16)
    with torch.no_grad():
        dictionary.W_dec.copy_(torch.eye(16).flip(0))
        dictionary.encoder.copy_(torch.eye(16).flip(0))
    scores = judge_dictionary(dictionary, world, 500, generator(1, "test"))
    assert list(scores) == list(SCORES)
    perfect = ("MCC", "MMCS", "recovered", "precision", "recall", "F1", "F1 by latent", "uniqueness")
    assert [scores[name] for name in perfect] == pytest.approx([1.0] * len(perfect))
    assert (scores["FVU"], scores["dead"], scores["decoder cosine"]) == (0, 0, 0)


def test_cosines_are_in_the_features_order():
    config = dataclasses.replace(TINY, size=0.5)
    one = Training("correlated", "topk", 5, 1.0, annealed=True, seed=0)
    world = sae_toy_training.SETTINGS["correlated"].make(generator(0, "correlated", "world"), 0.5)
    table = cosines(config, one, -3 * world.directions.flip(0))
    torch.testing.assert_close(table, torch.eye(25), atol=1e-5, rtol=0)


def hashes(path):
    return tensor_hashes(read_tensors(path / "tensors.safetensors"))


def test_a_small_run_is_whole_and_one_killed_and_taken_up_ends_with_its_bits(tmp_path, monkeypatch):
    path, rows = run_recipe("sae-toy", TINY, tmp_path / "whole")
    assert json.loads((path / "claims.json").read_text()) == [dataclasses.asdict(row) for row in rows]
    report = (path / "report.html").read_text()
    assert all(row.id in report for row in rows)
    assert not (path / "stages").exists()
    scores = pd.read_csv(path / "tables" / "scores.csv")
    assert len(scores) == len(trainings(TINY))
    assert scores[list(SCORES)].notna().all().all()
    assert all(torch.isfinite(tensor).all() for tensor in read_tensors(path / "tensors.safetensors").values())

    done = []
    train = sae_toy_training.train

    def killed(*arguments, **options):
        done.append(options["seed"])
        if len(done) == 3:
            raise KeyboardInterrupt
        return train(*arguments, **options)

    monkeypatch.setattr(sae_toy_training, "train", killed)
    with pytest.raises(KeyboardInterrupt) as caught:
        run_recipe("sae-toy", TINY, tmp_path / "killed")
    del caught
    gc.collect()  # a process that is gone holds no lock on its run
    again, _ = run_recipe("sae-toy", TINY, tmp_path / "killed")
    assert hashes(again) == hashes(path)
    stages = {(one.world, one.k, one.annealed, one.seed) for one in trainings(TINY)}
    assert len(done) == len(stages) + 1  # finished stages were not trained again
