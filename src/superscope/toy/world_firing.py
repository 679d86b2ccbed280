"""Which features of a world fire together: alone, in a Gaussian copula, under a parent.

Firings are drawn one by one, not cell by cell: features that fire independently take a draw for each firing,
and a child costs something only where its parent has fired. So the cost follows the number of firings, which
is what makes a world of thousands of rare features feasible.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from superscope.core.errors import InputError

_CERTAIN = 40.0
"""Hazard of a feature that always fires: it misses once in e⁴⁰ samples."""


class Fired(NamedTuple):
    """The firings of some samples, sorted by sample and by feature within it; no pair occurs twice."""

    sample: Int[Tensor, " firing"]
    feature: Int[Tensor, " firing"]


_Part = TypeVar("_Part")


def on_device(part: _Part, device: torch.device | str) -> _Part:
    """Return a world, or a part of one, with its tensors on ``device``.

    There it draws with a generator of that device.
    """
    assert is_dataclass(part)
    assert not isinstance(part, type)
    moved = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if isinstance(value, Tensor):
            moved[field.name] = value.to(device)
        elif is_dataclass(value) and not isinstance(value, type):
            moved[field.name] = on_device(value, device)
    return replace(part, **moved)


@dataclass(frozen=True)
class Firing:
    """When features fire.

    A feature without a parent fires with its probability. A feature with one fires with its probability in
    those samples in which the parent fires, and in no other. With ``loadings`` F, every feature i looks at a
    Gaussian z_i = F_i·ε + √(1 − ‖F_i‖²) η_i, where ε is shared by the features of a sample, and fires when
    z_i is above the quantile of its probability: a Gaussian copula, whose correlation matrix is FFᵀ off the
    diagonal, with the probabilities as they are given.

    Raises:
        InputError: when shapes do not fit, a probability is not in [0, 1], a row of loadings is longer
            than 1, or a parent does not come before its child.
    """

    probabilities: Float[Tensor, " feature"]
    """Of each feature; given that its parent fires, where it has one."""
    loadings: Float[Tensor, "feature factor"] | None = None
    parent: Int[Tensor, " feature"] | None = None
    """The index of each feature's parent, which is less than its own; −1 for none."""
    exclusive: bool = False
    """Whether the children of one parent exclude each other: of those that would fire, one does, drawn
    evenly."""

    def __post_init__(self) -> None:
        p, n = self.probabilities, len(self.probabilities)
        if n == 0 or not bool(((p >= 0) & (p <= 1)).all()):
            raise InputError(f"Firing: {n} probabilities, expected at least one and each in [0, 1]")
        F, parent = self.loadings, self.parent
        if F is not None and (len(F) != n or bool((F.square().sum(1) > 1 + 1e-5).any())):
            raise InputError(
                f"Firing: loadings of shape {tuple(F.shape)} for {n} features; "
                "give each a row of norm up to 1"
            )
        if parent is not None and (
            len(parent) != n or bool((parent >= torch.arange(n, device=parent.device)).any())
        ):
            raise InputError(
                "Firing: every feature needs a parent that comes before it, or −1; "
                f"got {len(parent)} for {n} features, or one that does not"
            )

    def draw(self, count: int, generator: torch.Generator) -> Fired:
        """Draw the firings of ``count`` samples."""
        epsilon = None
        if self.loadings is not None:
            device, factors = self.probabilities.device, self.loadings.shape[1]
            epsilon = torch.randn(count, factors, generator=generator, device=device)
        level = self._draw_roots(count, epsilon, generator)
        if self.parent is None:
            return level
        levels = [level]
        while len(level.sample):
            level = self._draw_children(level, epsilon, generator)
            levels.append(level)
        sample, feature = (torch.cat(parts) for parts in zip(*levels, strict=True))
        order = (sample * len(self.probabilities) + feature).argsort()
        return Fired(sample[order], feature[order])

    def marginals(self) -> Float[Tensor, " feature"]:
        """Return the probability with which each feature fires in a sample, in float64.

        Exact: under a parent the product over the ancestors. Where siblings exclude each other, a child that
        would fire with q_j wins with q_j ∫₀¹ Π_{k≠j} (1 − q_k + q_k t) dt, the mean of 1/(1 + others).

        Raises:
            InputError: when there are both parents and loadings, for which no closed form is known; count a
                sample.
        """
        p = self.probabilities.double()
        if self.parent is None:
            return p
        if self.loadings is not None:
            raise InputError("marginals: parents and loadings together have no closed form; count a sample")
        if self.exclusive:
            p = self._chosen(p)
        found = p.clone()
        for feature, parent in enumerate(self.parent.tolist()):
            if parent >= 0:
                found[feature] = found[feature] * found[parent]
        return found

    def _chosen(self, p: Tensor) -> Tensor:
        from numpy.polynomial.legendre import leggauss

        chosen = p.clone()
        for children in self._children:
            group = children[children >= 0]
            if len(group) < 2:
                continue
            nodes, weights = (torch.from_numpy(a) / 2 for a in leggauss(len(group)))  # exact for this degree
            factor = 1 - p[group, None] + p[group, None] * (nodes + 0.5)
            for j, child in enumerate(group.tolist()):
                others = torch.cat([factor[:j], factor[j + 1 :]]).prod(0)
                chosen[child] = p[child] * (weights * others).sum()
        return chosen

    @property
    def cells(self) -> int:
        """The features of a sample that are drawn one by one, whether they fire or not."""
        return 0 if self.loadings is None else len(self._roots)

    @cached_property
    def _roots(self) -> Tensor:
        if self.parent is None:
            return torch.arange(len(self.probabilities), device=self.probabilities.device)
        return (self.parent < 0).nonzero().squeeze(1)

    @cached_property
    def _children(self) -> Tensor:
        """The children of each feature [feature, most], with −1 where it has fewer."""
        assert self.parent is not None
        child = (self.parent >= 0).nonzero().squeeze(1)
        child = child[self.parent[child].argsort(stable=True)]
        parent = self.parent[child]
        counts = parent.bincount(minlength=len(self.parent))
        place = torch.arange(len(child), device=child.device) - (counts.cumsum(0) - counts)[parent]
        table = child.new_full((len(self.parent), int(counts.max())), -1)
        table[parent, place] = child
        return table

    @cached_property
    def _copula(self) -> tuple[Tensor, Tensor]:
        """The threshold of each feature's Gaussian, and the share of it that the feature does not share."""
        assert self.loadings is not None
        thresholds = -torch.special.ndtri(self.probabilities.double())
        own = (1 - self.loadings.double().square().sum(1)).clamp(min=0).sqrt()
        return thresholds.float(), own.float()

    @cached_property
    def _hazards(self) -> Tensor:
        return -torch.log1p(-self.probabilities[self._roots].double()).clamp(min=-_CERTAIN).cumsum(0)

    def _draw_roots(self, count: int, epsilon: Tensor | None, generator: torch.Generator) -> Fired:
        if epsilon is None:
            sample, place = _independent(self._hazards, count, generator)
            return Fired(sample, place if self.parent is None else self._roots[place])
        assert self.loadings is not None
        thresholds, own = (values[self._roots] for values in self._copula)
        z = epsilon @ self.loadings[self._roots].T
        if bool((own > 0).any()):
            z.addcmul_(own, torch.randn(z.shape, generator=generator, device=z.device))
        sample, place = (z > thresholds).nonzero(as_tuple=True)
        return Fired(sample, self._roots[place])

    def _draw_children(self, level: Fired, epsilon: Tensor | None, generator: torch.Generator) -> Fired:
        children = self._children[level.feature]
        there = children >= 0
        device = children.device
        if epsilon is None:
            u = torch.rand(children.shape, generator=generator, device=device)
            fires = there & (u < self.probabilities[children])
        else:
            assert self.loadings is not None
            thresholds, own = (values[children] for values in self._copula)
            z = torch.einsum("nf,ncf->nc", epsilon[level.sample], self.loadings[children])
            z.addcmul_(own, torch.randn(z.shape, generator=generator, device=device))
            fires = there & (z > thresholds)
        if self.exclusive and children.shape[1] > 1:
            lots = torch.rand(children.shape, generator=generator, device=device).masked_fill(~fires, -1)
            fires = fires & (lots == lots.amax(1, keepdim=True))
        parent, place = fires.nonzero(as_tuple=True)
        return Fired(level.sample[parent], children[parent, place])


def _independent(hazards: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw which of ``count`` samples each of some independent features fires in, sorted.

    The samples lie side by side on a line, and in each of them every feature has a stretch as long as its
    hazard h = −ln(1 − p). Points fall on the line at rate 1, so a stretch has one with probability
    1 − e⁻ʰ = p, independently of all others: a feature fires where its stretch has any.

    Args:
        hazards: the running sum of the features' hazards.
        count: samples.
        generator: the source of the draws.
    """
    total = float(hazards[-1])
    end, at, parts = total * count, 0.0, []
    while at < end:
        expected = end - at
        size = int(expected + 5 * math.sqrt(expected)) + 10
        gaps = torch.empty(size, dtype=torch.float64, device=hazards.device).exponential_(generator=generator)
        points = gaps.cumsum(0).add_(at)
        at = float(points[-1])
        parts.append(points)
    points = torch.cat(parts) if parts else hazards.new_empty(0)
    points = points[points < end]
    sample = (points / total).floor_()
    place = torch.searchsorted(hazards, points - sample * total, right=True).clamp_(max=len(hazards) - 1)
    sample = sample.long()
    new = torch.ones_like(sample, dtype=torch.bool)
    new[1:] = (sample[1:] != sample[:-1]) | (place[1:] != place[:-1])
    return sample[new], place[new]


class Magnitude(ABC):
    """How strongly a feature fires."""

    @abstractmethod
    def draw(self, feature: Int[Tensor, " firing"], generator: torch.Generator) -> Float[Tensor, " firing"]:
        """Draw a magnitude, at least 0, for each firing."""


@dataclass(frozen=True)
class UniformMagnitude(Magnitude):
    """U(low, high) for every feature."""

    low: float = 0.5
    high: float = 1.5

    def draw(self, feature: Int[Tensor, " firing"], generator: torch.Generator) -> Float[Tensor, " firing"]:
        """Draw a magnitude for each firing."""
        u = torch.rand(len(feature), generator=generator, device=feature.device)
        return u.mul_(self.high - self.low).add_(self.low)


@dataclass(frozen=True)
class ProductMagnitude(Magnitude):
    """The product of two draws from U(0, 1), so that most firings are weak: half of them below 0.19."""

    def draw(self, feature: Int[Tensor, " firing"], generator: torch.Generator) -> Float[Tensor, " firing"]:
        """Draw a magnitude for each firing."""
        u = torch.rand(2, len(feature), generator=generator, device=feature.device)
        return u[0] * u[1]


@dataclass(frozen=True)
class NormalMagnitude(Magnitude):
    """N(mean, std²) of each feature, and 0 in place of a negative draw."""

    mean: Float[Tensor, " feature"]
    std: Float[Tensor, " feature"]

    def draw(self, feature: Int[Tensor, " firing"], generator: torch.Generator) -> Float[Tensor, " firing"]:
        """Draw a magnitude for each firing."""
        z = torch.randn(len(feature), generator=generator, device=feature.device)
        return (self.mean[feature] + self.std[feature] * z).clamp_(min=0)
