"""The run directory: everything that one command found, in files that outlive it.

``config.json``, ``environment.json``, ``metrics.jsonl``, ``tables/*.csv``, ``tensors.safetensors``, ``figures/*.svg``,
``claims.json`` and, written last, ``report.html``: a run with a report is a finished one. Long work goes through
:meth:`Run.stage`, whose result is kept in ``stages/`` until the run is finished, so that the same command started again
after a kill goes on behind the last finished stage and ends with the same bits.
"""

import datetime
import json
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

REPORT = "report.html"


class Run:
    """One run directory, held by one process from :func:`open_run` to :meth:`finish`."""

    def __init__(self, path: Path, lock: FileLock, *, resumed: bool) -> None:
        self.path = path
        self.resumed = resumed
        self._lock = lock
        self._metrics: list[Mapping[str, object]] = []

    def stage(self, name: str, work: Callable[[], Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Return the tensors of ``work()``, from the disk where an earlier try of this run has finished them."""
        path = self.path / "stages" / f"{name}.safetensors"
        if not path.exists():
            artifacts.write_tensors(path, work())
        return artifacts.read_tensors(path)

    def metric(self, **fields: object) -> None:
        """Add a line to ``metrics.jsonl``."""
        self._metrics.append(fields)

    def table(self, name: str, table: "pd.DataFrame") -> None:
        """Write ``tables/NAME.csv``."""
        artifacts.write_table(self.path / "tables" / f"{name}.csv", table)

    def figure(self, name: str, figure: "Figure") -> None:
        """Write ``figures/NAME.svg``."""
        artifacts.write_figure(self.path / "figures" / f"{name}.svg", figure)

    def tensors(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
        """Write ``tensors.safetensors`` and return the tensors' hashes."""
        artifacts.write_tensors(self.path / "tensors.safetensors", tensors)
        return artifacts.tensor_hashes(tensors)

    def claims(self, claims: object) -> None:
        """Write ``claims.json``."""
        artifacts.write_json(self.path / "claims.json", claims)

    def finish(self, report: str) -> Path:
        """Write the metrics and, last of all, the report; drop the stages and let the directory go."""
        lines = "".join(json.dumps(fields) + "\n" for fields in self._metrics)
        artifacts.write_text(self.path / "metrics.jsonl", lines)
        path = artifacts.write_text(self.path / REPORT, report)
        shutil.rmtree(self.path / "stages", ignore_errors=True)
        self._lock.release()
        (self.path / ".lock").unlink(missing_ok=True)
        return path


def open_run(command: str, config: object, out: Path | None = None) -> Run:
    """Open ``out``, or the unfinished run of this very config under ``runs/COMMAND/``, or a new run there.

    Raises:
        ArtifactError: when ``out`` holds a run of another config, another process is writing it, or it cannot be made.
    """
    if out is not None:
        run = _hold(out, config)
        if run is None:
            raise ArtifactError(f"another process is writing to {out}; wait for it or choose another folder with --out")
        return run
    home = Path("runs") / command
    name = fingerprint(config)
    for path in sorted(home.glob(f"*-{name}"), reverse=True):
        if not (path / REPORT).exists() and (run := _hold(path, config)):
            return run
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S-%f")
    run = _hold(home / f"{stamp}-{name}", config)
    assert run is not None, "a folder with a fresh stamp is nobody else's"
    return run


def _hold(path: Path, config: object) -> Run | None:
    text = to_json(config)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        return None
    except OSError as error:
        raise ArtifactError(f"cannot make the folder {path}: {error.strerror or error}; choose another with --out") from error
    artifacts.sweep(path)
    written = path / "config.json"
    if written.exists() and written.read_text() != text:
        lock.release()
        raise ArtifactError(f"{path} holds a run of another config; choose another folder with --out, or remove this one")
    resumed = (path / "stages").exists()
    (path / REPORT).unlink(missing_ok=True)  # from here on the run is an unfinished one
    artifacts.write_text(written, text)
    artifacts.write_json(path / "environment.json", environment())
    return Run(path, lock, resumed=resumed)
