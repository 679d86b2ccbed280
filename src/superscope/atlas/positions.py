"""The places of a layer's output that count, as rows, and how other rows are put there."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from superscope.activations import unit_axis
from superscope.activations.rows import samples_first, token_mask
from superscope.core.errors import LayerError
from superscope.data import Batch


@dataclass(frozen=True)
class Rows:
    """A layer's output, samples first and units last."""

    vectors: Tensor
    """[*position, unit]"""
    keep: Bool[Tensor, "*position"]
    """Which positions count."""
    sample: Int[Tensor, "*position"]
    """Whose they are, by its place in the batch."""
    axis: int
    """Where the units were."""
    shape: torch.Size
    """The output's, units where they were."""

    @property
    def kept(self) -> Tensor:
        """The vectors that count, [row, unit]."""
        return self.vectors[self.keep]

    def put(self, values: Tensor) -> Tensor:
        """Return the output, as the layer gave it, with ``values`` [row, unit] in the places that count."""
        new = self.vectors.masked_scatter(self.keep[..., None], values.to(self.vectors.dtype))
        new = new.movedim(-1, self.axis)
        if new.shape == self.shape:
            return new
        return new.reshape(self.shape) if len(self.shape) == 2 else new.transpose(0, 1)


@dataclass(frozen=True)
class Positions:
    """The real tokens of a batch; everything where it holds none."""

    samples: int
    mask: Bool[Tensor, "sample token"] | None
    """None for inputs that are no texts."""
    skip: int

    @staticmethod
    def of(batch: Batch, device: torch.device, skip: int = 0) -> "Positions":
        """Return the positions of a batch without the first ``skip`` real tokens of each text."""
        mask = token_mask(batch, skip)
        return Positions(len(batch), None if mask is None else mask.to(device), skip)

    def rows(self, name: str, module: nn.Module, output: Tensor) -> Rows:
        """Return what a layer put out as vectors, a row for each position that counts.

        A layer in whose output the tokens cannot be told counts as a whole.

        Raises:
            LayerError: when its first axis cannot be that of the samples, or tokens that are to be left out
                cannot be told.
        """
        found, mask = samples_first(output, self.mask)
        if self.skip and mask is None:
            raise LayerError(
                f"layer {name} puts out shape {list(output.shape)}, in which the first tokens of a text "
                "cannot be told; name another layer, or skip none"
            )
        axis = unit_axis(module, found)
        vectors = found.movedim(axis, -1)
        shape = vectors.shape[:-1]
        if len(shape) == 0 or shape[0] % max(self.samples, 1):
            raise LayerError(
                f"layer {name} puts out shape {list(output.shape)} for {self.samples} samples, which cannot "
                "be told apart in it; name another layer"
            )
        keep = torch.ones(shape, dtype=torch.bool, device=output.device) if mask is None else mask
        sample = torch.arange(shape[0], device=output.device) // (shape[0] // self.samples)
        sample = sample.view(-1, *[1] * (len(shape) - 1)).expand(shape)
        return Rows(vectors, keep, sample, axis, output.shape)
