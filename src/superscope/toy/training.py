"""Training of toy models: every instance of a sweep, and every restart of it, in one call."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from superscope.core import InputError, generator, resolve_device
from superscope.core import progress as progress_bar
from superscope.core.checkpoint import Checkpoint
from superscope.core.runtime import threads
from superscope.toy.backends import make_trainer
from superscope.toy.data import draw
from superscope.toy.inputs import Numbers, checked_sweep, option_faults
from superscope.toy.model import Activation, ToyConfig, activation, loss, reconstruct, target
from superscope.toy.problem import Problem, Schedule, Trainer, Weights, start_weights

EVALUATION_SAMPLES = 65_536
_EVALUATION_CHUNK = 4_096
_CHUNK_NUMBERS = 2**23
_RECORDS = 100


@dataclass(frozen=True)
class ToyResult:
    """The models of a sweep after training, on the CPU."""

    W: Float[Tensor, "instance hidden feature"]
    """Weights; column i is the direction of feature i."""
    b: Float[Tensor, "instance feature"]
    """Biases of the output."""
    W_out: Float[Tensor, "instance hidden feature"] | None
    """Output weights; None in a tied model, whose they are W."""
    loss: Float[Tensor, " instance"]
    """Loss on the evaluation set: 65,536 samples, the same for every restart of an instance."""
    history: Float[Tensor, "record instance"]
    """Training loss of the restart that was kept, averaged over the steps since the record before."""
    steps: Int[Tensor, " record"]
    """Steps done at each record."""
    W_history: Float[Tensor, "record instance hidden feature"] | None
    """W at each record, where ``snapshots`` asked for it."""
    density: Float[Tensor, "instance feature"]
    """Density of each feature."""
    importance: Float[Tensor, "instance feature"]
    """Weight of each feature in the loss."""
    restart_losses: Float[Tensor, "instance restart"]
    """Loss of every restart on the evaluation set; ``loss`` is the lowest of each row."""
    config: ToyConfig
    """The model."""
    backend: str
    """What trained it: reference or fused."""


def train(
    config: ToyConfig,
    density: Numbers,
    importance: Numbers | None = None,
    *,
    steps: int = 10_000,
    batch_size: int = 1024,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    schedule: Schedule = "constant",
    restarts: int = 1,
    gain: float = 1.0,
    seed: int = 0,
    backend: Literal["auto", "reference", "fused"] | str = "auto",  # noqa: PYI051 (the choices, for the reader)
    device: str = "auto",
    activation: Activation | None = None,
    initial: Tensor | None = None,
    snapshots: bool = False,
    records: int = _RECORDS,
    checkpoint: Path | None = None,
    show_progress: bool = True,
) -> ToyResult:
    """Train one toy model for each row of ``density`` and return the best of ``restarts`` for each.

    The instances do not touch each other. Each restart of each instance starts from its own draw
    (:func:`initial_weights`) and b = 0; the restarts of an instance see the same batches. On a CPU the result
    is the same bits for the same arguments, with ``fused`` whatever the number of threads.

    Args:
        config: the model and what its inputs are like.
        density: [instance], the same for all features, or [instance, feature]; in (0, 1].
        importance: [feature] or [instance, feature], at least 0; the config's where left out.
        steps: optimizer steps.
        batch_size: samples a step for each instance, drawn afresh.
        lr: learning rate of AdamW.
        weight_decay: AdamW's.
        schedule: ``constant``, or ``cosine`` from lr down to 0.
        restarts: copies of each instance; the one with the lowest loss on the evaluation set is kept.
        gain: the start's deviation over that of Xavier's normal start. Small starts let features compete for
            neurons one after the other: wide networks with a ReLU on the hidden units then end in far lower
            losses. (In the public notebooks' start of a 3-D tensor [k, n, m], gain is √((m + n)/(m(n + k))).)
        seed: of the starts, the batches and the evaluation set, each with its own stream.
        backend: ``reference`` is plain PyTorch, ``fused`` trains each copy inside the core's cache;
            ``auto`` takes ``fused`` where it can do what is asked.
        device: ``auto``, ``cpu``, ``cuda``, ...
        activation: a function on tensors in place of the config's output; ``reference`` only.
        initial: [instance, hidden, feature], the start of W in place of a draw; tied models only.
        snapshots: keep W at every record.
        records: how many times the loss is recorded; at most once a step.
        checkpoint: a file that the state is kept in every ten seconds and that training goes on from, to the
            same bits. It stays when training ends.
        show_progress: show a bar where standard error is a terminal.

    Raises:
        InputError: for arguments that cannot be used, every fault in one message; and when a loss stops being
            finite, with the instance and the step.
        ArtifactError: when the checkpoint cannot be written, is damaged or belongs to another training.

    >>> result = train(ToyConfig(n_features=5, n_hidden=2), density=[1.0, 0.1], steps=10)
    >>> result.W.shape
    torch.Size([2, 2, 5])
    """
    faults = option_faults(
        {"steps": steps, "batch_size": batch_size, "restarts": restarts, "records": records},
        lr=lr,
        weight_decay=weight_decay,
        gain=gain,
        schedule=schedule,
        backend=backend,
    )
    p, weights = checked_sweep(config, density, importance, faults, initial)
    problem = Problem(
        config, p, weights, restarts, steps, batch_size, lr, weight_decay, schedule, seed, activation
    )
    start = start_weights(problem, initial, gain)
    trainer, where, used = make_trainer(problem, start, resolve_device(device), backend)
    marks = [steps * k // min(steps, records) for k in range(min(steps, records) + 1)]
    kept = None if checkpoint is None else Checkpoint(checkpoint, _identity(problem, start, marks, used))
    history, snaps = _fit(trainer, problem, marks, kept, snapshots=snapshots, show_progress=show_progress)

    final = trainer.weights()
    with threads(1):  # on small matrices more threads wait for each other
        losses = _evaluate(final, problem, where)
    _check_finite(losses, steps)
    best = losses.argmin(1)
    rows = torch.arange(len(p))
    copies = best.cpu() + restarts * rows
    chosen = {name: value.cpu()[copies] for name, value in final.tensors().items()}
    return ToyResult(
        W=chosen["W"],
        b=chosen["b"],
        W_out=chosen.get("W_out"),
        loss=losses.cpu()[rows, best.cpu()],
        history=history[:, copies],
        steps=torch.tensor(marks[1:]),
        W_history=snaps[:, copies] if snapshots else None,
        density=p,
        importance=weights,
        restart_losses=losses.cpu(),
        config=config,
        backend=used,
    )


def _fit(
    trainer: Trainer,
    problem: Problem,
    marks: list[int],
    checkpoint: Checkpoint | None,
    *,
    snapshots: bool,
    show_progress: bool,
) -> tuple[Float[Tensor, "record copy"], Float[Tensor, "kept copy hidden feature"]]:
    """Train from mark to mark, and return what was recorded at each."""
    copies = len(problem.density) * problem.restarts
    shape = copies, problem.config.n_hidden, problem.config.n_features
    history, snaps = torch.empty(0, copies), torch.empty(0, *shape)
    if checkpoint is not None and (state := checkpoint.load()) is not None:
        history, snaps = state.pop("history"), state.pop("snapshots")
        trainer.restore(state)
    windows = list(pairwise(marks))[len(history) :]
    bar = progress_bar(windows, "training", unit="record") if show_progress else windows
    for start, stop in bar:
        losses = trainer.advance(start, stop).cpu()
        _check_finite(losses.unflatten(0, (-1, problem.restarts)), stop)
        history = torch.cat([history, losses[None]])
        if snapshots:
            snaps = torch.cat([snaps, trainer.weights().W.cpu()[None]])
        if checkpoint is not None and checkpoint.due:
            checkpoint.save({**trainer.state(), "history": history, "snapshots": snaps})
    return history, snaps


def _identity(problem: Problem, start: Weights, marks: list[int], backend: str) -> str:
    """Tell one training from another by all that decides its bits."""
    parts: Mapping[str, object] = {**vars(problem), **start.tensors(), "marks": marks, "backend": backend}
    digest = hashlib.sha256()
    for name, value in parts.items():
        told = value.numpy().tobytes() if isinstance(value, Tensor) else repr(value).encode()
        if name == "activation" and value is not None:  # a function has no bits of its own; its name must do
            told = repr(getattr(value, "__qualname__", type(value).__qualname__)).encode()
        digest.update(name.encode() + told)
    return digest.hexdigest()


def _evaluate(weights: Weights, problem: Problem, where: torch.device) -> Float[Tensor, "instance restart"]:
    """Return each restart's loss on the same draws."""
    config, restarts = problem.config, problem.restarts
    p, importance = problem.density.to(where), problem.importance.to(where)
    by_restart = {
        name: value.to(where).unflatten(0, (-1, restarts)) for name, value in weights.tensors().items()
    }
    f = problem.activation or activation(config.output, config.threshold)
    draws = generator(problem.seed, "evaluation", device=where)
    total = torch.zeros(len(p), restarts, dtype=torch.float64, device=where)
    chunk = _EVALUATION_CHUNK
    while chunk > 64 and chunk * p.numel() > _CHUNK_NUMBERS:
        chunk //= 2
    for _ in range(EVALUATION_SAMPLES // chunk):
        x = draw(config, p, chunk, draws)
        wanted = target(x, config)
        for r in range(restarts):
            now = {name: value[:, r] for name, value in by_restart.items()}
            given = reconstruct(x, now["W"], now["b"], f, W_out=now.get("W_out"), hidden=config.hidden)
            total[:, r] += loss(wanted, given, importance)
    return (total / (EVALUATION_SAMPLES // chunk)).float()


def _check_finite(losses: Float[Tensor, "instance restart"], step: int) -> None:
    broken = (~losses.isfinite()).any(1).nonzero().flatten().tolist()
    if broken:
        raise InputError(
            f"the loss of instance {broken[0]} is not finite at step {step}; lower lr or importance"
        )
