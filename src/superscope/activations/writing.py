"""Writing an activation store: whole shards, and a manifest that says behind which of them to go on."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from superscope.activations.rows import LayerRows
from superscope.activations.shards import (
    DTYPES,
    MANIFEST,
    VALUES,
    Manifest,
    ShardEntry,
    Work,
    block_rows,
    packed,
    read_manifest,
)
from superscope.core import artifacts
from superscope.core.config import to_json
from superscope.core.errors import ArtifactError, DataError, InputError, LayerError


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make the folder, and hold it for this process while the block runs."""
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise ArtifactError(
            f"another process is writing to {folder}; wait for it, or choose another folder"
        ) from None
    except OSError as error:
        raise ArtifactError(
            f"cannot write to {folder}: {error.strerror or error}; choose another folder"
        ) from error
    try:
        artifacts.sweep(folder)
        yield
    finally:
        with contextlib.suppress(OSError):  # before the release, which lets another process in
            (folder / ".lock").unlink()
        lock.release()
        with contextlib.suppress(OSError):  # where nothing was written
            folder.rmdir()


class StoreWriter:
    """Gathers rows to shards, and keeps the manifest with every one of them.

    Raises:
        ArtifactError: when the folder holds a store of other work.
    """

    def __init__(self, folder: Path, work: Work, widths: list[int]) -> None:
        self._folder, self._dtype = folder, DTYPES[work.dtype]
        row = sum(widths) * self._dtype.itemsize
        self.manifest = Manifest(
            format="superscope activations",
            version=1,
            work=work,
            width=widths[0],
            output_width=widths[1] if len(widths) > 1 else None,
            block_rows=block_rows(row),
            finished=False,
            samples=0,
            rows=0,
            not_finite=0,
            shards=(),
        )
        if (folder / MANIFEST).exists():
            self.manifest = _gone_on_with(folder, self.manifest)
        last = self.manifest.shards[-1] if self.manifest.shards else None
        self.next_batch, self._taken, self._not_finite = (
            (last.batch, last.taken, last.not_finite) if last else (0, 0, 0)
        )
        """The first batch with rows in no shard, how many rows of it are in one, and what came before it."""
        capacity = work.shard_rows
        self._buffers = {
            name: torch.empty(capacity, width, dtype=self._dtype)
            for name, width in zip(VALUES, widths, strict=False)
        } | {name: torch.empty(capacity, dtype=torch.int32) for name in ("sample", "position")}
        self._widths, self._capacity, self._filled = widths, capacity, 0

    @property
    def rows(self) -> int:
        """How many rows there are so far."""
        return self.manifest.rows + self._filled

    def add(self, number: int, parts: list[LayerRows]) -> None:
        """Add the rows of batch ``number``, but those that are in a shard already."""
        widths = [part.values.shape[1] for part in parts]
        if widths != self._widths:
            raise LayerError(f"the layer put out {self._widths[0]} units, then {widths[0]}; choose another")
        good = torch.stack([part.values.isfinite().all(1) for part in parts]).all(0)
        stored = [part.values[good].to("cpu", self._dtype) for part in parts]
        if self._dtype == torch.float16 and not all(bool(each.isfinite().all()) for each in stored):
            largest = max(float(part.values[good].abs().max()) for part in parts)
            raise InputError(
                f"an activation of {largest:,.0f} is more than float16 holds (65,504); store bfloat16 or "
                "float32, in another folder"
            )
        kept = good.cpu()
        columns = [*stored, parts[0].sample[kept], parts[0].position[kept]]
        before, rows = self._not_finite, int(kept.sum())
        at = self._taken if number == self.next_batch else 0
        while at < rows:
            count = min(rows - at, self._capacity - self._filled)
            for buffer, column in zip(self._buffers.values(), columns, strict=True):
                buffer[self._filled : self._filled + count] = column[at : at + count]
            self._filled, at = self._filled + count, at + count
            if self._filled == self._capacity:
                self._shard(number, at, before)
        self._not_finite += len(kept) - rows
        self._end = (number + 1, 0)

    def finish(self, samples: int) -> None:
        """Write the last shard, and that the store is whole.

        Raises:
            DataError: when there is no row.
        """
        if self._filled:
            self._shard(*self._end, self._not_finite)
        if not self.manifest.shards:
            raise DataError(
                f"none of the {self._not_finite:,} rows is finite: there is nothing to store; look at the "
                "layer's inputs"
            )
        self._put(finished=True, samples=samples, not_finite=self._not_finite)

    def _shard(self, batch: int, taken: int, not_finite: int) -> None:
        tensors = {name: buffer[: self._filled] for name, buffer in self._buffers.items()}
        data, digest = packed(tensors, self.manifest.block_rows)
        name = f"shard-{len(self.manifest.shards):05}.safetensors"
        artifacts.write_bytes(self._folder / name, data)
        entry = ShardEntry(name, self._filled, len(data), digest, batch, taken, not_finite)
        rows, self._filled = self.manifest.rows + self._filled, 0
        self._put(shards=(*self.manifest.shards, entry), rows=rows, not_finite=not_finite)

    def _put(self, **fields: object) -> None:
        self.manifest = dataclasses.replace(self.manifest, **fields)  # pyright: ignore[reportArgumentType]
        artifacts.write_text(self._folder / MANIFEST, to_json(self.manifest))


def _gone_on_with(folder: Path, new: Manifest) -> Manifest:
    """Return the manifest in ``folder`` without the shards from the first missing one on."""
    old = read_manifest(folder)
    was, is_ = dataclasses.asdict(old.work), dataclasses.asdict(new.work)
    if changed := [
        f"{name} was {was[name]!r} and is {is_[name]!r}" for name in was if was[name] != is_[name]
    ]:
        raise ArtifactError(
            f"{folder} holds a store of other work ({'; '.join(changed)}); choose another, or remove it"
        )
    whole = 0
    for entry in old.shards:
        path = folder / entry.file
        if not path.is_file() or path.stat().st_size != entry.bytes:
            break
        whole += 1
    if whole == len(old.shards):
        return old
    kept = old.shards[:whole]
    return dataclasses.replace(
        old,
        finished=False,
        samples=0,
        rows=sum(entry.rows for entry in kept),
        not_finite=kept[-1].not_finite if kept else 0,
        shards=kept,
    )
