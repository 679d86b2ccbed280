"""The linear model's loss in closed form: feature benefit and interference."""

from jaxtyping import Float
from torch import Tensor


def linear_terms(
    W: Float[Tensor, "*instance hidden feature"], importance: Float[Tensor, "*#instance feature"]
) -> tuple[Float[Tensor, "*instance feature"], Float[Tensor, "*instance feature"]]:
    """Return the benefit and the interference of each feature, read from x' = WᵀW x + b.

    benefit_j = I_j (1 − ‖W_j‖²)² and interference_j = I_j Σ_{i≠j} (W_j·W_i)², in [0, ∞), without unit. Their
    sums over j are the two terms of :func:`linear_loss`, which says of what loss.

    >>> import torch
    >>> benefit, interference = linear_terms(torch.tensor([[2.0, 1.0]]), torch.tensor([1.0, 3.0]))
    >>> benefit, interference
    (tensor([9., 0.]), tensor([ 4., 12.]))
    """
    gram = W.mT @ W
    norms = gram.diagonal(dim1=-2, dim2=-1)
    squares = (gram - norms.diag_embed()).square()
    return importance * (1 - norms).square(), importance * squares.sum(-1)


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

    >>> import torch
    >>> benefit, interference = linear_loss(torch.tensor([[1.0, -1.0]]), torch.ones(2))
    >>> float(benefit), float(interference)
    (0.0, 2.0)
    """
    benefit, interference = linear_terms(W, importance)
    return benefit.sum(-1), interference.sum(-1)


def variance(density: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return Var[x] = p/3 − p²/4 of an input that is 0 with probability 1 − p, else uniform on [0, 1].

    >>> import torch
    >>> round(float(variance(torch.tensor(1.0))), 4)
    0.0833
    """
    return density / 3 - density.square() / 4
