"""The files that data sets come in, as arrays: IDX (MNIST), the binary CIFAR sets, and ``.npz``."""

import math
import zlib
from pathlib import Path

import numpy as np

from superscope.core.errors import DataError

_PLANE = 32 * 32
_GZIP = b"\x1f\x8b"


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Return the uint8 array in an IDX file, gzipped or not (http://yann.lecun.com/exdb/mnist).

    The file: bytes 0, 0, 8 (for uint8) and the number of dimensions; the sizes as big-endian uint32; values.

    Raises:
        DataError: for a damaged gzip, another magic number, or fewer or more bytes than the sizes say.
    """
    data = path.read_bytes()
    if data[:2] == _GZIP:
        try:
            data = zlib.decompressobj(wbits=31).decompress(data)  # of a truncated file, what is there
        except zlib.error as error:
            raise DataError(f"cannot unpack {path}: {error}; fetch it again") from error
    magic = bytes((0, 0, 8, dimensions))
    if data[:4] != magic:
        raise DataError(
            f"{path} is no IDX file of {dimensions} dimensions: it starts with {data[:4].hex(' ') or '()'} "
            f"and not {magic.hex(' ')}"
        )
    start = 4 + 4 * dimensions
    sizes = [int(size) for size in np.frombuffer(data[4:start].ljust(4 * dimensions, b"\0"), ">u4")]
    expected = start + math.prod(sizes)
    if len(data) != expected:
        raise DataError(
            f"{path} is not whole: {'×'.join(map(str, sizes))} values take {expected:,} bytes "
            f"unpacked, and it has {len(data):,}; fetch it again"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(sizes)


def read_mnist(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images [n, 1, height, width] and labels [n], both uint8, from a pair of IDX files.

    Raises:
        DataError: as :func:`read_idx`.
    """
    return read_idx(images, 3)[:, None], read_idx(labels, 1)


def read_cifar(paths: list[Path], label_bytes: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images [n, 3, 32, 32] and labels [n], both uint8, from binary CIFAR files one after the other.

    A record (https://www.cs.toronto.edu/~kriz/cifar.html) is ``label_bytes`` labels, of which the last one
    counts (in CIFAR-100 the fine one), and 3,072 bytes of image.

    Raises:
        DataError: for a file that is no whole number of records, or a label that is not below ``classes``.
    """
    size = label_bytes + 3 * _PLANE
    records = []
    for path in paths:
        data = np.fromfile(path, np.uint8)
        if len(data) == 0 or len(data) % size:
            raise DataError(
                f"{path} is not whole: it has {len(data):,} bytes, and should have a multiple of {size:,} "
                f"({10_000 * size:,} for 10,000 images); fetch it again"
            )
        records.append(data.reshape(-1, size))
        if (highest := int(records[-1][:, label_bytes - 1].max())) >= classes:
            raise DataError(f"{path} is no file of CIFAR-{classes}: it has the label {highest}")
    joined = np.concatenate(records)
    return joined[:, label_bytes:].reshape(-1, 3, 32, 32), joined[:, label_bytes - 1]


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
