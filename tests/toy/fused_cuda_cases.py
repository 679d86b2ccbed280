"""Tests that launch the CUDA kernels; test_fused_cuda.py runs this file in a process of its own.

Triton decides as it is imported whether its functions are compiled or interpreted. With TRITON_INTERPRET set
they run on the CPU; without it, on the GPU.
"""

import math
import os
from itertools import combinations

import numpy as np
import pytest
import torch

from superscope.core import generator
from superscope.toy import fused_cuda, reference
from superscope.toy.data import draw
from superscope.toy.fused_cuda import CudaTrainer
from superscope.toy.model import ToyConfig
from superscope.toy.problem import Problem, start_weights
from superscope.toy.reference import ReferenceTrainer
from superscope.toy.stream import fill_words, stream_key

DEVICE = torch.device("cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda")

CONFIGS = {
    "relu": ToyConfig(n_features=5, n_hidden=2),
    "linear, signed": ToyConfig(n_features=3, n_hidden=1, output="linear", amplitude="signed"),
    "exrelu, gaussian": ToyConfig(
        n_features=4, n_hidden=2, output="exrelu", threshold=-0.5, amplitude="gaussian"
    ),
    "hidden relu, groups": ToyConfig(
        n_features=6, n_hidden=3, hidden="relu", correlated=(2,), anticorrelated=(3,), importance=0.8
    ),
    "untied, abs": ToyConfig(
        n_features=2, n_hidden=5, tied=False, hidden="relu", target="abs", amplitude="signed"
    ),
    "untied, constant": ToyConfig(n_features=3, n_hidden=2, tied=False, amplitude="constant"),
}


def problem(
    config, densities=(0.6,), *, batch=40, restarts=1, lr=1e-2, schedule="constant", seed=0, steps=20
):
    p = torch.tensor(densities)[:, None].repeat(1, config.n_features)
    generator_ = generator(seed, "importance")
    importance = 0.5 + torch.rand(p.shape, generator=generator_)
    return Problem(config, p, importance, restarts, steps, batch, lr, 0.1, schedule, seed)


def weights(task, size=0.5):
    """Weights and biases of which none is zero."""
    source = generator(task.seed, "weights")
    start = start_weights(task, None)
    for value in start.tensors().values():
        value.copy_(size * torch.randn(value.shape, generator=source))
    return start


def trainer(task):
    return CudaTrainer(task, weights(task), DEVICE)


def tensors(task_trainer):
    return {name: value.cpu() for name, value in task_trainer.weights().tensors().items()}


def fed_reference(task, kernel, monkeypatch):
    """The reference, which sees the kernel's own draws."""
    step = iter(range(task.steps))
    monkeypatch.setattr(reference, "draw", lambda *_: kernel.batch(next(step)).cpu())
    return ReferenceTrainer(task, weights(task), torch.device("cpu"))


@pytest.mark.parametrize("name", CONFIGS)
def test_steps_are_the_references_on_the_same_inputs(name, monkeypatch):
    task = problem(CONFIGS[name], schedule="cosine")
    kernel = trainer(task)
    slow = fed_reference(task, kernel, monkeypatch)
    for start, stop, tolerance in ((0, 1, 1e-5), (1, 20 if name == "relu" else 5, 1e-4)):
        torch.testing.assert_close(
            kernel.advance(start, stop).cpu(), slow.advance(start, stop), rtol=1e-5, atol=1e-6
        )
        wanted = slow.weights().tensors()
        assert wanted.keys() == tensors(kernel).keys()
        for key, value in tensors(kernel).items():
            torch.testing.assert_close(value, wanted[key], rtol=0, atol=tolerance)
            assert (value - weights(task).tensors()[key]).abs().max() > 0.5 * task.lr  # so it has moved


def test_each_copy_has_the_batches_of_its_instance_and_starts_from_its_own_weights(monkeypatch):
    task = problem(CONFIGS["relu"], (0.9, 0.2), restarts=2)
    kernel = trainer(task)
    slow = fed_reference(task, kernel, monkeypatch)
    torch.testing.assert_close(kernel.advance(0, 2).cpu(), slow.advance(0, 2), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(tensors(kernel)["W"], slow.weights().W, rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", range(6))
def test_expected_loss_and_gradient_are_the_references(case):
    config = list(CONFIGS.values())[case]
    batch, chunks = 2_048, 48
    task = problem(config, (0.1 + 0.15 * case,), batch=batch, lr=0.0, seed=case)
    kernel = trainer(task)
    found = [kernel.advance(0, 1).cpu()]
    # after one step the first moment is (1 − β₁) of the gradient
    state, n, m = kernel.state(), config.n_features, config.n_hidden
    found += [10 * state["matrices"][:, k, :m, :n].cpu() for k in ((1,) if config.tied else (1, 4))]
    found += [10 * state["biases"][:, 1, :n].cpu()]

    slow = ReferenceTrainer(task, weights(task), torch.device("cpu"))
    draws = []
    for _ in range(chunks):
        losses = slow.losses()
        parameters = [slow._weights[key] for key in ("W", "W_out", "b") if key in slow._weights]
        draws.append([losses.detach(), *torch.autograd.grad(losses.sum(), parameters)])
    for value, *samples in zip(found, *draws, strict=True):
        spread = torch.stack(samples)
        error = spread.std(0) * math.sqrt(1 + 1 / chunks) + 1e-6
        assert ((value - spread.mean(0)).abs() / error).max() < 5


def test_the_stream_is_that_of_the_fast_path_on_a_cpu():
    config, batch, step = ToyConfig(n_features=5, n_hidden=2), 37, 3
    task = problem(config, (0.3, 0.7), batch=batch, seed=4)
    x = trainer(task).batch(step).cpu()
    for i, p in enumerate((0.3, 0.7)):
        u = np.empty((10, 4, 5), np.float32)
        for block in range(10):
            words = np.empty((4, 5), np.uint32)
            fill_words(words, block, step, 0, stream_key(4, "batches", i))
            u[block] = (words >> 8) * 2.0**-24
        expected = np.where(u < np.float32(p), u / np.float32(p), 0).reshape(40, 5)[:batch]
        np.testing.assert_allclose(x[i].numpy(), expected, rtol=1e-6)


def test_the_stream_is_uniform_and_its_columns_steps_and_instances_do_not_go_together():
    task = problem(ToyConfig(n_features=3, n_hidden=1), (1.0, 1.0), batch=8_192)
    kernel = trainer(task)
    x = torch.cat([kernel.batch(step).cpu() for step in (0, 1)]).transpose(1, 2).flatten(0, 1)
    assert x.min() >= 0
    assert x.max() < 1
    counts = torch.stack([row.histc(16, 0, 1) for row in x])
    chi_squared = ((counts - 512) ** 2 / 512).sum(1)
    assert ((chi_squared - 15).abs() < 5 * math.sqrt(2 * 15)).all()
    for a, b in combinations(x, 2):
        assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 5 / math.sqrt(8_192)
    for row in x:
        assert abs(torch.corrcoef(torch.stack([row[1:], row[:-1]]))[0, 1]) < 5 / math.sqrt(8_192)


@pytest.mark.parametrize(
    ("amplitude", "marginal"),
    [("uniform", "group"), ("signed", "feature"), ("gaussian", "group"), ("constant", "feature")],
)
def test_inputs_have_the_moments_and_the_groups_of_the_references(amplitude, marginal):
    config = ToyConfig(
        n_features=6, n_hidden=1, amplitude=amplitude, correlated=(2,), anticorrelated=(3,), marginal=marginal
    )
    batch = 8_192
    task = problem(config, (0.3,), batch=batch)
    x = trainer(task).batch(7).cpu()[0]
    y = draw(config, task.density, 8 * batch, generator(0, "test"))[0]
    active = x != 0
    assert torch.equal(active[:, 0], active[:, 1])
    assert active[:, 2:5].sum(1).max() == 1
    for moment in (lambda z: (z != 0).float(), lambda z: z, lambda z: z**2, lambda z: z[:, :1] * z):
        a, b = moment(x), moment(y)
        error = b.std(0) * math.sqrt(1 / batch + 1 / len(y))
        assert ((a.mean(0) - b.mean(0)).abs() <= 5 * error + 1e-6).all()


def test_the_same_seed_gives_the_same_bits_however_often_it_stops():
    task = problem(CONFIGS["hidden relu, groups"])
    straight, again, killed = (trainer(task) for _ in range(3))
    losses = straight.advance(0, 2)
    assert torch.equal(losses, again.advance(0, 2))
    state = straight.state()
    straight.advance(2, 4)
    again.advance(2, 3)
    again.advance(3, 4)
    killed.restore(state)  # as it was, though training has gone on since
    killed.advance(2, 4)
    for name, value in tensors(straight).items():
        assert torch.equal(value, tensors(again)[name])
        assert torch.equal(value, tensors(killed)[name])
    other = trainer(problem(CONFIGS["hidden relu, groups"], seed=1))
    assert not torch.equal(losses, other.advance(0, 2))


def test_long_training_is_launched_in_parts(monkeypatch):
    task = problem(CONFIGS["linear, signed"])
    whole, parts = trainer(task), trainer(task)
    losses = whole.advance(0, 3)
    monkeypatch.setattr(fused_cuda, "_STEPS_A_LAUNCH", 2)
    torch.testing.assert_close(parts.advance(0, 3), losses)
    assert torch.equal(whole.weights().W, parts.weights().W)


@pytest.mark.parametrize("name", ["relu", "linear, signed", "exrelu, gaussian", "hidden relu, groups"])
def test_a_loss_that_is_not_finite_shows(name):
    task = problem(CONFIGS[name])
    start = weights(task)
    start.W[0, 0, 0] = math.nan
    assert not CudaTrainer(task, start, DEVICE).advance(0, 1).isfinite().any()
