"""The inputs of the toy models: sparse features, each with a density, alone or in groups.

Every feature i looks at the uniform draw u of its gate and is active when u is in an interval [low_i, high_i)
as long as its probability. Features alone have a gate each and [0, p); a correlated group shares one gate and
one interval; an anti-correlated group shares one gate, and its intervals lie side by side, so that no two are
hit at once. (Elhage et al. 2022, arXiv 2209.10652, "Correlated and anti-correlated features".)
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from superscope.toy.model import Amplitude, Marginal, Sizes, ToyConfig


class Gates(NamedTuple):
    """Which gate each feature looks at, and the draws that make it active."""

    gate: Int[Tensor, " feature"]
    low: Float[Tensor, "*instance feature"]
    high: Float[Tensor, "*instance feature"]


def gates(
    density: Float[Tensor, "*instance feature"],
    correlated: Sizes = (),
    anticorrelated: Sizes = (),
    marginal: Marginal = "group",
) -> Gates:
    """Return the gates of features in groups; the first features are the correlated ones, then the others.

    Args:
        density: of each feature; in a correlated group, and in an anti-correlated one by ``group``, that of
            its first feature counts for all.
        correlated: sizes of groups that are active together.
        anticorrelated: sizes of groups of which at most one feature is active.
        marginal: what density is in an anti-correlated group of k: the probability that the group is active,
            so that each feature is so with p/k (``group``, as in the paper), or the probability of each
            feature, so that the group is active with their sum (``feature``, as in later notebooks).

    >>> gates(torch.tensor([0.4, 0.4, 0.5]), anticorrelated=(2,)).high
    tensor([0.2000, 0.4000, 0.5000])
    """
    low, high = torch.zeros_like(density), density.clone()
    gate = torch.arange(density.shape[-1])
    start = 0
    for k in correlated:
        gate[start : start + k] = start
        high[..., start : start + k] = density[..., start, None]
        start += k
    for k in anticorrelated:
        group = slice(start, start + k)
        gate[group] = start
        shares = (
            density[..., group]
            if marginal == "feature"
            else density[..., start, None].expand_as(high[..., group]) / k
        )
        edges = shares.cumsum(-1)
        high[..., group] = edges
        low[..., start + 1 : start + k] = edges[..., :-1]
        start += k
    return Gates(gate, low, high)


def sample(
    density: Float[Tensor, "*instance feature"],
    batch_size: int,
    generator: torch.Generator | None = None,
    *,
    amplitude: Amplitude = "uniform",
    correlated: Sizes = (),
    anticorrelated: Sizes = (),
    marginal: Marginal = "group",
) -> Float[Tensor, "*instance {batch_size} feature"]:
    """Draw sparse inputs: x_i = 0 where feature i is not active, else an amplitude of its own.

    Where the features stand alone, one uniform draw u serves for both: with amplitudes from U[0, 1), x =
    u/density where u < density, else 0; on a grid of 2⁻²⁴/density.

    Args:
        density: the probability, in (0, 1], that a feature is active; 1 − S for sparsity S.
        batch_size: samples for each instance.
        generator: the source of the draws, on the device of ``density``.
        amplitude: what an active feature is drawn from; see :class:`ToyConfig`.
        correlated: see :func:`gates`.
        anticorrelated: see :func:`gates`.
        marginal: see :func:`gates`.

    >>> sample(torch.tensor([1.0, 0.1]), 4, torch.Generator().manual_seed(0)).shape
    torch.Size([4, 2])
    """
    *instance, feature = density.shape
    shape = *instance, batch_size, feature
    u = torch.rand(shape, generator=generator, device=density.device)
    if not (correlated or anticorrelated):
        x = u.div_(density.unsqueeze(-2))
        active = x < 1
    else:
        gate, low, high = gates(density, correlated, anticorrelated, marginal)
        u = u[..., gate.to(u.device)]
        low, high = low.unsqueeze(-2), high.unsqueeze(-2)
        active = (u >= low) & (u < high)
        # members of a correlated group share u, so their amplitudes are drawn anew
        x = (u - low) / (high - low)
        members = sum(correlated)
        x[..., :members] = torch.rand((*shape[:-1], members), generator=generator, device=u.device)
    if amplitude == "gaussian":
        x = torch.randn(shape, generator=generator, device=density.device)
    elif amplitude == "signed":
        x = 2 * x - 1
    elif amplitude == "constant":
        x = torch.ones_like(x)
    return x.mul_(active)  # twice as quick as masked_fill_, whose branch on random bits is mispredicted


def draw(
    config: ToyConfig,
    density: Float[Tensor, "*instance feature"],
    batch_size: int,
    generator: torch.Generator,
) -> Float[Tensor, "*instance {batch_size} feature"]:
    """Draw inputs as a config describes them."""
    return sample(
        density,
        batch_size,
        generator,
        amplitude=config.amplitude,
        correlated=config.correlated,
        anticorrelated=config.anticorrelated,
        marginal=config.marginal,
    )
