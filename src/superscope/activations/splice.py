"""Put a function in the place of what a module puts out, or takes in, while a block runs."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from superscope.activations.layers import first_tensor, select_layers
from superscope.activations.transformers import INPUT
from superscope.core.errors import InputError, LayerError


@dataclass
class Spliced:
    """What :func:`splice` yields."""

    name: str
    calls: int = 0
    """How often the module was called in the block; 0 means that nothing was replaced."""


@contextlib.contextmanager
def splice(model: nn.Module, layer: str, function: Callable[[Tensor], Tensor]) -> Iterator[Spliced]:
    """Have ``layer`` put out ``function(output)`` in place of its output while the block runs.

    ``NAME:input`` replaces what goes into the module instead. Of a tuple, list or mapping the first floating
    tensor is replaced, the one that :func:`superscope.activations.capture` records, in a copy of the same
    type; the rest stays. What the function returns is taken in the tensor's own type, so that a function in
    float32 fits a network of half precision. Gradients flow through it. The hook comes off when the block
    ends, however it ends.

    Raises:
        LayerError: when no layer matches, or several do; at the call, when the layer puts out no floating
            tensor.
        InputError: at the call, when the function returns something else than a tensor of the same shape.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    >>> with splice(net, "0", torch.zeros_like) as spliced:
    ...     net(torch.ones(2, 3)).sum().item(), spliced.calls
    (0.0, 1)
    """
    found = select_layers(model, layer)
    if len(found) > 1:
        few = ", ".join(list(found)[:4]) + ", ..." * (len(found) > 4)
        raise LayerError(f"{layer!r} matches {len(found)} layers ({few}); name one to splice into")
    (name, module) = next(iter(found.items()))
    spliced = Spliced(name)

    def replaced(whole: Any) -> Any:
        old = first_tensor(whole)
        if old is None:
            raise LayerError(f"layer {name} has no floating tensor to replace; name another")
        new = function(old)
        if not isinstance(new, Tensor) or new.shape != old.shape:
            got = f"shape {list(new.shape)}" if isinstance(new, Tensor) else type(new).__name__
            raise InputError(
                f"the function spliced into layer {name} returned {got}; it was given shape "
                f"{list(old.shape)} and has to keep it"
            )
        spliced.calls += 1
        return _with(whole, old, new.to(old.dtype))

    def before(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        args, named = replaced((args, named))
        return args, named

    def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:  # noqa: ARG001
        return replaced(output)

    handle = (
        module.register_forward_pre_hook(before, with_kwargs=True)
        if name.endswith(INPUT)
        else module.register_forward_hook(after)
    )
    try:
        yield spliced
    finally:
        handle.remove()


def _with(whole: Any, old: Tensor, new: Tensor) -> Any:
    """Return ``whole`` with its first floating tensor, ``old``, replaced; containers are copied."""
    if whole is old:
        return new
    if isinstance(whole, Mapping):
        copied: Any = copy.copy(whole)
        key = next(key for key, part in whole.items() if first_tensor(part) is not None)
        copied[key] = _with(whole[key], old, new)
        return copied
    parts = list(whole)
    place = next(place for place, part in enumerate(parts) if first_tensor(part) is not None)
    parts[place] = _with(parts[place], old, new)
    if isinstance(whole, list):
        return parts
    make = type(whole)
    return make(*parts) if hasattr(make, "_fields") else make(parts)  # a named tuple takes them one by one
