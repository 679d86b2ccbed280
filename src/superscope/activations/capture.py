"""Hooks on any module, as a context manager that takes them off for certain."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn

from superscope.activations.layers import first_tensor, select_layers

Sink = Callable[[str, nn.Module, Tensor], None]


class Captured(dict[str, Tensor]):
    """The last output of each captured layer, by name; ``layers`` are the modules under the same names."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        super().__init__()
        self.layers = layers


@contextlib.contextmanager
def capture(
    model: nn.Module, pattern: str | Sequence[str] = "*", *, sink: Sink | None = None
) -> Iterator[Captured]:
    """Record what the layers that match ``pattern`` put out while the block runs.

    Without a ``sink`` a copy of the output of each layer's last call is kept under its name. With one, every
    call's output is given to ``sink(name, module, output)`` instead and nothing is kept, so that memory does
    not grow. Of a tuple or mapping the first floating tensor counts; a layer that puts out none is not
    recorded. The hooks come off when the block ends, however it ends.

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

    def keep(name: str, _: nn.Module, output: Tensor) -> None:
        captured[name] = output.clone()  # the next module may work in place on it

    give = keep if sink is None else sink

    def hook(name: str) -> Callable[[nn.Module, object, object], None]:
        def receive(module: nn.Module, _: object, output: object) -> None:
            tensor = first_tensor(output)
            if tensor is not None:
                give(name, module, tensor.detach())

        return receive

    handles = []
    try:
        handles.extend(module.register_forward_hook(hook(name)) for name, module in captured.layers.items())
        yield captured
    finally:
        for handle in handles:
            handle.remove()
