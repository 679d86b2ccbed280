"""Which column of a table is the text, the image, the label: by name where nobody says."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from superscope.core.errors import DataError

Kind = Literal["text", "image", "label"]

MOST_CLASSES = 1000
"""A column with more different values than this holds no class labels."""

# What such columns are called, the surest name first. A name in capitals is the same name.
_NAMES: dict[Kind, tuple[str, ...]] = {
    "text": (
        "sentence", "text", "content", "review", "question", "document", "story", "sentence1", "premise",
        "article", "passage", "body", "tweet", "prompt", "abstract", "description", "title",
    ),
    "image": ("image", "img", "images", "picture", "photo"),
    "label": (
        "label", "labels", "class", "sentiment", "target", "fine_label", "category", "intent", "emotion",
    ),
}  # fmt: skip


class Columns(NamedTuple):
    """The columns that a person named; None for one to be recognised."""

    text: str | None = None
    image: str | None = None
    label: str | None = None


def find_column(kind: Kind, wanted: str | None, there: Sequence[str], where: str) -> str | None:
    """Return which of the columns ``there`` is the text, image or label; None where no name says so.

    Raises:
        DataError: when ``wanted`` is not there; it names those that are.
    """
    if wanted is None:
        lower = {name.lower(): name for name in reversed(there)}
        return next((lower[name] for name in _NAMES[kind] if name in lower), None)
    if wanted in there:
        return wanted
    near = difflib.get_close_matches(wanted, there, 1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    raise DataError(f"{where} has no column {wanted!r}; {guess}it has {listed(there)}")


def need_column(kind: Kind, wanted: str | None, there: Sequence[str], where: str) -> str:
    """Return :func:`find_column`'s answer.

    Raises:
        DataError: also when no name says which column it is.
    """
    found = find_column(kind, wanted, there, where)
    if found is None:
        raise DataError(
            f"{where} has the columns {listed(there)}, and none of them is called as {kind}s are "
            f"({', '.join(_NAMES[kind][:7])}); name it with --{kind}-column"
        )
    return found


def listed(names: Iterable[str], most: int = 20) -> str:
    """Return the names with commas between, at most so many of them."""
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


class LabelCode:
    """From the values of a label column to class numbers: whole numbers as they are, names by their order.

    Args:
        values: all of them; or, where each is a whole number, as many as are at hand.

    Attributes:
        classes: the names in alphabetical order, whose places are the numbers; None for whole numbers.

    >>> LabelCode(["pos", "neg", "pos"]).numbers(["neg", "pos"]).tolist()
    [0, 1]
    >>> LabelCode(["3", "1"]).numbers(["3", "0"]).tolist()
    [3, 0]
    """

    def __init__(self, values: Iterable[object]) -> None:
        distinct = set()
        for value in values:
            distinct.add(value if isinstance(value, str | int | float) else "")  # which names nothing
            if len(distinct) > MOST_CLASSES:
                break
        self.numeric = all(_whole(value) is not None for value in distinct)
        self.usable = len(distinct) <= MOST_CLASSES and (self.numeric or all(map(_is_name, distinct)))
        names = sorted(str(value) for value in distinct)
        self.classes = None if self.numeric or not self.usable else tuple(names)
        self._codes = {name: code for code, name in enumerate(names)}

    def numbers(self, values: Sequence[object]) -> np.ndarray:
        """Return the class of each value, int64.

        Raises:
            KeyError: for a value that is neither a whole number nor one of the names.
        """
        if self.numeric:
            codes = [_whole(value) for value in values]
            if None in codes:
                raise KeyError(values[codes.index(None)])
            return np.array(codes, np.int64)
        return np.array([self._codes[str(value)] for value in values], np.int64)


def _whole(value: object) -> int | None:
    """Return the whole number that a value is or spells; None for others."""
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]  # what is no number fails
        return int(number) if number.is_integer() else None
    except (TypeError, ValueError):
        return None


def _is_name(value: object) -> bool:
    """Whether a value can name a class, as 0.7 and an empty field cannot."""
    try:
        float(value)  # pyright: ignore[reportArgumentType]
    except ValueError:
        return isinstance(value, str) and bool(value.strip())
    return _whole(value) is not None
