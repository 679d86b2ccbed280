"""A table of Hugging Face ``datasets`` as samples: which columns are the image or the text, and the label."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from superscope.core.errors import DataError
from superscope.data.columns import MOST_CLASSES, Columns, LabelCode, find_column, listed, need_column
from superscope.data.images import ImageSamples
from superscope.data.samples import Normalization, class_labels
from superscope.data.text_files import Texts


def image_column(table: Any, columns: Columns) -> str | None:
    """Return the column of a ``datasets.Dataset`` that holds images; None where it is to be read as text.

    That is the one named; else, unless a text column is named, the first of type ``Image``; else one called
    ``image``, ``img``, … that holds encoded images (bytes, or bytes and a path).

    Raises:
        DataError: when the column named is not there or can hold no images.
    """
    from datasets import Image

    if columns.image is not None:
        find_column("image", columns.image, table.column_names, "the data set")
        if not _may_be_images(table.features[columns.image]):
            raise DataError(
                f"the column {columns.image!r} holds {_kind(table.features[columns.image])}, not images; the "
                f"data set has {described(table)}"
            )
        return columns.image
    if columns.text is not None:
        return None
    typed = [name for name, feature in table.features.items() if isinstance(feature, Image)]
    encoded = [
        name
        for name, feature in table.features.items()
        if _may_be_images(feature) and getattr(feature, "dtype", None) != "string"
    ]
    return find_column("image", None, typed, "") or next(iter(typed), find_column("image", None, encoded, ""))


def described(table: Any) -> str:
    """Return the columns of a table with the type of each."""
    return listed(f"{name} ({_kind(feature)})" for name, feature in table.features.items())


def labels_of(table: Any, wanted: str | None, taken: str) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Return the class of each sample (int64), and the names of the classes; None for what there is not.

    The column is the one named; else one called ``label``, ``labels``, ``class``, …; else the only one of
    type ``ClassLabel``. Its numbers are taken as they are, its names numbered in alphabetical order. A set
    whose labels are all −1, as are those of hidden test splits, has none.

    Raises:
        DataError: when the column named is not there, or holds no class labels.
    """
    from datasets import ClassLabel, Value

    features = {name: feature for name, feature in table.features.items() if name != taken}
    typed = [name for name, feature in features.items() if isinstance(feature, ClassLabel)]
    name = find_column("label", wanted, list(features), "the data set")
    if wanted is None and typed and name not in typed:
        name = find_column("label", None, typed, "") or (typed[0] if len(typed) == 1 else None)
    if name is None:
        return None, None
    column = table.select_columns([name]).with_format("arrow")[:][name]
    if isinstance(features[name], ClassLabel):
        numbers, classes = column.fill_null(-1).to_numpy().astype(np.int64), tuple(features[name].names)
    else:
        single = isinstance(features[name], Value)  # and not a list of labels for each sample
        code = LabelCode(column.unique().to_pylist() if single else [None])
        whole = str(column.type).startswith(("int", "uint")) and column.null_count == 0
        if not code.usable and not whole:
            if wanted is None:
                return None, None
            raise DataError(
                f"the column {name!r} holds no class labels (whole numbers, or at most {MOST_CLASSES:,} "
                f"names) but {_kind(features[name])}; the data set has {described(table)}"
            )
        numbers, classes = code.numbers(column.to_pylist()), code.classes
    return (None, None) if (numbers == -1).all() else (class_labels(numbers, len(table), name), classes)


class TableTexts(Texts):
    """A column of text in a ``datasets.Dataset``, which stays on disk until it is asked for.

    Raises:
        DataError: when no column is the text, or the one named holds none.
    """

    def __init__(self, table: Any, columns: Columns, name: str) -> None:
        strings = [each for each, feature in table.features.items() if _is_string(feature)]
        if columns.text is not None:
            find_column("text", columns.text, table.column_names, name)
            if columns.text not in strings:
                raise DataError(
                    f"the column {columns.text!r} of {name} holds {_kind(table.features[columns.text])}, "
                    f"not text; it has {described(table)}"
                )
        candidates = [each for each in strings if each != columns.label]
        if not candidates:
            raise DataError(f"{name} has neither images nor text; it has {described(table)}")
        only = candidates[0] if len(candidates) == 1 else None
        column = columns.text or only or need_column("text", None, candidates, name)
        self.name, self._table, self._column = name, table.select_columns([column]), column
        self._labels, self.classes = labels_of(table, columns.label, column)

    def __len__(self) -> int:
        return len(self._table)

    def read(self, rows: Sequence[int]) -> tuple[list[str], np.ndarray | None]:
        """Return the texts at ``rows`` and their labels, int64 [n], or None without labels."""
        texts = list(self._table[list(rows)][self._column])
        if None in texts:
            raise DataError(
                f"{self.name} has no text in row {rows[texts.index(None)]} of the column {self._column!r}"
            )
        return texts, None if self._labels is None else self._labels[np.asarray(rows, np.int64)]


class TableImages(ImageSamples):
    """A column of images in a ``datasets.Dataset``, decoded as :class:`ImageSamples` says."""

    def __init__(
        self,
        table: Any,
        column: str,
        label: str | None,
        *,
        name: str,
        split: str | None,
        normalization: Normalization | None,
        image_size: int | None,
    ) -> None:
        from datasets import Image

        self.name, self.split = name, split
        numbers, self.classes = labels_of(table, label, column)
        self._table = table.select_columns([column]).cast_column(column, Image(decode=False))
        self._column = column
        labels = None if numbers is None else torch.from_numpy(numbers)
        super().__init__(labels, normalization, image_size)

    def __len__(self) -> int:
        return len(self._table)

    def encoded(self, index: int) -> Path | bytes:
        """Return the bytes of one image, or its file where the table only names it."""
        image = self._table[index][self._column]
        if image is None or (image["bytes"] is None and image["path"] is None):
            raise DataError(f"{self.called(index)} has no image")
        return Path(image["path"]) if image["bytes"] is None else image["bytes"]

    def called(self, index: int) -> str:
        """Return the row of an image."""
        return f"{self.name}, row {index}"


def _is_string(feature: object) -> bool:
    return getattr(feature, "dtype", None) in ("string", "large_string")


def _may_be_images(feature: object) -> bool:
    """Whether a column may be read as images: typed so, encoded bytes, paths, or bytes with a path."""
    from datasets import Image

    if isinstance(feature, dict):
        return set(feature) == {"bytes", "path"}
    return isinstance(feature, Image) or getattr(feature, "dtype", None) in (
        "binary",
        "large_binary",
        "string",
    )


def _kind(feature: object) -> str:
    dtype = getattr(feature, "dtype", None)
    return dtype if isinstance(dtype, str) and type(feature).__name__ == "Value" else type(feature).__name__
