"""What a dictionary does on some samples: how sparse its codes are, how well it reconstructs, what it uses.

Everything is summed in float64 in a state that streams and merges. Rows are dealt to groups in turn, so that
every figure that is an estimate has a standard error by the jackknife over the groups.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from superscope.core.errors import InputError
from superscope.measures.jackknife import jackknife

DENSE = 0.1
"""Frequency above which a latent counts as dense."""


@dataclass(frozen=True)
class CodeSummary:
    """What a dictionary does, over the rows seen. ``errors`` holds standard errors by field."""

    rows: int
    left_out: int
    """Rows with a value that is not finite in x, f or x̂; they count in nothing else."""
    l0: float
    """Mean number of latents that are not 0, in latents a row."""
    l0_sd: float
    """Standard deviation of that number over the rows; 0 for TopK with k always filled."""
    fvu: float
    """Fraction of variance unexplained, Σ‖x − x̂‖² / Σ‖x − x̄‖²: 0 for a perfect reconstruction, 1 for the
    mean of x in place of x̂, above 1 for worse than that. NaN when x does not vary."""
    explained_variance: float
    """1 − FVU, at most 1: dimensions count by their variance (sklearn's ``variance_weighted``; SAELens)."""
    explained_variance_mean: float
    """Mean over the dimensions of 1 − FVU of each: every dimension that varies counts the same."""
    mse: float
    """Mean of (x − x̂)² over rows and dimensions, in the squared unit of x."""
    cosine: float
    """Mean cosine between x and x̂ over the rows where neither is 0, in [−1, 1]."""
    shrinkage: float
    """Mean of ‖x̂‖/‖x‖ over the rows where x is not 0: below 1 where an L1 penalty shrinks codes."""
    alive: int
    """Latents that fired at least once."""
    dead: int
    """Latents that never did, on these rows."""
    dense: int
    """Latents that fired on more than a share of the rows (``DENSE`` unless told otherwise)."""
    effective_features: float
    """F = exp H(p), p_j the share of Σ|f_j| in that of all latents: as many latents, each with the same
    share, have this entropy; from 1 to ``alive``. NaN when nothing fires. (Bereska et al. 2025, arXiv
    2512.13568.)"""
    psi: float
    """F/width: effective features per dimension, above 1 in superposition; same source."""
    errors: dict[str, float]


class CodeStatistics:
    """Sums over rows x, codes f and reconstructions x̂, which arrive in batches.

    The state depends only on the rows and their order: in how many batches they come makes no difference but
    of rounding. A row with a NaN or an infinity is kept out of everything and counted.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 2.0]])
    >>> f = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [1.0, 2.0, 0.0]])
    >>> found = CodeStatistics(2, 3, groups=1).update(x, f, x).summary()
    >>> found.l0, found.fvu, found.dead, round(found.effective_features, 4)
    (1.3333333333333333, 0.0, 1, 1.8899)
    """

    def __init__(
        self, width: int, n_latents: int, *, groups: int = 16, device: torch.device | str = "cpu"
    ) -> None:
        if width < 1 or n_latents < 1 or groups < 1:
            raise InputError(
                f"CodeStatistics: width {width}, {n_latents} latents, {groups} groups; each must be 1 or more"
            )
        self.width, self.n_latents, self.groups = width, n_latents, groups
        self.left_out = 0

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(groups, *shape, dtype=torch.float64, device=device)

        self.shift: Tensor | None = None  # near the mean of x, so that its variance loses no digits
        self.counts = zeros()
        self.active, self.active_squares = zeros(), zeros()
        self.first, self.second = zeros(width), zeros(width)  # of x − shift
        self.residual = zeros(width)  # of (x − x̂)²
        self.cosines, self.with_cosine = zeros(), zeros()
        self.ratios, self.with_ratio = zeros(), zeros()
        self.fired, self.total = zeros(n_latents), zeros(n_latents)

    @property
    def rows(self) -> int:
        """The rows that count."""
        return int(self.counts.sum())

    def update(
        self,
        x: Float[Tensor, "*row width"],
        f: Float[Tensor, "*row latent"],
        x_hat: Float[Tensor, "*row width"],
    ) -> "CodeStatistics":
        """Add rows, their codes and their reconstructions, and return the state itself.

        For a transcoder ``x`` is the target.

        Raises:
            InputError: when the shapes are not of this width, of these latents, or of one number of rows.
        """
        if x.shape != x_hat.shape or f.shape != (*x.shape[:-1], self.n_latents) or x.shape[-1] != self.width:
            raise InputError(
                f"CodeStatistics: x {tuple(x.shape)}, f {tuple(f.shape)}, x_hat {tuple(x_hat.shape)}; "
                f"expected [row, {self.width}], [row, {self.n_latents}], [row, {self.width}]"
            )
        x, x_hat = (a.detach().reshape(-1, self.width).double() for a in (x, x_hat))
        f = f.detach().reshape(-1, self.n_latents)
        finite = x.isfinite().all(1) & x_hat.isfinite().all(1) & f.isfinite().all(1)
        if not bool(finite.all()):
            self.left_out += int((~finite).sum())
            x, x_hat, f = x[finite], x_hat[finite], f[finite]
        if len(x):
            self._add(x, f, x_hat)
        return self

    def _add(self, x: Tensor, f: Tensor, x_hat: Tensor) -> None:
        if self.shift is None:
            self.shift = x[:256].mean(0)
        active = (f != 0).sum(1).double()
        norms, norms_hat = (torch.linalg.vector_norm(a, dim=1) for a in (x, x_hat))
        usable = (norms > 0) & (norms_hat > 0)
        cosines = torch.where(usable, (x * x_hat).sum(1) / torch.where(usable, norms * norms_hat, 1), 0)
        ratios = torch.where(norms > 0, norms_hat / torch.where(norms > 0, norms, 1), 0)
        residual, centred = (x - x_hat).square_(), x - self.shift
        start = self.rows
        for group in range(self.groups):
            rows = slice((group - start) % self.groups, None, self.groups)
            self.counts[group] += len(x[rows])
            self.active[group] += active[rows].sum()
            self.active_squares[group] += active[rows].square().sum()
            self.first[group] += centred[rows].sum(0)
            self.second[group] += centred[rows].square().sum(0)
            self.residual[group] += residual[rows].sum(0)
            self.cosines[group] += cosines[rows].sum()
            self.with_cosine[group] += usable[rows].sum()
            self.ratios[group] += ratios[rows].sum()
            self.with_ratio[group] += (norms[rows] > 0).sum()
            self.fired[group] += (f[rows] != 0).sum(0)
            self.total[group] += f[rows].abs().sum(0, dtype=torch.float64)

    def merge(self, other: "CodeStatistics") -> "CodeStatistics":
        """Add the rows that another state has seen, group to group, and return the state itself.

        Raises:
            InputError: when the two are not of one width, number of latents and number of groups.
        """
        mine, its = ((s.width, s.n_latents, s.groups) for s in (self, other))
        if mine != its:
            raise InputError(
                f"CodeStatistics: width, latents and groups are {mine} and {its}; merge states of one shape"
            )
        self.left_out += other.left_out
        if other.shift is None:
            return self
        if self.shift is None:
            self.shift = other.shift
        move = other.shift - self.shift
        self.second += other.second + 2 * move * other.first + other.counts[:, None] * move.square()
        self.first += other.first + other.counts[:, None] * move
        for name in _PLAIN_SUMS:
            getattr(self, name).add_(getattr(other, name))
        return self

    @property
    def frequency(self) -> Float[Tensor, " latent"]:
        """The share of the rows on which each latent fires; NaN without rows."""
        return self.fired.sum(0) / self.counts.sum()

    def summary(self, *, dense: float = DENSE) -> CodeSummary:
        """Return the figures over all rows so far, NaN without rows, and their standard errors."""
        values, errors = jackknife(self._estimates, self.counts.long())
        frequency = self.frequency
        return CodeSummary(
            rows=self.rows,
            left_out=self.left_out,
            alive=int((frequency > 0).sum()),
            dead=self.n_latents - int((frequency > 0).sum()),
            dense=int((frequency > dense).sum()),
            errors=errors,
            **values,
        )

    def _estimates(self, weights: Tensor) -> dict[str, list[float]]:
        """Return the figures for each subset of the groups."""
        weights = weights.to(self.counts)
        counts = weights @ self.counts
        l0 = weights @ self.active / counts
        spread = weights @ self.active_squares / counts - l0.square()
        residual = weights @ self.residual
        variance = weights @ self.second - (weights @ self.first).square() / counts[:, None]
        # what rounding leaves of a constant dimension is not its variance
        variance = variance.where(variance > 1e-12 * (weights @ self.second), 0)
        unexplained = residual.sum(1) / variance.sum(1)
        varies = variance > 0
        each = torch.where(varies, 1 - residual / torch.where(varies, variance, 1), torch.nan)
        F = effective_features(weights @ self.total)
        found = {
            "l0": l0,
            "l0_sd": spread.clamp(min=0).sqrt(),
            "fvu": unexplained.where(varies.any(1), torch.nan),
            "explained_variance": 1 - unexplained.where(varies.any(1), torch.nan),
            "explained_variance_mean": each.nanmean(1),
            "mse": residual.sum(1) / (counts * self.width),
            "cosine": weights @ self.cosines / (weights @ self.with_cosine),
            "shrinkage": weights @ self.ratios / (weights @ self.with_ratio),
            "effective_features": F,
            "psi": F / self.width,
        }
        return {name: value.tolist() for name, value in found.items()}


_PLAIN_SUMS = (
    *("counts", "active", "active_squares", "residual", "cosines"),
    *("with_cosine", "ratios", "with_ratio", "fired", "total"),
)


def effective_features(strength: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch"]:
    """Return F = exp H(p) with p_j = a_j/Σ a and H = −Σ p ln p: latents, counted by what they carry.

    In [1, number of latents]; invariant to scale and to the order of the latents. NaN where all are 0 or one
    is not finite. ``strength`` a_j ≥ 0 is the sum of |f_j| over samples. F over the width of the layer is ψ,
    the features per dimension of Bereska et al. 2025, arXiv 2512.13568.

    >>> effective_features(torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])).tolist()
    [2.0, 1.0]
    """
    p = strength.double() / strength.double().sum(-1, keepdim=True)
    return (-torch.special.xlogy(p, p).sum(-1)).exp()


def frequency_histogram(
    frequency: Float[Tensor, " latent"], rows: int, bins_per_decade: int = 4
) -> tuple[Int[Tensor, " bin"], Float[Tensor, " edge"]]:
    """Return how many latents fire how often, over log10 of the frequency: counts and edges.

    The edges go from 10^⌊log10(1/rows)⌋, below what one firing in all rows gives, up to 1, and are in log10.
    Latents that never fire have no logarithm and are left out: the counts sum to the alive ones.

    Raises:
        InputError: when there are no rows or no bins.

    >>> counts, edges = frequency_histogram(torch.tensor([0.0, 0.01, 0.5, 1.0]), 100, bins_per_decade=1)
    >>> counts.tolist(), edges.tolist()
    ([1, 2], [-2.0, -1.0, 0.0])
    """
    if rows < 1 or bins_per_decade < 1:
        raise InputError(f"frequency_histogram: {rows} rows, {bins_per_decade} bins a decade; give 1 or more")
    decades = max(1, math.ceil(round(math.log10(rows), 9)))
    edges = torch.linspace(-decades, 0, decades * bins_per_decade + 1, dtype=torch.float64)
    logs = frequency[frequency > 0].double().log10().cpu().round(decimals=6)  # 0.1 in float32 is 0.1
    place = torch.bucketize(logs, edges[1:-1], right=True)
    return place.bincount(minlength=len(edges) - 1), edges
