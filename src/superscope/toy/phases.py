"""The phases of the smallest models: one extra feature more than there are dimensions.

Two features in one dimension, or three in two, of one density s. The last feature, the extra one, has the
importance r relative to the others' 1. It is ignored, has a dimension of its own, or shares one with another
feature as an antipodal pair. The three hand-made solutions are compared by their exact losses: to ignore a
feature of importance I, its bias at the mean s/2, costs its variance I (s/3 − s²/4); an antipodal pair, W_i =
±1 and b = 0, costs E[min(x₁, x₂)²] = s²/6 for each of its features, times its importance.

The hand-made antipodal pair is not the best one. At b = 0 its loss falls with either bias, at the rate s²/3
times the importance, and the norms want to move too. That gains nothing as s → 0, and more the denser the
features are. So the boundaries of :func:`phase_boundary` are too low; :func:`relaxed_boundary` moves weights
and biases to their optimum. The other solutions have their best bias.

After Elhage et al. 2022, "Toy Models of Superposition" (arXiv 2209.10652), section 4, "Superposition as a
Phase Change".
"""

import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from superscope.core import InputError
from superscope.toy.theory import variance
from superscope.toy.two_features import two_feature_loss

PHASES = ("ignored", "dedicated", "superposed")
"""What becomes of the extra feature, in the order of :func:`phase_losses`."""

_GAIN = 1e-6
"""By what share of it the loss of ignoring a feature has to be beaten."""


def phase_losses(
    density: Float[Tensor, "*#shape"],
    relative_importance: Float[Tensor, "*#shape"],
    n_features: Literal[2, 3] = 2,
) -> Float[Tensor, "*shape 3"]:
    """Return the losses of the hand-made solutions in which the extra feature is in each of ``PHASES``.

    - ignored: r (s/3 − s²/4).
    - dedicated: s/3 − s²/4, another feature ignored. With three features there is also the choice to make the
      two others an antipodal pair, 2s²/6; the lower counts.
    - superposed with another: (1 + r) s²/6.

    In [0, ∞), in the squared unit of x.

    Args:
        density: s, in (0, 1].
        relative_importance: r, positive.
        n_features: two in one dimension, or three in two.

    Raises:
        InputError: for a density or an importance out of range, or another number of features.

    >>> phase_losses(torch.tensor(0.5), torch.tensor(1.0))
    tensor([0.1042, 0.1042, 0.0833])
    """
    _check(density, relative_importance, n_features)
    s, r = torch.broadcast_tensors(density, relative_importance)
    ignored = variance(s)
    dedicated = ignored if n_features == 2 else torch.minimum(ignored, s.square() / 3)
    return torch.stack([r * ignored, dedicated, (1 + r) * s.square() / 6], -1)


def phase(
    density: Float[Tensor, "*#shape"],
    relative_importance: Float[Tensor, "*#shape"],
    n_features: Literal[2, 3] = 2,
) -> Int[Tensor, "*shape"]:
    """Return the index in ``PHASES`` of the solution with the lowest loss; the first of equal ones.

    >>> [PHASES[i] for i in phase(torch.tensor([0.1, 0.9]), torch.tensor(0.5))]
    ['superposed', 'ignored']
    """
    return phase_losses(density, relative_importance, n_features).argmin(-1)


def phase_boundary(
    relative_importance: Float[Tensor, "*shape"], n_features: Literal[2, 3] = 2
) -> Float[Tensor, "*shape"]:
    """Return the density below which the extra feature is superposed, among the hand-made solutions.

    s = 4r/(2 + 5r) for r ≤ 1, where it would be ignored; for r > 1, where it would have the dimension to
    itself, 4/(5 + 2r) with two features and 0 with three: there the two others make the pair. The loss has a
    kink there, of first order. In (0, 4/7], highest at r = 1.

    Raises:
        InputError: for an importance that is not positive, or another number of features.

    >>> phase_boundary(torch.tensor([0.1, 1.0, 10.0]))
    tensor([0.1600, 0.5714, 0.1600])
    """
    r = relative_importance
    _check(torch.ones(()), r, n_features)
    above = 4 / (5 + 2 * r) if n_features == 2 else torch.zeros_like(r)
    return torch.where(r <= 1, 4 * r / (2 + 5 * r), above)


def phase_solution(
    name: Literal["ignored", "dedicated", "superposed"], density: float
) -> tuple[Float[Tensor, "1 2"], Float[Tensor, "2"]]:
    """Return W and b of a hand-made solution for two features in one dimension, the extra one last.

    >>> phase_solution("ignored", 0.5)
    (tensor([[1., 0.]]), tensor([0.0000, 0.2500]))
    """
    if name not in PHASES:
        raise InputError(f"there is no phase {name!r}; choose from {', '.join(PHASES)}")
    weights = {"ignored": (1.0, 0.0), "dedicated": (0.0, 1.0), "superposed": (1.0, -1.0)}[name]
    W = torch.tensor([weights])
    return W, torch.where(W[0] == 0, density / 2, 0.0)


def relaxed_boundary(relative_importance: float, resolution: float = 1e-3) -> float:
    """Return the density up to which the best antipodal pair costs less than ignoring a feature.

    Two features in one dimension. At each density of a bisection the exact loss
    (:func:`superscope.toy.two_feature_loss`) is minimised over W and b from the hand-made pair; it has to end
    below the loss of ignoring the less important feature, the least that a W with a zero in it can cost. By
    symmetry r and 1/r have one boundary. In (0, 1], above :func:`phase_boundary`: 0.18 for 0.16 at r = 0.1,
    0.48 for 0.44 at r = 0.5. From about r = 0.7 on the pair shrinks into the ignored solution without a jump,
    and the boundary rises to 0.98 for 0.57 at r = 1.

    Args:
        relative_importance: r, positive.
        resolution: of the density.

    Raises:
        InputError: for an importance that is not positive.

    >>> round(float(phase_boundary(torch.tensor(0.2))), 2), round(relaxed_boundary(0.2, 0.01), 2)
    (0.27, 0.29)
    """
    _check(torch.ones(()), torch.tensor(relative_importance), 2)
    r = min(relative_importance, 1 / relative_importance)
    low, high = 0.0, 1.0
    while high - low > resolution:
        middle = (low + high) / 2
        low, high = (middle, high) if _pair_wins(middle, r) else (low, middle)
    return (low + high) / 2


def _pair_wins(s: float, r: float) -> bool:
    from scipy.optimize import minimize

    importance = torch.tensor([1.0, r], dtype=torch.float64)
    density = torch.full((2,), s, dtype=torch.float64)

    def value_and_gradient(point: np.ndarray) -> tuple[float, np.ndarray]:
        at = torch.tensor(point, requires_grad=True)
        value = two_feature_loss(at[None, :2], at[2:], importance, density)
        value.backward()
        assert at.grad is not None
        return value.item(), at.grad.numpy()

    pair = [1.0, -1.0, 0.0, 0.0]  # W and b
    found = minimize(value_and_gradient, pair, jac=True, method="BFGS", options={"gtol": 1e-10})
    return bool(found.fun < (1 - _GAIN) * r * (s / 3 - s * s / 4))


def _check(density: Tensor, relative_importance: Tensor, n_features: int) -> None:
    if n_features not in (2, 3):
        raise InputError(
            f"n_features is {n_features}; the phases are known for 2 (in 1 dimension) and 3 (in 2)"
        )
    if not ((density > 0) & (density <= 1)).all():
        raise InputError(f"density is {density.tolist()}; it must be above 0 and at most 1")
    if not ((relative_importance > 0) & (relative_importance < math.inf)).all():
        raise InputError(
            f"relative_importance is {relative_importance.tolist()}; it must be positive and finite"
        )
