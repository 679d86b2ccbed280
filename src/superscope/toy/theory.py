"""Closed forms and solutions made by hand: the oracles that trained toy models are held to."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def linear_loss(
    W: Float[Tensor, "*instance hidden feature"], importance: Float[Tensor, "*#instance feature"]
) -> tuple[Float[Tensor, "*instance"], Float[Tensor, "*instance"]]:
    """Return the two terms that the loss of the linear model falls into: feature benefit and interference.

    benefit = Σ_i I_i (1 − ‖W_i‖²)² and interference = Σ_i Σ_{j≠i} I_i (W_i·W_j)², in [0, ∞), without unit.

    With independent inputs of one variance v and the best bias b = E[x] − WᵀW E[x], the expected loss is
    exactly v (benefit + interference): the bias takes up the terms with E[x_i] E[x_j]. For x_i = 0 with
    probability 1 − p, else U[0,1], v = p/3 − p²/4 (:func:`variance`). Without a bias it holds for inputs of
    mean zero only, and in the limit of sparse ones.

    Source: Elhage et al. 2022 (arXiv 2209.10652), section 3, "Mathematical understanding".

    >>> benefit, interference = linear_loss(torch.tensor([[1.0, -1.0]]), torch.ones(2))
    >>> float(benefit), float(interference)
    (0.0, 2.0)
    """
    gram = W.mT @ W
    norms = gram.diagonal(dim1=-2, dim2=-1)
    squares = (gram - torch.diag_embed(norms)).square()
    return (importance * (1 - norms).square()).sum(-1), (importance * squares.sum(-1)).sum(-1)


def variance(density: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return Var[x] = p/3 − p²/4 of an input that is 0 with probability 1 − p, else uniform on [0, 1].

    >>> round(float(variance(torch.tensor(1.0))), 4)
    0.0833
    """
    return density / 3 - density.square() / 4


def four_feature_face() -> Float[Tensor, "2 4"]:
    """Return W = [[1, 0, −1, 0], [0, 1, 0, −1]]: four features in the plane as two antipodal pairs.

    Each feature has interference 1, from its opposite, and dimensionality ½.
    """
    return torch.tensor([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]])


def regular_polygon(k: int, radius: float = 1.0) -> Float[Tensor, "2 {k}"]:
    """Return k features of norm ``radius`` at equal angles in the plane.

    For k ≥ 3 each has dimensionality 2/k.

    >>> regular_polygon(4).round()
    tensor([[ 1., -0., -1.,  0.],
            [ 0.,  1., -0., -1.]])
    """
    angle = 2 * math.pi / k * torch.arange(k)
    return radius * torch.stack([angle.cos(), angle.sin()])
