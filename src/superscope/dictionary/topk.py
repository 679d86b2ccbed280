"""TopK: the k largest pre-activations of each sample (Gao et al. 2024, arXiv 2406.04093)."""

import torch
from jaxtyping import Float
from torch import Tensor

from superscope.dictionary.counted import Counted
from superscope.dictionary.sparse.engine import Codes, Engine


class TopK(Counted):
    """f keeps the k largest pre-activations of each sample, where they are positive."""

    def encode(self, x: Float[Tensor, "*sample width"]) -> Float[Tensor, "*sample latent"]:
        """Return the codes of x, at most k of them positive."""
        return self.kept(self.preactivations(x), float(self.config.k))

    def kept(self, pre: Float[Tensor, "*sample latent"], k: float) -> Float[Tensor, "*sample latent"]:
        """Return the round(k) largest of each sample."""
        found = pre.topk(self._count(k), dim=-1)
        return torch.zeros_like(pre).scatter(-1, found.indices, found.values.relu())

    def select(self, engine: Engine, x: Tensor, k: float) -> Codes:
        """Return the same by an engine."""
        return engine.top(x, self.encoder, self.b_enc, self._count(k))

    def _count(self, k: float) -> int:
        return min(round(k), self.n_latents)
