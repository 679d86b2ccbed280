"""How the extra feature of the smallest models is classified, and which points of a map count.

The thresholds were fixed before any run. A feature is *represented* when ‖W_e‖ > 0.5. It is *in
superposition* when Σ_{j≠e} (Ŵ_e·W_j)² > 0.25, which one other feature does that is represented along it. Else
it has a *dimension of its own*.
"""

import math
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from superscope.measures import feature_norms, interference
from superscope.recipes.toy_training import EMBEDDED
from superscope.toy import PHASES, phase, phase_boundary, reconstruct, two_feature_loss

SHARED = EMBEDDED**2
FACTOR = 1.5
"""Points within this factor of a boundary, in density or importance, are not held against the closed form."""
_IGNORED, _DEDICATED, _SUPERPOSED = range(len(PHASES))
_NODES, _MODELS_AT_ONCE = 12, 512
_WITHIN = 13
"""Places on each side of the box around a point at which its phase is asked for."""


class PhaseMap(NamedTuple):
    """What became of the extra feature at each importance and density."""

    norm: Float[Tensor, "*point"]
    """‖W_e‖."""
    superposition: Float[Tensor, "*point"]
    """Σ_{j≠e} (Ŵ_e·W_j)²."""
    least: Float[Tensor, "*point"]
    """Norm of the weakest feature: 0 while one is left out, about 1 once all are represented."""

    @property
    def phases(self) -> Int[Tensor, "*point"]:
        """The index in ``PHASES`` at each point."""
        shared = torch.where(self.superposition > SHARED, _SUPERPOSED, _DEDICATED)
        return torch.where(self.norm > EMBEDDED, shared, _IGNORED)


def extra_feature(W: Float[Tensor, "*batch hidden feature"]) -> PhaseMap:
    """Return the map of single models; the extra feature is the last."""
    norms = feature_norms(W)
    return PhaseMap(norms[..., -1], interference(W)[..., -1], norms.amin(-1))


def without_the_worst(
    W: Float[Tensor, "*batch importance density model hidden feature"],
    loss: Float[Tensor, "*batch importance density model"],
) -> PhaseMap:
    """Return the map of the medians over the models of a point, the one of highest loss dropped."""
    kept = loss.argsort(-1)[..., :-1]
    return PhaseMap(*(value.gather(-1, kept).median(-1).values for value in extra_feature(W)))


def the_best(
    W: Float[Tensor, "*batch importance density model hidden feature"],
    loss: Float[Tensor, "*batch importance density model"],
) -> PhaseMap:
    """Return the map of the models of lowest loss."""
    kept = loss.argmin(-1, keepdim=True)
    return PhaseMap(*(value.gather(-1, kept).squeeze(-1) for value in extra_feature(W)))


def expected_loss(
    W: Float[Tensor, "model hidden feature"],
    b: Float[Tensor, "model feature"],
    importance: Float[Tensor, "model feature"],
    density: Float[Tensor, " model"],
) -> Float[Tensor, " model"]:
    """Return E[Σ_i I_i (x_i − x'_i)²] of ReLU models with a few features, by quadrature.

    Each set of active features has its own integral, by 12 Gauss nodes a feature. At a density of 0.01 the
    models of a point differ by what happens when two features are active together, in one sample of ten
    thousand: samples would have to be many to tell them apart.
    """
    nodes, weights = (torch.tensor(each) for each in np.polynomial.legendre.leggauss(_NODES))
    x, w = (nodes + 1) / 2, weights / 2
    n, p = W.shape[-1], density.double()
    total = torch.zeros_like(p)
    for active in product((False, True), repeat=n):
        k = sum(active)
        points = torch.zeros(_NODES**k, n, dtype=torch.float64)
        weight = torch.ones(_NODES**k, dtype=torch.float64)
        if k:
            points[:, list(active)] = torch.cartesian_prod(*[x] * k).reshape(-1, k)
            weight = torch.cartesian_prod(*[w] * k).reshape(-1, k).prod(-1)
        chance = p**k * (1 - p) ** (n - k)
        for part in torch.arange(len(p)).split(_MODELS_AT_ONCE):
            given = reconstruct(points.expand(len(part), -1, -1), W[part].double(), b[part].double())
            errors = (weight[:, None] * (points - given).square()).sum(-2)
            total[part] += chance[part] * (errors * importance[part]).sum(-1)
    return total


def clear_of_boundaries(
    density: Float[Tensor, " density"], importance: Float[Tensor, " importance"], n_features: int
) -> Bool[Tensor, "importance density"]:
    """Tell at which points one phase has the lowest loss everywhere within ``FACTOR``, by the closed form."""
    around = FACTOR ** torch.linspace(-1, 1, _WITHIN)
    s = (density[:, None] * around).clamp(max=1)[None, :, None, :]
    r = (importance[:, None] * around)[:, None, :, None]
    found = phase(s, r, n_features)  # pyright: ignore[reportArgumentType] (2 or 3, as it checks)
    return (found == found[..., :1, :1]).all(-1).all(-1)


def agreement(
    found: Int[Tensor, "importance density"],
    expected: Int[Tensor, "importance density"],
    counted: Bool[Tensor, "importance density"],
) -> float:
    """Return the share of the counted points at which two maps have the same phase."""
    return float((found == expected)[counted].double().mean())


def jumping_rows(least: Float[Tensor, "importance density"]) -> float:
    """Return the share of the rows in which the weakest feature appears in one step.

    That is where the largest step between neighbouring densities is more than half of all the change in the
    row. A row counts when the norm passes ½, so that there is a change of phase in it.
    """
    crossing = (least.amin(-1) < EMBEDDED) & (least.amax(-1) > EMBEDDED)
    rows = least[crossing]
    if not len(rows):
        return 0.0
    steps = rows.diff(dim=-1).abs().amax(-1) / (rows.amax(-1) - rows.amin(-1))
    return float((steps > 0.5).double().mean())


def best_of_two_features(
    density: Float[Tensor, " density"], importance: Float[Tensor, " importance"], steps: int = 600
) -> Float[Tensor, "importance density 1 2"]:
    """Return W of the lowest exact loss for two features in one dimension.

    The loss is :func:`superscope.toy.two_feature_loss`, so nothing is drawn; it is minimised by Adam over W
    and b from near each of the three hand-made solutions, and the best end is taken.
    """
    r, s = torch.meshgrid(importance.double(), density.double(), indexing="ij")
    weights = torch.stack([torch.ones_like(r), r], -1)
    p = torch.stack([s, s], -1)
    starts = torch.tensor([[1.0, -0.05], [-0.05, 1.0], [1.0, -1.0]], dtype=torch.float64)
    W = starts[:, None, None].expand(-1, *r.shape, -1).clone().requires_grad_()
    b = torch.zeros_like(W).requires_grad_()
    optimizer = torch.optim.Adam([W, b], lr=0.03, betas=(0.8, 0.99))
    scale = (weights.amin(-1) * s).reciprocal()  # so that Adam's ε is as small everywhere
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.015 * (1 + math.cos(math.pi * step / steps))
        optimizer.zero_grad()
        (two_feature_loss(W[..., None, :], b, weights, p) * scale).sum().backward()
        optimizer.step()
    with torch.no_grad():
        losses = two_feature_loss(W[..., None, :], b, weights, p)
    best = losses.argmin(0)[None, ..., None].expand(1, *r.shape, 2)
    return W.detach().gather(0, best)[0].unsqueeze(-2)


def boundary_lines(n_features: int) -> list[Float[Tensor, "2 _"]]:
    """Return the closed form's boundaries as lines: around superposition, and where the two others meet.

    Each has a row of densities and one of importances.
    With three features the pair changes partners at r = 1, however sparse. The lines run over more than the
    published range, importance 0.1 to 10 and density 1 to 0.01.
    """
    r = torch.logspace(-1.5, 1.5 if n_features == 2 else 0, 201)
    s = phase_boundary(r, n_features)  # pyright: ignore[reportArgumentType] (2 or 3, as it checks)
    end = float(s.max()) if n_features == 2 else 1e-3
    return [torch.stack([s, r]), torch.tensor([[end, 2.0], [1.0, 1.0]])]
