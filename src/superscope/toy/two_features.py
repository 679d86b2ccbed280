"""The expected loss of a ReLU model of two features at any density, in closed form."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from superscope.toy.integrals import squared_error

_GAUSS = ((1 - 1 / math.sqrt(3)) / 2, (1 + 1 / math.sqrt(3)) / 2)
"""The nodes on [0, 1], each of weight ½, that integrate polynomials up to degree 3 exactly."""


def two_feature_loss(
    W: Float[Tensor, "*instance hidden 2"],
    b: Float[Tensor, "*#instance 2"],
    importance: Float[Tensor, "*#instance 2"],
    density: Float[Tensor, "*#instance 2"],
) -> Float[Tensor, "*instance"]:
    """Return E[Σ_j I_j (x_j − x'_j)²] of x' = ReLU(WᵀW x + b), exactly, for two independent sparse features.

    The four firing patterns: none active, with probability (1 − p₁)(1 − p₂) and error ReLU(b_j)²; one active,
    the integrals of :func:`superscope.toy.one_sparse_terms`; both active, ∫₀¹∫₀¹ (x_j − ReLU(‖W_j‖² x_j +
    W_j·W_k x_k + b_j))². The last is inner integral over x_k in closed form, then a piecewise cubic in x_j:
    between the points where the ReLU's edge enters and leaves the square, two Gauss nodes give it exactly.

    In [0, ∞), in the squared unit of x; autograd gives its gradient.

    Args:
        W: weights; column i is the direction of feature i.
        b: biases of the output.
        importance: I_j.
        density: p_j, the probability that feature j is active.

    >>> W, b = torch.tensor([[1.0, -1.0]]), torch.zeros(2)  # antipodal: E[min(x₁, x₂)²] = 1/6 for each
    >>> round(float(two_feature_loss(W, b, torch.ones(2), torch.ones(2))), 6)
    0.333333
    """
    G = W.mT @ W
    own, other = G.diagonal(dim1=-2, dim2=-1), G[..., 0, 1].unsqueeze(-1).expand(*G.shape[:-2], 2)
    b, p, q = b.expand(own.shape), density, density.flip(-1)  # of j itself, and of the other
    neither = torch.relu(b).square()
    alone = squared_error((0.0, 1.0), (b, b + own))
    interfering = squared_error((0.0, 0.0), (b, b + other))
    error = (
        (1 - p) * (1 - q) * neither
        + p * (1 - q) * alone
        + (1 - p) * q * interfering
        + p * q * _both_active(own, other, b)
    )
    return (importance * error).sum(-1)


def _both_active(
    own: Float[Tensor, "*shape"], other: Float[Tensor, "*shape"], b: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Return ∫₀¹∫₀¹ (x − ReLU(own·x + other·y + b))² dx dy, own ≥ 0."""
    with torch.no_grad():  # an edge between two pieces that meet adds nothing to the gradient
        slope = torch.where(own > 0, own, 1)
        crossings = torch.stack([-b / slope, -(b + other) / slope], -1).clamp(0, 1).sort(-1).values
        edges = torch.cat(
            [torch.zeros_like(crossings[..., :1]), crossings, torch.ones_like(crossings[..., :1])], -1
        )
        start, length = edges[..., :-1], edges.diff(dim=-1)
        x = torch.stack([start + node * length for node in _GAUSS], -1)  # [*shape, piece, node]
    v = own[..., None, None] * x + b[..., None, None]
    inner = squared_error((x, x), (v, v + other[..., None, None]))
    return (inner.mean(-1) * length).sum(-1)
