"""The forward pass as a graph of named modules: torchview follows it, Graphviz lays it out."""

import contextlib
import shutil
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from superscope.core.errors import ModelError
from superscope.plots.style import INK

_MOST = 60
"""Nodes that can still be read on a page."""
_DEPTHS = (4, 3, 2, 1)
_BORDERS = {"module": "#0072B2", "function": "#8a8f98", "tensor": "#E69F00"}


def draw(network: nn.Module, inputs: Tensor | dict[str, Tensor]) -> str:
    """Return the graph of ``network`` on ``inputs`` as SVG, data flowing from top to bottom.

    Modules are opened up to four deep, as long as there are at most 60 nodes; the deepest that fits is drawn.

    Raises:
        ModelError: when torchview or Graphviz's ``dot`` is missing, or torchview cannot follow the network.
    """
    try:
        import graphviz
        import torchview
    except ImportError as error:
        raise ModelError(
            f"no picture: it needs the packages torchview and graphviz ({error}); "
            f"pip install 'superscope[graph]'"
        ) from error
    if shutil.which("dot") is None:  # before the work
        raise ModelError("no picture: Graphviz's dot is not on the PATH; install Graphviz")
    chosen, reason = None, ""
    for depth in _DEPTHS:
        try:
            with _untouched(network):
                traced = torchview.draw_graph(network, input_data=inputs, depth=depth, device=_home(network))
        except Exception as error:  # noqa: BLE001 (torchview loses its way in some modules at some depths)
            reason = f"{type(error).__name__}: {error}"
            continue
        chosen = traced
        if len(_nodes(traced)) <= _MOST:
            break
    if chosen is None:
        raise ModelError(f"no picture: torchview cannot follow {type(network).__name__} ({reason})")
    try:
        svg = _graph(chosen, network).pipe(format="svg", encoding="utf-8")
    except graphviz.CalledProcessError as error:
        raise ModelError(
            f"no picture: Graphviz's dot failed ({' '.join(str(error).split())[:200]})"
        ) from error
    return svg[svg.index("<svg") :]


def _graph(traced: Any, network: nn.Module) -> Any:
    import graphviz

    names = {id(module): name for name, module in network.named_modules() if name}
    graph = graphviz.Digraph(strict=True)
    graph.attr(rankdir="TB", bgcolor="transparent", ranksep="0.25", nodesep="0.2", margin="0.1")
    text = {"fontname": "Helvetica,Arial,sans-serif", "fontsize": "10", "fontcolor": INK}
    # a wide margin, since a page draws the text in its own font
    graph.attr("node", shape="box", style="rounded", height="0.2", margin="0.25,0.05", **text)
    graph.attr("edge", color=INK, arrowsize="0.6", penwidth="0.8")
    for key, node in _nodes(traced).items():
        kind, label = _label(node, names)
        graph.node(str(key), label=graphviz.escape(label).replace("\n", r"\n"), color=_BORDERS[kind])
    for tail, head in traced.edge_list:
        graph.edge(*(str(traced.id_dict[node.node_id]) for node in (tail, head)))
    return graph


def _nodes(traced: Any) -> dict[int, Any]:
    return {traced.id_dict[node.node_id]: node for edge in traced.edge_list for node in edge}


def _label(node: Any, names: dict[int, str]) -> tuple[str, str]:
    if hasattr(node, "tensor_shape"):
        end = "output" if node.name == "output-tensor" else "input"
        return "tensor", f"{end}\n{_shape(node.tensor_shape)}"
    shape = _shape(next(iter(node.output_shape), ()))
    if name := names.get(getattr(node, "compute_unit_id", 0)):
        return "module", f"{name}\n{node.name} {shape}"
    return "function", f"{node.name} {shape}"


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(str(length) for length in shape[1:])


def _home(network: nn.Module) -> torch.device:
    return next((value.device for value in network.parameters()), torch.device("cpu"))


@contextlib.contextmanager
def _untouched(network: nn.Module) -> Iterator[None]:
    """Have ``network`` in eval mode without gradients, then as it was."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what its tensors cannot follow
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
