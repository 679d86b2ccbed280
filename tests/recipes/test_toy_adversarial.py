import pytest
import torch

from superscope.core import generator, open_run
from superscope.recipes import toy_adversarial
from superscope.recipes.toy_adversarial import TOY_ADVERSARIAL
from superscope.recipes.toy_training import train_seeds
from superscope.toy import ToyConfig, adversarial_vulnerability, draw

PACKED = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])


FLAT = torch.ones(1, 5)


def measured(vulnerability, reading=0):
    both = torch.stack([vulnerability, FLAT] if reading == 0 else [FLAT, vulnerability], 1)
    rows = toy_adversarial._judged(both, PACKED)
    assert [row.id for row in rows] == [claim.id for claim in TOY_ADVERSARIAL.claims]
    found = [row.measured for row in rows]
    assert found[3 * (1 - reading) :][:3] == [0.0] * 3
    return found[3 * reading :][:3]


@pytest.mark.parametrize(
    ("vulnerability", "expected"),
    [
        ([1.0, 1.5, 2.0, 3.0, 3.5], [1.0, 1.0, 1.0]),
        ([1.0, 1.5, 2.0, 2.5, 2.9], [0.0, 0.0, 1.0]),
        ([2.0, 2.5, 3.0, 3.5, 5.0], [0.0, 1.0, 1.0]),  # high from the start
        ([0.5, 0.8, 1.0, 1.5, 2.0], [1.0, 0.0, 1.0]),
        ([1.0, 4.0, 3.0, 2.0, 1.5], [1.0, 1.0, 0.0]),  # falls again: rank correlation 0.1
        ([1.0, 2.0, 3.0, 5.0, 4.0], [1.0, 1.0, 1.0]),  # one pair of neighbours turned: 0.9
    ],
)
def test_claims_are_judged_by_rise_level_and_ranks(vulnerability, expected):
    for reading in (0, 1):
        assert measured(torch.tensor([vulnerability]), reading) == expected


def test_vulnerability_that_does_not_change_tracks_nothing():
    assert measured(torch.full((1, 5), 2.0)) == [0.0, 0.0, 0.0]


def test_what_is_kept_is_the_vulnerability_of_each_model_at_its_own_density(tmp_path):
    config = toy_adversarial.AdversarialConfig(
        seeds=(3,), steps=5, batch_size=16, restarts=1, features=6, hidden=2, densities=3, samples=50
    )
    model = ToyConfig(n_features=6, n_hidden=2)
    run = open_run("test", config, tmp_path / "run")
    outcome = TOY_ADVERSARIAL.run(config, run)
    sweep = train_seeds(run, "sweep", config, model, [1.0, 0.1, 0.01])
    draws = generator(3, "attacked")
    for k, p in enumerate((1.0, 0.1, 0.01)):
        x = draw(model, torch.full((6,), p), 50, draws)
        W, b, importance = sweep.W[0, k], sweep.b[0, k], torch.ones(6)
        expected = [adversarial_vulnerability(x, W, b, importance, one=one) for one in (False, True)]
        assert outcome.tensors["vulnerability"][0, :, k].tolist() == [float(each) for each in expected]
    table = outcome.tables["sweep"]
    assert table["density"].tolist() == [1.0, 0.1, 0.01]
    assert table["vulnerability, one"].tolist() == outcome.tensors["vulnerability"][0, 1].tolist()
