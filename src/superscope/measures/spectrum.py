"""How many directions a cloud of activations, or a weight matrix, uses: ranks of its singular values.

Each takes singular values s ≥ 0 as [*batch, k], in any order, and answers from 0 (only for s = 0) or 1 to k.
All are unmoved by a rotation of the space and by the scale of s. With the energies λ = s² and p = λ/Σλ, five
of them are ordered (Rényi entropies fall as their order grows, and s/Σs is flatter than p):

    1 ≤ stable_rank = exp H_∞(p) ≤ participation_ratio = exp H_2(p) ≤ spectral_entropy_rank = exp H_1(p)
      ≤ entropy_rank = exp H_1(s/Σs) ≤ number of non-zero s

RankMe is the entropy rank with a small constant, and α the slope of the energies, which is no rank.

Work is in float64 on s over its largest value; real ranks come back in the dtype of s (half precision as
float32). Whether the activations were centred before the singular values were taken is the caller's to say.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float, Int
from torch import Tensor

from superscope.core.errors import InputError

_RANKME = 1e-7
"""Added to each share, as published."""


def energy_rank(s: Float[Tensor, "*batch k"], threshold: float = 0.99) -> Int[Tensor, "*batch"]:
    """Return the smallest number of singular values that holds ``threshold`` of the energy Σs².

    min {r : Σ_{i≤r} s_i² ≥ threshold · Σ_i s_i²} with s falling, for a threshold in (0, 1]. An integer from 1
    to the number of non-zero s; 0 for s = 0. A sum of k float64 values can be off by k·2⁻⁵² of itself, so a
    fraction that close below the threshold counts as reaching it: a flat spectrum of 100 has rank 99 at 0.99.

    This is principal component analysis' "components that explain 99 % of the variance" when the rows were
    centred.

    Raises:
        InputError: when s is empty, has a negative or non-finite value, or the threshold is outside (0, 1].

    >>> energy_rank(torch.ones(100)), energy_rank(torch.tensor([10.0, 1.0, 0.1]))
    (tensor(99), tensor(1))
    """
    return torch.where(_scaled(s).amax(-1) > 0, count_below(s, threshold) + 1, 0)


def count_below(s: Float[Tensor, "*batch k"], threshold: float = 0.99) -> Int[Tensor, "*batch"]:
    """Return how many cumulative energy fractions lie below ``threshold``.

    #{r : Σ_{i≤r} s_i²/Σs² < threshold} with s falling; notebooks print this as the "effective rank". It is
    always :func:`energy_rank` − 1, also where a fraction equals the threshold, since one comparison serves
    both; only for s = 0 are both 0. An integer from 0 to k − 1: a single direction counts as 0.

    Raises:
        InputError: when s is empty, has a negative or non-finite value, or the threshold is outside (0, 1].

    >>> count_below(torch.ones(100)), count_below(torch.tensor([10.0, 1.0, 0.1]))
    (tensor(98), tensor(0))
    """
    if not 0 < threshold <= 1:
        raise InputError(f"threshold is {threshold}, expected a share of the energy in (0, 1], such as 0.99")
    energies = _scaled(s).square().sort(-1, descending=True).values
    cumulative = energies.cumsum(-1)
    rounding = s.shape[-1] * torch.finfo(torch.float64).eps
    return (cumulative < threshold * (1 - rounding) * cumulative[..., -1:]).sum(-1)


def entropy_rank(s: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Return the effective rank exp(−Σ q_i ln q_i) with q = s/Σs.

    From 1 to the number of non-zero s; 0 for s = 0. Source: Roy and Vetterli 2007, "The effective rank: a
    measure of effective dimensionality". It is the largest of the entropy ranks, since many small singular
    values add up in Σs. Its slope is infinite where an s is 0 beside others that are not; autograd leaves
    that one's share out.

    Raises:
        InputError: when s is empty or has a negative or non-finite value.

    >>> entropy_rank(torch.tensor([1.0, 1.0, 1.0, 0.0]))
    tensor(3.)
    """
    return _perplexity(_scaled(s)).to(_dtype(s))


def spectral_entropy_rank(s: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Return the effective rank of the energies: exp(−Σ p_i ln p_i) with p = s²/Σs².

    From 1 to the number of non-zero s; 0 for s = 0. p are the shares of variance of the principal components
    when the rows were centred, and the eigenvalues of the density matrix XᵀX/tr XᵀX, whose von Neumann
    entropy this exponentiates.

    Raises:
        InputError: when s is empty or has a negative or non-finite value.

    >>> spectral_entropy_rank(torch.tensor([2.0, 2.0, 0.0]))
    tensor(2.)
    """
    return _perplexity(_scaled(s).square()).to(_dtype(s))


def stable_rank(s: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Return the energy in units of the largest one: Σs²/max s² = ‖X‖²_F/‖X‖²_2.

    From 1 to the number of non-zero s; 0 for s = 0. Source: Rudelson and Vershynin 2007, "Sampling from large
    matrices", where it is the numerical rank. One strong direction pulls it down to 1, whatever the others
    do.

    Raises:
        InputError: when s is empty or has a negative or non-finite value.

    >>> stable_rank(torch.tensor([2.0, 1.0, 1.0]))
    tensor(1.5000)
    """
    energies = _scaled(s).square()
    largest = energies.amax(-1)
    return (energies.sum(-1) / largest.masked_fill(largest == 0, 1)).to(_dtype(s))


def participation_ratio(s: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Return the inverse of the energies' mean share: (Σλ)²/Σλ² with λ = s².

    From 1 to the number of non-zero s; 0 for s = 0. λ are, up to a factor that cancels, the eigenvalues of
    the covariance when the rows were centred. Source: Gao et al. 2017, "A theory of multineuronal
    dimensionality, dynamics and measurement".

    Raises:
        InputError: when s is empty or has a negative or non-finite value.

    >>> participation_ratio(torch.tensor([1.0, 1.0, 0.0]))
    tensor(2.)
    """
    energies = _scaled(s).square()
    squares = energies.square().sum(-1)
    return (energies.sum(-1).square() / squares.masked_fill(squares == 0, 1)).to(_dtype(s))


RANKS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "energy_rank": energy_rank,
        "count_below": count_below,
        "entropy_rank": entropy_rank,
        "spectral_entropy_rank": spectral_entropy_rank,
        "stable_rank": stable_rank,
        "participation_ratio": participation_ratio,
    }
)
"""The six ranks by name, as functions of s alone: what a survey goes through."""


def rankme(s: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Return RankMe: exp(−Σ p_i ln p_i) with p = s/Σs + 10⁻⁷.

    From 1 to about k; 0 for s = 0. :func:`entropy_rank` but for the 10⁻⁷, which raises it by at most 2·10⁻⁶
    of itself for each s. Source: Garrido et al. 2023, "RankMe: assessing the downstream performance of
    pretrained self-supervised representations by their rank", where s are the singular values of embeddings
    that are not centred.

    Raises:
        InputError: when s is empty or has a negative or non-finite value.

    >>> rankme(torch.tensor([1.0, 1.0, 0.0]))
    tensor(2.0000)
    """
    scaled = _scaled(s)
    total = scaled.sum(-1, keepdim=True)
    shares = scaled / total.masked_fill(total == 0, 1) + _RANKME
    entropy = -(shares * shares.log()).sum(-1)
    return entropy.exp().masked_fill(total.squeeze(-1) == 0, 0).to(_dtype(s))


@dataclass(frozen=True)
class PowerLaw:
    """A line through the logarithms of a spectrum's energies against those of their places."""

    alpha: Float[Tensor, "*batch"]
    """How fast the energies fall: λ_i ∝ i^−α. NaN where fewer than two of them are in the range."""
    r_squared: Float[Tensor, "*batch"]
    """Share of the weighted variance of ln λ that the line explains; NaN without a line or a variance."""
    points: Int[Tensor, "*batch"]
    """Energies that the line was fitted to."""


def power_law(s: Float[Tensor, "*batch k"], first: int | None = None, last: int | None = None) -> PowerLaw:
    """Fit λ_i ∝ i^−α to the energies λ = s², falling, at the places i from ``first`` to ``last``, from 1 on.

    Least squares of ln λ_i on ln i with weight 1/i, which gives each octave of places the same say. The
    source of the fit is Stringer et al. 2019, "High-dimensional geometry of population responses in visual
    cortex"; of α as a measure of networks, Agrawal et al. 2022, "α-ReQ: assessing representation quality in
    self-supervised learning by measuring eigenspectrum decay". λ are the variances of the principal
    components when the rows were centred.

    With r non-zero s, the range is by default 11 to 100, as published code has it, but not from beyond
    1 + r/10 nor to beyond r/2 (or 2): the first few are often apart, and the last few fall away because rows
    or units end. Zeros are never fitted. α is unmoved by the scale of s; it is 0 for a flat spectrum, and
    below 0 for none. Neighbouring energies are not independent, so a standard error from the residuals would
    mean nothing and is not given.

    Raises:
        InputError: when s is empty or has a negative or non-finite value, or the range is not
            1 ≤ first < last.

    >>> fit = power_law(torch.arange(1.0, 201) ** -0.5)
    >>> fit.alpha, fit.points
    (tensor(1.), tensor(90))
    """
    energies = _scaled(s).square().sort(-1, descending=True).values
    used = (energies > 0).sum(-1, keepdim=True)
    start = (1 + used // 10).clamp(max=11) if first is None else torch.full_like(used, first)
    stop = (used // 2).clamp(min=2, max=100) if last is None else torch.full_like(used, last)
    if bool((start < 1).any()) or (first is not None and last is not None and first >= last):
        raise InputError(f"the range is {first} to {last}, expected places with 1 <= first < last")
    place = torch.arange(1, s.shape[-1] + 1, device=s.device, dtype=torch.float64)
    fitted = (place >= start) & (place <= stop) & (place <= used)
    points = fitted.sum(-1)
    weight = fitted / place
    x, y = place.log().expand_as(energies), torch.where(fitted, energies, 1).log()
    total = weight.sum(-1, keepdim=True)
    x, y = x - (weight * x).sum(-1, keepdim=True) / total, y - (weight * y).sum(-1, keepdim=True) / total
    xx, xy, yy = ((weight * product).sum(-1) for product in (x * x, x * y, y * y))
    line = points > 1
    alpha = torch.where(line, -xy / xx.masked_fill(~line, 1), torch.nan)
    flat = yy <= (torch.finfo(torch.float64).eps ** 2) * total.squeeze(-1)
    r_squared = torch.where(line & ~flat, xy.square() / (xx * yy).masked_fill(~line | flat, 1), torch.nan)
    return PowerLaw((alpha + 0.0).to(_dtype(s)), r_squared.to(_dtype(s)), points)  # −0 becomes 0


def power_law_alpha(
    s: Float[Tensor, "*batch k"], first: int | None = None, last: int | None = None
) -> Float[Tensor, "*batch"]:
    """Return the exponent of :func:`power_law`: ``power_law(s, first, last).alpha``."""
    return power_law(s, first, last).alpha


def rank_ratio(rank: Float[Tensor, "*batch"] | Int[Tensor, "*batch"], width: int) -> Float[Tensor, "*batch"]:
    """Return a rank as a share of ``width``, in [0, 1] when no more directions than that can be used.

    ``width`` is the layer's number of units, or the smaller cap that its architecture or the number of rows
    sets. An integer rank gives float64.

    Raises:
        InputError: when the width is below 1.

    >>> rank_ratio(energy_rank(torch.ones(50)), width=100)
    tensor(0.5000, dtype=torch.float64)
    """
    if width < 1:
        raise InputError(f"width is {width}, expected the number of units, at least 1")
    return (rank if rank.is_floating_point() else rank.double()) / width


def _dtype(s: Tensor) -> torch.dtype:
    return torch.promote_types(s.dtype, torch.float32)


def _scaled(s: Tensor) -> Tensor:
    """Return s in float64 over its largest value, a constant to autograd as no rank depends on it."""
    if s.ndim == 0 or s.shape[-1] == 0:
        raise InputError(
            f"s has shape {tuple(s.shape)}, expected singular values [*batch, k] with k of at least 1"
        )
    if not bool((s.isfinite() & (s >= 0)).all()):
        raise InputError(
            "s has a negative or non-finite value, expected singular values; "
            "leave out the rows that are not finite before taking them"
        )
    s = s.double()
    largest = s.detach().amax(-1, keepdim=True)
    return s / largest.masked_fill(largest == 0, 1)


def _perplexity(weights: Tensor) -> Tensor:
    """Return exp H of the weights made to sum to 1, and 0 where all are 0."""
    total = weights.sum(-1, keepdim=True)
    shares = weights / total.masked_fill(total == 0, 1)
    entropy = -(shares * shares.masked_fill(shares == 0, 1).log()).sum(-1)
    return entropy.exp().masked_fill(total.squeeze(-1) == 0, 0)
