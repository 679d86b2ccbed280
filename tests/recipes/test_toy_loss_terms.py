import dataclasses
import gc

import pytest
import torch

from superscope.core import checked
from superscope.core.artifacts import read_tensors, tensor_hashes
from superscope.core.config import from_json, to_json
from superscope.recipes import RECIPES, loss_checks, run_recipe, toy_loss_terms

SMOKE = dataclasses.replace(RECIPES["toy-loss-terms"].presets["smoke"], models=1, samples=2_000)
EXACT = ("integrals", "at-one", "never-worse", "bias")


def hashes(path):
    return tensor_hashes(read_tensors(path / "tensors.safetensors"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run_recipe("toy-loss-terms", SMOKE, tmp_path_factory.mktemp("terms") / "run")


def test_presets_are_sound_configs_that_survive_json():
    recipe = RECIPES["toy-loss-terms"]
    assert list(recipe.presets) == ["smoke", "quick", "paper"]
    for config in recipe.presets.values():
        assert from_json(recipe.config, to_json(config)) == checked(config) == config
    assert len(recipe.presets["quick"].seeds) >= 5


def test_every_claim_is_reproduced_and_every_file_written(whole):
    path, rows = whole
    assert {row.id: row.verdict for row in rows} == {
        claim.id: "reproduced" for claim in RECIPES["toy-loss-terms"].claims
    }
    assert {each.stem for each in (path / "figures").iterdir()} == {
        "terms",
        "pentagon",
        "polygons",
        "deviations",
    }
    assert {each.stem for each in (path / "tables").iterdir()} == {"comparisons", "polygons"}


def found(seeds=1, models=6):
    compared = torch.zeros(seeds, models, 4, 3)
    compared[..., 0] = compared[..., 1] = torch.rand(seeds, models, 4)
    compared[..., 2] = 0.01
    zero = torch.zeros(seeds, models)
    return {"compared": compared, "free": torch.ones(seeds, models)} | dict.fromkeys(EXACT, zero)


def judged(tensors):
    rows = toy_loss_terms._judged(tensors, toy_loss_terms._deviations(tensors["compared"]))
    return {row.id.removeprefix("T4-"): row.measured for row in rows}


def test_what_is_off_by_more_than_allowed_is_not_reproduced_and_nothing_else_is_drawn_in():
    assert set(judged(found()).values()) == {1.0}
    for part, off in (("integrals", 1e-9), ("at-one", 1e-11), ("never-worse", 1e-3), ("bias", 1e-5)):
        tensors = found()
        tensors[part] = tensors[part].index_fill(1, torch.tensor([2]), off)
        assert {name for name, measured in judged(tensors).items() if measured == 0} == {part}
    tensors = found()
    tensors["free"][0, 1] = 0
    assert {name for name, measured in judged(tensors).items() if measured == 0} == {"free"}


@pytest.mark.parametrize(("check", "part"), [(0, "linear"), (2, "linear"), (3, "monte-carlo")])
def test_a_single_far_comparison_and_many_wide_ones_are_both_caught(check, part):
    far, wide = found(), found()
    far["compared"][0, 0, check, 1] += 0.041
    wide["compared"][0, :, check, 1] += 0.03  # three standard errors each
    for tensors in (far, wide):
        assert {name for name, measured in judged(tensors).items() if measured == 0} == {part}


@pytest.mark.parametrize(
    ("function", "check"),
    [("linear_loss", 0), ("one_sparse_terms", 3)],
)
def test_a_closed_form_that_is_five_percent_off_is_noticed(monkeypatch, function, check):
    right = getattr(loss_checks, function)

    def wrong(*arguments):
        return tuple(1.05 * term for term in right(*arguments))

    monkeypatch.setattr(loss_checks, function, wrong)
    compared = loss_checks.check_seed(dataclasses.replace(SMOKE, samples=50_000), 0)["compared"]
    z = toy_loss_terms._deviations(compared[None])[..., check]
    assert z.square().mean().sqrt() > 1.25


def test_the_polygon_of_some_features_beats_that_of_all_from_eight_on():
    table = toy_loss_terms._polygon_table().set_index("features")
    some, every = table["best polygon of some, others left out"], table["one-sparse loss"]
    assert (some[:7] == every[:7]).all()
    assert (some[7:] < every[7:]).all()
    assert every[5] < table["two antipodal pairs, others left out"][5]


def test_a_killed_run_ends_with_the_bits_of_one_that_was_not(whole, tmp_path, monkeypatch):
    done = []
    check_seed = toy_loss_terms.check_seed

    def killed(config, seed):
        done.append(seed)
        if len(done) == 2:
            raise KeyboardInterrupt
        return check_seed(config, seed)

    monkeypatch.setattr(toy_loss_terms, "check_seed", killed)
    with pytest.raises(KeyboardInterrupt) as caught:
        run_recipe("toy-loss-terms", SMOKE, tmp_path / "run")
    del caught
    gc.collect()  # a process that is gone holds no lock on its run
    resumed, rows = run_recipe("toy-loss-terms", SMOKE, tmp_path / "run")
    assert done == [0, 1, 1]
    assert hashes(resumed) == hashes(whole[0])
    assert rows == whole[1]
