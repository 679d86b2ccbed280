"""Engines: how the active latents of a batch are found, decoded, and carried back to the weights.

A training step needs one dense product, that of the input with the encoder. Everything after it touches the
active entries only: which form they are kept in, and what runs over them, is the engine's. An architecture
writes its gradients once, on :class:`Codes`, for every engine.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from superscope.dictionary.sparse.held import step_held_
from superscope.dictionary.sparse.products import product


@dataclass(frozen=True)
class Fit:
    """A reconstruction and what it says to the codes."""

    loss: Tensor
    """Mean squared error over samples, outputs and prefixes, a scalar."""
    pull: Float[Tensor, "prefix sample output"]
    """Gradient of the loss by what is decoded at each prefix and after it."""
    value_gradients: Tensor
    """Gradient of the loss by the value of each entry of the codes."""

    @property
    def error(self) -> Float[Tensor, "sample output"]:
        """Reconstruction by all latents minus target."""
        return self.pull[-1] * (self.pull.numel() / 2)


class Codes(ABC):
    """The entries of a batch's codes that were selected, in the form of one engine."""

    values: Tensor
    """The pre-activation of each entry; 0 at the entries that a dense form carries without need."""

    @abstractmethod
    def spread(self, of_latents: Float[Tensor, " latent"]) -> Tensor:
        """Return each entry's latent's number."""

    @abstractmethod
    def keep(self, entries: Tensor) -> Tensor:
        """Return ``entries`` with 0 where nothing was selected; may work in place."""

    @abstractmethod
    def sums(self, entries: Tensor) -> Float[Tensor, " latent"]:
        """Return the sums of the entries of each latent."""

    @abstractmethod
    def fired(self, values: Tensor, faint: Tensor) -> Tensor:
        """Return [latent] bool: which latents have an entry over ``faint``."""

    @abstractmethod
    def dense(self, values: Tensor) -> Float[Tensor, "sample latent"]:
        """Return entries as a matrix, 0 where there are none."""

    @abstractmethod
    def fit(
        self,
        values: Tensor,
        W_dec: Tensor,
        b_dec: Tensor,
        y: Tensor,
        sizes: Sequence[int] | None = None,
    ) -> Fit:
        """Decode ``values`` and compare with the target; with ``sizes``, every prefix of such groups too."""

    @abstractmethod
    def latent_sums(
        self,
        entries: Tensor,
        X: Float[Tensor, "prefix sample column"],
        sizes: Sequence[int] | None = None,
    ) -> Float[Tensor, "latent column"]:
        """Return Σ over a latent's entries of entry · row of X, of the prefix that the latent is in."""


class Engine(ABC):
    """Finds the active latents of a batch, as codes of its own form, and takes the optimizer's step."""

    selected: float = math.inf
    """How many entries a sample had when :meth:`above` was last asked: an engine may choose its way by it, so
    it is a part of the training's state."""

    @abstractmethod
    def top(self, x: Tensor, E: Tensor, b: Tensor, k: int) -> Codes:
        """Select the k largest pre-activations of each sample, positive ones only.

        Args:
            x: [sample, width].
            E: the encoder, [latent, width].
            b: its bias, [latent].
            k: how many; at most the number of latents.
        """

    @abstractmethod
    def top_of_batch(self, x: Tensor, E: Tensor, b: Tensor, count: int) -> Codes:
        """Select the ``count`` largest pre-activations of the whole batch, positive ones only."""

    @abstractmethod
    def above(self, x: Tensor, E: Tensor, b: Tensor, cut: Tensor | None = None) -> Codes:
        """Select the pre-activations above ``cut`` [latent], 0 where None."""

    def step_held_(
        self, optimizer: torch.optim.Adam, W: nn.Parameter, step: int, limit: float = math.inf
    ) -> Tensor:
        """Do as :func:`superscope.dictionary.sparse.held.step_held_`."""
        return step_held_(optimizer, W, step, limit)


@dataclass(frozen=True)
class DenseCodes(Codes):
    """Codes as a matrix with its zeros."""

    values: Tensor
    selected: Tensor

    def spread(self, of_latents: Tensor) -> Tensor:
        """Return each entry's latent's number."""
        return of_latents.expand_as(self.values)

    def keep(self, entries: Tensor) -> Tensor:
        """Return entries with 0 where nothing was selected."""
        return entries.mul_(self.selected)

    def sums(self, entries: Tensor) -> Tensor:
        """Return the sums of the columns."""
        return entries.sum(0)

    def fired(self, values: Tensor, faint: Tensor) -> Tensor:
        """Return which columns pass."""
        return values.amax(0) > faint

    def dense(self, values: Tensor) -> Tensor:
        """Return the entries as they are."""
        return values

    def fit(
        self,
        values: Tensor,
        W_dec: Tensor,
        b_dec: Tensor,
        y: Tensor,
        sizes: Sequence[int] | None = None,
    ) -> Fit:
        """Decode, group by group, and compare with the target."""
        parts = [W_dec.shape[0]] if sizes is None else list(sizes)
        decoded = b_dec - y
        errors = []
        for part, weights in zip(values.split(parts, 1), W_dec.split(parts), strict=True):
            decoded = product(part, weights).add_(decoded)
            errors.append(decoded)
        stacked = torch.stack(errors)
        loss = stacked.square().mean()
        pull = (2 / stacked.numel()) * stacked.flip(0).cumsum(0).flip(0)
        back = [product(p, weights.T) for p, weights in zip(pull, W_dec.split(parts), strict=True)]
        return Fit(loss, pull, torch.cat(back, 1) if len(back) > 1 else back[0])

    def latent_sums(self, entries: Tensor, X: Tensor, sizes: Sequence[int] | None = None) -> Tensor:
        """Multiply."""
        if len(X) == 1:
            return product(entries.T, X[0])
        assert sizes is not None
        return torch.cat(
            [product(part.T, x) for part, x in zip(entries.split(list(sizes), 1), X, strict=True)]
        )


class DenseEngine(Engine):
    """Matrix products throughout: any device, and the better way where many latents are active."""

    def top(self, x: Tensor, E: Tensor, b: Tensor, k: int) -> Codes:
        """Select the k largest pre-activations of each sample."""
        pre = product(x, E.T).add_(b)
        found = pre.topk(k, dim=1)
        selected = torch.zeros_like(pre, dtype=torch.bool).scatter_(1, found.indices, found.values > 0)
        return DenseCodes(pre.mul_(selected), selected)

    def top_of_batch(self, x: Tensor, E: Tensor, b: Tensor, count: int) -> Codes:
        """Select the largest pre-activations of the batch."""
        pre = product(x, E.T).add_(b)
        flat = pre.flatten()
        found = flat.topk(min(count, len(flat)))
        selected = torch.zeros_like(flat, dtype=torch.bool).scatter_(0, found.indices, found.values > 0)
        return DenseCodes(pre.mul_(selected.view_as(pre)), selected.view_as(pre))

    def above(self, x: Tensor, E: Tensor, b: Tensor, cut: Tensor | None = None) -> Codes:
        """Select the pre-activations above ``cut``."""
        pre = product(x, E.T).add_(b)
        selected = pre > (0 if cut is None else cut)
        return DenseCodes(pre.mul_(selected), selected)
