"""The embedded classifier: it learns, the same bits for the same seed."""

import pytest
import torch
from torch import nn

from superscope.core import ArtifactError, InputError
from superscope.core.artifacts import tensor_hashes
from superscope.core.checkpoint import Checkpoint
from superscope.training import accuracy, train_classifier


def blobs() -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % 3
    return 3 * torch.eye(3)[labels] + torch.randn(90, 3, generator=draws), labels


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.0), nn.Linear(8, 3))


def test_it_learns_and_ends_in_eval_mode() -> None:
    inputs, labels = blobs()
    network = model()
    before = accuracy(network, inputs, labels)
    trained = train_classifier(network, inputs, labels, epochs=15, lr=1e-2)
    assert trained is network
    assert not trained.training
    assert accuracy(trained, inputs, labels) > max(0.9, before)


def test_one_step_is_adam_on_the_cross_entropy() -> None:
    inputs, labels = blobs()
    one, other = model(), model()
    train_classifier(one, inputs, labels, epochs=1, batch_size=90, lr=0.1)
    nn.functional.cross_entropy(other(inputs), labels).backward()
    for name, parameter in other.named_parameters():
        assert parameter.grad is not None
        first_step = 0.1 * parameter.grad / (parameter.grad.abs() + 1e-8)  # Adam's moments are the gradient's
        torch.testing.assert_close(
            one.get_parameter(name), (parameter - first_step).detach(), rtol=0, atol=2e-4
        )


@pytest.mark.parametrize("seeds", [(0, 0), (0, 1)])
def test_the_seed_decides_the_bits(seeds: tuple[int, int]) -> None:
    inputs, labels = blobs()
    torch.rand(1)  # the global generator has no say
    hashes = [
        tensor_hashes(train_classifier(model(), inputs, labels, epochs=2, seed=seed).state_dict())
        for seed in seeds
    ]
    assert (hashes[0] == hashes[1]) == (seeds[0] == seeds[1])


def test_accuracy_counts_right_answers() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [5.0, 0.0], [1.0, 3.0]])
    assert accuracy(nn.Identity(), logits, torch.tensor([0, 1, 1, 1])) == 0.75


class KilledError(Exception):
    pass


def normed() -> nn.Module:
    """A network with buffers that training changes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


@pytest.fixture
def saved_after(monkeypatch: pytest.MonkeyPatch):
    """Have every step saved, and a training killed after so many."""

    def kill(steps: int) -> None:
        saves = []
        save = Checkpoint.save

        def counted(self: Checkpoint, state: dict[str, torch.Tensor]) -> None:
            save(self, state)
            saves.append(state)
            if len(saves) == steps:
                raise KilledError

        monkeypatch.setattr(Checkpoint, "due", True)
        monkeypatch.setattr(Checkpoint, "save", counted)

    return kill


@pytest.mark.parametrize("steps", [1, 4, 5, 7, 15])
@pytest.mark.parametrize("network", [model, normed])
def test_a_killed_training_ends_with_the_bits_of_one_that_was_not(tmp_path, saved_after, network, steps):
    inputs, labels = blobs()
    options = {"epochs": 3, "batch_size": 20, "seed": 4}  # 5 steps an epoch, the last of half a batch
    whole = train_classifier(network(), inputs, labels, **options)
    saved_after(steps)
    path = tmp_path / "state"
    with pytest.raises(KilledError):
        train_classifier(network(), inputs, labels, **options, checkpoint=path)
    resumed = train_classifier(network(), inputs, labels, **options, checkpoint=path)
    assert tensor_hashes(resumed.state_dict()) == tensor_hashes(whole.state_dict())
    assert not resumed.training


def test_a_resumed_training_takes_only_the_steps_that_are_left(tmp_path, saved_after):
    inputs, labels = blobs()
    saved_after(4)
    with pytest.raises(KilledError):
        train_classifier(model(), inputs, labels, epochs=1, batch_size=10, checkpoint=tmp_path / "state")
    calls, network = [], model()
    network.register_forward_hook(lambda *given: calls.append(len(given[2])))
    train_classifier(network, inputs, labels, epochs=1, batch_size=10, checkpoint=tmp_path / "state")
    assert calls == [10] * 5


@pytest.mark.parametrize("change", ["seed", "lr", "data", "start"])
def test_the_checkpoint_of_another_training_is_refused(tmp_path, saved_after, change):
    inputs, labels = blobs()
    saved_after(2)
    with pytest.raises(KilledError):
        train_classifier(model(), inputs, labels, epochs=1, checkpoint=tmp_path / "state")
    other = model()
    if change == "start":
        nn.init.zeros_(other[0].bias)
    elif change == "data":
        inputs = inputs + 1
    options = {"seed": 1} if change == "seed" else {"lr": 0.1} if change == "lr" else {}
    with pytest.raises(ArtifactError, match="holds the state of other work"):
        train_classifier(other, inputs, labels, epochs=1, checkpoint=tmp_path / "state", **options)


def test_a_loss_that_is_not_finite_stops_the_training():
    inputs, labels = blobs()
    with pytest.raises(InputError, match="the loss is nan after epoch 1; lower lr, now"):
        train_classifier(model(), inputs * float("inf"), labels, epochs=2)
