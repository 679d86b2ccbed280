"""The files that data sets come in, as arrays: IDX (MNIST), the binary CIFAR sets, and ``.npz``."""

import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from superscope.core.errors import DataError

_PLANE = 32 * 32


class Joined:
    """Arrays one after the other along their first axis, without a copy: rows come from where they lie.

    Args:
        parts: one array or more, alike but for their number of rows.
        sample: the shape that each row is given; its own by default.
    """

    def __init__(self, parts: Sequence[np.ndarray], sample: tuple[int, ...] | None = None) -> None:
        self._parts = tuple(parts)
        self._starts = np.cumsum([0, *map(len, parts)])
        self._row = parts[0].shape[1:]
        self.shape = (int(self._starts[-1]), *(self._row if sample is None else sample))
        self.dtype, self.ndim = parts[0].dtype, len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return all of it, as one array in memory."""
        return np.concatenate(self._parts).reshape(self.shape).astype(dtype or self.dtype, copy=False)

    def __getitem__(self, key: Any) -> Any:
        """Return the rows of an array of indices; for any other key, that of the whole in memory."""
        if not isinstance(key, np.ndarray) or key.dtype.kind != "i" or key.ndim != 1:
            return np.asarray(self)[key]
        rows = np.where(key < 0, key + len(self), key)
        if ((rows < 0) | (rows >= len(self))).any():
            raise IndexError(f"rows {key.min()} to {key.max()} of {len(self)}")
        found = np.empty((len(rows), *self._row), self.dtype)
        owners = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(owners):
            mine = np.flatnonzero(owners == number)
            found[mine] = self._parts[number][rows[mine] - self._starts[number]]
        return found.reshape(len(rows), *self.shape[1:])


_GZIP = b"\x1f\x8b"


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Return the uint8 array in an IDX file, gzipped or not (http://yann.lecun.com/exdb/mnist).

    The file: bytes 0, 0, 8 (for uint8) and the number of dimensions; the sizes as big-endian uint32; values.
    One that is not gzipped is mapped into memory: only what is used of it is read.

    Raises:
        DataError: for a damaged gzip, another magic number, or fewer or more bytes than the sizes say.
    """
    data = mapped(path)
    if data[:2].tobytes() == _GZIP:
        try:
            raw = zlib.decompressobj(wbits=31).decompress(data.data)  # of a truncated file, what is there
            data = np.frombuffer(raw, np.uint8)
        except zlib.error as error:
            raise DataError(f"cannot unpack {path}: {error}; fetch it again") from error
    magic = bytes((0, 0, 8, dimensions))
    first = data[:4].tobytes()
    if first != magic:
        raise DataError(
            f"{path} is no IDX file of {dimensions} dimensions: it starts with {first.hex(' ') or '()'} "
            f"and not {magic.hex(' ')}"
        )
    start = 4 + 4 * dimensions
    header = data[4:start].tobytes().ljust(4 * dimensions, b"\0")
    sizes = [int(size) for size in np.frombuffer(header, ">u4")]
    expected = start + math.prod(sizes)
    if len(data) != expected:
        raise DataError(
            f"{path} is not whole: {'×'.join(map(str, sizes))} values take {expected:,} bytes "
            f"unpacked, and it has {len(data):,}; fetch it again"
        )
    return data[start:].reshape(sizes)


def mapped(path: Path) -> np.ndarray:
    """Return the bytes of a file as a read-only array that is mapped into memory, not read."""
    return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)


def read_mnist(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images [n, 1, height, width] and labels [n], both uint8, from a pair of IDX files.

    Raises:
        DataError: as :func:`read_idx`.
    """
    return read_idx(images, 3)[:, None], read_idx(labels, 1)


def read_cifar(paths: list[Path], label_bytes: int, classes: int) -> tuple[Joined, np.ndarray]:
    """Return images [n, 3, 32, 32] and labels [n], both uint8, from binary CIFAR files one after the other.

    The labels are read, the images mapped into memory: only those that are used are read.

    A record (https://www.cs.toronto.edu/~kriz/cifar.html) is ``label_bytes`` labels, of which the last one
    counts (in CIFAR-100 the fine one), and 3,072 bytes of image.

    Raises:
        DataError: for a file that is no whole number of records, or a label that is not below ``classes``.
    """
    size = label_bytes + 3 * _PLANE
    records = []
    for path in paths:
        data = mapped(path)
        if len(data) == 0 or len(data) % size:
            raise DataError(
                f"{path} is not whole: it has {len(data):,} bytes, and should have a multiple of {size:,} "
                f"({10_000 * size:,} for 10,000 images); fetch it again"
            )
        records.append(data.reshape(-1, size))
        if (highest := int(records[-1][:, label_bytes - 1].max())) >= classes:
            raise DataError(f"{path} is no file of CIFAR-{classes}: it has the label {highest}")
    images = [each[:, label_bytes:] for each in records]
    return Joined(images, (3, 32, 32)), np.concatenate([each[:, label_bytes - 1] for each in records])


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays in an ``.npz`` file; arrays of Python objects, which would need pickle, are refused.

    Raises:
        DataError: when the file is damaged or no ``.npz``, or one of its arrays holds Python objects.
    """
    arrays, name = {}, None
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return {"data": found}
            for name in found.files:
                arrays[name] = found[name]
    except Exception as error:  # a damaged file raises anything: ValueError, BadZipFile, EOFError, ...
        if name is None:
            raise DataError(
                f"{path} is damaged or no .npz file ({type(error).__name__}); save it with numpy.savez"
            ) from error
        what = "holds Python objects" if "Object arrays" in str(error) else f"is damaged ({error})"
        raise DataError(f"{path}: the array {name!r} {what}; save it again, as numbers") from error
    return arrays
