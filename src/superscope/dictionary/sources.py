"""Where activations come from: anything that gives shuffled batches whose order a seed decides."""

from collections.abc import Iterable, Iterator
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from superscope.core import InputError, generator

Batch = Tensor | tuple[Tensor, Tensor]


@runtime_checkable
class Source(Protocol):
    """Rows of activations, in batches; for a transcoder pairs of them, input and target."""

    width: int
    samples: int
    """Rows that one pass gives."""

    def batches(self, size: int, seed: int, start: int = 0) -> Iterator[Batch]:
        """Give one pass in batches of ``size`` rows, in an order that ``seed`` alone decides.

        ``start`` leaves out the first batches; what is too short for a batch at the end is left out too.
        """
        ...


class TensorSource:
    """The rows of a tensor [sample, width], and those of a second one [sample, output] as targets.

    Raises:
        InputError: when they are no such tensors, are not finite, or do not fit each other.
    """

    def __init__(self, x: Tensor, target: Tensor | None = None) -> None:
        for name, tensor in (("activations", x), ("target", target)):
            if tensor is not None:
                _check(name, tensor)
        if target is not None and len(target) != len(x):
            raise InputError(
                f"there are {len(x)} activations and {len(target)} targets; each row needs its own"
            )
        self._x, self._target = x, target
        self.samples, self.width = x.shape
        self.output_width = self.width if target is None else target.shape[1]

    def batches(self, size: int, seed: int, start: int = 0) -> Iterator[Batch]:
        """Give the rows in a random order."""
        order = torch.randperm(self.samples, generator=generator(seed, "order"))
        for first in range(start * size, self.samples - size + 1, size):
            rows = order[first : first + size].to(self._x.device)
            x = self._x[rows].float()
            yield x if self._target is None else (x, self._target[rows].float())


class LoaderSource:
    """A loader, or any iterable that can be gone through again: batches of rows, of any length, in its order.

    Raises:
        InputError: when it gives nothing, or no tensors of rows.
    """

    def __init__(self, loader: Iterable[Batch], samples: int | None = None) -> None:
        first = next(iter(loader), None)
        if first is None:
            raise InputError("the activations are empty; give at least one batch")
        x, y = _pair(first)
        if iter(loader) is loader:
            raise InputError("the activations can be gone through only once; give a list or a loader")
        self._loader = loader
        self.width, self.output_width = x.shape[1], y.shape[1]
        self.samples = samples if samples is not None else sum(len(_pair(batch)[0]) for batch in loader)

    def batches(self, size: int, seed: int, start: int = 0) -> Iterator[Batch]:  # noqa: ARG002 (its own order)
        """Give the rows in the loader's order."""
        waiting: list[tuple[Tensor, Tensor]] = []
        done = 0
        for batch in self._loader:
            waiting.append(_pair(batch))
            while sum(len(x) for x, _ in waiting) >= size:
                x, y = (torch.cat(parts) for parts in zip(*waiting, strict=True))
                waiting = [(x[size:], y[size:])]
                if done >= start:
                    yield x[:size].float(), y[:size].float()
                done += 1


def as_source(activations: object, target: Tensor | None) -> Source:
    """Return ``activations`` as something that gives batches.

    Raises:
        InputError: when they are nothing of the kind, hold NaN or infinite numbers, or do not fit the target.
    """
    if isinstance(activations, Tensor):
        return TensorSource(activations, target)
    if target is not None:
        raise InputError("a target goes with a tensor; a source or a loader gives pairs of input and target")
    if isinstance(activations, Source):
        return activations
    if isinstance(activations, Iterable):
        return LoaderSource(cast("Iterable[Batch]", activations))
    raise InputError(
        f"activations are a {type(activations).__name__}; give a tensor [sample, width], an activation "
        "store, a live model's activations, or a loader of tensors"
    )


def _check(name: str, x: Tensor) -> None:
    if x.ndim != 2 or not x.is_floating_point() or x.numel() == 0:
        raise InputError(
            f"{name} are {x.dtype} of shape {list(x.shape)}; give floating numbers [sample, width]"
        )
    bad = 0
    first = None
    for start, part in enumerate(x.split(65_536)):
        rows = (~part.isfinite()).any(1)
        if bool(rows.any()):
            first = start * 65_536 + int(rows.nonzero()[0]) if first is None else first
            bad += int(rows.sum())
    if bad:
        raise InputError(
            f"{bad} of {len(x)} rows of {name} hold NaN or infinite numbers, the first of them row {first}; "
            "leave them out with x[x.isfinite().all(1)], or find out where they come from"
        )


def _pair(batch: object) -> tuple[Tensor, Tensor]:
    """Return a batch as input and target."""
    parts = list(cast("Iterable[object]", batch)) if isinstance(batch, list | tuple) else [batch]
    tensors = [part for part in parts if isinstance(part, Tensor) and part.ndim == 2]
    if len(tensors) != len(parts) or len(parts) not in (1, 2):
        raise InputError("a batch of activations is a tensor [sample, width], or a pair of input and target")
    return tensors[0], tensors[-1]
