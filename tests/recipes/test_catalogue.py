import dataclasses
import gc
import json

import pandas as pd
import pytest
import torch

from superscope.core import ConfigError, InputError, checked
from superscope.core.artifacts import read_tensors, tensor_hashes
from superscope.core.config import from_json, to_json
from superscope.recipes import RECIPES, run_recipe, toy_training

TOYS = (
    "toy-face",
    "toy-pentagon",
    "toy-demonstration",
    "toy-nonuniform",
    "toy-correlated",
    "toy-adversarial",
    "toy-exrelu",
    "toy-phase",
    "toy-geometry",
    "toy-dynamics",
    "toy-privileged",
    "toy-abs",
    "toy-inhibition",
)


def hashes(path):
    return tensor_hashes(read_tensors(path / "tensors.safetensors"))


@pytest.mark.parametrize("name", TOYS)
def test_presets_are_sound_configs_that_survive_json(name):
    recipe = RECIPES[name]
    assert list(recipe.presets) == ["smoke", "quick", "paper"]
    for config in recipe.presets.values():
        assert from_json(recipe.config, to_json(config)) == checked(config) == config
    assert len({claim.id for claim in recipe.claims}) == len(recipe.claims)


@pytest.fixture(scope="module")
def smoke(request, tmp_path_factory):
    name = request.param
    return name, *run_recipe(name, RECIPES[name].presets["smoke"], tmp_path_factory.mktemp(name) / "run")


@pytest.mark.parametrize("smoke", TOYS, indirect=True)
def test_smoke_writes_a_whole_run(smoke):
    name, path, rows = smoke
    recipe = RECIPES[name]
    assert [row.id for row in rows] == [claim.id for claim in recipe.claims]
    assert json.loads((path / "claims.json").read_text()) == [dataclasses.asdict(row) for row in rows]
    assert from_json(recipe.config, (path / "config.json").read_text()) == recipe.presets["smoke"]
    assert not (path / "stages").exists()
    report = (path / "report.html").read_text()
    assert recipe.title in report
    assert all(row.id in report for row in rows)
    assert all(json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines())
    assert all(len(pd.read_csv(table)) for table in (path / "tables").iterdir())
    assert all(figure.read_bytes() for figure in (path / "figures").iterdir())
    assert all(torch.isfinite(tensor).all() for tensor in read_tensors(path / "tensors.safetensors").values())


@pytest.mark.parametrize("smoke", ["toy-pentagon", "toy-demonstration"], indirect=True)
def test_a_run_killed_in_its_second_stage_ends_with_the_bits_of_one_that_was_not(
    smoke, tmp_path, monkeypatch
):
    name, whole, rows = smoke
    config = RECIPES[name].presets["smoke"]
    trained = []
    train = toy_training.train

    def killed(*arguments, **options):
        trained.append(options["seed"])
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(*arguments, **options)

    monkeypatch.setattr(toy_training, "train", killed)
    with pytest.raises(KeyboardInterrupt) as caught:
        run_recipe(name, config, tmp_path / "run")
    del caught
    gc.collect()  # a process that is gone holds no lock on its run
    assert len(list((tmp_path / "run" / "stages").iterdir())) == 1
    assert not (tmp_path / "run" / "report.html").exists()

    resumed, again = run_recipe(name, config, tmp_path / "run")
    assert hashes(resumed) == hashes(whole)
    assert again == rows
    stages = 2 * len(config.seeds)
    assert len(trained) == 2 + stages - 1  # the finished stage was not trained again


@pytest.mark.parametrize("smoke", ["toy-face", "toy-pentagon"], indirect=True)
def test_the_same_config_gives_the_same_bytes(smoke, tmp_path):
    name, first, _ = smoke
    second, _ = run_recipe(name, RECIPES[name].presets["smoke"], tmp_path / "run")
    assert hashes(first) == hashes(second)
    for path in sorted(first.rglob("*")):
        if path.is_file() and path.name != "environment.json":
            assert path.read_bytes() == (second / path.relative_to(first)).read_bytes(), path.name


def test_face_reproduces_every_claim_exactly(tmp_path):
    _, rows = run_recipe("toy-face", RECIPES["toy-face"].presets["smoke"], tmp_path)
    assert [(row.measured, row.verdict) for row in rows] == [
        (1.0, "reproduced"),
        (1.0, "reproduced"),
        (0.5, "reproduced"),
    ]


def test_names_and_configs_that_cannot_be_run(tmp_path):
    config = RECIPES["toy-pentagon"].presets["smoke"]
    with pytest.raises(InputError, match="there is no recipe 'toy-square'; choose from toy-face, toy-pent"):
        run_recipe("toy-square", config, tmp_path)
    with pytest.raises(InputError, match="toy-face was given a PentagonConfig; give it a FaceConfig"):
        run_recipe("toy-face", config, tmp_path)
    with pytest.raises(ConfigError, match=r"seeds: .*; steps: "):
        run_recipe("toy-pentagon", dataclasses.replace(config, seeds=(), steps=0), tmp_path / "new")
    assert not (tmp_path / "new").exists()
