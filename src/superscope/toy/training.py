"""Training of toy models: every instance of a sweep, and every restart of it, in one batch of matrices."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from superscope.core import InputError, generator, resolve_device
from superscope.core import progress as progress_bar
from superscope.toy.inputs import Numbers, checked_sweep, option_faults
from superscope.toy.model import Output, ToyConfig, loss, reconstruct, sample

EVALUATION_SAMPLES = 65_536
_EVALUATION_CHUNK = 4_096
_WINDOWS = 100


@dataclass(frozen=True)
class ToyResult:
    """The models of a sweep after training, on the CPU."""

    W: Float[Tensor, "instance hidden feature"]
    """Weights; column i is the direction of feature i."""
    b: Float[Tensor, "instance feature"]
    """Biases of the output."""
    loss: Float[Tensor, " instance"]
    """Loss on the evaluation set: 65,536 samples, the same for every restart of an instance."""
    history: Float[Tensor, "record instance"]
    """Training loss of the restart that was kept, averaged over the steps since the record before."""
    steps: Int[Tensor, " record"]
    """Steps done at each record."""
    density: Float[Tensor, "instance feature"]
    """Probability that a feature is active."""
    importance: Float[Tensor, "instance feature"]
    """Weight of each feature in the loss."""
    restart_losses: Float[Tensor, "instance restart"]
    """Loss of every restart on the evaluation set; ``loss`` is the lowest of each row."""
    config: ToyConfig
    """The model."""


def train(
    config: ToyConfig,
    density: Numbers,
    importance: Numbers | None = None,
    *,
    steps: int = 10_000,
    batch_size: int = 1024,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    restarts: int = 1,
    seed: int = 0,
    backend: str = "auto",
    device: str = "auto",
    show_progress: bool = True,
) -> ToyResult:
    """Train one toy model for each row of ``density`` and return the best of ``restarts`` for each.

    AdamW works on each weight by itself, so the instances do not touch each other. Each restart of each
    instance starts from its own draw (:func:`initial_weights`) and b = 0; the restarts of an instance see the
    same batches. On a CPU the result is the same bits for the same arguments and number of threads.

    Args:
        config: the model.
        density: [instance], the same for all features, or [instance, feature]; in (0, 1].
        importance: [feature] or [instance, feature], at least 0; the config's where left out.
        steps: optimizer steps.
        batch_size: samples a step for each instance, drawn afresh.
        lr: learning rate.
        weight_decay: AdamW's.
        restarts: copies of each instance; the one with the lowest loss on the evaluation set is kept.
        seed: of the starts, the batches and the evaluation set, each with its own stream.
        backend: ``reference`` is plain PyTorch; ``auto`` takes the quickest that is there.
        device: ``auto``, ``cpu``, ``cuda``, ...
        show_progress: show a bar where standard error is a terminal.

    Raises:
        InputError: for arguments that cannot be used, every fault in one message; and when a loss stops being
            finite, with the instance and the step.

    >>> result = train(ToyConfig(n_features=5, n_hidden=2), density=[1.0, 0.1], steps=10)
    >>> result.W.shape
    torch.Size([2, 2, 5])
    """
    faults = option_faults(
        {"steps": steps, "batch_size": batch_size, "restarts": restarts},
        lr=lr,
        weight_decay=weight_decay,
        backend=backend,
    )
    p, weights = checked_sweep(config, density, importance, faults)
    where = resolve_device(device)
    p, weights = p.to(where), weights.to(where)
    windows = min(steps, _WINDOWS)
    records = [steps * k // windows for k in range(1, windows + 1)]

    W = initial_weights(config, len(p), restarts, seed).flatten(0, 1).to(where)
    b = torch.zeros(len(W), config.n_features, device=where)
    history = []
    fitting = _fit(W, b, p, weights, config.output, records, batch_size, lr, weight_decay, seed)
    for losses in progress_bar(fitting, "training", windows) if show_progress else fitting:
        _check_finite(losses, records[len(history)])
        history.append(losses)

    W, b = W.detach(), b.detach()
    losses = _evaluate(W, b, p, weights, config.output, seed)
    _check_finite(losses, steps)
    best = losses.argmin(1)
    rows = torch.arange(len(p), device=where)
    kept = best + restarts * rows
    return ToyResult(
        W=W[kept].cpu(),
        b=b[kept].cpu(),
        loss=losses[rows, best].cpu(),
        history=torch.stack(history)[:, rows, best].cpu(),
        steps=torch.tensor(records),
        density=p.cpu(),
        importance=weights.cpu(),
        restart_losses=losses.cpu(),
        config=config,
    )


def initial_weights(
    config: ToyConfig, instances: int, restarts: int, seed: int
) -> Float[Tensor, "{instances} {restarts} hidden feature"]:
    """Draw W ~ N(0, 2/(m + n)) for each restart of each instance: Xavier's normal start of one matrix.

    Each comes from its own stream of ``seed``, so it does not depend on how many are drawn beside it.
    (Xavier's start of a 3-D tensor, as in the public notebooks, counts the instances in the fan.)
    """
    shape = config.n_hidden, config.n_features
    scale = math.sqrt(2 / sum(shape))
    draws = [
        torch.randn(shape, generator=generator(seed, "init", i, r))
        for i in range(instances)
        for r in range(restarts)
    ]
    return scale * torch.stack(draws).view(instances, restarts, *shape)


def _fit(
    W: Float[Tensor, "copy hidden feature"],
    b: Float[Tensor, "copy feature"],
    p: Float[Tensor, "instance feature"],
    importance: Float[Tensor, "instance feature"],
    output: Output,
    records: Sequence[int],
    batch_size: int,
    lr: float,
    weight_decay: float,
    seed: int,
) -> Iterator[Float[Tensor, "instance restart"]]:
    """Train W and b in place and yield the mean loss of the steps up to each record."""
    restarts = len(W) // len(p)
    importance = importance.repeat_interleave(restarts, 0)
    draws = generator(seed, "batches", device=W.device)
    W.requires_grad_()
    b.requires_grad_()
    # the fused kernel is one call a step for all weights; other devices may lack it
    fused = W.device.type in ("cpu", "cuda")
    optimizer = torch.optim.AdamW([W, b], lr=lr, weight_decay=weight_decay, fused=fused)
    for count in torch.tensor([0, *records]).diff().tolist():
        total = torch.zeros(len(W), device=W.device)
        for _ in range(count):
            x = sample(p, batch_size, draws).repeat_interleave(restarts, 0)
            losses = loss(x, reconstruct(x, W, b, output), importance)
            optimizer.zero_grad()
            losses.sum().backward()
            optimizer.step()
            total += losses.detach()
        yield (total / count).unflatten(0, (-1, restarts))


def _evaluate(
    W: Float[Tensor, "copy hidden feature"],
    b: Float[Tensor, "copy feature"],
    p: Float[Tensor, "instance feature"],
    importance: Float[Tensor, "instance feature"],
    output: Output,
    seed: int,
) -> Float[Tensor, "instance restart"]:
    """Return each restart's loss on the same draws."""
    W, b = W.unflatten(0, (len(p), -1)), b.unflatten(0, (len(p), -1))
    draws = generator(seed, "evaluation", device=p.device)
    total = torch.zeros(W.shape[:2], dtype=torch.float64, device=p.device)
    chunks = EVALUATION_SAMPLES // _EVALUATION_CHUNK
    for _ in range(chunks):
        x = sample(p, _EVALUATION_CHUNK, draws)
        for r in range(W.shape[1]):
            total[:, r] += loss(x, reconstruct(x, W[:, r], b[:, r], output), importance)
    return (total / chunks).float()


def _check_finite(losses: Float[Tensor, "instance restart"], step: int) -> None:
    broken = (~losses.isfinite()).any(1).nonzero().flatten().tolist()
    if broken:
        raise InputError(
            f"the loss of instance {broken[0]} is not finite at step {step}; lower lr or importance"
        )
