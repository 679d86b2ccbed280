"""The only writer of files: a file is the old one or the new one, never half.

Every write goes to a temporary file in the same folder, is flushed to the disk, and is renamed over its
target. What a killed process leaves behind is a temporary file, swept the next time the folder is opened.
"""

import hashlib
import io
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_safetensors

from superscope.core.errors import ArtifactError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_PREFIX, _SUFFIX = ".superscope-", ".tmp"


def write_bytes(path: Path, data: bytes) -> Path:
    """Write ``data`` to ``path`` atomically, making its folder where needed.

    Raises:
        ArtifactError: with the path and the reason (no space, no permission, ...); nothing is left behind.
    """
    temporary = path.parent / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}{_SUFFIX}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:  # Ctrl-C too
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or error
        raise ArtifactError(
            f"cannot write {path}: {reason}; free the space, or choose another folder with --out"
        ) from error
    return path


def write_text(path: Path, text: str) -> Path:
    """Write ``text`` as UTF-8, atomically."""
    return write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> Path:
    """Write ``value`` as indented JSON, atomically, as :func:`json_text` does."""
    return write_text(path, json_text(value, indent=2) + "\n")


def json_text(value: object, indent: int | None = None) -> str:
    """Return ``value`` as JSON that every reader takes: NaN and infinity become null."""
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError):  # there are such numbers, or mappings of a kind of their own
        return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def write_table(path: Path, table: "pd.DataFrame") -> Path:
    """Write a table as CSV or Parquet, by the suffix of ``path``, without its index."""
    if path.suffix == ".parquet":
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        return write_bytes(path, buffer.getvalue())
    return write_text(path, table.to_csv(index=False))


def write_figure(path: Path, figure: "Figure") -> Path:
    """Write a Matplotlib figure in the format of the suffix (.svg, .png, .pdf), as :func:`render` does."""
    return write_bytes(path, render(figure, path.suffix.removeprefix(".")))


def render(figure: "Figure", format_: str = "svg") -> bytes:
    """Return a Matplotlib figure as the bytes of a file, without a date: the same figure, the same bytes."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "superscope", "svg.fonttype": "none"}):
        figure.savefig(
            buffer,
            format=format_,
            metadata={"Date": None} if format_ == "svg" else None,
            transparent=format_ == "svg",
        )
    return buffer.getvalue()


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> Path:
    """Write tensors as safetensors, each one's sha256 in the header under ``sha256``."""
    # Copies, since safetensors refuses tensors that share memory.
    plain = {name: _plain(value) for name, value in sorted(tensors.items())}
    return write_bytes(path, save_safetensors(plain, {"sha256": json.dumps(tensor_hashes(plain))}))


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file that :func:`write_tensors` wrote, and check every tensor against its hash.

    Raises:
        ArtifactError: when the file is missing, damaged, or a tensor is not the one that was written.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            expected = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"cannot read {path}: {error}; remove it and run again") from error
    if expected != json.dumps(tensor_hashes(tensors)):
        raise ArtifactError(f"cannot read {path}: a tensor is not the one written; remove it and run again")
    return tensors


def tensor_hashes(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Return the sha256 of each tensor's kind, shape and bytes."""
    hashes = {}
    for name, value in sorted(tensors.items()):
        plain = _plain(value)
        digest = hashlib.sha256(f"{plain.dtype} {tuple(plain.shape)}\n".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
        hashes[name] = digest.hexdigest()
    return hashes


def _plain(value: torch.Tensor) -> torch.Tensor:
    """Return a copy that lies in order; ``contiguous()`` leaves a single element its old stride."""
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


def sweep(folder: Path) -> None:
    """Remove the temporary files in and below ``folder`` that a process which is gone left behind."""
    for leftover in folder.rglob(f"{_PREFIX}*{_SUFFIX}"):
        pid = leftover.name.removeprefix(_PREFIX).split("-")[0]
        if pid.isdecimal() and not _alive(int(pid)):
            leftover.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # other systems have no handle on a folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
