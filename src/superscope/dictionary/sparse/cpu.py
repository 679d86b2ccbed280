"""The sparse engine on a CPU: one dense product, then only what is active."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from superscope.dictionary.sparse.engine import Codes, DenseCodes, DenseEngine, Engine, Fit
from superscope.dictionary.sparse.held import step_held_
from superscope.dictionary.sparse.products import product

_BLOCK = 1024
_CROWDED = 1 / 16
"""The share of active latents from which on whole matrix products are the quicker way."""
_SLACK = 0.9
"""How far below the last batch's threshold the next one is looked for."""


@dataclass(frozen=True, eq=False)
class _Entries(Codes):
    """Entries one behind the other, by sample."""

    values: Tensor
    offsets: Tensor
    rows: Tensor
    latents: Tensor
    n_latents: int

    def spread(self, of_latents: Tensor) -> Tensor:
        return of_latents[self.latents]

    def keep(self, entries: Tensor) -> Tensor:
        return entries

    def sums(self, entries: Tensor) -> Tensor:
        starts, order = self.sorted
        out = torch.empty(self.n_latents)
        _kernels().entry_sums(starts, entries[order].numpy(), out.numpy())
        return out

    def fired(self, values: Tensor, faint: Tensor) -> Tensor:
        out = torch.zeros(self.n_latents, dtype=torch.bool)
        out[self.latents[values > faint]] = True
        return out

    def dense(self, values: Tensor) -> Tensor:
        out = torch.zeros(len(self.offsets) - 1, self.n_latents)
        out[self.rows.long(), self.latents.long()] = values
        return out

    @cached_property
    def sorted_rows(self) -> np.ndarray:
        """The sample of each entry, in that order."""
        return self.rows[self.sorted[1]].numpy()

    @cached_property
    def sorted(self) -> tuple[np.ndarray, Tensor]:
        """Where each latent's entries begin, and the order that sorts entries by latent."""
        starts = np.empty(self.n_latents + 1, np.int64)
        order = torch.empty(len(self.latents), dtype=torch.int64)
        _kernels().by_latent(self.latents.numpy(), self.n_latents, starts, order.numpy())
        return starts, order

    def fit(
        self,
        values: Tensor,
        W_dec: Tensor,
        b_dec: Tensor,
        y: Tensor,
        sizes: Sequence[int] | None = None,
    ) -> Fit:
        """Decode and compare with the target, a sample at a time."""
        prefixes = 1 if sizes is None else len(sizes)
        pull = torch.empty(prefixes, *y.shape)
        gradients, squares = torch.empty(len(values)), torch.empty(len(y))
        factor = np.float32(2 / pull.numel())
        decoder = W_dec.detach().numpy(), b_dec.detach().numpy()
        known = self.offsets.numpy(), self.latents.numpy(), values.numpy(), *decoder
        found = pull.numpy(), gradients.numpy(), squares.numpy()
        if sizes is None:
            _kernels().fit(*known, y.numpy(), factor, found[0][0], *found[1:])
        else:
            _kernels().fit_prefixes(*known, y.numpy(), _groups(sizes), factor, *found)
        return Fit(squares.double().sum().float() / pull.numel(), pull, gradients)

    def latent_sums(self, entries: Tensor, X: Tensor, sizes: Sequence[int] | None = None) -> Tensor:
        """Sum over the entries of each latent, which are sorted by latent once a batch."""
        starts, order = self.sorted
        groups = np.zeros(self.n_latents, np.int64) if len(X) == 1 or sizes is None else _groups(sizes)
        out = torch.empty(self.n_latents, X.shape[2])
        rows, weights = self.sorted_rows, entries[order].numpy()
        _kernels().latent_sums(starts, rows, weights, X.numpy(), groups, out.numpy())
        return out


class CPUEngine(Engine):
    """Sums over the active latents, or whole products where they are many.

    Its buffers are kept from step to step, since fresh ones are faulted in page by page.

    Args:
        crowded: the share of active latents from which on whole products are taken.
    """

    def __init__(self, crowded: float = _CROWDED) -> None:
        self._dense, self._crowded = DenseEngine(), crowded
        self._bound = (
            0.0  # the last threshold of a batch: it decides how quick the next is, not what is found
        )
        self._buffers: dict[str, Tensor] = {}

    def top(self, x: Tensor, E: Tensor, b: Tensor, k: int) -> Codes:
        """Select the k largest pre-activations of each sample."""
        if k > self._crowded * len(E):
            return self._dense.top(x, E, b, k)
        found = self._room(len(x), k)

        def find(pre: np.ndarray, at: slice) -> None:
            _kernels().top(pre, b.detach().numpy(), k, *(part[at] for part in found))

        self._by_blocks(x, E, find)
        return self._packed(found, len(E))

    def top_of_batch(self, x: Tensor, E: Tensor, b: Tensor, count: int) -> Codes:
        """Select the largest pre-activations of the batch: what passes a lower bound, then the rest exactly.

        The bound is somewhat less than the last batch's threshold. Where too few pass it, or too many in one
        sample, the whole matrix is searched.
        """
        mean = count / len(x)
        bound = _SLACK * self._bound
        if mean <= self._crowded * len(E) and bound > 0:
            found = self._above(x, E, b, b - bound, room=min(len(E), math.ceil(8 * mean) + 64))
            if found is not None and int(found[2].sum()) >= count:
                values = np.concatenate([row[:n] for row, n in zip(found[1], found[2], strict=True)])
                values.partition(len(values) - count)
                least = self._bound = float(values[-count])
                return self._packed(found, len(E), least, int((values[-count:] == least).sum()))
        codes = self._dense.top_of_batch(x, E, b, count)
        positive = codes.values[codes.values > 0]
        self._bound = float(positive.min()) if len(positive) else 0.0
        return codes if mean > self._crowded * len(E) else _entries(codes.values)

    def above(self, x: Tensor, E: Tensor, b: Tensor, cut: Tensor | None = None) -> Codes:
        """Select the pre-activations above ``cut``."""
        if self.selected <= self._crowded * len(E):
            room = math.ceil(4 * self._crowded * len(E)) + 64
            found = self._above(x, E, b, b if cut is None else b - cut, room=min(len(E), room))
            if found is not None:
                self.selected = float(found[2].mean())
                return self._packed(found, len(E))
        codes = self._dense.above(x, E, b, cut)
        assert isinstance(codes, DenseCodes)
        self.selected = float(codes.selected.sum()) / len(x)
        return codes

    def step_held_(
        self, optimizer: torch.optim.Adam, W: nn.Parameter, step: int, limit: float = math.inf
    ) -> Tensor:
        """Take a step of Adam that holds the decoder's rows, their gradient in one pass."""
        return step_held_(optimizer, W, step, limit, _hold)

    def _by_blocks(self, x: Tensor, E: Tensor, find: Callable[[np.ndarray, slice], None]) -> None:
        """Give ``find`` the products x Eᵀ of some rows at a time, in one buffer that the cache can hold."""
        pre = self._buffer("pre", (min(_BLOCK, len(x)), len(E)), torch.float32)
        for first in range(0, len(x), _BLOCK):
            rows = x[first : first + _BLOCK]
            part = pre[: len(rows)]
            product(rows, E.T, out=part)
            find(part.numpy(), slice(first, first + len(rows)))

    def _above(self, x: Tensor, E: Tensor, b: Tensor, shift: Tensor, room: int) -> "_Found | None":
        """Find where x Eᵀ + shift is positive; None where a row has more than there is room for."""
        found = self._room(len(x), room)

        def find(pre: np.ndarray, at: slice) -> None:
            _kernels().above(pre, b.detach().numpy(), shift.detach().numpy(), *(part[at] for part in found))

        self._by_blocks(x, E, find)
        return found if int(found[2].max()) <= room else None

    def _room(self, samples: int, room: int) -> "_Found":
        return (
            self._buffer("latents", (samples, room), torch.int32).numpy(),
            self._buffer("values", (samples, room), torch.float32).numpy(),
            np.empty(samples, np.int64),
        )

    def _packed(self, found: "_Found", n_latents: int, least: float = -math.inf, ties: int = 0) -> "_Entries":
        """Put what was found in rows with room to spare one behind the other."""
        count = int(found[2].sum())
        rows, latents = torch.empty(count, dtype=torch.int32), torch.empty(count, dtype=torch.int32)
        values, offsets = torch.empty(count), torch.empty(len(found[2]) + 1, dtype=torch.int64)
        packed = rows.numpy(), latents.numpy(), values.numpy(), offsets.numpy()
        count = _kernels().pack(*found, np.float32(least), ties, *packed)
        return _Entries(values[:count], offsets, rows[:count], latents[:count], n_latents)

    def _buffer(self, name: str, shape: tuple[int, int], kind: torch.dtype) -> Tensor:
        kept = self._buffers.get(name)
        if kept is None or kept.numel() < math.prod(shape):
            kept = self._buffers[name] = torch.empty(math.prod(shape), dtype=kind)
        return kept[: math.prod(shape)].view(shape)


_Found = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Latents and values, [sample, room], and how many there are, [sample]."""


def _hold(W: Tensor, gradient: Tensor) -> Tensor:
    squares = torch.empty(len(W))
    _kernels().hold(W.detach().numpy(), gradient.numpy(), squares.numpy())
    return squares.double().sum().float()


def _entries(f: Tensor) -> _Entries:
    rows, latents = f.nonzero(as_tuple=True)
    offsets = torch.zeros(len(f) + 1, dtype=torch.int64)
    offsets[1:] = (f != 0).sum(1).cumsum(0)
    return _Entries(f[rows, latents], offsets, rows.int(), latents.int(), f.shape[1])


def _groups(sizes: Sequence[int]) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


def _kernels() -> ModuleType:
    from superscope.dictionary.sparse import cpu_kernels  # Numba takes a second to import

    return cpu_kernels
