"""What layers put out as rows: one vector a position, with the sample and the place in it that it is of."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int32
from torch import Tensor, nn

from superscope.activations.capture import capture
from superscope.activations.inputs import forward
from superscope.activations.layers import select_layers, unit_axis
from superscope.core.errors import LayerError
from superscope.data import Batch


class LayerRows(NamedTuple):
    """A layer's output for a batch."""

    values: Float[Tensor, "row unit"]
    """On the model's device, in its type."""
    sample: Int32[Tensor, " row"]
    """Where in the data the row's sample stands (:attr:`superscope.data.Batch.indices`); −1 where the layer
    puts out something else than one part for each sample, as an embedding of positions does."""
    position: Int32[Tensor, " row"]
    """Where in the sample: the token, or in a map of channels its places counted along the last axis first;
    0 where a sample has one row."""
    tokens: bool
    """Whether there is a row for each real token of the batch, and none for padding."""


class LayerReader:
    """Runs a network batch by batch and gives the rows of some of its layers.

    The hooks are on during the call alone. From the second batch on the forward pass ends as soon as every
    layer has been called, where each was called once in the first. The model is run as it stands: in which
    mode and on which device is the caller's to say (:func:`superscope.activations.inputs.evaluating`).

    Args:
        model: any module.
        layers: names as :func:`superscope.activations.select_layers` takes them, without wildcards.
        device: where the model is.
        skip_tokens: real tokens at the start of each text that are left out. The first token of a text draws
            much of the attention in language models, and its activations are like no other's.
    """

    def __init__(
        self, model: nn.Module, layers: Sequence[str], device: torch.device, *, skip_tokens: int = 0
    ) -> None:
        self._model, self._layers, self._device, self._skip = model, list(layers), device, skip_tokens
        self._calls: Counter[str] | None = None
        """How often each layer was called in the first batch."""

    def __call__(self, batch: Batch) -> dict[str, LayerRows]:
        """Return the rows of each layer that was called, those of several calls one after the other.

        Raises:
            LayerError: when a layer's width differs between calls, or the tokens to skip cannot be told.
            ModelError: when the model cannot take the batch.
        """
        mask = token_mask(batch, self._skip)
        mask = None if mask is None else mask.to(self._device)
        found: dict[str, list[LayerRows]] = {name: [] for name in self._layers}
        calls: Counter[str] = Counter()
        busy = False

        def sink(name: str, module: nn.Module, output: Tensor) -> None:
            nonlocal busy
            busy = True
            calls[name] += 1
            found[name].append(_rows(name, module, output, batch, mask, self._skip))
            if self._once and calls == self._calls:
                raise _EnoughError
            busy = False

        try:
            with torch.no_grad(), capture(self._model, self._layers, sink=sink):
                forward(self._model, batch, self._device, lambda: busy)
        except _EnoughError:
            pass
        self._calls = calls if self._calls is None else self._calls
        return {name: _joined(name, parts) for name, parts in found.items() if parts}

    @property
    def _once(self) -> bool:
        return self._calls is not None and set(self._calls.values()) == {1}


class _EnoughError(Exception):
    """Ends a forward pass behind the last layer."""


def one_layer(model: nn.Module, layer: str) -> str:
    """Return the name of the one layer that ``layer`` matches.

    Raises:
        LayerError: when it matches none, or several.
    """
    found = list(select_layers(model, layer))
    if len(found) > 1:
        few = ", ".join(found[:4]) + ", ..." * (len(found) > 4)
        raise LayerError(f"{layer!r} matches {len(found)} layers ({few}); name one")
    return found[0]


def token_mask(batch: Batch, skip: int = 0) -> Bool[Tensor, "sample token"] | None:
    """Return which tokens of a batch count: those that are real, without the first ``skip`` of each text.

    Token numbers without an attention mask are all real. None for inputs that are no texts.
    """
    mask = batch.mask
    ids = batch.inputs if isinstance(batch.inputs, Tensor) else batch.inputs.get("input_ids")
    whole = ids is not None and not (ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool)
    if mask is None and ids is not None and whole and ids.ndim == 2:
        mask = torch.ones_like(ids, dtype=torch.bool)
    return mask if mask is None or skip == 0 else mask & (mask.cumsum(1) > skip)


def samples_first(
    output: Tensor, mask: Bool[Tensor, "sample token"] | None
) -> tuple[Tensor, Bool[Tensor, "sample token"] | None]:
    """Return an output [sample, token, unit] and the mask where the output has the mask's tokens.

    Tokens may also come before samples, or all in a row. Any other output is returned as it is, without a
    mask.
    """
    if mask is None:
        return output, None
    if output.ndim == 3 and output.shape[:2] == mask.shape:
        return output, mask
    if output.ndim == 3 and output.shape[:2] == mask.shape[::-1]:
        return output.transpose(0, 1), mask
    if output.ndim == 2 and len(output) == mask.numel() != len(mask):
        return output.reshape(*mask.shape, -1), mask
    return output, None


def _rows(
    name: str, module: nn.Module, output: Tensor, batch: Batch, mask: Tensor | None, skip: int
) -> LayerRows:
    output, mask = samples_first(output, mask)
    if skip and mask is None:
        raise LayerError(
            f"layer {name} puts out shape {list(output.shape)}, in which the first tokens of a text cannot "
            "be told; name another layer, or skip none"
        )
    vectors = output.movedim(unit_axis(module, output), -1)
    vectors = vectors[None] if vectors.ndim == 1 else vectors
    shape = vectors.shape[:-1]
    numbers = batch.indices if batch.indices is not None else torch.arange(len(batch))
    numbers = numbers if shape[0] == len(batch) else torch.full((shape[0],), -1)
    # .clone(): the next module may work in place on what is a view of the output
    values = vectors.reshape(-1, vectors.shape[-1]).clone() if mask is None else vectors[mask]
    keep = torch.ones(shape, dtype=torch.bool) if mask is None else mask.cpu()
    keep = keep.reshape(shape[0], -1)
    sample, position = keep.nonzero(as_tuple=True)
    return LayerRows(values, numbers[sample].int(), position.int(), mask is not None)


def _joined(name: str, parts: list[LayerRows]) -> LayerRows:
    if len(parts) == 1:
        return parts[0]
    widths = {part.values.shape[1] for part in parts}
    if len(widths) > 1:
        raise LayerError(f"layer {name} puts out {' and '.join(map(str, sorted(widths)))} units in turns")
    values, sample, position = (torch.cat(each) for each in list(zip(*parts, strict=True))[:3])
    return LayerRows(values, sample, position, parts[0].tokens)
