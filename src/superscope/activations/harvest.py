"""Writing the activations of a layer to a store, from which a killed harvest goes on to the same bytes."""

import hashlib
import itertools
import json
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn

from superscope.activations.inputs import called, evaluating, load_inputs
from superscope.activations.rows import LayerReader, LayerRows, one_layer
from superscope.activations.shards import DTYPES, StoredAs, Work
from superscope.activations.store import ActivationStore
from superscope.activations.writing import StoreWriter, held
from superscope.core import artifacts
from superscope.core.errors import InputError, LayerError
from superscope.core.progress import progress
from superscope.core.runtime import kept_memory, resolve_device
from superscope.data import Batch, batches
from superscope.models import check_finite
from superscope.training import load_model

SHARD_BYTES = 64 << 20
"""Of a shard's rows, where their number is not given."""


def harvest(
    model: nn.Module | str,
    data: object,
    layer: str,
    folder: Path | str,
    *,
    target: str | None = None,
    dtype: StoredAs = "float32",
    samples: int | None = None,
    skip_tokens: int = 0,
    shard_rows: int | None = None,
    weights: str | Path | None = None,
    batch_size: int = 128,
    seed: int = 0,
    device: str = "auto",
) -> ActivationStore:
    """Write what ``layer`` puts out for ``data`` to a store in ``folder``, and open it.

    A map of channels has a row for each place, a text one for each real token, other outputs one for each
    vector along the units' axis. Rows with NaN or infinite values are left out and counted in the manifest.

    An unfinished store in ``folder`` is gone on with behind its last whole shard, and ends with the same
    bytes (on a CPU; on a graphics card where the network's operations are deterministic). A finished one is
    opened as it is; one with a shard missing is made whole.

    Args:
        model: a module, or the name of one, as :func:`superscope.measure` takes it.
        data: as :func:`superscope.measure` takes it.
        layer: the name of one layer, as :func:`superscope.activations.select_layers` takes it; ``NAME:input``
            for what goes into it.
        folder: where the shards and ``manifest.json`` go; made where needed.
        target: for transcoders, a second layer, whose rows have to be of the same places: each row of the
            store is then a pair.
        dtype: how activations are stored: ``float32``, or ``float16`` or ``bfloat16`` in half the space.
        samples: how many samples to read, drawn at random where the data can be indexed; all by default.
        skip_tokens: real tokens at the start of each text that are left out.
        shard_rows: rows of a shard; as many as take 64 MiB by default. Memory holds two shards.
        weights: a file to load into a model given by name.
        batch_size: samples a forward pass, where the data does not come in batches already.
        seed: of the random subset, of the order of texts, and of the training of ``digits-mlp``.
        device: ``auto``, ``cpu``, ``cuda``, ...

    Raises:
        LayerError: when not exactly one layer matches, or the rows of two do not go together.
        ModelError: when the model cannot be built, holds NaN weights, or cannot take the data.
        DataError: when the data cannot be read, or gives no finite row.
        InputError: when an argument is out of range, or float16 cannot hold a value.
        ArtifactError: when the folder holds a store of other work, or cannot be written to.

    >>> import tempfile
    >>> net = nn.Sequential(nn.Linear(3, 8), nn.ReLU())
    >>> store = harvest(net, torch.rand(50, 3), "1", tempfile.mkdtemp())
    >>> store.samples, store.width, [len(x) for x in store.batches(20, seed=0)]
    (50, 8, [20, 20])
    """
    _check(dtype, skip_tokens, shard_rows)
    if weights is not None and isinstance(model, nn.Module):
        raise InputError("weights go with a model given by name; load them into the module before")
    where = resolve_device(device)
    network = (
        model
        if isinstance(model, nn.Module)
        else load_model(model, None if weights is None else Path(weights), seed=seed)
    )
    check_finite(network)
    layers = [one_layer(network, each) for each in (layer, target) if each is not None]
    source = load_inputs(data, model if isinstance(model, str) else None) if isinstance(data, str) else data
    stream = batches(source, batch_size=batch_size, samples=samples, seed=seed)
    path = Path(folder)
    with evaluating(network, where), kept_memory():
        read = LayerReader(network, layers, where, skip_tokens=skip_tokens)
        whole = iter(stream)
        first = next(whole)
        opening = paired(read(first), layers)
        widths = [part.values.shape[1] for part in opening]
        row = sum(widths) * DTYPES[dtype].itemsize
        work = Work(
            model=model if isinstance(model, str) else type(model).__name__,
            model_sha256=_model_hash(network),
            data=data if isinstance(data, str) else called(data),
            first_batch_sha256=_inputs_hash(first),
            layer=layers[0],
            target=layers[1] if target is not None else None,
            dtype=dtype,
            samples=samples,
            batch_size=batch_size,
            skip_tokens=skip_tokens,
            seed=seed,
            shard_rows=max(1, SHARD_BYTES // row) if shard_rows is None else shard_rows,
        )
        with held(path):
            writer = StoreWriter(path, work, widths)
            if not writer.manifest.finished:
                seen = 0
                with progress((), f"harvesting {layer}", stream.total, "sample") as bar:
                    for number, batch in enumerate(itertools.chain([first], whole)):
                        if number >= writer.next_batch:  # what is in shards already is read, and not run
                            writer.add(number, paired(read(batch), layers) if number else opening)
                        seen += len(batch)
                        bar.update(len(batch))
                writer.finish(seen)
    return ActivationStore(path)


def _check(dtype: str, skip_tokens: int, shard_rows: int | None) -> None:
    if dtype not in get_args(StoredAs):
        raise InputError(f"dtype={dtype!r}; choose {', '.join(get_args(StoredAs))}")
    if skip_tokens < 0:
        raise InputError(f"skip_tokens is {skip_tokens}; give 0 or more")
    if shard_rows is not None and shard_rows < 1:
        raise InputError(f"shard_rows is {shard_rows}; give 1 or more")


def paired(found: dict[str, LayerRows], layers: list[str]) -> list[LayerRows]:
    """Return the rows of a layer, or those of two layers that go together.

    Raises:
        LayerError: when a layer was not called, or the rows are of different places.
    """
    for name in layers:
        if name not in found:
            raise LayerError(f"layer {name} is not called in the forward pass, or puts out no floats")
    parts = [found[name] for name in layers]
    for name, part in zip(layers[1:], parts[1:], strict=True):
        same = len(part.sample) == len(parts[0].sample)
        if not (same and torch.equal(part.sample, parts[0].sample)) or not torch.equal(
            part.position, parts[0].position
        ):
            raise LayerError(
                f"layers {layers[0]} and {name} put out {len(parts[0].sample):,} and {len(part.sample):,} "
                "rows of different places; a pair needs a row of each for every place"
            )
    return parts


def _model_hash(model: nn.Module) -> str:
    state = {
        name: value
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor) and not value.is_quantized
    }
    return _digest(artifacts.tensor_hashes(state))


def _inputs_hash(batch: Batch) -> str:
    inputs = {"": batch.inputs} if isinstance(batch.inputs, Tensor) else batch.inputs
    return _digest(artifacts.tensor_hashes(inputs))


def _digest(hashes: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()
