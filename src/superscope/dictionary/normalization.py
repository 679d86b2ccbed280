"""Centre and scale of activations while a dictionary is trained, and how they go into its weights."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from superscope.dictionary.dictionary import Dictionary


@dataclass(frozen=True)
class Normalization:
    """x ↦ (x − centre) / scale."""

    centre: Float[Tensor, " width"]
    scale: float

    @classmethod
    def of(cls, x: Float[Tensor, "sample width"]) -> "Normalization":
        """Return what takes x to mean 0 and a mean squared entry of 1."""
        exact = x.double()
        centre = exact.mean(0)
        scale = float((exact - centre).square().mean().sqrt())
        return cls(centre.float(), scale if scale > 0 else 1.0)

    @classmethod
    def none(cls, width: int, device: torch.device) -> "Normalization":
        """Return what leaves x as it is."""
        return cls(torch.zeros(width, device=device), 1.0)

    def __call__(self, x: Float[Tensor, "sample width"]) -> Float[Tensor, "sample width"]:
        """Return x, centred and scaled."""
        return (x - self.centre).div_(self.scale)


@torch.no_grad()
def fold_(dictionary: Dictionary, inputs: Normalization, outputs: Normalization) -> None:
    """Have a dictionary of normalized activations take and give activations as they are.

    The decoder's rows stay as they are, and codes carry the output's scale s': with the input's centre c and
    scale s, W_enc becomes (s'/s) W_enc, b_enc becomes s' b_enc − c W_enc, and b_dec becomes s' b_dec + c'.
    """
    dictionary.encoder.mul_(outputs.scale / inputs.scale)
    dictionary.rescale_(outputs.scale, dictionary.encoder @ inputs.centre)
    dictionary.b_dec.mul_(outputs.scale).add_(outputs.centre)
