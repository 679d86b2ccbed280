"""The peers' environment from this side: a process a library, alive for as long as it is compared."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.peers.trainers import Task

LIBRARIES = {
    "sae_lens": "SAELens",
    "dictionary_learning": "dictionary_learning",
    "overcomplete": "overcomplete",
    "sparsify": "sparsify",
}


@dataclass(frozen=True)
class Rows:
    """Activations [sample, width] as raw float32 in a file."""

    file: Path
    count: int
    width: int

    @classmethod
    def write(cls, file: Path, x: Tensor) -> "Rows":
        x.contiguous().numpy().tofile(file)
        return cls(file, *x.shape)

    def read(self) -> Tensor:
        size = self.count * self.width
        return torch.from_file(str(self.file), size=size, dtype=torch.float32).view(self.count, self.width)

    def asked(self, device: str) -> dict[str, Any]:
        return {"rows": str(self.file), "count": self.count, "width": self.width, "device": device}


class Peer:
    """A library that trains in its own process, on one thread."""

    def __init__(self, process: subprocess.Popen[str], library: str) -> None:
        self.process, self.package = process, library
        self.architectures: tuple[str, ...] = tuple(self._answer()["architectures"])

    def make(self, name: str, task: Task) -> None:
        self.ask(do="make", name=name, task=asdict(task))

    def run(self, name: str, rows: Rows, device: str = "cpu") -> float:
        """Return the seconds that the library took for a step on every batch of the rows."""
        return self.ask(do="run", name=name, **rows.asked(device))["seconds"]

    def result(self, name: str, rows: Rows, decoder: Path, device: str = "cpu") -> tuple[Tensor, float]:
        """Return the decoder [latent, width] and the L0 on the rows, and forget the trainer."""
        l0 = self.ask(do="result", name=name, decoder=str(decoder), **rows.asked(device))["l0"]
        self.ask(do="drop", name=name)
        return load_file(decoder)["decoder"], l0

    def ask(self, **question: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(json.dumps(question), file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.package} stopped with exit code {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.package}: {answer['error']}")
        return answer


def interpreter() -> Path | None:
    """Return the Python of the peers' environment (PEERS, else .venv-peers), or None where there is none."""
    python = Path(os.environ.get("PEERS", ".venv-peers"), "bin", "python")
    return python.absolute() if python.exists() else None


@contextmanager
def peers(*libraries: str) -> Iterator[dict[str, Peer]]:
    """Start the libraries' processes, and end them."""
    python = interpreter()
    if python is None:
        print("Peers are not measured: `make bench` makes their environment, .venv-peers.\n")
        yield {}
        return
    single = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with ExitStack() as stack:
        started = {}
        for library in libraries:
            process = stack.enter_context(
                subprocess.Popen(
                    [python, "-W", "ignore", "-m", "benchmarks.peers.serve", library],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    text=True, env=os.environ | single,
                )
            )  # fmt: skip
            stack.callback(process.terminate)
            started[library] = process
        yield {library: Peer(process, LIBRARIES[library]) for library, process in started.items()}
