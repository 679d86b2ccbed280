import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from superscope.core import ConfigError, checked
from superscope.core.artifacts import read_tensors, tensor_hashes
from superscope.core.config import from_json, to_json
from superscope.recipes.recipe import execute
from superscope.recipes.simple_lm import (
    PRINTED,
    SIMPLE_LM,
    SimpleLMConfig,
    _judged,
    _p_value,
    critical,
    draw,
    pairs,
)

SMALL = SimpleLMConfig(seeds=(42, 3), chance=20)
PRINTED_CLAIMS = ["N3-matrix", *(f"N3-concept-{k}" for k in range(1, 6))]


def test_the_printed_matrix_comes_out_to_four_decimals():
    printed = torch.tensor(PRINTED)
    assert float((draw(42).matrix - printed).abs().max()) < 5e-5
    assert torch.equal(printed, printed.T)
    assert float((draw(43).matrix - printed).abs().max()) > 0.1


def test_a_generator_gives_what_the_global_seed_gives_and_leaves_it_alone():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        embedding, linear, _ = nn.Embedding(1000, 50), nn.Linear(50, 20), nn.Linear(20, 1000)
        tokens = torch.randint(0, 1000, (100,))
        with torch.no_grad():
            hidden = torch.relu(linear(embedding(tokens)))
        concepts = torch.rand(5, 20)
    before = torch.random.get_rng_state()
    drawn = draw(7)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(drawn.hidden, hidden)
    assert torch.equal(drawn.concepts, concepts)
    rows = np.concatenate([hidden.mean(0)[None].numpy(), concepts.numpy()])
    np.testing.assert_allclose(drawn.matrix, np.corrcoef(rows), atol=1e-6)


def test_limits_and_p_values_are_those_of_the_correlation_test():
    assert critical(0.95, 5) == pytest.approx(0.8783, abs=1e-4)  # as tables give it for 3 degrees of freedom
    one, other = torch.rand(2, 20, generator=torch.Generator().manual_seed(0)).double().numpy()
    expected = stats.pearsonr(one, other)
    assert _p_value(float(expected.statistic)) == pytest.approx(float(expected.pvalue))
    assert _p_value(critical(0.99)) == pytest.approx(0.01)


def test_pairs_are_the_upper_triangle_row_by_row():
    matrix = torch.arange(36.0).view(6, 6)
    assert pairs(matrix).tolist() == [1, 2, 3, 4, 5, 8, 9, 10, 11, 15, 16, 17, 22, 23, 29]
    assert torch.equal(pairs(torch.stack([matrix, -matrix]))[1], -pairs(matrix))


def verdicts(config=SMALL, matrices=None, chance=None):
    matrices = torch.stack([draw(seed, config.positions).matrix for seed in config.seeds])
    return {row.id: row for row in _judged(config, matrices, chance_of() if chance is None else chance)}


def chance_of(scale=1.0):
    draws = torch.randn(4000, 15, generator=torch.Generator().manual_seed(0))
    return scale * draws / 19**0.5


def test_what_chance_gives_is_told_from_what_it_does_not():
    rows = verdicts()
    assert all(rows[name].verdict == "reproduced" for name in [*PRINTED_CLAIMS, "N3-spread"])
    assert rows["N3-encoded"].verdict == "not reproduced"
    assert rows["N3-encoded"].evidence.startswith("Largest |r| with a concept, by seed: 0.285, 0.")
    wide = verdicts(chance=chance_of(1.5))
    assert wide["N3-spread"].verdict == wide["N3-outside"].verdict == "not reproduced"


def test_a_layer_that_is_a_concept_counts_as_encoding_it():
    config = SimpleLMConfig(seeds=(42,))
    drawn = draw(42)
    rows = torch.cat([drawn.concepts[2:3] * 0.1 + 3, drawn.concepts])
    found = {row.id: row for row in _judged(config, torch.corrcoef(rows)[None], chance_of())}
    assert found["N3-encoded"].verdict == "reproduced"
    assert found["N3-matrix"].verdict == "not reproduced"


@pytest.mark.parametrize("config", [SimpleLMConfig(seeds=(3,)), SimpleLMConfig(positions=99)])
def test_the_printed_matrix_is_not_judged_in_another_setting(config):
    rows = verdicts(config)
    assert {rows[name].verdict for name in PRINTED_CLAIMS} == {"not run"}
    assert "seed 42 or the 100 positions" in rows["N3-matrix"].evidence


def test_smoke_writes_a_whole_run_and_the_same_one_twice(tmp_path):
    config = dataclasses.replace(SIMPLE_LM.presets["smoke"], chance=30)
    before = torch.random.get_rng_state()
    path, rows = execute(SIMPLE_LM, config, tmp_path / "run")
    again, _ = execute(SIMPLE_LM, config, tmp_path / "again")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert [row.id for row in rows] == [claim.id for claim in SIMPLE_LM.claims]
    first, second = (read_tensors(each / "tensors.safetensors") for each in (path, again))
    assert tensor_hashes(first) == tensor_hashes(second)
    assert first["chance"].shape == (30, 15)
    assert (path / "report.html").read_bytes() == (again / "report.html").read_bytes()
    assert {"activations", "correlations", "chance"} == {
        figure.stem for figure in (path / "figures").iterdir()
    }
    report = (path / "report.html").read_text()
    assert all(row.id in report for row in rows)
    assert len(json.loads((path / "claims.json").read_text())) == len(rows)


def test_presets_and_faults():
    assert list(SIMPLE_LM.presets) == ["smoke", "quick", "paper"]
    for preset in SIMPLE_LM.presets.values():
        assert from_json(SimpleLMConfig, to_json(preset)) == checked(preset) == preset
    with pytest.raises(ConfigError, match=r"seeds: .*; chance: .*; positions"):
        checked(SimpleLMConfig(seeds=(1, 1), chance=0, positions=0))
