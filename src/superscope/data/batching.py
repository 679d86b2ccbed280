"""Batches: one way to read whatever holds data, in order or a random subset of it."""

import contextlib
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from superscope.core.errors import DataError, InputError, SuperscopeError
from superscope.core.random import generator
from superscope.data.images import ImageSamples
from superscope.data.reading import read_ahead
from superscope.data.samples import Inputs, Samples
from superscope.data.text import TextSamples

_ACCEPTED = (
    "Samples, a tensor or array, a dict of them, a tuple (inputs, labels), a torch Dataset, a DataLoader, "
    "or an iterable of batches"
)


@dataclass(frozen=True)
class Batch:
    """Some samples: every tensor has one row for each."""

    inputs: Inputs
    """The model's input; or its keyword arguments, by name."""
    labels: Tensor | None = None
    """The class of each sample, int64 [n]; None where the data has no such labels."""
    indices: Tensor | None = None
    """The place of each sample in the data, int64 [n]; in an iterable of batches, its number in the pass."""

    @property
    def mask(self) -> Tensor | None:
        """Which tokens are real and not padding, bool [sample, token]: ``inputs["attention_mask"]``.

        None where the inputs have no field of that name, or one of another shape: every position counts.
        """
        mask = None if isinstance(self.inputs, Tensor) else self.inputs.get("attention_mask")
        return None if mask is None or mask.ndim != 2 else mask.bool()

    def __len__(self) -> int:
        tensor = self.inputs if isinstance(self.inputs, Tensor) else next(iter(self.inputs.values()))
        return len(tensor)

    def __getitem__(self, rows: slice | Tensor) -> "Batch":
        """Return the samples at ``rows``."""
        chosen = (
            self.inputs[rows]
            if isinstance(self.inputs, Tensor)
            else {name: tensor[rows] for name, tensor in self.inputs.items()}
        )
        labels, indices = (None if each is None else each[rows] for each in (self.labels, self.indices))
        return Batch(chosen, labels, indices)


class Batches:
    """What :func:`batches` returns: every iteration is a pass over the same samples in the same order.

    Attributes:
        total: how many samples a pass has; None when that is not known beforehand.
    """

    def __init__(
        self, total: int | None, start: Callable[[], Iterator[Batch]], *, once: bool = False
    ) -> None:
        self.total = total
        self._start, self._once, self._passes = start, once, 0

    def __iter__(self) -> Iterator[Batch]:
        self._passes += 1
        if self._once and self._passes > 1:
            raise DataError(
                "this data is an iterator, which can be run through only once; give a list of batches, a "
                "DataLoader, or an object that starts anew with each iteration"
            )
        return self._start()


def batches(
    data: object,
    *,
    batch_size: int = 128,
    samples: int | None = None,
    seed: int = 0,
    shuffle: int | None = None,
) -> Batches:
    """Read ``data`` in batches.

    Args:
        data: :class:`Samples`; a tensor or array of inputs, a dict of them, or a tuple (inputs, labels,
            ...); a torch ``Dataset``, whose samples are collated as a ``DataLoader`` does; or a
            ``DataLoader`` or other iterable of batches, each a tensor or array, a dict of them, or (inputs,
            labels, ...). Tensors keep their dtype and device. A second part that is no class label a sample
            (a mask, a regression target) is left out, and so is what follows; in a dict, ``labels`` or
            ``label`` are the labels.
        batch_size: samples a batch; batches that come from an iterable keep their own size. Text comes in
            batches of like length, in a random order that ``seed`` fixes, with more or fewer texts for about
            as many tokens each (:func:`superscope.data.text.like_lengths`).
        samples: how many samples to take: a random subset without replacement where the data can be indexed
            (with one seed, that of fewer samples is the beginning of that of more), the first ones of an
            iterable. None, or more than there are: all, in order.
        seed: of the random subset.
        shuffle: a seed that puts the samples that are taken in a random order; an iterable keeps its own.

    Raises:
        DataError: when the data is empty, of no such kind, or fails while it is read.
        InputError: when ``batch_size`` or ``samples`` is below 1.

    >>> [len(batch) for batch in batches(torch.zeros(10, 3), batch_size=4)]
    [4, 4, 2]
    """
    for name, number in (("batch_size", batch_size), ("samples", samples)):
        if number is not None and number < 1:
            raise InputError(f"{name} is {number}; give 1 or more")
    if indexed := _indexed(data):
        count, take = indexed
        if count == 0:
            raise DataError("the data is empty: it holds no samples")
        order = _order(count, samples, seed, shuffle)
        if isinstance(data, TextSamples):
            text = data
            return Batches(
                len(order),
                lambda: read_ahead(Batch(*each) for each in text.batches(order, batch_size, seed)),
            )
        rows = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        start = read_ahead if isinstance(data, ImageSamples) else iter
        return Batches(len(order), lambda: start(map(take, rows)))
    if isinstance(data, IterableDataset):
        data = DataLoader(data, batch_size, generator=torch.Generator())
    if not isinstance(data, Iterable) or isinstance(data, str | bytes):
        raise DataError(f"data of type {type(data).__name__}; give {_ACCEPTED}")
    if isinstance(data, Sequence) and not data:
        raise DataError("the data is empty: it holds no batches")
    total = _loader_total(data) if isinstance(data, DataLoader) else None
    total = total if total is None or samples is None else min(total, samples)
    return Batches(total, lambda: _stream(data, samples), once=isinstance(data, Iterator))


def _order(count: int, samples: int | None, seed: int, shuffle: int | None) -> Sequence[int]:
    order: Sequence[int] = range(count)
    if samples is not None and samples < count:
        order = torch.randperm(count, generator=generator(seed, "data", "samples"))[:samples].tolist()
    if shuffle is not None:
        mixed = torch.randperm(len(order), generator=generator(shuffle, "data", "order"))
        order = torch.tensor(order)[mixed].tolist()
    return order


def _indexed(data: object) -> tuple[int, Callable[[Sequence[int]], Batch]] | None:
    """Return the number of samples and a function that takes some of them; None for data without an index."""
    if isinstance(data, Samples):
        return len(data), lambda rows: Batch(*data.take(rows), torch.tensor(rows))
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        with _blame(data):
            count = len(data)  # pyright: ignore[reportArgumentType]  # a Dataset without a length fails, and is told so
        return count, lambda rows: _collated(data, rows)
    if _is_inputs(data) or (isinstance(data, tuple) and data and _is_inputs(data[0])):
        whole = _batch(data)
        return len(whole), lambda rows: replace(whole[_slice(rows)], indices=torch.tensor(rows))
    return None


def _slice(rows: Sequence[int]) -> slice | Tensor:
    return slice(rows.start, rows.stop) if isinstance(rows, range) else torch.tensor(rows)


def _collated(data: Dataset[Any], rows: Sequence[int]) -> Batch:
    with _blame(data):
        value = default_collate([data[row] for row in rows])
    return replace(_batch(value), indices=torch.tensor(rows))


def _stream(data: Iterable[object], samples: int | None) -> Iterator[Batch]:
    seen, end = 0, object()
    with _blame(data):
        iterator = iter(data)
    while samples is None or seen < samples:
        with _blame(data):
            value = next(iterator, end)
        if value is end:
            break
        batch = _batch(value)
        batch = replace(batch, indices=torch.arange(seen, seen + len(batch)))
        if samples is not None:
            batch = batch[: samples - seen]
        seen += len(batch)
        if len(batch):
            yield batch
    if not seen:
        raise DataError("the data is empty: it gave no samples")


def _loader_total(loader: "DataLoader[Any]") -> int | None:
    """Return how many samples a DataLoader gives; None when it streams or makes batches its own way."""
    if loader.batch_size is None or isinstance(loader.dataset, IterableDataset):
        return None
    with contextlib.suppress(TypeError):  # a sampler without a length
        count = len(loader.sampler)  # pyright: ignore[reportArgumentType]
        return count - count % loader.batch_size if loader.drop_last else count
    return None


def _is_inputs(value: object) -> bool:
    return isinstance(value, Tensor | np.ndarray | Mapping)


def _batch(value: object) -> Batch:
    """Return a tensor, array, dict of them, or a tuple or list (inputs, labels, ...) as a :class:`Batch`.

    Raises:
        DataError: for anything else, and for parts with unequal numbers of samples.
    """
    first, second = value, None
    if isinstance(value, tuple | list) and value:
        first, second = value[0], value[1] if len(value) > 1 else None
    if isinstance(first, Mapping):
        fields = dict(first)
        found = [fields.pop(name, None) for name in ("labels", "label")]
        second = next((each for each in (second, *found) if each is not None), None)
        inputs = {str(name): _tensor(each, f"the field {name!r}") for name, each in fields.items()}
    else:
        inputs = _tensor(first, "a batch")
    tensors = list(inputs.values()) if isinstance(inputs, dict) else [inputs]
    counts = {len(tensor) if tensor.ndim else None for tensor in tensors}
    if len(counts) != 1 or None in counts:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in tensors)
        raise DataError(
            f"the inputs of a batch have the shapes {shapes or '()'}; expected one row for each sample"
        )
    return Batch(inputs, _labels(second, len(tensors[0])))


def _tensor(value: object, what: str) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if not isinstance(value, np.ndarray):
        raise DataError(
            f"{what} is of type {type(value).__name__}; expected a tensor or array; data may be {_ACCEPTED}"
        )
    try:  # torch takes no foreign byte orders or negative strides, and warns of read-only memory
        return torch.from_numpy(np.require(value, value.dtype.newbyteorder("="), ["C", "W"]))
    except TypeError as error:
        raise DataError(f"{what} is an array of type {value.dtype}, not numbers") from error


def _labels(value: object, count: int) -> Tensor | None:
    if isinstance(value, list) and all(isinstance(each, int) for each in value):
        value = np.array(value, np.int64)
    if isinstance(value, np.ndarray):
        value = _tensor(value, "the labels")
    if not isinstance(value, Tensor) or value.ndim != 1 or value.is_floating_point() or value.is_complex():
        return None
    if len(value) != count:
        raise DataError(
            f"{count:,} samples and {len(value):,} labels; there has to be one label for each sample"
        )
    return value.long()


@contextlib.contextmanager
def _blame(data: object) -> Iterator[None]:
    """Turn what fails in a person's own data set into a DataError; KeyboardInterrupt passes through."""
    try:
        yield
    except SuperscopeError:
        raise
    except Exception as error:
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 400, placeholder=" ...")
        raise DataError(f"the data ({type(data).__name__}) failed while it was read: {reason}") from error
