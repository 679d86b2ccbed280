"""How much of a known truth a dictionary has found: its decoder directions against the true features.

Directions are rows here, as in ``W_dec`` [latent, width]. A row of zeros, and one with a value that is not
finite, has no direction: its cosine with everything is 0, so that it counts as a feature that is missed and
never as an error that spreads.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from superscope.core.errors import InputError

_CELLS = 2**24
"""Cosines held at a time where not all are needed."""


@dataclass(frozen=True)
class Matching:
    """The one-to-one assignment of latents to features whose cosines have the largest sum."""

    latent: Int[Tensor, " pair"]
    feature: Int[Tensor, " pair"]
    """In ascending order. There are as many pairs as the fewer of latents and features."""
    cosine: Float[Tensor, " pair"]
    """Of each pair, with its sign, whatever the assignment was made on."""
    best_latent: Int[Tensor, " feature"]
    """The latent nearest to each feature, one to one or not."""
    best_cosine: Float[Tensor, " feature"]
    """The cosine of the two, with its sign."""
    nearest_feature: Int[Tensor, " latent"]
    """The feature nearest to each latent."""
    usable: Bool[Tensor, " latent"]
    """Whether a latent has a direction at all."""
    signed: bool
    """Whether cosines counted with their sign, or their magnitudes did."""

    @property
    def n_features(self) -> int:
        """The number of true features."""
        return len(self.best_latent)

    @property
    def n_latents(self) -> int:
        """The number of latents."""
        return len(self.nearest_feature)

    def score(self, cosine: Tensor) -> Tensor:
        """Return what counts of a cosine: itself, or its magnitude."""
        return cosine if self.signed else cosine.abs()


def match_features(
    W: Float[Tensor, "latent width"],
    directions: Float[Tensor, "feature width"],
    *,
    signed: bool = False,
) -> Matching:
    """Return the best one-to-one matching of latents to features, by the Hungarian algorithm (scipy's).

    It maximises Σ |cos(W_j, d_i)| over the pairs, as the field's MCC does (:func:`mcc`). A latent that is
    antipodal to a feature counts as found then, though with codes f ≥ 0 it cannot write that feature; with
    ``signed`` the sum is of the cosines themselves. Numbers of latents and features may differ. Memory and
    time: latent × feature numbers of 8 bytes; 4,096 latents and 16,384 features take half a gigabyte.

    Raises:
        InputError: when either has no row, or their widths differ.

    >>> found = match_features(torch.tensor([[0.0, 2.0], [0.6, 0.8], [3.0, 0.0]]), torch.eye(2))
    >>> found.latent.tolist(), found.feature.tolist(), found.cosine.tolist()
    ([2, 0], [0, 1], [1.0, 1.0])
    """
    from scipy.optimize import linear_sum_assignment

    rows, usable = _unit_rows(W, "W")
    truth, _ = _unit_rows(directions, "directions")
    if rows.shape[1] != truth.shape[1]:
        raise InputError(
            f"match_features: latents of width {rows.shape[1]} and features of width {truth.shape[1]}; "
            "give the decoder of a dictionary trained on these features' world"
        )
    cosine = (truth @ rows.T).clamp_(-1, 1)
    score = cosine if signed else cosine.abs()
    feature, latent = (torch.from_numpy(a) for a in linear_sum_assignment(score.cpu().numpy(), maximize=True))
    best_latent = score.argmax(1)
    return Matching(
        latent=latent.to(cosine.device),
        feature=feature.to(cosine.device),
        cosine=cosine[feature, latent],
        best_latent=best_latent,
        best_cosine=cosine.gather(1, best_latent[:, None]).squeeze(1),
        nearest_feature=score.argmax(0),
        usable=usable,
        signed=signed,
    )


def mcc(matching: Matching) -> float:
    """Return the mean correlation coefficient: the mean |cosine| of the matched pairs.

    In [0, 1], without unit: 1 when every pair points one way, up to sign (in [−1, 1] for a signed matching).
    Over the pairs, so over the fewer of latents and features: with fewer latents, features left without one
    do not count. Random directions do not score 0: 256 of each in 64 dimensions have about 0.35.

    Source: O'Neill et al. 2024, arXiv 2411.13117, and Song et al. 2025, arXiv 2505.20254; SAELens computes
    the same from ``W_dec``.

    >>> mcc(match_features(torch.tensor([[1.0, 0.0], [0.0, -1.0]]), torch.eye(2)))
    1.0
    >>> mcc(match_features(torch.tensor([[1.0, 0.0], [0.0, -1.0]]), torch.eye(2), signed=True))
    0.0
    """
    return float(matching.score(matching.cosine).mean())


def mmcs(matching: Matching) -> float:
    """Return the mean max cosine similarity: the mean over the features of |cosine| with the nearest latent.

    In [0, 1], without unit (in [−1, 1] for a signed matching). From features to latents, so latents that are
    near no feature cost nothing, and one latent may serve several features: at least :func:`mcc` where there
    are as many latents as features. Source: Sharkey et al. 2022, "Taking features out of superposition with
    sparse autoencoders".

    >>> mmcs(match_features(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.eye(2)))
    0.5
    """
    return float(matching.score(matching.best_cosine).mean())


def recovered_share(matching: Matching, threshold: float = 0.9) -> float:
    """Return the share of the features whose matched latent has a |cosine| above ``threshold``.

    In [0, 1]. Over all features: one without a latent is not recovered.

    >>> recovered_share(match_features(torch.tensor([[1.0, 0.1], [0.6, 0.8]]), torch.eye(2)))
    0.5
    """
    return int((matching.score(matching.cosine) > threshold).sum()) / matching.n_features


def uniqueness(matching: Matching) -> float:
    """Return how many features are some latent's nearest, over the number of latents.

    In (0, 1]; 1 when every latent is nearest to a feature of its own. Source: SynthSAEBench (Chanin &
    Garriga-Alonso 2026, arXiv 2602.14687). A latent without a direction is nearest to the first feature.

    >>> uniqueness(match_features(torch.tensor([[1.0, 0.0], [1.0, 0.1]]), torch.eye(2)))
    0.5
    """
    return len(matching.nearest_feature.unique()) / matching.n_latents


def decoder_cosine(W: Float[Tensor, "latent width"]) -> Float[Tensor, " latent"]:
    """Return the cosine of each latent with its nearest other latent: max_{k≠j} Ŵ_j·Ŵ_k.

    In [−1, 1], without unit. Near 1 for a latent that has a duplicate; its mean is what people compare with
    that of random directions, about 0.44 for 4,096 latents in 64 dimensions. With its sign, since antipodal
    latents with codes f ≥ 0 do different work. NaN for a latent without a direction; a single latent has no
    other and gets NaN. Taken a block of rows at a time, so that 16,384 latents take no gigabyte.

    Raises:
        InputError: when there is no row.

    >>> decoder_cosine(torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 1.0]])).tolist()
    [1.0, 1.0, 0.0]
    """
    rows, usable = _unit_rows(W, "W")
    block = max(1, _CELLS // len(rows))
    nearest = []
    for start in range(0, len(rows), block):
        cosine = rows[start : start + block] @ rows.T
        cosine[:, ~usable] = -torch.inf
        cosine.diagonal(start).fill_(-torch.inf)
        nearest.append(cosine.amax(1))
    found = torch.cat(nearest).clamp(max=1)
    return found.masked_fill(~usable | found.isneginf(), torch.nan)


class FiringScores(NamedTuple):
    """How well the firing of one thing tells the firing of another, each in [0, 1], and 0 where undefined."""

    precision: Float[Tensor, " pair"]
    """True positives over the latent's firings."""
    recall: Float[Tensor, " pair"]
    """True positives over the feature's firings."""
    f1: Float[Tensor, " pair"]
    """The harmonic mean of the two: 2 TP/(2 TP + FP + FN)."""


class FiringCounts:
    """How often latents and the features they stand for fire, alone and together; batches add up.

    By default for the pairs of the matching, so for each feature that has a latent. ``by="latent"`` takes
    each latent with its nearest feature, as SynthSAEBench does (arXiv 2602.14687; its F1 is the mean over the
    latents); there several latents may be held to one feature. A sample with a code that is not finite is
    left out, and counted in ``left_out``.

    >>> W = torch.eye(2)
    >>> counts = FiringCounts(match_features(W, W))
    >>> f = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    >>> s = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> [values.tolist() for values in counts.update(f, s).scores()]
    [[0.5, 1.0], [1.0, 0.5], [0.6666666666666666, 0.6666666666666666]]
    """

    def __init__(self, matching: Matching, *, by: str = "feature") -> None:
        if by not in {"feature", "latent"}:
            raise InputError(f'FiringCounts: by={by!r}; give "feature" or "latent"')
        self.n_latents, self.n_features = matching.n_latents, matching.n_features
        if by == "feature":
            self.latent, self.feature = matching.latent, matching.feature
        else:
            self.latent = torch.arange(matching.n_latents, device=matching.latent.device)
            self.feature = matching.nearest_feature
        zero = torch.zeros(len(self.latent), dtype=torch.int64, device=self.latent.device)
        self.both, self.by_latent, self.by_feature = zero, zero.clone(), zero.clone()
        self.samples = self.left_out = 0

    def update(self, f: Float[Tensor, "sample latent"], s: Float[Tensor, "sample feature"]) -> "FiringCounts":
        """Add the codes ``f`` and the true magnitudes ``s`` of some samples; what is above 0 fires.

        Raises:
            InputError: when they are not of one number of samples, or not of these latents and features.
        """
        if f.shape != (len(s), self.n_latents) or s.shape[1] != self.n_features:
            raise InputError(
                f"FiringCounts: codes {tuple(f.shape)} and firings {tuple(s.shape)}, "
                f"expected [sample, {self.n_latents}] and [sample, {self.n_features}]"
            )
        keep = f.isfinite().all(1)
        self.left_out += int((~keep).sum())
        if not bool(keep.all()):
            f, s = f[keep], s[keep]
        found, true = (f > 0)[:, self.latent], (s > 0)[:, self.feature]
        self.both = self.both + (found & true).sum(0)
        self.by_latent = self.by_latent + found.sum(0)
        self.by_feature = self.by_feature + true.sum(0)
        self.samples += len(f)
        return self

    def merge(self, other: "FiringCounts") -> "FiringCounts":
        """Add the samples that another state of the same pairs has seen.

        Raises:
            InputError: when the pairs are not the same.
        """
        if not (torch.equal(self.latent, other.latent) and torch.equal(self.feature, other.feature)):
            raise InputError("FiringCounts: the two states are of different pairs; give one matching to both")
        self.both = self.both + other.both
        self.by_latent = self.by_latent + other.by_latent
        self.by_feature = self.by_feature + other.by_feature
        self.samples += other.samples
        self.left_out += other.left_out
        return self

    def scores(self) -> FiringScores:
        """Return precision, recall and F1 of each pair over the samples so far, in float64."""
        both = self.both.double()
        return FiringScores(
            precision=both / self.by_latent.clamp(min=1),
            recall=both / self.by_feature.clamp(min=1),
            f1=2 * both / (self.by_latent + self.by_feature).clamp(min=1),
        )


def firing_scores(
    f: Float[Tensor, "sample latent"], s: Float[Tensor, "sample feature"], matching: Matching
) -> FiringScores:
    """Return how well each matched latent's firing tells its feature's; see :class:`FiringCounts`."""
    return FiringCounts(matching).update(f, s).scores()


def _unit_rows(W: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Return the rows at norm 1, zeros for those without a direction, and which have one."""
    if 0 in W.shape:
        raise InputError(
            f"{name} has shape {tuple(W.shape)}, expected [row, width] with one of each at least"
        )
    W = W.detach().to(torch.promote_types(W.dtype, torch.float32))
    largest = W.abs().amax(1, keepdim=True)
    usable = largest.isfinite() & (largest > 0)
    scaled = torch.where(usable, W / torch.where(usable, largest, 1), 0)
    norms = torch.linalg.vector_norm(scaled, dim=1, keepdim=True)
    return scaled / torch.where(usable, norms, 1), usable.squeeze(1)
