"""The run directory: everything that one command found, in files that outlive it.

``config.json``, ``environment.json``, ``metrics.jsonl``, ``tables/*.csv``, ``tensors.safetensors``,
``figures/*.svg``, ``claims.json`` and, written last, ``report.html``: a run with a report is a finished one.
Long work goes through :meth:`Run.stage`, whose result is kept in ``stages/`` until the run is finished, so
that the same command started again after a kill goes on behind the last finished stage and ends with the same
bits.
"""

import contextlib
import datetime as dt
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from filelock import FileLock, Timeout

from superscope.core import artifacts
from superscope.core.config import fingerprint, to_json
from superscope.core.errors import ArtifactError
from superscope.core.runtime import environment

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

REPORT, CONFIG, LOCK = "report.html", "config.json", ".lock"


class Run:
    """One run directory. It is made, and held for this process, with the first file that is written to it."""

    def __init__(self, path: Path, config: object) -> None:
        self.path = path
        self._config = to_json(config)
        self._lock = _lock(path)
        self._ready = False
        self._metrics: list[Mapping[str, object]] = []

    @property
    def unfinished(self) -> bool:
        """Whether there are stages to go on from."""
        return (self.path / "stages").exists()

    def stage(self, name: str, work: Callable[[], Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Return the tensors of ``work()``, from the disk where an earlier try of this run finished them."""
        path = self._hold() / "stages" / f"{name}.safetensors"
        if not path.exists():
            artifacts.write_tensors(path, work())
            self.checkpoint(name).unlink(missing_ok=True)
        return artifacts.read_tensors(path)

    def checkpoint(self, name: str) -> Path:
        """Return the file in which the work of the stage ``name`` may keep its state until it is done."""
        return self._hold() / "stages" / f"{name}.partial.safetensors"

    def metric(self, **fields: object) -> None:
        """Add a line to ``metrics.jsonl``."""
        self._metrics.append(fields)

    def table(self, name: str, table: "pd.DataFrame") -> None:
        """Write ``tables/NAME.csv``."""
        artifacts.write_table(self._hold() / "tables" / f"{name}.csv", table)

    def figure(self, name: str, figure: "Figure") -> None:
        """Write ``figures/NAME.svg``."""
        artifacts.write_figure(self._hold() / "figures" / f"{name}.svg", figure)

    def tensors(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
        """Write ``tensors.safetensors`` and return the tensors' hashes."""
        artifacts.write_tensors(self._hold() / "tensors.safetensors", tensors)
        return artifacts.tensor_hashes(tensors)

    def file(self, name: str, data: bytes) -> None:
        """Write a file that the report needs beside it; ``name`` may have folders in it."""
        artifacts.write_bytes(self._hold() / name, data)

    def claims(self, claims: object) -> None:
        """Write ``claims.json``."""
        artifacts.write_json(self._hold() / "claims.json", claims)

    def finish(self, report: str) -> Path:
        """Write the metrics and, last of all, the report; drop the stages and let the directory go."""
        lines = "".join(artifacts.json_text(fields) + "\n" for fields in self._metrics)
        artifacts.write_text(self._hold() / "metrics.jsonl", lines)
        path = artifacts.write_text(self.path / REPORT, report)
        shutil.rmtree(self.path / "stages", ignore_errors=True)
        with contextlib.suppress(OSError):  # before the release, which lets another process in
            (self.path / LOCK).unlink()
        self._lock.release(force=True)
        self._ready = False
        return path

    def _hold(self) -> Path:
        if self._ready:
            return self.path
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ArtifactError(
                f"another process is writing to {self.path}; wait for it, or choose another folder with --out"
            ) from None
        except OSError as error:
            raise ArtifactError(
                f"cannot make the folder {self.path}: {error.strerror or error}; choose another with --out"
            ) from error
        _check_place(self.path, self._config)  # another process may have been here meanwhile
        artifacts.sweep(self.path)
        (self.path / REPORT).unlink(missing_ok=True)  # from here on the run is an unfinished one
        artifacts.write_text(self.path / CONFIG, self._config)
        artifacts.write_json(self.path / "environment.json", environment())
        self._ready = True
        return self.path


def open_run(command: str, config: object, out: Path | None = None) -> Run:
    """Return the run in ``out``, or the unfinished one of this config in ``runs/COMMAND/``, or a new one.

    No file of the run is written yet.

    Raises:
        ArtifactError: when ``out`` holds a run of another config, or cannot be written to.
    """
    home = Path("runs") / command
    if out is None:
        name = fingerprint(config)
        unfinished = [
            path
            for path in sorted(home.glob(f"*-{name}"))
            if not (path / REPORT).exists() and (path / CONFIG).exists()
        ]
        stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%d-%H%M%S-%f")
        out = next((path for path in reversed(unfinished) if not _held(path)), home / f"{stamp}-{name}")
    _check_place(out, to_json(config))
    return Run(out, config)


def _check_place(path: Path, config: str) -> None:
    existing = next(folder for folder in (path, *path.absolute().parents) if _exists(folder))
    if not existing.is_dir():
        raise ArtifactError(
            f"cannot make the folder {path}: {existing} is a file; choose another folder with --out"
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ArtifactError(
            f"cannot write to {existing}: permission denied; choose another folder with --out"
        )
    written = path / CONFIG
    if written.exists() and written.read_bytes() != config.encode():
        raise ArtifactError(
            f"{path} holds a run of another config; choose another folder with --out, or remove that one"
        )


def _exists(path: Path) -> bool:
    with contextlib.suppress(OSError):  # a parent that this user may not search
        return path.exists()
    return False


def _lock(path: Path) -> FileLock:
    """Return the lock of a run directory: one object a process, which can take it again after a failure."""
    return FileLock(path / LOCK, timeout=0, is_singleton=True)


def _held(path: Path) -> bool:
    try:
        with _lock(path):
            return False
    except (Timeout, OSError):
        return True
