import json

import numpy as np
import pandas as pd
import pytest
import torch

from superscope.core import checked
from superscope.core.config import from_json, to_json
from superscope.measures import count_below
from superscope.models import MnistMLP
from superscope.recipes.mnist_figures import over_seeds
from superscope.recipes.mnist_mlp import MNIST_MLP, _judged, _toys
from superscope.recipes.mnist_ranks import (
    CHANGE,
    COUNT,
    RANK,
    RATIO,
    SHUFFLED,
    START,
    TRAINED,
    UNCENTRED,
    activation_table,
    by_seed,
    shuffled,
    surveys,
    weight_table,
)
from superscope.recipes.mnist_training import Images, MnistConfig, Network, load_images
from superscope.recipes.recipe import execute


def network(seed=0, pixels=64, rank=None):
    """An untrained network, and the same with the weights of fc1 cut down to a rank."""
    made = [MnistMLP(pixels, generator=torch.Generator().manual_seed(seed)) for _ in range(2)]
    if rank is not None:
        U, S, V = torch.linalg.svd(made[0].fc1.weight.detach(), full_matrices=False)
        made[0].fc1.weight = torch.nn.Parameter((U[:, :rank] * S[:rank]) @ V[:rank])
    return Network(made[0].eval(), made[1].eval(), 0.98)


def test_the_count_is_the_courses_arithmetic():
    each = network(rank=20)
    table = weight_table([each], [0])
    S = np.linalg.svd(each.trained.fc1.weight.detach().double().numpy())[1]
    cumulative = np.cumsum(S**2) / np.sum(S**2)
    assert by_seed(table, "weights", TRAINED, "fc1", COUNT)[0] == np.sum(cumulative < 0.99) < 20
    assert by_seed(table, "weights", TRAINED, "fc1", RATIO)[0] == np.sum(cumulative < 0.99) / 128
    assert (table[RANK] - table[COUNT]).drop(table.index[table["weights"] == CHANGE]).eq(1).all()


def test_shuffling_keeps_the_entries_and_brings_back_the_rank_of_noise():
    each = network(rank=5)
    W = each.trained.fc1.weight.detach().double()
    mixed = shuffled(W, 0)
    assert torch.equal(mixed.flatten().sort().values, W.flatten().sort().values)
    assert torch.equal(mixed, shuffled(W, 0))
    assert not torch.equal(mixed, shuffled(W, 1))
    table = weight_table([each], [0])
    counts = {name: by_seed(table, "weights", name, "fc1", COUNT)[0] for name in (TRAINED, START, SHUFFLED)}
    assert counts[TRAINED] < 5 < 50 < counts[SHUFFLED]
    assert abs(counts[SHUFFLED] - counts[START]) <= 2


def test_random_weights_of_the_published_shapes_have_a_high_count_by_shape_alone():
    draws = torch.Generator().manual_seed(0)
    for shape, expected in (((128, 784), 124), ((64, 128), 59)):
        for W in (torch.rand(shape, generator=draws) - 0.5, torch.randn(shape, generator=draws)):
            assert abs(int(count_below(torch.linalg.svdvals(W))) - expected) <= 1


def test_uncentred_ranks_are_those_of_the_activations_as_they_are():
    images = load_images("digits")
    each = network()
    found = surveys([each], images)
    table = activation_table([each], found, images, [4])
    with torch.inference_mode():
        hidden = each.trained.fc1(images.test.flatten(1)).relu().double()
    chosen = table[(table["layer"] == "relu1") & (table["network"] == TRAINED)].iloc[0]
    for column, rows in ((UNCENTRED, hidden), (RANK, hidden - hidden.mean(0))):
        assert chosen[column] == int(count_below(torch.linalg.svdvals(rows))) + 1
    assert chosen["active"] == pytest.approx(float((hidden > 0).double().mean()))
    assert list(table["seed"].unique()) == [4]
    assert list(table["layer"][:5]) == ["fc1", "relu1", "fc2", "relu2", "fc3"]


def tables(trained=(112, 54), start=(124, 59), relu=(99, 45)):
    """The two tables of three seeds with these counts of fc1 and fc2 and these energy ranks."""
    weights = [
        {"seed": seed, "weights": name, "layer": layer, COUNT: count, RANK: count + 1, RATIO: count / width}
        for seed in range(3)
        for name, counts in ((TRAINED, trained), (START, start))
        for layer, count, width in zip(("fc1", "fc2"), counts, (128, 64), strict=True)
    ]
    activations = [
        {"seed": seed, "network": TRAINED, "layer": f"relu{k}", RANK: rank}
        for seed in range(3)
        for k, rank in enumerate(relu, 1)
    ]
    return pd.DataFrame(weights), pd.DataFrame(activations)


def verdicts(name="mnist", pixels=784, share=0.98, **changes):
    image = torch.zeros(1, 1, 1, pixels)
    images = Images(image, torch.zeros(1).long(), image, torch.zeros(1).long(), name)
    blank = MnistMLP(pixels)
    rows = _judged(images, [Network(blank, blank, share)] * 3, *tables(**changes))
    assert [row.id for row in rows] == [claim.id for claim in MNIST_MLP.claims]
    return {row.id.removeprefix("N1-"): row for row in rows}


def test_the_published_counts_are_judged_within_their_tolerances():
    rows = verdicts()
    assert {row.verdict for row in rows.values()} == {"reproduced"}
    assert rows["fc1-output"].evidence.startswith(
        "By seed: 112, 112, 112; the energy rank is one more. Untrained: 124, 124, 124."
    )
    assert rows["start"].evidence.startswith(
        "Means over seeds: fc1 untrained 124.0, fc1 trained 112.0; fc2 untrained 59.0, fc2 trained 54.0."
    )


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({"trained": (117, 54)}, {"fc1-output", "fc1-text", "ratio-fc1-output", "ratio-fc1-text"}),
        ({"trained": (114, 54)}, {"fc1-output", "ratio-fc1-output"}),
        ({"trained": (109, 54)}, {"fc1-text", "ratio-fc1-text"}),
        ({"trained": (112, 57)}, {"fc2", "ratio-fc2", "order"}),
        ({"start": (112, 54)}, {"start"}),
        ({"start": (124, 62)}, {"start-order"}),
        ({"relu": (99, 55)}, {"activations"}),
        ({"share": 0.96}, {"learned"}),
    ],
)
def test_other_networks_fail_their_claims(changes, fails):
    rows = verdicts(**changes)
    assert {part for part, row in rows.items() if row.verdict == "not reproduced"} == fails


def test_other_images_are_not_judged():
    rows = verdicts(name="digits", pixels=64)
    assert {part for part, row in rows.items() if row.verdict != "not run"} == {"blind"}
    assert "The config trains on digits; the claim is of MNIST." in rows["start"].evidence


def test_a_rank_cannot_tell_a_pentagon_from_two_orthogonal_features():
    toys = _toys().set_index("features")
    assert toys[COUNT].tolist() == [1, 1]
    assert toys[RANK].tolist() == [2, 2]
    assert toys["embedded of 5"].tolist() == [2, 5]
    assert toys["dimensions each"].tolist() == pytest.approx([1.0, 0.4])


def test_means_over_seeds_keep_the_order():
    table = pd.DataFrame({"seed": [0, 1, 0, 1], "layer": ["z", "z", "a", "a"], "rank": [1, 2, 3, 5]})
    assert over_seeds(table, ["layer"]).to_dict("list") == {"layer": ["z", "a"], "rank": [1.5, 4.0]}


def test_smoke_writes_a_whole_run_and_needs_no_data(tmp_path, monkeypatch):
    monkeypatch.delenv("SUPERSCOPE_DATA", raising=False)
    config = MNIST_MLP.presets["smoke"]
    path, rows = execute(MNIST_MLP, config, tmp_path / "run")
    assert [row.id for row in rows] == [claim.id for claim in MNIST_MLP.claims]
    assert json.loads((path / "claims.json").read_text())[0]["verdict"] == "not run"
    assert {table.stem for table in (path / "tables").iterdir()} == {"weights", "activations", "toys"}
    assert {figure.stem for figure in (path / "figures").iterdir()} == {
        "activations", "attributions", "counts", "spectra", "weights", "weights-untrained",
    }  # fmt: skip
    report = (path / "report.html").read_text()
    assert all(row.id in report for row in rows)


def test_presets_are_sound_configs_that_survive_json():
    assert list(MNIST_MLP.presets) == ["smoke", "quick", "paper"]
    for preset in MNIST_MLP.presets.values():
        assert from_json(MnistConfig, to_json(preset)) == checked(preset) == preset


@pytest.mark.data
@pytest.mark.slow
def test_the_published_counts_come_out_on_mnist(real_data, tmp_path):
    config = MnistConfig(data=f"mnist:{real_data / 'mnist'}", seeds=(0,))
    _, rows = execute(MNIST_MLP, config, tmp_path / "run")
    assert {row.id for row in rows if row.verdict != "reproduced"} == set()
