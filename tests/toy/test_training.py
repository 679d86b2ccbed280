import math
from dataclasses import fields

import pytest
import torch

from superscope.core import InputError, generator
from superscope.measures import feature_dimensionality
from superscope.toy import ToyConfig, ToyResult, initial_weights, linear_loss, train, variance
from superscope.toy.training import EVALUATION_SAMPLES

CONFIG = ToyConfig(n_features=5, n_hidden=2)
SHORT = {"steps": 30, "batch_size": 64, "lr": 1e-2, "show_progress": False}


def tensors(result):
    values = {field.name: getattr(result, field.name) for field in fields(ToyResult)}
    return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}


def cosines(W):
    directions = torch.nn.functional.normalize(W, dim=-2)
    return directions.mT @ directions


@pytest.fixture(scope="module")
def geometry():
    """Sparsity 0 and 0.8 with importance 0.9^i, and 0.9 with five equal features; three seeds."""
    falling = [0.9**i for i in range(5)]
    options = {"steps": 1_200, "batch_size": 512, "lr": 5e-3, "restarts": 8, "show_progress": False}
    return [
        train(CONFIG, [1.0, 0.2, 0.1], [falling, falling, [1.0] * 5], seed=s, **options) for s in range(3)
    ]


def test_dense_features_are_not_superposed_the_two_most_important_are_orthogonal(geometry):
    for result in geometry:
        norms = result.W[0].norm(dim=0)
        assert (norms[:2] > 0.9).all()
        assert (norms[2:] < 0.5).all()
        assert abs(cosines(result.W[0])[0, 1]) < 0.05


def test_at_sparsity_08_four_features_are_two_antipodal_pairs(geometry):
    for result in geometry:
        W = result.W[1]
        embedded = W.norm(dim=0) > 0.5
        assert embedded.sum() == 4
        among = cosines(W[:, embedded])
        assert (among.amin(1) < -0.99).all()
        torch.testing.assert_close(
            feature_dimensionality(W)[embedded], torch.full((4,), 0.5), rtol=0, atol=0.03
        )


def test_at_sparsity_09_five_equal_features_are_a_pentagon(geometry):
    for result in geometry:
        W = result.W[2]
        torch.testing.assert_close(feature_dimensionality(W), torch.full((5,), 0.4), rtol=0, atol=0.02)
        expected = torch.tensor([math.cos(turn * math.tau / 5) for turn in (2, 2, 1, 1, 0)])
        torch.testing.assert_close(cosines(W).sort(1).values, expected.expand(5, 5), rtol=0, atol=0.05)


def test_the_restart_of_the_lowest_loss_is_kept_and_restarts_differ(geometry):
    for result in geometry:
        assert result.restart_losses.shape == (3, 8)
        assert torch.equal(result.loss, result.restart_losses.amin(1))
        # at this sparsity some starts end in four features, a worse minimum than the pentagon
        assert result.restart_losses[2].max() > 1.2 * result.loss[2]


def test_training_loss_falls_and_ends_near_the_evaluated_one(geometry):
    for result in geometry:
        assert result.history.shape == (100, 3)
        assert result.steps.tolist() == list(range(12, 1_201, 12))
        assert (result.history[0] > 1.5 * result.history[-1]).all()
        torch.testing.assert_close(result.history[-10:].mean(0), result.loss, rtol=0.1, atol=0)


def test_linear_model_reaches_the_loss_of_its_closed_form():
    config = ToyConfig(n_features=4, n_hidden=2, importance=0.5, output="linear")
    p = torch.tensor([1.0, 0.1])
    result = train(config, p, steps=1_200, batch_size=256, lr=1e-2, show_progress=False)
    benefit, interfering = linear_loss(result.W, result.importance)
    torch.testing.assert_close(result.loss, variance(p) * (benefit + interfering), rtol=0.03, atol=0)
    best = result.importance[:, 2:].sum(1) * variance(p)  # the two most important features, kept whole
    torch.testing.assert_close(result.loss, best, rtol=0.03, atol=0)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    first, second, other = (train(CONFIG, [1.0, 0.1], restarts=2, seed=seed, **SHORT) for seed in (1, 1, 2))
    for name, value in tensors(first).items():
        assert torch.equal(value, tensors(second)[name]), name
    assert not torch.equal(first.W, other.W)


def test_a_start_does_not_depend_on_how_many_are_drawn_beside_it():
    many = initial_weights(CONFIG, instances=3, restarts=4, seed=7)
    assert torch.equal(initial_weights(CONFIG, 1, 1, 7)[0, 0], many[0, 0])
    assert torch.equal(initial_weights(CONFIG, 3, 2, 7), many[:, :2])
    assert len({tuple(start.flatten().tolist()) for start in many.flatten(0, 1)}) == 12


def test_starts_have_the_variance_of_one_matrix():
    config = ToyConfig(n_features=40, n_hidden=10)
    starts = initial_weights(config, 50, 1, 0)
    size = starts.numel()
    assert abs(starts.square().mean() / (2 / 50) - 1) < 4 * (2 / size) ** 0.5
    assert abs(starts.mean()) < 4 * (2 / 50 / size) ** 0.5


def test_gain_scales_the_draw_of_every_weight():
    config = ToyConfig(n_features=5, n_hidden=4, hidden="relu", tied=False)
    still = {"steps": 1, "lr": 1e-12, "weight_decay": 0.0, "seed": 7, "show_progress": False}
    one, small = (train(config, [0.5], gain=gain, **still) for gain in (1.0, 0.25))
    torch.testing.assert_close(one.W, initial_weights(config, 1, 1, 7)[:, 0])
    torch.testing.assert_close(small.W, 0.25 * one.W)
    torch.testing.assert_close(small.W_out, 0.25 * one.W_out)


def test_one_step_is_adamw_on_the_gradient_of_each_instance():
    options = {"steps": 1, "batch_size": 16, "lr": 0.1, "weight_decay": 0.5, "show_progress": False}
    result = train(CONFIG, [0.5, 0.2], **options)
    start = initial_weights(CONFIG, 2, 1, 0)[:, 0]
    # Adam's first step is lr times the sign of the gradient, after the decay by lr · weight_decay
    moved = (result.W - start * (1 - 0.1 * 0.5)) / 0.1
    torch.testing.assert_close(moved.abs(), torch.ones_like(moved), rtol=0, atol=1e-3)
    torch.testing.assert_close(result.b.abs(), torch.full((2, 5), 0.1), rtol=0, atol=1e-3)


def test_restarts_of_an_instance_share_its_evaluation_set():
    one = train(CONFIG, [0.3], restarts=1, **SHORT)
    three = train(CONFIG, [0.3], restarts=3, **SHORT)
    assert EVALUATION_SAMPLES == 65_536
    torch.testing.assert_close(one.restart_losses[0, 0], three.restart_losses[0, 0])


@pytest.mark.parametrize(
    ("importance", "expected"),
    [
        (None, [[1.0, 0.5]] * 2),
        ([2.0, 0.0], [[2.0, 0.0]] * 2),
        ([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]]),
    ],
)
def test_importance_is_the_configs_or_one_a_feature_or_one_an_instance(importance, expected):
    config = ToyConfig(n_features=2, n_hidden=1, importance=0.5)
    result = train(config, [[1.0, 0.5], [0.1, 0.2]], importance, **SHORT)
    assert result.importance.tolist() == expected
    torch.testing.assert_close(result.density, torch.tensor([[1.0, 0.5], [0.1, 0.2]]))


def test_more_hidden_units_than_features_lose_nothing():
    config = ToyConfig(n_features=2, n_hidden=4, hidden="relu")
    result = train(config, [0.5], steps=1_200, batch_size=64, lr=2e-2, restarts=3, show_progress=False)
    assert result.loss[0] < 1e-3


def test_records_of_fewer_steps_than_a_hundred_and_of_odd_numbers():
    assert train(CONFIG, [0.5], **{**SHORT, "steps": 3}).steps.tolist() == [1, 2, 3]
    steps = train(CONFIG, [0.5], **{**SHORT, "steps": 250, "batch_size": 2}).steps
    assert (len(steps), steps[-1]) == (100, 250)
    assert set(steps.diff().tolist()) == {2, 3}


def test_a_loss_that_is_not_finite_names_the_instance_and_the_step():
    # the sum over 100 features is beyond float32 with the second instance's importance only
    with pytest.raises(InputError, match=r"instance 1 is not finite at step 1;"):
        train(
            ToyConfig(n_features=100, n_hidden=2),
            [0.5, 0.5],
            [[1.0] * 100, [3e38] * 100],
            **{**SHORT, "steps": 5},
        )


@pytest.mark.parametrize(
    ("backend", "inner"),
    [("reference", "superscope.toy.reference.draw"), ("fused", "superscope.toy.fused._train_copy")],
)
def test_an_interrupt_passes(backend, inner, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(inner, interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, [0.5], backend=backend, **SHORT)


def test_global_random_state_is_left_alone():
    state = torch.get_rng_state()
    train(CONFIG, [0.5], **SHORT)
    assert torch.equal(state, torch.get_rng_state())
    assert generator(0, "init", 0, 0).initial_seed() != generator(0, "init", 0, 1).initial_seed()
