"""The files of an activation store: shards of rows, and the manifest that says what they hold.

A shard is a safetensors file of a few tensors with a row for each position of the network:

- ``activations`` [row, width] and, for transcoders, ``target`` [row, output_width], in the store's type;
- ``sample`` and ``position`` [row], int32: which sample of the data, and where in it;
- ``sha256`` [block, 2, 32], uint8: of each block of ``block_rows`` rows the hash of the bytes of its
  activations and targets, and that of its samples and positions.

The manifest holds a hash of each shard's header and of its tensor of hashes. So a shard is told from any
other when the store is opened, by reading a few kilobytes of it, and every row when it is first read.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import save
from torch import Tensor

from superscope.core.config import config, from_json
from superscope.core.errors import ArtifactError, ConfigError

MANIFEST = "manifest.json"
BLOCK_BYTES = 1 << 18
"""Of activations and targets in a block: the rows that are read together when a pass is shuffled."""
StoredAs = Literal["float32", "float16", "bfloat16"]
DTYPES: dict[StoredAs, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
VALUES, PLACES = ("activations", "target"), ("sample", "position")
_HASHES = "sha256"
_HEADER = 8
"""Bytes in front of a safetensors file's header, which say how long it is."""

Count = Annotated[int, Field(ge=0)]
Some = Annotated[int, Field(ge=1)]


@config
class Work:
    """What a store is of; only the same work goes on with an unfinished one."""

    model: str
    model_sha256: str
    """Of the parameters and buffers."""
    data: str
    first_batch_sha256: str
    """Of the inputs of the first batch."""
    layer: str
    target: str | None
    dtype: StoredAs
    samples: Some | None
    batch_size: Some
    skip_tokens: Count
    seed: int
    shard_rows: Some


@config
class ShardEntry:
    """A shard, and how far in the data the work was behind its last row."""

    file: Annotated[str, Field(pattern=r"^[\w-]+\.safetensors$")]
    rows: Some
    bytes: Some
    sha256: str
    """Of the header and the tensor ``sha256``."""
    batch: Count
    """The first batch with rows that are in no shard yet."""
    taken: Count
    """How many finite rows of it are."""
    not_finite: Count
    """Rows of the batches before it that were left out."""


@config
class Manifest:
    """What ``manifest.json`` holds."""

    format: Literal["superscope activations"]
    version: Literal[1]
    work: Work
    width: Some
    output_width: Some | None
    block_rows: Some
    finished: bool
    samples: Count
    """How many samples of the data the rows are of; 0 until the store is finished."""
    rows: Count
    not_finite: Count
    """How many rows held NaN or infinite values; they are not in the store."""
    shards: tuple[ShardEntry, ...]


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a store.

    Raises:
        ArtifactError: when there is none, or it cannot be read.
    """
    path = folder / MANIFEST
    try:
        return from_json(Manifest, path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArtifactError(
            f"{folder} is no activation store: it has no {MANIFEST}; make one with superscope harvest"
        ) from error
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}; make it readable") from error
    except ConfigError as error:
        raise ArtifactError(
            f"cannot read {path}: {'; '.join(error.faults)}; harvest into another folder"
        ) from error


def block_rows(row_bytes: int) -> int:
    """Return how many rows make a block."""
    return max(1, BLOCK_BYTES // row_bytes)


def packed(tensors: dict[str, Tensor], block: int) -> tuple[bytes, str]:
    """Return a shard's bytes, and the hash of its header and hashes."""
    rows = len(tensors[VALUES[0]])
    hashes = [
        [
            _hash([_raw(tensors[name][at : at + block]) for name in group if name in tensors])
            for group in (VALUES, PLACES)
        ]
        for at in range(0, rows, block)
    ]
    found = torch.from_numpy(np.frombuffer(b"".join(b"".join(each) for each in hashes), np.uint8).copy())
    data = save(tensors | {_HASHES: found.view(len(hashes), 2, 32)})
    end = _HEADER + int.from_bytes(data[:_HEADER], "little")
    return data, _hash([data[:end], found.numpy()]).hex()


def _raw(tensor: Tensor) -> np.ndarray:
    return tensor.contiguous().view(torch.uint8).numpy()


def _hash(parts: Sequence[bytes | np.ndarray]) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.data)
    return digest.digest()


class Shard:
    """One shard, opened: its size and header are as the manifest says.

    Raises:
        ArtifactError: when the file is missing or another one.
    """

    def __init__(self, folder: Path, entry: ShardEntry, manifest: Manifest) -> None:
        self.rows, self.block = entry.rows, manifest.block_rows
        self._path = folder / entry.file
        try:
            size = self._path.stat().st_size
            if size != entry.bytes:
                raise self._damaged(f"it has {size:,} bytes of {entry.bytes:,}")
            length = int.from_bytes(self._bytes(0, _HEADER), "little")
            head = self._bytes(0, _HEADER + length) if length < size else b""
            layout: dict[str, Any] = json.loads(head[_HEADER:])
            self._tensors = {
                name: (_HEADER + length + said["data_offsets"][0], _row_bytes(said))
                for name, said in layout.items()
                if name != "__metadata__"
            }
            blocks = -(-self.rows // self.block)
            hashes = self._read(_HASHES, 0, blocks)
        except FileNotFoundError as error:
            raise self._damaged("it is missing") from error
        except OSError as error:
            if isinstance(error, ArtifactError):
                raise
            raise self._damaged(error.strerror or str(error)) from error
        except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError) as error:
            raise self._damaged("its header is damaged") from error
        if _hash([head, hashes]).hex() != entry.sha256:
            raise self._damaged("it is damaged, or of another store")

    def read(self, number: int, names: tuple[str, ...], *, check: bool) -> tuple[np.ndarray, ...]:
        """Return the bytes [row, byte] of some tensors in block ``number``: ``VALUES`` or ``PLACES``.

        Raises:
            ArtifactError: when the file cannot be read, or, with ``check``, is not what was written.
        """
        start, stop = number * self.block, min(self.rows, (number + 1) * self.block)
        try:
            found = tuple(self._read(name, start, stop) for name in names if name in self._tensors)
            if check:
                expected = self._read(_HASHES, number, number + 1)[0].reshape(2, 32)[int(names == PLACES)]
                if _hash(found) != expected.tobytes():
                    raise self._damaged(f"rows {start:,} to {stop - 1:,} are not the ones written")
        except FileNotFoundError as error:
            raise self._damaged("it is missing") from error
        return found

    def _read(self, name: str, start: int, stop: int) -> np.ndarray:
        offset, row = self._tensors[name]
        rows = np.empty((stop - start, row), np.uint8)
        self._into(rows, offset + start * row)
        return rows

    def _bytes(self, start: int, count: int) -> bytes:
        found = np.empty(count, np.uint8)
        self._into(found, start)
        return found.tobytes()

    def _into(self, array: np.ndarray, offset: int) -> None:
        view, done = array.data.cast("B"), 0
        with self._path.open("rb", buffering=0) as file:
            file.seek(offset)
            while done < len(view):
                count = file.readinto(view[done:])
                if not count:
                    raise self._damaged("it ends too early")
                done += count

    def _damaged(self, reason: str) -> ArtifactError:
        return ArtifactError(
            f"cannot read {self._path}: {reason}; remove it and run the same harvest again, to make it anew"
        )


def _row_bytes(said: dict[str, Any]) -> int:
    start, stop = said["data_offsets"]
    return (stop - start) // said["shape"][0]
