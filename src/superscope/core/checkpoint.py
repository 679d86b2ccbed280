"""A checkpoint: the file that long work keeps its state in, so that it goes on where it was killed."""

import time
from collections.abc import Mapping
from pathlib import Path

import torch

from superscope.core import artifacts
from superscope.core.errors import ArtifactError

_IDENTITY = "identity"


class Checkpoint:
    """The state of one piece of work in one file, written at most every ``seconds``.

    What is read back is what was written, to the bit: a damaged file raises, and so does the state of other
    work, told by ``identity``.
    """

    def __init__(self, path: Path, identity: str, seconds: float = 10.0) -> None:
        self._path, self._seconds = path, seconds
        self._identity = torch.frombuffer(bytearray(identity.encode()), dtype=torch.uint8)
        self._last = time.monotonic()

    def load(self) -> dict[str, torch.Tensor] | None:
        """Return the state that was saved last, None where there is none yet.

        Raises:
            ArtifactError: when the file is damaged or holds the state of other work.
        """
        if not self._path.exists():
            return None
        state = artifacts.read_tensors(self._path)
        if not torch.equal(state.pop(_IDENTITY, torch.empty(0)), self._identity):
            raise ArtifactError(
                f"{self._path} holds the state of other work; remove it, or give another path"
            )
        return state

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self._last >= self._seconds

    def save(self, state: Mapping[str, torch.Tensor]) -> None:
        """Write the state, over the one before.

        Raises:
            ArtifactError: when the file cannot be written; the one before is still there.
        """
        artifacts.write_tensors(self._path, {**state, _IDENTITY: self._identity})
        self._last = time.monotonic()
