"""Which places of a layer's output hold something real: tokens that are no padding, and whose they are."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from superscope.activations import unit_axis
from superscope.core.errors import LayerError
from superscope.data import Batch


def token_ids(batch: Batch) -> Int[Tensor, "sample token"] | None:
    """Return the token numbers of a batch of texts; None for inputs of another kind."""
    inputs = batch.inputs
    ids = inputs if isinstance(inputs, Tensor) else inputs.get("input_ids")
    whole = ids is not None and ids.ndim == 2 and not (ids.is_floating_point() or ids.is_complex())
    return ids.long() if ids is not None and whole and ids.dtype != torch.bool else None


@dataclass(frozen=True)
class Positions:
    """The real tokens of a batch, all of them where it holds none."""

    samples: int
    mask: Bool[Tensor, "sample token"] | None
    """None for inputs that are no texts: every position counts."""
    skip: int = 0
    """Tokens at the start of each text that the mask leaves out."""

    @staticmethod
    def of(batch: Batch, device: torch.device, skip: int = 0) -> "Positions":
        """Return the positions of a batch without the first ``skip`` of each text."""
        mask, ids = batch.mask, token_ids(batch)
        if mask is None and ids is not None:
            mask = torch.ones_like(ids, dtype=torch.bool)
        if mask is not None and skip:
            mask = mask & (mask.cumsum(1) > skip)  # of texts that are padded on the left, too
        return Positions(len(batch), None if mask is None else mask.to(device), skip)

    def rows(self, name: str, module: nn.Module, output: Tensor) -> "Rows":
        """Return what a layer put out as vectors, a row for each position that counts.

        A mask goes with outputs [sample, token, unit], [token, sample, unit] and [sample · token, unit]. A
        layer that has neither has lost the tokens, and all that it puts out counts.

        Raises:
            LayerError: when the first axis cannot be that of the samples, or tokens that are to be left out
            cannot be told.
        """
        vectors = output.movedim(unit_axis(module, output), -1)
        shape, mask = vectors.shape[:-1], self.mask
        if mask is None or shape not in (mask.shape, mask.T.shape, (mask.numel(),)):
            if self.skip:
                raise LayerError(
                    f"layer {name} puts out shape {list(output.shape)}, in which the first tokens of a text "
                    "cannot be told; name another layer, or skip none"
                )
            if len(shape) == 0 or shape[0] % max(self.samples, 1):
                raise LayerError(
                    f"layer {name} puts out shape {list(output.shape)} for {self.samples} samples, which "
                    "cannot be told apart in it; name another layer"
                )
            sample = torch.arange(shape[0], device=output.device) // (shape[0] // self.samples)
            keep = torch.ones(shape, dtype=torch.bool, device=output.device)
            return Rows(vectors, keep, sample.view(-1, *[1] * (len(shape) - 1)).expand(shape))
        sample = torch.arange(len(mask), device=output.device)[:, None].expand(mask.shape)
        if shape == mask.shape:
            return Rows(vectors, mask, sample)
        if shape == mask.T.shape:
            return Rows(vectors, mask.T, sample.T)
        return Rows(vectors, mask.reshape(-1), sample.reshape(-1))


@dataclass(frozen=True)
class Rows:
    """A layer's output with its units on the last axis."""

    vectors: Tensor
    """[*position, unit]"""
    keep: Bool[Tensor, "*position"]
    """Which positions count."""
    sample: Int[Tensor, "*position"]
    """Whose they are, by its place in the batch."""

    @property
    def kept(self) -> Tensor:
        """The vectors that count, [row, unit]."""
        return self.vectors[self.keep]

    def put(self, values: Tensor, axis: int) -> Tensor:
        """Return the output with ``values`` [row, unit] in the places that count, units back on ``axis``."""
        return self.vectors.masked_scatter(self.keep[..., None], values.to(self.vectors.dtype)).movedim(
            -1, axis
        )
