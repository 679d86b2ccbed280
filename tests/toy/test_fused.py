import math

import numba
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from superscope.core import InputError
from superscope.core.runtime import threads
from superscope.measures import feature_norms, features_represented
from superscope.toy import ToyConfig, train
from superscope.toy.fused import FusedTrainer, _gate_table, declines
from superscope.toy.problem import Problem, start_weights
from superscope.toy.reference import ReferenceTrainer

CPU = torch.device("cpu")


def problem(config, p, importance=None, **options):
    rows = torch.tensor(p)
    weights = torch.ones_like(rows) if importance is None else torch.tensor(importance)
    given = {"restarts": 1, "steps": 10, "batch_size": 1024, "lr": 1e-3, "weight_decay": 0.01}
    return Problem(config, rows, weights, **{**given, "schedule": "constant", "seed": 0, **options})


def gradients(trainer, posed):
    """Return each copy's loss and gradient on one batch: the first moment of AdamW's first step, over 0.1."""
    loss = trainer.advance(0, 1)
    state = trainer.state()
    if isinstance(trainer, FusedTrainer):
        return loss, state["moments"][0] / 0.1
    names = [name for name in ("W", "W_out", "b") if name in state]
    return loss, torch.cat([state[f"{name}/exp_avg"].flatten(1) for name in names], 1) / 0.1


OPTIONS = {
    "n_hidden": [1, 3, 5],
    "output": ["relu", "linear", "exrelu"],
    "threshold": [-0.25, -0.6],
    "hidden": ["linear", "relu"],
    "tied": [True, False],
    "target": ["input", "abs"],
    "amplitude": ["uniform", "signed", "gaussian", "constant"],
    "correlated": [(), (2,)],
    "anticorrelated": [(), (3,)],
    "marginal": ["group", "feature"],
}


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    chosen=st.fixed_dictionaries({name: st.sampled_from(values) for name, values in OPTIONS.items()}),
    p=st.sampled_from([0.02, 0.1, 0.3]),
    seed=st.integers(0, 1000),
)
def test_expected_loss_and_gradient_are_the_references(chosen, p, seed):
    config = ToyConfig(6, **chosen)
    copies = 40  # each an instance with batches of its own, from one start
    importance = [0.5 + i / 6 for i in range(6)]
    posed = problem(config, [[p] * 6] * copies, [importance] * copies, seed=seed, batch_size=300)
    one = start_weights(problem(config, [[p] * 6], seed=seed), None)
    start = type(one)(
        *(None if w is None else w.expand(copies, *w.shape[1:]) for w in (one.W, one.b + 0.05, one.W_out))
    )
    found = gradients(FusedTrainer(posed, start), posed)
    expected = gradients(ReferenceTrainer(posed, start, CPU), posed)
    for a, b in zip(found, expected, strict=True):
        error = ((a.var(0) + b.var(0)) / copies).sqrt() + 1e-6
        # 25 examples of up to 42 numbers: one in a few hundred strays beyond 5.5 errors of 40 copies
        assert ((a.mean(0) - b.mean(0)).abs() < 5.5 * error).all()


def test_training_is_adamw_with_the_schedule():
    config = ToyConfig(2, 2, output="linear")
    options = {"lr": 0.02, "weight_decay": 0.2, "schedule": "cosine", "steps": 40, "batch_size": 2**16}
    posed = problem(config, [[0.7, 0.7]], **options)
    start = start_weights(posed, None)
    fused, reference = FusedTrainer(posed, start), ReferenceTrainer(posed, start, CPU)
    for trainer in (fused, reference):
        trainer.advance(0, 40)
    # with such batches both follow the expected gradient
    torch.testing.assert_close(fused.weights().W, reference.weights().W, rtol=0, atol=0.01)
    torch.testing.assert_close(fused.weights().b, reference.weights().b, rtol=0, atol=0.01)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core has nothing to share out")
def test_the_bits_do_not_depend_on_the_number_of_threads():
    options = {"steps": 60, "restarts": 3, "backend": "fused", "show_progress": False}
    with threads(1):
        one = train(ToyConfig(5, 2), [1.0, 0.3, 0.01], **options)
    with threads(2):
        two = train(ToyConfig(5, 2), [1.0, 0.3, 0.01], **options)
    assert torch.equal(one.W, two.W)
    assert torch.equal(one.b, two.b)
    assert torch.equal(one.history, two.history)


def test_an_instance_does_not_depend_on_those_beside_it_nor_on_the_records():
    options = {"steps": 50, "backend": "fused", "show_progress": False}
    many = train(ToyConfig(5, 2), [0.5, 0.1], restarts=2, **options)
    alone = train(ToyConfig(5, 2), [0.5], restarts=2, records=3, **options)
    assert torch.equal(many.restart_losses[0].argmin(), alone.restart_losses[0].argmin())
    assert torch.equal(many.W[0], alone.W[0])


@pytest.mark.parametrize("backend", ["fused", "reference"])
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(backend, tmp_path, monkeypatch):
    config = ToyConfig(6, 3, tied=False, hidden="relu", target="abs", amplitude="signed")
    options = {"steps": 60, "batch_size": 64, "records": 12, "snapshots": True, "restarts": 2}
    options |= {"backend": backend, "schedule": "cosine", "show_progress": False}
    whole = train(config, [0.5, 0.05], **options)
    monkeypatch.setattr("superscope.core.checkpoint.Checkpoint.due", True)
    kind = FusedTrainer if backend == "fused" else ReferenceTrainer
    advance, calls = kind.advance, []

    def stopped(self, start, stop):
        if len(calls) == 7:
            raise KeyboardInterrupt
        calls.append(start)
        return advance(self, start, stop)

    monkeypatch.setattr(kind, "advance", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(config, [0.5, 0.05], checkpoint=tmp_path / "state", **options)
    monkeypatch.setattr(kind, "advance", advance)
    resumed = train(config, [0.5, 0.05], checkpoint=tmp_path / "state", **options)
    for name in ("W", "b", "W_out", "loss", "history", "W_history", "restart_losses"):
        assert torch.equal(getattr(whole, name), getattr(resumed, name)), name
    assert calls == [0, 5, 10, 15, 20, 25, 30]


@pytest.mark.slow
def test_final_geometry_is_that_of_the_reference_over_50_seeds():
    options = {"steps": 1_500, "batch_size": 256, "lr": 5e-3, "show_progress": False}
    rows = [0.1] * 50  # fifty starts, each with batches of its own
    found = train(ToyConfig(5, 2), rows, backend="fused", seed=1, **options)
    expected = train(ToyConfig(5, 2), rows, backend="reference", seed=2, **options)
    for of in (
        lambda r: r.loss,
        lambda r: r.W.square().sum((1, 2)),
        lambda r: features_represented(r.W).float(),
        lambda r: feature_norms(r.W).amin(1),
        lambda r: r.b.mean(1),
    ):
        assert stats.ks_2samp(of(found).numpy(), of(expected).numpy()).pvalue > 0.01


def test_what_the_fast_path_declines_and_what_auto_takes():
    config = ToyConfig(3, 2)
    short = {"steps": 2, "batch_size": 8, "show_progress": False}
    assert train(config, [0.5], **short).backend == "fused"
    assert train(config, [0.5], activation=torch.tanh, **short).backend == "reference"
    assert declines(problem(config, [[0.5] * 3])) is None
    with pytest.raises(
        InputError, match=r"backend 'fused' cannot train this: .*not a function of the caller"
    ):
        train(config, [0.5], activation=torch.tanh, backend="fused", **short)


def test_a_diverging_loss_is_named():
    with pytest.raises(InputError, match="instance 1 is not finite at step"):
        train(
            ToyConfig(5, 2, output="linear"), [0.5, 0.5], [[1.0] * 5, [1.0] * 5],
            initial=torch.stack([torch.zeros(2, 5), torch.full((2, 5), 1e15)]), steps=20, show_progress=False,
        )  # fmt: skip


def test_gates_of_a_group_have_its_probability():
    low, high = torch.tensor([0.0, 0.0, 0.0, 0.1, 0.0]), torch.tensor([0.3, 0.3, 0.1, 0.2, 0.7])
    table = list(_gate_table((2,), (2,), 5, low, high))
    assert [row[:3] for row in table] == [(0, 2, 1), (2, 2, 2), (4, 1, 0)]
    np.testing.assert_allclose([row[3] for row in table], [0.3, 0.2, 0.7], rtol=1e-6)
    assert math.isclose(table[0][3], 0.3, rel_tol=1e-6)
