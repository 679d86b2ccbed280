"""What a latent does to a network's logits, where a linear way leads there from its layer."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from superscope.activations import INPUT, first_tensor, select_layers, transformer_layers
from superscope.activations.inputs import evaluating, forward
from superscope.data import Batch

_CELLS = 1 << 24
"""Logits at a time."""
_FEW = 4
"""Samples that the way to the logits is tried out with."""


@dataclass(frozen=True)
class Head:
    """A linear map from a layer's space to the logits."""

    matrix: Float[Tensor, "width logit"]
    """What a unit along each axis of the layer adds to each logit, as far as the way is linear."""
    of: Literal["token", "class"]
    way: str
    """How it leads there, in words."""


@dataclass(frozen=True)
class Effects:
    """The logits that each latent raises and lowers most, per unit of its activation."""

    of: Literal["token", "class"]
    way: str
    raised: Int[Tensor, "latent rank"]
    raised_by: Float[Tensor, "latent rank"]
    lowered: Int[Tensor, "latent rank"]
    lowered_by: Float[Tensor, "latent rank"]
    strength: Float[Tensor, " latent"]
    """The largest rise above the mean over all logits; a softmax sees differences only."""


def logit_effects(decoder: Float[Tensor, "latent width"], head: Head, count: int = 8) -> Effects:
    """Return the ``count`` logits that W_dec · head raises and lowers most, less the mean over logits."""
    matrix = head.matrix.to(decoder.device)
    logits = matrix.shape[1]
    count = min(count, logits)
    parts: list[tuple[Tensor, ...]] = []
    for rows in decoder.split(max(1, _CELLS // logits)):
        found = rows @ matrix
        found -= found.mean(1, keepdim=True)
        up, down = found.topk(count), found.topk(count, largest=False)
        parts.append((up.indices, up.values, down.indices, down.values))
    raised, raised_by, lowered, lowered_by = (torch.cat(each).cpu() for each in zip(*parts, strict=True))
    return Effects(head.of, head.way, raised, raised_by, lowered, lowered_by, raised_by[:, 0])


@dataclass(frozen=True)
class Outlook:
    """What a network puts out, and the way there from a layer."""

    predicts: Literal["token", "class"] | None
    """Of each token, or of each sample; None for a network without logits."""
    head: Head | str
    """Or why there is none, in words."""


def find_head(model: nn.Module, layer: str, batch: Batch, device: torch.device) -> Outlook:
    """Return the way from a layer's output to the logits.

    There is one where the network's output is that of a linear module and what goes into that module is, on a
    few samples, what the layer puts out; or the mean of it over positions; or, in a transformer whose layer
    writes to the residual stream, what the last norm puts out. Then the norm's weight is folded in; that it
    divides by the size of the stream is left out, and so are the blocks in between (the logit lens).
    """
    name, module = next(iter(select_layers(model, layer).items()))
    seen = _watched(model, name, module, batch[:_FEW], device)
    if seen.logits is None:
        return Outlook(None, "the network puts out no logits")
    of: Literal["token", "class"] = "token" if seen.logits.ndim == 3 else "class"
    return Outlook(of, _way(model, name, seen, of))


def _way(model: nn.Module, layer: str, seen: "_Seen", of: Literal["token", "class"]) -> Head | str:
    if seen.head is None or seen.head_input is None:
        return "the network does not end in a linear map to logits"
    if seen.output is None:
        return f"{layer} was not reached"
    weight = seen.head.weight.detach().float().T  # [input, logit]
    output, given = seen.output.float(), seen.head_input.float()
    if _alike(output, given):
        return Head(weight, of, "what this layer puts out goes into the last linear map")
    if output.ndim == 4 and given.ndim == 2 and _alike(output.mean((2, 3)), given):
        places = output.shape[2] * output.shape[3]
        return Head(weight / places, of, f"the mean over {places} positions goes into the last linear map")
    layers = transformer_layers(model)
    stream = {each.removesuffix(INPUT) for each in layers}
    hidden = layer.endswith(INPUT) and layer in layers  # inside an MLP
    if (
        layer.removesuffix(INPUT) not in stream
        or hidden
        or seen.norm is None
        or output.shape[-1] != len(weight)
    ):
        return f"no linear way leads from {layer} to the logits"
    scale = getattr(seen.norm, "weight", None)
    folded = weight if scale is None else weight * scale.detach().float()[:, None]
    if isinstance(seen.norm, nn.LayerNorm):  # it takes the mean off, and so off every direction
        folded = folded - folded.mean(0)
    return Head(folded, of, "by the residual stream, the last norm's weight and the unembedding")


@dataclass
class _Seen:
    """What a pass showed."""

    logits: Tensor | None = None
    head: nn.Linear | None = None
    head_input: Tensor | None = None
    norm: nn.Module | None = None
    output: Tensor | None = None


class _Watch:
    """Hooks that remember the last linear map, the last norm, and a layer's output."""

    def __init__(self) -> None:
        self.linear: tuple[nn.Linear, Tensor, Tensor] | None = None
        self.norm: tuple[nn.Module, Tensor] | None = None
        self.output: Tensor | None = None

    def after_linear(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, nn.Linear) and args and isinstance(args[0], Tensor):
            self.linear = module, args[0], output

    def after_norm(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:  # noqa: ARG002
        if isinstance(output, Tensor):
            self.norm = module, output

    def after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:  # noqa: ARG002
        self._see(output)

    def before(self, module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:  # noqa: ARG002
        self._see([*args, named])

    def _see(self, value: Any) -> None:
        found = first_tensor(value)
        self.output = None if found is None else found.clone()  # the next module may work in place on it


def _watched(model: nn.Module, name: str, module: nn.Module, batch: Batch, device: torch.device) -> _Seen:
    watch = _Watch()
    handles: list[RemovableHandle] = []
    try:
        for each in model.modules():
            if isinstance(each, nn.Linear):
                handles.append(each.register_forward_hook(watch.after_linear))
            elif "norm" in type(each).__name__.lower():
                handles.append(each.register_forward_hook(watch.after_norm))
        if name.endswith(INPUT):
            handles.append(module.register_forward_pre_hook(watch.before, with_kwargs=True))
        else:
            handles.append(module.register_forward_hook(watch.after))
        with evaluating(model, device), torch.inference_mode():
            result = forward(model, batch, device)
    finally:
        for handle in handles:
            handle.remove()
    logits = getattr(result, "logits", result)
    seen = _Seen(output=watch.output)
    if isinstance(logits, Tensor) and logits.is_floating_point() and logits.ndim in (2, 3):
        seen.logits = logits
        if watch.linear is not None and _alike(watch.linear[2], logits):
            seen.head, seen.head_input, _ = watch.linear
        if watch.norm is not None and seen.head_input is not None and _alike(watch.norm[1], seen.head_input):
            seen.norm = watch.norm[0]
    return seen


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one.float(), other.float(), rtol=1e-3, atol=1e-5)
