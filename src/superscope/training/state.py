"""What a training keeps in its checkpoint: weights, the optimizer's moments, and whose they are."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

_MODEL, _OPTIMIZER = "model/", "adam/"


def training_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return weights and buffers as ``model/NAME`` and the optimizer's tensors as ``adam/INDEX/NAME``."""
    moments = {
        f"{_OPTIMIZER}{index}/{name}": value
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
    return {f"{_MODEL}{name}": value for name, value in model.state_dict().items()} | moments


def restore(state: Mapping[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put model and optimizer where :func:`training_state` found them; other names are passed over."""
    model.load_state_dict(
        {name.removeprefix(_MODEL): value for name, value in state.items() if name.startswith(_MODEL)}
    )
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        if name.startswith(_OPTIMIZER):
            _, index, key = name.split("/")
            moments.setdefault(int(index), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


def identity(model: nn.Module, options: object, *data: Tensor) -> str:
    """Tell a training from others by all that decides its bits: network, start, ``options``, ``data``."""
    digest = hashlib.sha256(f"{model!r} {options}".encode())
    for tensor in (*model.state_dict().values(), *data):
        digest.update(f"{tensor.dtype} {list(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)  # no copy of the data
    return digest.hexdigest()
