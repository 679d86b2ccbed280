import pytest
import torch

from superscope.core import ConfigError, checked, open_run
from superscope.recipes.toy_training import (
    ToyTraining,
    antipodal_pairs,
    cosines,
    embedded,
    only_the_top,
    rank_correlation,
    squared_norm,
    train_seeds,
)
from superscope.toy import ToyConfig, four_feature_face, regular_polygon, train


def test_words_for_a_geometry_on_solutions_made_by_hand():
    face, pentagon = four_feature_face(), regular_polygon(5)
    two = torch.tensor([[1.0, 0.02, 0.4], [0.0, 1.0, 0.0]])
    assert embedded(two).tolist() == [True, True, False]
    assert [antipodal_pairs(W) for W in (face, pentagon, two, torch.zeros(2, 3))] == [2, 0, 0, 0]
    assert float(squared_norm(face)) == 4.0
    assert only_the_top(two, 2)
    assert not only_the_top(two, 1)
    assert not only_the_top(two[:, [2, 1, 0]], 2)  # the same directions, for the less important features
    assert not only_the_top(face, 4)  # not orthogonal
    assert not only_the_top(torch.tensor([[1.0, 0.06], [0.0, 1.0]]), 2)  # cos 0.0599
    torch.testing.assert_close(cosines(2 * face)[0], torch.tensor([0.0, 0.0, -1.0, 0.0]))


def test_each_seed_is_a_training_of_its_own(tmp_path):
    model = ToyConfig(n_features=3, n_hidden=2)
    options = ToyTraining(seeds=(4, 9), steps=3, batch_size=8, restarts=2)
    run = open_run("test", options, tmp_path / "run")
    sweep = train_seeds(run, "part", options, model, [1.0, 0.5])
    for k, seed in enumerate(options.seeds):
        alone = train(model, [1.0, 0.5], steps=3, batch_size=8, restarts=2, seed=seed)
        for name in ("W", "b", "loss", "history"):
            assert torch.equal(getattr(sweep, name)[k], getattr(alone, name)), name
    assert not torch.equal(sweep.W[0], sweep.W[1])
    assert sweep.steps.tolist() == [1, 2, 3]

    table = sweep.table(["dense", "sparse"], [1.0, 0.5], options.seeds)
    assert table[["model", "density", "seed"]].values.tolist() == [
        ["dense", 1.0, 4],
        ["dense", 1.0, 9],
        ["sparse", 0.5, 4],
        ["sparse", 0.5, 9],
    ]
    torch.testing.assert_close(
        torch.tensor(table["squared norm"].tolist()), squared_norm(sweep.W).T.flatten()
    )


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, 2, 1)}, "a seed that comes twice"),
        ({"steps": 0}, "steps"),
        ({"lr": float("nan")}, "lr"),
    ],
)
def test_configs_with_faults(options, fault):
    with pytest.raises(ConfigError, match=fault):
        checked(ToyTraining(**options))


def test_rank_correlations_by_hand():
    a = torch.tensor([1.0, 2.0, 3.0, 5.0, 4.0])
    assert rank_correlation(a, torch.arange(5.0)) == 0.9  # 1 − 6 · 2 / (5 · 24)
    assert rank_correlation(a.exp(), -a) == -1.0
    assert rank_correlation(a, torch.ones(5)) == 0.0
