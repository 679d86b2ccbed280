"""Sets of samples that can be indexed: the common face of everything that is loaded by name."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from superscope.core.errors import DataError
from superscope.data.formats import Joined

Inputs: TypeAlias = Tensor | dict[str, Tensor]


class Normalization(NamedTuple):
    """What maps a channel's values x in [0, 1] to (x − mean) / std."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, images: Tensor) -> Tensor:
        """Normalise ``images`` [n, channel, height, width]."""
        mean, std = (torch.tensor(each).view(-1, 1, 1) for each in self)
        return (images - mean) / std


IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's RGB channels, as torchvision's models take them."""


class Samples(Dataset[Any], ABC):
    """A set of samples with what is known about it; one is got by index, many by :meth:`take`.

    It works in a ``DataLoader``. (Many samples are not got by ``__getitems__``, which a ``DataLoader``
    would call and take for a list of single samples.)
    """

    name: str
    """What the set is called in tables."""
    split: str | None
    """``train`` or ``test`` (or ``val``); None where the set is not split."""
    classes: tuple[str, ...] | None
    """The names of the labels 0, 1, …; None where they have none."""
    shape: tuple[int, ...]
    """The shape of one sample; () for text, whose samples differ in length."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self, indices: Sequence[int]) -> tuple[Inputs, Tensor | None]:
        """Return the samples [n, ...] at ``indices`` and their labels [n] (int64), or None without labels.

        Inputs are float32 and normalised; whole numbers other than uint8 (tokens) are int64. A model that
        takes several inputs gets a dict of such tensors, its keyword arguments by name.
        """

    def __getitem__(self, index: int) -> tuple[Inputs, Tensor] | Inputs:
        """Return one sample and its label; the sample alone where there are no labels."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        inputs, labels = self.take([index])
        one = {name: each[0] for name, each in inputs.items()} if isinstance(inputs, dict) else inputs[0]
        return one if labels is None else (one, labels[0])


class ArraySamples(Samples):
    """Samples in memory, turned into tensors batch by batch: uint8 becomes float32 in [0, 1].

    Args:
        inputs: one sample a row: uint8, any float (as it is, in float32), or whole numbers (int64).
        labels: one whole number a sample, or None.
        name: what the set is called.
        split: which part of the set this is, or None.
        classes: the names of the labels, or None.
        normalization: by channel, for samples [channel, height, width]; None for no more than the above.

    Raises:
        DataError: for no samples, values that are no numbers, labels that do not fit, or a normalisation
            for other channels.

    >>> samples = ArraySamples(np.full((4, 1, 2, 2), 255, np.uint8), np.arange(4), name="white")
    >>> inputs, labels = samples.take([3, 0])
    >>> inputs.shape, inputs.max().item(), labels.tolist()
    (torch.Size([2, 1, 2, 2]), 1.0, [3, 0])
    """

    def __init__(
        self,
        inputs: np.ndarray | Joined,
        labels: np.ndarray | None = None,
        *,
        name: str,
        split: str | None = None,
        classes: tuple[str, ...] | None = None,
        normalization: Normalization | None = None,
    ) -> None:
        if inputs.ndim == 0 or len(inputs) == 0:
            raise DataError(f"{name}: an array of shape {inputs.shape} holds no samples")
        if inputs.dtype.kind not in "buif":
            raise DataError(
                f"{name}: the inputs are of type {inputs.dtype}, not numbers; save them as uint8 or float32"
            )
        self.name, self.split, self.classes = name, split, classes
        self.shape = tuple(inputs.shape[1:])
        self._inputs, self._normalization = inputs, normalization
        self._labels = None if labels is None else class_labels(labels, len(inputs), name)
        channels = None if normalization is None else len(normalization.mean)
        if channels is not None and (len(self.shape) != 3 or self.shape[0] != channels):
            raise DataError(
                f"{name}: a sample has the shape {self.shape}, and this normalisation is for images "
                f"({channels}, height, width); use another, or none"
            )

    def __len__(self) -> int:
        return len(self._inputs)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Return the samples and labels at ``indices``, as tensors of their own."""
        rows = np.asarray(indices, dtype=np.int64)
        chosen = self._inputs[rows]
        floating = chosen.dtype == np.uint8 or chosen.dtype.kind == "f"
        inputs = torch.from_numpy(chosen.astype(np.float32 if floating else np.int64))
        if chosen.dtype == np.uint8:
            inputs /= 255
        if self._normalization is not None:
            inputs = self._normalization.apply(inputs)
        return inputs, None if self._labels is None else torch.from_numpy(self._labels[rows])


def class_labels(labels: np.ndarray, count: int, name: str) -> np.ndarray:
    """Return ``labels`` as int64 [count], from any array of one whole number a sample.

    Raises:
        DataError: when there are more or fewer than ``count``, or they are not whole numbers.
    """
    flat = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if flat.ndim != 1 or flat.dtype.kind not in "biuf" or (flat.dtype.kind == "f" and (flat % 1 != 0).any()):
        raise DataError(
            f"{name}: labels of type {labels.dtype} and shape {labels.shape}; "
            f"expected one whole number a sample, [{count}]"
        )
    if len(flat) != count:
        raise DataError(
            f"{name}: {count:,} samples and {len(flat):,} labels; there has to be one label a sample"
        )
    return flat.astype(np.int64)
