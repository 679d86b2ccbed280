"""Progress bars on long work: on standard error, and only where a person is looking."""

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], description: str, total: int | None = None, unit: str = "it") -> "tqdm[T]":
    """Wrap ``items`` in a progress bar, shown when standard error is a terminal."""
    return tqdm(
        items, desc=description, total=total, unit=unit, disable=None, leave=False, dynamic_ncols=True
    )
