"""The geometry of known feature directions: the columns of W, as h = W x writes features into a hidden space.

Every function takes W as [*batch, hidden, feature] and answers in W's dtype (half precision in float32). A
NaN or an infinity in W gives NaN wherever it enters the formula. The source is Elhage et al. 2022, "Toy
Models of Superposition", arXiv 2209.10652, unless a function names another.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from superscope.core.errors import InputError


def feature_norms(W: Float[Tensor, "*batch hidden feature"]) -> Float[Tensor, "*batch feature"]:
    """Return how strongly each feature is represented: ‖W_i‖ = √(Σ_a W_ai²).

    In [0, ∞), in the units of h per unit of x. Near 1 for a feature that a tied autoencoder has learnt, near
    0 for one that it leaves out. The squares neither overflow nor underflow, so a norm is right whenever it
    can be written in W's dtype.

    Raises:
        InputError: when W has fewer than two axes, no hidden dimension or no feature.

    >>> feature_norms(torch.tensor([[3.0, 0.0], [4.0, 0.0]]))
    tensor([5., 0.])
    """
    return _norm(_checked(W), -2)


def gram(W: Float[Tensor, "*batch hidden feature"]) -> Float[Tensor, "*batch feature feature"]:
    """Return how the features overlap: (WᵀW)_ij = W_i·W_j.

    Squared norms stand on the diagonal; in the squared units of W.

    Raises:
        InputError: when W has fewer than two axes, no hidden dimension or no feature.

    >>> gram(torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]]))
    tensor([[ 1.,  0., -1.],
            [ 0.,  1.,  0.],
            [-1.,  0.,  1.]])
    """
    W = _checked(W)
    return W.mT @ W


def interference(W: Float[Tensor, "*batch hidden feature"]) -> Float[Tensor, "*batch feature"]:
    """Return how much the other features lie along each one: Σ_{j≠i} (Ŵ_i·W_j)² with Ŵ_i = W_i/‖W_i‖.

    In [0, ∞), in the squared units of W: 0 when every other feature is orthogonal to i, 1 when one other of
    norm 1 is parallel or antipodal to it. The paper colours a feature as superposed when this is 1 or more. A
    feature of norm zero has no direction: Ŵ_i is defined as 0, and so is its interference.

    Raises:
        InputError: when W has fewer than two axes, no hidden dimension or no feature.

    Four features on the corners of a square, two antipodal pairs in two dimensions:

    >>> interference(torch.tensor([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]]))
    tensor([1., 1., 1., 1.])
    """
    W = _checked(W)
    projections = _directions(W).mT @ W
    itself = torch.eye(W.shape[-1], dtype=torch.bool, device=W.device)
    return projections.masked_fill(itself, 0).square().sum(-1)


def feature_dimensionality(W: Float[Tensor, "*batch hidden feature"]) -> Float[Tensor, "*batch feature"]:
    """Return the share of a dimension that each feature has: D_i = ‖W_i‖² / Σ_j (Ŵ_i·W_j)².

    In [0, 1], without unit: 1 for a feature with a dimension of its own, ½ in an antipodal pair, 2/3 in a
    triangle, 2/5 in a pentagon, 3/4 in a tetrahedron, 3/8 in a square antiprism. With M = WWᵀ, D_i = ‖W_i‖⁴ /
    W_iᵀMW_i is at most the leverage W_iᵀM⁺W_i by the Cauchy–Schwarz inequality, so Σ_i D_i ≤ rank W. A
    feature of norm zero has D_i = 0.

    D does not change when W is scaled or rotated; squares are taken of numbers scaled to at most 1, so that
    this holds for the smallest and the largest numbers of the dtype. Only rounding above 1 is clipped.

    Raises:
        InputError: when W has fewer than two axes, no hidden dimension or no feature.

    >>> feature_dimensionality(torch.tensor([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]]))
    tensor([0.5000, 0.5000, 0.5000, 0.5000])
    """
    W = _checked(W)
    own, own_scale = _scaled(W, -2)
    along, along_scale = _scaled(_directions(W).mT @ W, -1)
    total = along.square().sum(-1)
    share = own.square().sum(-2) / total.masked_fill(total == 0, 1)
    return (share * (own_scale.squeeze(-2) / along_scale.squeeze(-1)).square()).clamp(max=1)


def dimensions_per_feature(W: Float[Tensor, "*batch hidden feature"]) -> Float[Tensor, "*batch"]:
    """Return the hidden dimensions for each feature that is embedded: m/‖W‖²_F with m = hidden.

    In (0, ∞]. ‖W‖²_F counts the features, since one that is embedded has a norm near 1; so the figure means
    this only for W of that scale, as a tied autoencoder learns it. 1 without superposition, ½ when every
    feature shares its dimension with an antipode. W = 0 embeds nothing and gives ∞.

    Raises:
        InputError: when W has fewer than two axes, no hidden dimension or no feature.

    >>> dimensions_per_feature(torch.tensor([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]]))
    tensor(0.5000)
    """
    W = _checked(W)
    return W.shape[-2] / _norm(W.flatten(-2), -1).square()


def features_represented(
    W: Float[Tensor, "*batch hidden feature"], threshold: float = 0.5
) -> Int[Tensor, "*batch"]:
    """Return how many features W holds: the number of i with ‖W_i‖ > ``threshold``.

    An integer from 0 to the number of columns. The threshold has the units of W; ½ stands between the norms
    of 0 and 1 that a tied autoencoder tends to. A norm of exactly ``threshold``, and a NaN, is not counted.

    Raises:
        InputError: when W has fewer than two axes, no hidden dimension or no feature.

    >>> features_represented(torch.tensor([[1.0, 0.1, -1.0], [0.0, 0.1, 0.0]]))
    tensor(2)
    """
    return (feature_norms(W) > threshold).sum(-1)


def capacity(W: Float[Tensor, "*batch hidden feature"]) -> Float[Tensor, "*batch"]:
    """Return the dimensions that all features have together: Σ_i D_i, the total capacity.

    In [0, rank W], in dimensions. The capacity of one feature, C_i = (W_i·W_i)² / Σ_j (W_i·W_j)², is its
    dimensionality D_i under another name. The total is the rank exactly where each D_i is the leverage of its
    feature, so where every W_i is an eigenvector of WWᵀ: in blocks of polytopes, not in a random W.

    Source: Scherlis et al. 2022, "Polysemanticity and Capacity in Neural Networks", arXiv 2210.01892.

    Raises:
        InputError: when W has fewer than two axes, no hidden dimension or no feature.

    >>> capacity(torch.tensor([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]]))
    tensor(2.)
    """
    return feature_dimensionality(W).sum(-1)


def welch_bound(n: int, m: int) -> float:
    """Return what the largest |cosine| among n directions in m dimensions is at least: √((n − m)/(m(n − 1))).

    In [0, 1], without unit; 0 for n ≤ m, where all can be orthogonal. It is reached by equiangular tight
    frames alone, which needs n ≤ m(m + 1)/2: the triangle (½) and the tetrahedron (1/3) are such, the
    pentagon is not.

    Source: Welch 1974, "Lower bounds on the maximum cross correlation of signals".

    Args:
        n: number of directions.
        m: number of dimensions.

    Raises:
        InputError: when either is less than 1.

    >>> round(welch_bound(3, 2), 6), round(welch_bound(400, 30), 6), welch_bound(5, 5)
    (0.5, 0.175814, 0.0)
    """
    if n < 1 or m < 1:
        raise InputError(f"{n} directions in {m} dimensions; give at least one of each")
    return math.sqrt((n - m) / (m * (n - 1))) if n > m else 0.0


def welch_gap(W: Float[Tensor, "*batch hidden feature"], threshold: float = 0.0) -> Float[Tensor, "*batch"]:
    """Return how much closer two features come than they must: max_{i≠j} |Ŵ_i·Ŵ_j| less the bound.

    In [0, 1], without unit; the bound is :func:`welch_bound` for the features whose norm is above
    ``threshold`` and the hidden dimensions of W. 0 for orthogonal features, the triangle, the tetrahedron and
    any other equiangular tight frame; 0 for fewer than two features, too. An antipodal pair has |cosine| 1,
    so that W full of digons is far from the bound although its features do not hurt each other behind a ReLU.

    Args:
        W: feature directions.
        threshold: norm up to which a feature is left out, in the units of W.

    Raises:
        InputError: when W has fewer than two axes, no hidden dimension or no feature.

    >>> welch_gap(torch.tensor([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]]))
    tensor(0.4226)
    """
    W = _checked(W)
    counted = ~(feature_norms(W) <= threshold)  # a NaN is counted, so that it shows
    directions = _directions(W)
    different = ~torch.eye(W.shape[-1], dtype=torch.bool, device=W.device)
    pairs = counted.unsqueeze(-1) & counted.unsqueeze(-2) & different
    largest = (directions.mT @ directions).abs().masked_fill(~pairs, 0).amax((-2, -1))
    n, m = counted.sum(-1).to(W.dtype), W.shape[-2]
    bound = ((n - m).clamp(min=0) / (m * (n - 1).clamp(min=1))).sqrt()
    return (largest - bound).clamp(min=0)


def _checked(W: Tensor) -> Tensor:
    if W.ndim < 2 or 0 in W.shape[-2:]:
        raise InputError(
            f"W has shape {tuple(W.shape)}, expected [*batch, hidden, feature] with at least one of each; "
            "features are the columns"
        )
    return W.to(torch.promote_types(W.dtype, torch.float32))


def _scaled(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return x over its largest magnitude along ``dim``, and that magnitude (1 for 0) as a constant."""
    largest = x.detach().abs().amax(dim, keepdim=True)
    largest = largest.masked_fill(largest == 0, 1)
    return x / largest, largest


def _norm(x: Tensor, dim: int) -> Tensor:
    """Return ‖x‖ along ``dim``; its plain square of 1e-25 or 1e25 is 0 or infinite in float32."""
    scaled, largest = _scaled(x, dim)
    return torch.linalg.vector_norm(scaled, dim=dim) * largest.squeeze(dim)


def _directions(W: Tensor) -> Tensor:
    """Return Ŵ, the columns of W at norm 1, and 0 for a column of zeros."""
    scaled, _ = _scaled(W, -2)
    norms = torch.linalg.vector_norm(scaled, dim=-2, keepdim=True)
    return scaled / norms.masked_fill(norms == 0, 1)
