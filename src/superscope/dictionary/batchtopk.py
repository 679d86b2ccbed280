"""BatchTopK: the k · batch largest pre-activations of a batch (Bussmann et al. 2024, arXiv 2412.06410)."""

import torch
from jaxtyping import Float
from torch import Tensor

from superscope.dictionary.config import DictionaryConfig
from superscope.dictionary.counted import Counted
from superscope.dictionary.sparse.engine import Codes, Engine

_MEMORY = 0.99


class BatchCounted(Counted):
    """In training f keeps the k · batch largest pre-activations of a batch; later those over a threshold.

    ``threshold`` is a running mean of the smallest code that was kept in a training batch, so that a sample's
    codes do not depend on the others of its batch.
    """

    threshold: Tensor

    def __init__(
        self,
        config: DictionaryConfig,
        width: int,
        output_width: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(config, width, output_width, generator)
        self.register_buffer("threshold", torch.zeros(()))

    def encode(self, x: Float[Tensor, "*sample width"]) -> Float[Tensor, "*sample latent"]:
        """Return the codes of x: pre-activations over the threshold."""
        pre = self.preactivations(x)
        return pre * (pre > self.threshold)

    def kept(self, pre: Float[Tensor, "sample latent"], k: float) -> Float[Tensor, "sample latent"]:
        """Return the round(k · batch) largest of the batch."""
        found = pre.flatten().topk(self._count(k, len(pre)))
        return torch.zeros_like(pre).flatten().scatter(0, found.indices, found.values.relu()).view_as(pre)

    def select(self, engine: Engine, x: Tensor, k: float) -> Codes:
        """Return the same by an engine."""
        return engine.top_of_batch(x, self.encoder, self.b_enc, self._count(k, len(x)))

    def follow_(self, least: Tensor) -> None:
        """Move the threshold to the smallest code of this batch, by a hundredth of the way but at first."""
        moved = torch.where(self.threshold > 0, self.threshold.lerp(least, 1 - _MEMORY), least)
        self.threshold.copy_(torch.where(least.isfinite(), moved, self.threshold))

    def rescale_(self, factor: float, shift: Float[Tensor, " latent"]) -> None:
        """Multiply the threshold too."""
        super().rescale_(factor, shift)
        self.threshold.mul_(factor)

    def _count(self, k: float, samples: int) -> int:
        return min(round(k * samples), self.n_latents * samples)


class BatchTopK(BatchCounted):
    """BatchTopK: samples that need more latents have them, and others fewer."""
