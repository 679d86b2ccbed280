"""The recipe on the field's large benchmark: its world's sizes, its verdicts, and a small run."""

import dataclasses
import json

import pandas as pd
import pytest
import torch

from superscope.core import checked
from superscope.core.artifacts import read_tensors
from superscope.core.config import from_json, to_json
from superscope.recipes import RECIPES, run_recipe
from superscope.recipes.sae_toy_training import SCORES
from superscope.recipes.synth_sae_bench import (
    SYNTH_SAE_BENCH,
    SynthSaeBenchConfig,
    _judged,
    bench_world,
)

FULL = SynthSaeBenchConfig(seeds=(0, 1))


def test_presets_are_sound_configs_that_survive_json():
    assert RECIPES["synth-sae-bench"] is SYNTH_SAE_BENCH
    for config in SYNTH_SAE_BENCH.presets.values():
        assert from_json(SynthSaeBenchConfig, to_json(config)) == checked(config) == config


def test_a_smaller_world_keeps_the_proportions():
    world = bench_world(dataclasses.replace(FULL, size=1 / 16, orthogonal_steps=0), 0, torch.device("cpu"))
    assert (world.n_features, world.width) == (1024, 48)
    parent = world.firing.parent
    assert parent is not None
    assert int((parent >= 0).sum()) == 8 * (4 + 16 + 64)


def scored(f1, mcc, config=FULL):
    def one(architecture, seed):
        values = torch.zeros(len(SCORES), dtype=torch.float64)
        values[SCORES.index("F1 by latent")] = f1(architecture, seed)
        values[SCORES.index("MCC")] = mcc(architecture, seed)
        return {"scores": values}

    return {(name, seed): one(name, seed) for name in config.architectures for seed in config.seeds}


def test_claims_ask_for_both_scores():
    def measured(f1, mcc):
        rows = _judged(FULL, scored(lambda *_: f1, lambda *_: mcc))
        assert [row.id for row in rows] == [claim.id for claim in SYNTH_SAE_BENCH.claims]
        return [row.measured for row in rows]

    assert measured(1.0, 1.0) == [1, 1, 1, 1, 1]
    assert measured(1.0, 0.75) == [0, 0, 1, 0, 0]
    assert measured(0.8, 0.793) == [1, 0, 1, 1, 0]
    rows = _judged(FULL, scored(lambda a, s: 0.9 * (a == "topk" and s == 0), lambda *_: 0.8))
    assert [row.measured for row in rows] == [0, 0, 0, 0, 0.5]


@pytest.mark.parametrize("change", [{"size": 0.5}, {"steps": 0.5}, {"k": 20}])
def test_another_setting_is_not_run(change):
    config = dataclasses.replace(FULL, **change)
    rows = _judged(config, scored(lambda *_: 1.0, lambda *_: 1.0, config))
    assert {row.verdict for row in rows} == {"not run"}
    assert "GPU" in rows[0].evidence


def test_smoke_writes_a_whole_run(tmp_path):
    path, rows = run_recipe("synth-sae-bench", SYNTH_SAE_BENCH.presets["smoke"], tmp_path / "run")
    assert {row.verdict for row in rows} == {"not run"}
    assert json.loads((path / "claims.json").read_text()) == [dataclasses.asdict(row) for row in rows]
    scores = pd.read_csv(path / "tables" / "scores.csv")
    assert len(scores) == 4
    assert scores[list(SCORES)].notna().all().all()
    assert "true L0" in (path / "report.html").read_text()
    tensors = read_tensors(path / "tensors.safetensors")
    assert len(tensors) == 4
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
