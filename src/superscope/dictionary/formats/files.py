"""A dictionary's two files, config and weights, read without trust in either."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from superscope.core.artifacts import tensor_hashes
from superscope.core.errors import WeightsError

CONFIG = "cfg.json"


def read_config(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        WeightsError: when the file is missing or no JSON object.
    """
    if not path.is_file():
        raise WeightsError(
            f"{path} does not exist; a folder with weights needs the config that was saved with them"
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {path}: {error}; save or fetch the dictionary again") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} holds a {type(found).__name__}, not the fields of a config")
    return found


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; those that superscope wrote are held against their hashes.

    Raises:
        WeightsError: when the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            hashes = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot read {path}: {error}; save or fetch the dictionary again") from error
    if hashes is not None and hashes != json.dumps(tensor_hashes(tensors)):
        raise WeightsError(
            f"cannot read {path}: a tensor is not the one written; save or fetch the dictionary again"
        )
    return tensors


class Weights:
    """The tensors of a file, taken one by one in float64 with the shape that is expected."""

    def __init__(self, path: Path, tensors: Mapping[str, Tensor], sizes: Mapping[str, int]) -> None:
        self.path, self.sizes = path, dict(sizes)
        self._left = dict(tensors)

    def take(self, name: str, *shape: str) -> Tensor:
        """Return a tensor whose axes have the sizes of these names.

        Raises:
            WeightsError: when it is not there, has another shape, or holds NaN or infinite numbers.
        """
        if name not in self._left:
            raise WeightsError(
                f"{self.path} has no tensor {name}; it has {', '.join(sorted(self._left)) or 'none'}"
            )
        value = self._left.pop(name)
        wanted = [self.sizes[axis] for axis in shape]
        if list(value.shape) != wanted:
            raise WeightsError(
                f"{self.path}: {name} has shape {list(value.shape)}, and by {CONFIG} [{', '.join(shape)}] is "
                f"{wanted}"
            )
        if bad := value.numel() - int(torch.isfinite(value).sum()):
            raise WeightsError(
                f"{self.path}: {name} holds NaN or infinite numbers ({bad:,} of {value.numel():,})"
            )
        return value.double()

    def has(self, name: str) -> bool:
        """Tell whether a tensor is there that was not taken yet."""
        return name in self._left

    def finish(self) -> None:
        """Raise WeightsError when there are tensors that nothing is known of."""
        if self._left:
            raise WeightsError(
                f"{self.path} holds tensors that this architecture has not: {', '.join(sorted(self._left))}"
            )


def size(config: Mapping[str, Any], path: Path, *names: str) -> int:
    """Return a whole number of at least 1 that stands in a config under the first of the names there is.

    Raises:
        WeightsError: when it is not there, or no such number.
    """
    for name in names:
        if config.get(name) is not None:
            value = config[name]
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not 1 <= value < 2**62
                or value != int(value)
            ):
                raise WeightsError(f"{path}: {name} is {value!r}; expected a whole number of at least 1")
            return int(value)
    raise WeightsError(f"{path} does not say {names[0]}")
