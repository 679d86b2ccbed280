"""Hooks on any module, as a context manager that takes them off for certain."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from superscope.activations.layers import first_tensor, select_layers
from superscope.activations.transformers import INPUT

Sink = Callable[[str, nn.Module, Tensor], None]
SinkWithSource = Callable[[str, nn.Module, Tensor, Tensor | None], None]


class Captured(dict[str, Tensor]):
    """The last output of each captured layer, by name; ``layers`` are the modules under the same names."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        super().__init__()
        self.layers = layers


@contextlib.contextmanager
def capture(
    model: nn.Module,
    pattern: str | Sequence[str] = "*",
    *,
    sink: Sink | None = None,
    source_sink: SinkWithSource | None = None,
) -> Iterator[Captured]:
    """Record what the layers that match ``pattern`` put out while the block runs.

    Without a ``sink`` a copy of the output of each layer's last call is kept under its name. With one, every
    call's output is given to ``sink(name, module, output)`` instead and nothing is kept, so that memory does
    not grow; ``source_sink(name, module, output, source)`` also gets the call's input. Of a tuple or mapping
    the first floating tensor counts; a layer that puts out none is not recorded. ``NAME:input`` records a
    module's input in its output's place. The hooks come off when the block ends, however it ends.

    Raises:
        LayerError: when no layer matches.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    >>> with capture(net, "0") as activations:
    ...     _ = net(torch.ones(2, 3))
    >>> activations["0"].shape
    torch.Size([2, 4])
    """
    captured = Captured(select_layers(model, pattern))

    def give(name: str, module: nn.Module, tensor: Tensor, source: Tensor | None) -> None:
        if source_sink is not None:
            source_sink(name, module, tensor, source)
        elif sink is not None:
            sink(name, module, tensor)
        else:
            captured[name] = tensor.clone()  # the next module may work in place on it

    handles = []
    try:
        handles.extend(_attached(name, module, give) for name, module in captured.layers.items())
        yield captured
    finally:
        for handle in handles:
            handle.remove()


def _attached(name: str, module: nn.Module, give: SinkWithSource) -> RemovableHandle:
    """Put a hook on a module that gives away what it puts out, or takes in, with its name."""

    def before(_: nn.Module, args: tuple[object, ...], named: dict[str, object]) -> None:
        if (tensor := first_tensor([*args, named])) is not None:
            give(name, module, tensor.detach(), None)

    def after(_: nn.Module, args: tuple[object, ...], named: dict[str, object], output: object) -> None:
        if (tensor := first_tensor(output)) is not None:
            give(name, module, tensor.detach(), first_tensor([*args, named]))

    if name.endswith(INPUT):
        return module.register_forward_pre_hook(before, with_kwargs=True)
    return module.register_forward_hook(after, with_kwargs=True)
