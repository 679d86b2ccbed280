"""The sparse engine on CUDA: one dense product, then Triton kernels over what is active."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from superscope.dictionary.sparse import triton, triton_adam, triton_selection
from superscope.dictionary.sparse.engine import Codes, DenseCodes, DenseEngine, Engine, Fit
from superscope.dictionary.sparse.pairs import Pairs

_CROWDED = 1 / 32
"""The share of active latents from which on whole matrix products are the quicker way: an estimate from the
float32 arithmetic and the cache bandwidth of an H100, 60 TFLOP/s and 5 TB/s, not a measurement."""


@dataclass(frozen=True, eq=False)
class _Entries(Codes):
    """Entries one behind the other, by sample; where ``padded``, some are there to fill up, with value 0."""

    values: Tensor
    pairs: Pairs
    n_latents: int
    padded: bool

    def spread(self, of_latents: Tensor) -> Tensor:
        return of_latents.index_select(0, self.pairs.latents)

    def keep(self, entries: Tensor) -> Tensor:
        return entries.mul_(self.values != 0) if self.padded else entries

    def sums(self, entries: Tensor) -> Tensor:
        return triton.latent_totals(*self.sorted, entries)

    def fired(self, values: Tensor, faint: Tensor) -> Tensor:
        return self.sums((values > faint).float()) > 0

    def dense(self, values: Tensor) -> Tensor:
        return self.pairs.with_values(values).to_dense(self.n_latents)

    @cached_property
    def sorted(self) -> tuple[Tensor, Tensor]:
        """Where each latent's entries begin, and the order that sorts entries by latent."""
        return triton.by_latent(self.pairs, self.n_latents)

    def fit(
        self,
        values: Tensor,
        W_dec: Tensor,
        b_dec: Tensor,
        y: Tensor,
        sizes: Sequence[int] | None = None,
    ) -> Fit:
        """Decode and compare with the target, a sample a program."""
        return triton.fit(self.pairs.with_values(values), W_dec, b_dec, y, sizes)

    def latent_sums(self, entries: Tensor, X: Tensor, sizes: Sequence[int] | None = None) -> Tensor:
        """Sum over the entries of each latent, which are sorted by latent once a batch."""
        if len(X) == 1 or sizes is None:
            return triton.latent_sums(*self.sorted, self.pairs.rows, entries, X[0])
        groups = torch.arange(len(sizes), device=X.device).repeat_interleave(
            torch.tensor(sizes, device=X.device), output_size=self.n_latents
        )
        return triton.latent_sums(*self.sorted, self.pairs.rows, entries, X, groups)


class TritonEngine(Engine):
    """Sums over the active latents, or whole products where they are many.

    Nothing waits for the GPU but :meth:`above`, which has to know how many entries there are. Entries,
    and sums over them, come in one order: the same arguments give the same bits.

    Args:
        crowded: the share of active latents from which on whole products are taken.
        product: the dtype of the encoder's product's factors, in which its result is rounded too. With
            bfloat16 it is many times faster, and the sums after it stay in float32.
    """

    def __init__(self, crowded: float = _CROWDED, product: torch.dtype = torch.float32) -> None:
        self._dense, self._crowded, self._product = DenseEngine(), crowded, product

    def top(self, x: Tensor, E: Tensor, b: Tensor, k: int) -> Codes:
        """Select the k largest pre-activations of each sample."""
        if k > self._crowded * len(E):
            return self._dense.top(x, E, b, k)
        return self._entries(triton_selection.top_k(self._preactivations(x, E, b), k), len(E), padded=True)

    def top_of_batch(self, x: Tensor, E: Tensor, b: Tensor, count: int) -> Codes:
        """Select the largest pre-activations of the batch."""
        if count > self._crowded * len(E) * len(x):
            return self._dense.top_of_batch(x, E, b, count)
        found = triton_selection.batch_top_k(self._preactivations(x, E, b), count)
        return self._entries(found, len(E), padded=True)

    def above(self, x: Tensor, E: Tensor, b: Tensor, cut: Tensor | None = None) -> Codes:
        """Select the pre-activations above ``cut``."""
        if self.selected > self._crowded * len(E):
            codes = self._dense.above(x, E, b, cut)
            assert isinstance(codes, DenseCodes)
            self.selected = float(codes.selected.sum()) / len(x)
            return codes
        pairs = triton_selection.above_threshold(self._preactivations(x, E, b), 0.0 if cut is None else cut)
        self.selected = len(pairs) / len(x)
        return self._entries(pairs, len(E), padded=False)

    def step_held_(
        self, optimizer: torch.optim.Adam, W: nn.Parameter, step: int, limit: float = math.inf
    ) -> Tensor:
        """Take a step of Adam that holds the decoder's rows, in two launches."""
        return triton_adam.step_held_(optimizer, W, step, limit)

    def _preactivations(self, x: Tensor, E: Tensor, b: Tensor) -> Tensor:
        kind = self._product
        return torch.addmm(b.to(kind), x.to(kind), E.to(kind).T)

    @staticmethod
    def _entries(pairs: Pairs, n_latents: int, *, padded: bool) -> Codes:
        return _Entries(pairs.values, pairs, n_latents, padded)
