"""Solutions made by hand or solved for: what trained toy models are held to."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from superscope.core import InputError


def four_feature_face() -> Float[Tensor, "2 4"]:
    """Return W = [[1, 0, −1, 0], [0, 1, 0, −1]]: four features in the plane as two antipodal pairs.

    Each feature has interference 1, from its opposite, and dimensionality ½.
    """
    return torch.tensor([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]])


def exact_abs(n_features: int) -> tuple[Float[Tensor, "hidden feature"], Float[Tensor, "hidden feature"]]:
    """Return W_in and W_out with y = ReLU(W_outᵀ ReLU(W_in x)) = |x| exactly: two neurons a feature.

    |x_i| = ReLU(x_i) + ReLU(−x_i): neuron i sees x_i, neuron n + i sees −x_i, and b = 0. Each neuron is for
    one feature alone.

    Raises:
        InputError: for less than one feature.

    >>> W_in, W_out = exact_abs(2)
    >>> torch.relu(W_out.mT @ torch.relu(W_in @ torch.tensor([0.3, -0.7])))
    tensor([0.3000, 0.7000])
    """
    if n_features < 1:
        raise InputError(f"n_features is {n_features}; at least 1 is needed")
    eye = torch.eye(n_features)
    return torch.cat([eye, -eye]), torch.cat([eye, eye])


def regular_polygon(k: int, radius: float = 1.0) -> Float[Tensor, "2 {k}"]:
    """Return k features of norm ``radius`` at equal angles in the plane.

    For k ≥ 3 each has dimensionality 2/k.

    >>> regular_polygon(4).round()
    tensor([[ 1., -0., -1.,  0.],
            [ 0.,  1., -0., -1.]])
    """
    angle = 2 * math.pi / k * torch.arange(k)
    return radius * torch.stack([angle.cos(), angle.sin()])


@dataclass(frozen=True)
class BestPolygon:
    """The regular k-gon of least loss in the limit of sparse features."""

    k: int
    """Features."""
    radius: float
    """‖W_i‖."""
    bias: float
    """b_i, at most 0."""
    loss: float
    """L₁ of all k features, each of importance 1; leaving them all out costs k/3."""


def best_polygon(k: int) -> BestPolygon:
    """Return the radius and bias at which a regular k-gon has the least one-sparse loss, with b ≤ 0.

    With a = r² and β = −b/a in [0, 1), feature i reads a ReLU(x − β) of itself and a ReLU(c_d x − β) of the
    feature d places on, c_d = cos(2πd/k). At a given β the loss is a parabola in a:

        L₁/k = 1/3 − 2aN + a²D,  N = ∫ x ReLU(x − β) = (1 − β)²(2 + β)/6,  D = Σ_{c_d > β} (c_d − β)³/(3c_d),

    lowest at a = N/D, where L₁/k = 1/3 − N²/D. For k ≤ 4 no cosine but the feature's own is positive: β = 0,
    a = 1 and the loss is 0. For k ≥ 5 the best β is the root, below c_1, of

        2(1 + β) Σ_{c_d > β} (c_d − β)³/c_d = (1 − β)(2 + β) Σ_{c_d > β} (c_d − β)²/c_d.

    It is a critical point among all W and b, and not among k-gons alone: the loss keeps its value when the
    plane is turned by 2π/k or reflected and the features are renamed with it, so its gradient has the same
    symmetry, and what has it is a change of radius or of bias. Whether it is a minimum is another question.

    In the limit of sparse features a positive bias costs infinitely much, so that b ≤ 0 loses nothing.

    Args:
        k: features, at least 1.

    Raises:
        InputError: for less than one feature.

    >>> best_polygon(4)
    BestPolygon(k=4, radius=1.0, bias=0.0, loss=0.0)
    >>> pentagon = best_polygon(5)
    >>> round(pentagon.radius, 4), round(pentagon.bias, 4), round(pentagon.loss, 4)
    (1.1705, -0.2823, 0.0791)
    """
    if k < 1:
        raise InputError(f"k is {k}; at least one feature is needed")
    if k <= 4:
        return BestPolygon(k, 1.0, 0.0, 0.0)
    from scipy.optimize import brentq

    cosines = np.cos(2 * np.pi / k * np.arange(k))

    def powers(beta: float) -> tuple[float, float]:
        c = cosines[cosines > beta]
        return float(((c - beta) ** 2 / c).sum()), float(((c - beta) ** 3 / c).sum())

    def slope(beta: float) -> float:
        square, cube = powers(beta)
        return 2 * (1 + beta) * cube - (1 - beta) * (2 + beta) * square

    beta = float(brentq(slope, 0.0, float(cosines[1]), xtol=1e-15, rtol=1e-14))  # pyright: ignore[reportArgumentType]
    N, D = (1 - beta) ** 2 * (2 + beta) / 6, powers(beta)[1] / 3
    a = N / D
    return BestPolygon(k, math.sqrt(a), -a * beta, k * (1 / 3 - N * a))
