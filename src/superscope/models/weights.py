"""Weights files: read without running what is in them, compared with the model as a whole, then copied in."""

import re
import textwrap
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from superscope.core.errors import WeightsError

_TORCH = (".pth", ".pt", ".th", ".bin")
_WRAPPERS = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
_LISTED = 5


def load_weights(model: nn.Module, path: Path) -> None:
    """Copy the weights in ``path`` into ``model``; if it raises, the model is as it was.

    ``.safetensors`` is read by safetensors; ``.pth``, ``.pt``, ``.th`` and ``.bin`` by torch, without
    running code from the file. A state dict under ``state_dict``, ``model`` or ``model_state_dict`` is
    unwrapped, and a prefix ``module.`` or ``_orig_mod.`` that all names share comes off. Every name and
    shape has to fit; only the ``num_batches_tracked`` of old batch norms may be missing, as in PyTorch.

    Raises:
        WeightsError: when the file is missing, damaged, or holds other objects than tensors; when names or
            shapes do not fit the model (all are counted, the first five of each kind named); when a value
            is NaN or infinite.
    """
    load_state(model, read_state(path, model.state_dict()), path)


def read_state(path: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """Read a file as :func:`load_weights` does, without its prefix where it has none of ``names`` with it.

    Raises:
        WeightsError: when the file is missing, damaged, or holds other objects than tensors.
    """
    return _without_prefix(_state_dict(_read(path), path), set(names))


def load_state(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Copy what :func:`read_state` read from ``path`` into ``model``; if it raises, the model is as it was.

    Raises:
        WeightsError: when names or shapes do not fit the model, or a value is NaN or infinite.
    """
    _require_fit(state, model, path)
    _require_finite(state, f"the weights file {path}")
    model.load_state_dict(state)


def check_finite(model: nn.Module) -> None:
    """Check that every parameter and every float buffer that a weights file would carry is finite.

    Buffers outside the state dict are left alone: attention masks there are −∞ by design.

    Raises:
        WeightsError: with the first tensor that holds NaN or an infinity, and how many values of it do.
    """
    _require_finite(
        {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)},
        f"the model {type(model).__name__}",
    )


def _read(path: Path) -> object:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise WeightsError(f"the weights file {path.absolute()} {what}; give a .safetensors or .pth file")
    if path.suffix != ".safetensors" and path.suffix not in _TORCH:
        known = ", ".join((".safetensors", *_TORCH))
        raise WeightsError(f"the name of {path} does not say what it is; weights end in one of {known}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols; what cannot be read raises
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises anything: KeyError, EOFError, RuntimeError, ...
        raise WeightsError(f"cannot read the weights in {path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if unsafe := re.search(r"Unsupported global: GLOBAL (\S+)", str(error)):
        return (
            f"it holds the Python object {unsafe[1]}, and loading that could run code; "
            f"save model.state_dict() and give that file"
        )
    message = str(error).rpartition("WeightsUnpickler error:")[2].split("\n\nCheck the documentation")[0]
    said = ": ".join(filter(None, (type(error).__name__, textwrap.shorten(message, 160, placeholder=" ..."))))
    return f"it is damaged or no file of its kind ({said}); fetch or save it again"


def _state_dict(found: object, path: Path) -> dict[str, Tensor]:
    for key in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(inner := found.get(key), Mapping):
            found = inner
            break
    if not isinstance(found, Mapping):
        raise WeightsError(
            f"{path} holds an object of type {type(found).__name__}, not a state dict; "
            f"save model.state_dict() and give that file"
        )
    if strangers := [
        f"{key} ({type(value).__name__})"
        for key, value in found.items()
        if not (isinstance(key, str) and isinstance(value, Tensor))
    ]:
        raise WeightsError(
            f"{path} is not a state dict: {_listed(strangers)} are not tensors; "
            f"save model.state_dict(), alone or under 'state_dict'"
        )
    return dict(found)


def _without_prefix(state: dict[str, Tensor], own: set[str]) -> dict[str, Tensor]:
    while state and not state.keys() & own:
        prefix = next((each for each in _PREFIXES if all(name.startswith(each) for name in state)), None)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _require_fit(state: Mapping[str, Tensor], model: nn.Module, path: Path) -> None:
    own = model.state_dict()
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in own]
    shared = [name for name in state if name in own and not is_lazy(own[name])]
    reshaped = [
        f"{name} (file {list(state[name].shape)}, model {list(own[name].shape)})"
        for name in shared
        if state[name].shape != own[name].shape
    ]
    faults = [
        f"{len(names)} {kind}: {_listed(names)}"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
        if names
    ]
    if faults:
        raise WeightsError(f"the weights in {path} do not fit {type(model).__name__}: {'; '.join(faults)}")


def _require_finite(tensors: Mapping[str, Tensor], what: str) -> None:
    at_fault = [
        f"{name} ({count:,} of {value.numel():,})"
        for name, value in tensors.items()
        if (count := _not_finite(value))
    ]
    if at_fault:
        raise WeightsError(
            f"{what} holds NaN or infinite values: {_listed(at_fault)}; train or save it again"
        )


def _not_finite(value: Tensor) -> int:
    if is_lazy(value) or value.is_meta or not (value.is_floating_point() or value.is_complex()):
        return 0
    if value.itemsize == 1:  # isfinite knows no 8-bit floats
        value = value.float()
    return value.numel() - int(torch.isfinite(value).sum())


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
