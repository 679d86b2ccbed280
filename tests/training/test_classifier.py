"""The embedded classifier: it learns, the same bits for the same seed."""

import pytest
import torch
from torch import nn

from superscope.core.artifacts import tensor_hashes
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
