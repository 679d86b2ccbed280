"""What an atlas is of: a network, a layer of it, and data, looked at once before any work."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from superscope.activations import unit_axis
from superscope.activations.capture import capture
from superscope.activations.inputs import called, evaluating, forward, load_inputs
from superscope.activations.rows import LayerReader, one_layer
from superscope.atlas.effects import Outlook, find_head
from superscope.atlas.exhibits import token_ids
from superscope.core import DataError, InputError, LayerError
from superscope.core.progress import progress
from superscope.core.runtime import kept_memory, resolve_device
from superscope.data import Batch, Batches, batches
from superscope.models import check_finite
from superscope.training import load_model


@dataclass(frozen=True)
class Subject:
    """A layer of a network on data."""

    network: nn.Module
    source: object
    """What :func:`superscope.data.batches` takes."""
    layer: str
    """Its full name."""
    width: int
    samples: int | None
    """How many to look at."""
    first: Batch
    outlook: Outlook
    skip_tokens: int
    device: torch.device
    batch_size: int
    seed: int
    model: str
    data: str
    tokenizer: object | None

    def stream(self) -> Batches:
        """Return the samples to look at, in batches."""
        return batches(self.source, batch_size=self.batch_size, samples=self.samples, seed=self.seed)

    @property
    def labelled(self) -> bool:
        """Whether the first samples have labels."""
        return self.first.labels is not None and bool((self.first.labels >= 0).any())


def look(
    model: nn.Module | str,
    data: object,
    layer: str,
    *,
    samples: int | None = None,
    skip_tokens: int | None = None,
    weights: str | Path | None = None,
    tokenizer: object | None = None,
    batch_size: int = 64,
    seed: int = 0,
    device: str = "auto",
) -> Subject:
    """Find model, data and layer; run a batch to see how wide the layer is and what the network predicts.

    Raises:
        ModelError, DataError: as :func:`superscope.measure` does.
        LayerError: when no layer matches, several do, or the one is not reached.
        InputError: when an argument is out of range.
    """
    if weights is not None and isinstance(model, nn.Module):
        raise InputError("weights go with a model given by name; load them into the module before")
    if skip_tokens is not None and skip_tokens < 0:
        raise InputError(f"skip_tokens is {skip_tokens}; give 0 or more")
    where = resolve_device(device)
    network = model if isinstance(model, nn.Module) else load_model(model, weights, seed=seed)
    check_finite(network)
    name = one_layer(network, layer)
    source = load_inputs(data, model if isinstance(model, str) else None) if isinstance(data, str) else data
    stream = batches(source, batch_size=batch_size, samples=samples, seed=seed)
    first = next(iter(stream))
    if isinstance(source, Iterable) and iter(source) is source:
        raise DataError(
            "this data can be run through only once, and an atlas takes several passes; give a list"
        )
    outlook = find_head(network, name, first, where)
    if skip_tokens is None:
        skip_tokens = int(outlook.predicts == "token" and token_ids(first) is not None)
    return Subject(
        network=network,
        source=source,
        layer=name,
        width=_width(network, name, first, where),
        samples=samples,
        first=first,
        outlook=outlook,
        skip_tokens=skip_tokens,
        device=where,
        batch_size=batch_size,
        seed=seed,
        model=model if isinstance(model, str) else type(model).__name__,
        data=data if isinstance(data, str) else called(data),
        tokenizer=tokenizer if tokenizer is not None else getattr(source, "tokenizer", None),
    )


def _width(network: nn.Module, layer: str, batch: Batch, device: torch.device) -> int:
    widths: list[int] = []

    def sink(_: str, module: nn.Module, output: Tensor) -> None:
        widths.append(output.shape[unit_axis(module, output)])

    with evaluating(network, device), torch.inference_mode(), capture(network, layer, sink=sink):
        forward(network, batch[:1], device)
    if len(widths) != 1:
        often = "never called" if not widths else f"called {len(widths)} times"
        raise LayerError(f"layer {layer} is {often} in a pass of the network; name one that is called once")
    return widths[0]


def rows_in_memory(subject: Subject, most: int) -> Tensor | None:
    """Return the layer's finite vectors, [row, unit] in float32; None where they take over ``most`` bytes."""
    parts: list[Tensor] = []
    taken = 0
    stream = subject.stream()
    reader = LayerReader(subject.network, [subject.layer], subject.device, skip_tokens=subject.skip_tokens)
    with (
        evaluating(subject.network, subject.device),
        kept_memory(),
        progress((), "reading activations", stream.total, "sample") as bar,
    ):
        for batch in stream:
            values: Any = reader(batch)[subject.layer].values
            values = values[values.isfinite().all(1)].float().cpu()
            parts.append(values)
            taken += values.numel() * values.element_size()
            if taken > most:
                return None
            bar.update(len(batch))
    rows = torch.cat(parts)
    if not len(rows):
        raise InputError(
            f"layer {subject.layer} gave no finite vector; look at it with superscope measure first"
        )
    return rows
