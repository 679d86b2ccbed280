"""The training loop of every dictionary; what is minimized comes from the architecture."""

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from superscope.core import InputError, generator, resolve_device
from superscope.core import progress as progress_bar
from superscope.core.checkpoint import Checkpoint
from superscope.core.config import to_json
from superscope.core.runtime import blas_threads, kept_memory, threads
from superscope.dictionary.architectures import make_dictionary
from superscope.dictionary.config import DictionaryConfig, checked_config
from superscope.dictionary.dictionary import Dictionary
from superscope.dictionary.history import History
from superscope.dictionary.normalization import Normalization, fold_
from superscope.dictionary.sources import Batch, Source, as_source
from superscope.dictionary.sparse import make_engine
from superscope.dictionary.trainer import Trainer

Backend = Literal["auto", "sparse", "dense", "reference"]

_NORMALIZED_ON = 32
_SMALL = 2**28
"""Multiplications of a step's product below which more threads wait for each other longer than they save."""


def train(
    activations: Tensor | Source | Iterable[Batch],
    config: DictionaryConfig,
    *,
    target: Tensor | None = None,
    steps: int | None = None,
    seed: int = 0,
    backend: Backend = "auto",
    device: str = "auto",
    checkpoint: Path | None = None,
    show_progress: bool = True,
) -> Dictionary:
    """Train a dictionary of ``activations``.

    What comes back takes activations as they are: centre and scale of the training are folded into its
    weights. Its decoder's rows have norm 1, and it asks for no gradients. ``history`` tells how the training
    went.

    Args:
        activations: [sample, width], read through once in random order; or a source of batches (an activation
            store, a live model), or a loader of tensors [sample, width], in its own order.
        config: the architecture, its sizes, and the training's options.
        target: [sample, output], what a transcoder reconstructs instead of the activations themselves.
        steps: optimizer steps; as many as one pass has batches where None. More go through the activations
            again, each time in another order.
        seed: of the start and of the order.
        backend: ``reference`` is plain PyTorch with autograd; ``dense`` writes the gradients out as matrix
            products; ``sparse`` touches the active latents only; ``auto`` is ``sparse``.
        device: ``auto``, ``cpu``, ``cuda``, ...
        checkpoint: a file that the state is kept in every ten seconds and that training goes on from, to the
            same bits. It stays when training ends.
        show_progress: show a bar where standard error is a terminal.

    Raises:
        ConfigError: with every fault of the config.
        InputError: for activations that cannot be used; and when the loss stops being finite, with the step.
        ArtifactError: when the checkpoint cannot be written, is damaged, or belongs to another training.

    >>> x = torch.randn(512, 8, generator=torch.Generator().manual_seed(0))
    >>> dictionary = train(x, DictionaryConfig(n_latents=16, k=2, batch_size=64))
    >>> dictionary.encode(x).shape
    torch.Size([512, 16])
    """
    config = checked_config(config)
    where = resolve_device(device)
    source = as_source(activations, target)
    wide = getattr(source, "output_width", source.width)
    dictionary = make_dictionary(config, source.width, wide, generator(seed, "dictionary")).to(where)
    a_pass = source.samples // config.batch_size
    if a_pass == 0:
        raise InputError(
            f"{source.samples} activations do not fill one batch of {config.batch_size}; lower batch_size"
        )
    total = a_pass if steps is None else steps
    if total < 1:
        raise InputError(f"steps is {total}; give at least 1")
    trainer = Trainer(dictionary, config, total, make_engine(backend, where, config.product))
    scales = _scales(source, config, seed, where)
    kept = None
    if checkpoint is not None:
        kept = Checkpoint(checkpoint, _identity(config, total, seed, backend, scales, source))
        if (state := kept.load()) is not None:
            trainer.restore(state)
    small = config.batch_size * config.n_latents * max(source.width, wide) < _SMALL
    with kept_memory(), threads(1 if small else None), blas_threads():
        todo = range(trainer.step, total)
        batches = _batches(source, config.batch_size, seed, trainer.step, a_pass)
        for _, batch in zip(
            progress_bar(todo, f"training {config.architecture}", unit="step") if show_progress else todo,
            batches,
            strict=False,
        ):
            trainer.advance(*_normalized(batch, scales, where, trainer.history))
            if kept is not None and kept.due:
                kept.save(trainer.state())
    if trainer.step < total:
        raise InputError(f"the activations ended after {trainer.step} of {total} steps")
    fold_(dictionary, *scales)
    for parameter in dictionary.parameters():
        parameter.grad = None
    dictionary.history = trainer.history
    return dictionary.eval().requires_grad_(False)  # noqa: FBT003 (torch's own name)


def _scales(
    source: Source, config: DictionaryConfig, seed: int, device: torch.device
) -> tuple[Normalization, Normalization]:
    """Return centre and scale of inputs and of targets, from the first batches of an order of their own."""
    wide = getattr(source, "output_width", source.width)
    if not config.normalize:
        return Normalization.none(source.width, device), Normalization.none(wide, device)
    taken = itertools.islice(source.batches(config.batch_size, seed), _NORMALIZED_ON)
    pairs = [_finite_rows(batch)[:2] for batch in taken]
    inputs, targets = (torch.cat([part.to(device) for part in parts]) for parts in zip(*pairs, strict=True))
    if len(inputs) == 0:
        raise InputError(
            "every row of the activations that was looked at holds NaN or infinite numbers; look at the "
            "inputs of the layer"
        )
    return Normalization.of(inputs), Normalization.of(targets)


def _batches(source: Source, size: int, seed: int, done: int, a_pass: int) -> Iterator[Batch]:
    """Give batches from pass to pass, behind those that are done."""
    for number in itertools.count(done // a_pass):
        start = done - number * a_pass if number == done // a_pass else 0
        yield from source.batches(size, _seed(seed, number), start)


def _seed(seed: int, number: int) -> int:
    """Return the seed of a pass; the first has the training's own."""
    if number == 0:
        return seed
    return int(torch.randint(2**62, (), generator=generator(seed, "pass", number)))


def _finite_rows(batch: Batch) -> tuple[Tensor, Tensor, int]:
    """Return the inputs and targets of a batch without the rows that are not finite, and their number."""
    x, y = (batch, batch) if isinstance(batch, Tensor) else batch
    if math.isfinite(float(x.sum())) and (y is x or math.isfinite(float(y.sum()))):
        return x, y, 0  # an entry that is not finite would have left none in the sum
    good = x.isfinite().all(1)
    if y is not x:
        good &= y.isfinite().all(1)
    bad = len(x) - int(good.sum())
    return (x, y, 0) if bad == 0 else (x[good], y[good], bad)


def _normalized(
    batch: Batch, scales: tuple[Normalization, Normalization], device: torch.device, history: History
) -> tuple[Tensor, Tensor]:
    x, y, bad = _finite_rows(batch)
    history.left_out += bad
    if len(x) == 0:
        raise InputError(
            "a whole batch of activations holds NaN or infinite numbers; look at the layer's inputs"
        )
    normal = scales[0](x.to(device))
    return normal, normal if y is x else scales[1](y.to(device))


def _identity(
    config: DictionaryConfig,
    steps: int,
    seed: int,
    backend: str,
    scales: tuple[Normalization, Normalization],
    source: Source,
) -> str:
    """Tell a training from others; its data by their number and by the moments of the first batches."""
    digest = hashlib.sha256(f"{to_json(config)} {steps} {seed} {backend} {source.samples}".encode())
    for scale in scales:
        digest.update(scale.centre.cpu().numpy().tobytes() + repr(scale.scale).encode())
    return digest.hexdigest()
