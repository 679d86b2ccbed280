"""From a layer to its atlas: activations, a dictionary trained on them, and what each latent is for."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from superscope.activations import capture
from superscope.activations.harvest import harvest
from superscope.activations.inputs import evaluating, forward
from superscope.atlas.collecting import Collected, Collector, check_width
from superscope.atlas.effects import logit_effects
from superscope.atlas.neighbours import nearest_latents
from superscope.atlas.pieces import Pieces
from superscope.atlas.receptive import receptive_field
from superscope.atlas.recovery import Recovery, loss_recovered
from superscope.atlas.result import Atlas
from superscope.atlas.subject import Subject, look, rows_in_memory
from superscope.core import InputError, SuperscopeError
from superscope.core.progress import progress
from superscope.core.runtime import kept_memory
from superscope.dictionary import Dictionary, DictionaryConfig, Source, read_dictionary, train
from superscope.dictionary.config import checked_config

MEMORY = 1 << 30
_LATENTS, _MOST_K, _LEAST_K = 16, 32, 4
_STEPS = 2000


def resolve(
    model: nn.Module | str,
    data: object,
    layer: str,
    config: DictionaryConfig | None = None,
    *,
    dictionary: Dictionary | Path | str | None = None,
    samples: int | None = None,
    steps: int | None = None,
    skip_tokens: int | None = None,
    examples: int = 12,
    recovery_samples: int = 256,
    weights: str | Path | None = None,
    tokenizer: object | None = None,
    memory: int = MEMORY,
    store: Path | str | None = None,
    checkpoint: Path | None = None,
    batch_size: int = 64,
    seed: int = 0,
    device: str = "auto",
) -> Atlas:
    """Train a dictionary on ``layer`` and say of each of its latents what it is for.

    Three passes are made over the data: for the activations, for the latents' examples, and, on some of it,
    for the loss that the network keeps with the dictionary in the layer's place.

    Args:
        model: a module, or the name of one as the command line takes it.
        data: as :func:`superscope.measure` takes it; it is read several times.
        layer: the one layer, by its full name or a glob that only it matches; ``NAME:input`` for what goes
            into a module.
        config: of the dictionary; :func:`default_config` where None.
        dictionary: one to look at in place of training one: itself, or a folder in SAELens' layout or
            sparsify's.
        samples: how many samples to look at, drawn at random; all of them by default.
        steps: of the training; one pass over the activations where None, and at least 2,000.
        skip_tokens: real tokens at the start of each text that are left out. The first token of a text draws
            much attention in language models, and its activations are like no other's; so 1 where the network
            predicts tokens, and 0 elsewhere, where None.
        examples: strongest examples of each latent; two thirds as many are drawn at random.
        recovery_samples: how many of the samples the loss is measured on.
        weights: a file to load into a model given by name.
        tokenizer: of texts, where ``data`` does not bring its own; it turns tokens into text.
        memory: bytes that the activations may take.
        store: a folder to write them to where they take more; what is there of this layer is gone on with.
        checkpoint: a file that the training keeps its state in and goes on from, to the same bits.
        batch_size: samples a forward pass.
        seed: of the subset of samples, of the training, and of the examples that are drawn.
        device: ``auto``, ``cpu``, ``cuda``, ...

    Raises:
        ConfigError: with every fault of the config.
        ModelError, DataError, LayerError: when model, data or layer cannot be found or used.
        InputError: when the dictionary is of another width than the layer, an argument is out of range, the
            activations do not fit into ``memory`` and there is no ``store``, or the training diverges.
    """
    started = time.perf_counter()
    if config is not None:
        checked_config(config)
    given = read_dictionary(Path(dictionary)) if isinstance(dictionary, str | Path) else dictionary
    if given is not None and config is not None:
        raise InputError("a config is for training a dictionary, and one is given; leave one of the two out")
    subject = look(
        model,
        data,
        layer,
        samples=samples,
        skip_tokens=skip_tokens,
        weights=weights,
        tokenizer=tokenizer,
        batch_size=batch_size,
        seed=seed,
        device=device,
    )
    notes: tuple[str, ...] = ()
    if given is None:
        rows = activations(subject, memory, store)
        config = config or default_config(subject.width)
        fitted = fitting_config(config, rows)
        notes = small_batches(config, fitted)
        given = train_on(rows, fitted, steps, seed, device, checkpoint)
    atlas = chart(subject, given, examples=examples, recovery_samples=recovery_samples)
    seconds = time.perf_counter() - started
    return dataclasses.replace(atlas, seconds=seconds, notes=(*notes, *atlas.notes))


def default_config(width: int) -> DictionaryConfig:
    """Return a TopK dictionary of 16 latents a unit, a quarter of the width of them active, from 4 to 32.

    >>> default_config(64).n_latents, default_config(64).k, default_config(768).k
    (1024, 16, 32)
    """
    latents = max(_LATENTS * width, _LEAST_K)
    return DictionaryConfig(n_latents=latents, k=min(_MOST_K, max(_LEAST_K, width // 4)))


def activations(subject: Subject, memory: int, store: Path | str | None) -> Tensor | Source:
    """Return what a dictionary is trained on: a tensor, or a store where that would be too large.

    Raises:
        InputError: when it would be too large and there is nowhere to put it.
    """
    rows = rows_in_memory(subject, memory)
    if rows is not None:
        return rows
    if store is None:
        raise InputError(
            f"the activations of {subject.layer} take more than {memory / 2**20:,.0f} MiB; give "
            "store=FOLDER, more memory, or fewer samples"
        )
    return harvest(
        subject.network,
        subject.source,
        subject.layer,
        store,
        samples=subject.samples,
        skip_tokens=subject.skip_tokens,
        batch_size=subject.batch_size,
        seed=subject.seed,
        device=str(subject.device),
    )


def fitting_config(config: DictionaryConfig, rows: Tensor | Source) -> DictionaryConfig:
    """Return the config with batches that the activations fill, a power of two at most half of them."""
    count = _count(rows)
    if count >= config.batch_size:
        return config
    return dataclasses.replace(config, batch_size=max(1, 2 ** max(0, (count // 2).bit_length() - 1)))


def small_batches(wanted: DictionaryConfig, fitted: DictionaryConfig) -> tuple[str, ...]:
    """Return what has to be said of smaller batches than were asked for."""
    if wanted.batch_size == fitted.batch_size:
        return ()
    fewer = f"Trained in batches of {fitted.batch_size:,}: there are too few activations for one of "
    return (f"{fewer}{wanted.batch_size:,}.",)


def _count(rows: Tensor | Source) -> int:
    return len(rows) if isinstance(rows, Tensor) else rows.samples


def train_on(
    rows: Tensor | Source,
    config: DictionaryConfig,
    steps: int | None,
    seed: int,
    device: str,
    checkpoint: Path | None,
) -> Dictionary:
    """Train a dictionary for ``steps``, or for one pass and at least 2,000 steps."""
    steps = max(_STEPS, _count(rows) // config.batch_size) if steps is None else steps
    return train(rows, config, steps=steps, seed=seed, checkpoint=checkpoint, device=device)


def chart(subject: Subject, dictionary: Dictionary, *, examples: int, recovery_samples: int) -> Atlas:
    """Return the atlas of a dictionary on a subject."""
    check_width(subject.layer, subject.width, dictionary)
    started = time.perf_counter()
    dictionary = dictionary.to(subject.device).eval()
    decoder = dictionary.W_dec.detach().float()
    head = subject.outlook.head
    with torch.inference_mode():
        collected = _collected(subject, dictionary, examples)
        near, cosines = nearest_latents(decoder)
        effects = head if isinstance(head, str) else logit_effects(decoder, head)
    field = (1.0, 1.0)
    if len(collected.grid) == 2 and collected.exhibits.kind == "image":
        field = receptive_field(subject.network, subject.layer, subject.first, subject.device)
    notes = ()
    if collected.nonfinite:
        notes = (f"{collected.nonfinite:,} positions hold values that are not finite; they were left out.",)
    if subject.skip_tokens:
        which = "token is" if subject.skip_tokens == 1 else f"{subject.skip_tokens} tokens are"
        notes += (f"The first {which} left out of each text.",)
    classes = getattr(subject.source, "classes", None)
    return Atlas(
        dictionary=dictionary.cpu(),
        collected=collected,
        nearest=near,
        cosines=cosines,
        effects=effects,
        recovery=_recovery(subject, dictionary, recovery_samples),
        pieces=Pieces(subject.tokenizer),
        model=subject.model,
        data=subject.data,
        layer=subject.layer,
        seconds=time.perf_counter() - started,
        classes=tuple(map(str, classes)) if isinstance(classes, list | tuple) else None,
        field=field,
        notes=notes,
    )


def _collected(subject: Subject, dictionary: Dictionary, examples: int) -> Collected:
    stream = subject.stream()
    collector = Collector(
        dictionary,
        top=examples,
        drawn=max(1, examples * 2 // 3),
        skip=subject.skip_tokens,
        seed=subject.seed,
    )
    busy: Callable[[], bool] = lambda: collector.busy  # noqa: E731
    with (
        evaluating(subject.network, subject.device),
        kept_memory(),
        capture(subject.network, subject.layer, sink=collector),
        progress((), "looking for examples", stream.total, "sample") as bar,
    ):
        for batch in stream:
            collector.expect(batch)
            forward(subject.network, batch, subject.device, busy)
            bar.update(len(batch))
    return collector.finish()


def _recovery(subject: Subject, dictionary: Dictionary, samples: int) -> Recovery | str:
    if subject.outlook.predicts is None:
        return "the network puts out no logits"
    if subject.outlook.predicts == "class" and not subject.labelled:
        return "the data has no labels"
    try:
        return loss_recovered(
            subject.network,
            subject.source,
            subject.layer,
            dictionary,
            samples=samples if subject.samples is None else min(samples, subject.samples),
            skip_tokens=subject.skip_tokens,
            seed=subject.seed,
            device=str(subject.device),
        )
    except SuperscopeError as error:  # what was trained and found is worth more than this number
        return " ".join(str(error).split())
