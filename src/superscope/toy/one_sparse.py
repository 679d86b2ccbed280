"""The loss of a ReLU model when one feature is active: feature benefit and interference as integrals.

After Elhage et al. 2022, "Toy Models of Superposition" (arXiv 2209.10652), section 3, "Mathematical
understanding".
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from superscope.toy.integrals import squared_error

Amplitude = Literal["uniform", "one"]


def one_sparse_terms(
    W: Float[Tensor, "*instance hidden feature"],
    b: Float[Tensor, "*#instance feature"],
    importance: Float[Tensor, "*#instance feature"],
    amplitude: Amplitude = "uniform",
) -> tuple[Float[Tensor, "*instance feature"], Float[Tensor, "*instance feature"]]:
    """Return the benefit and the interference of each feature, read from x' = ReLU(WᵀW x + b).

    benefit_j = I_j ∫₀¹ (x − ReLU(‖W_j‖² x + b_j))² dx, feature j alone active, and
    interference_j = I_j Σ_{i≠j} ∫₀¹ ReLU(W_j·W_i x + b_j)² dx, what is read at j when another is. Both are in
    [0, ∞), in the squared unit of x; their sum over j is L₁ of the source.

    - Inputs with one active feature, drawn from all n alike, have the expected loss L₁/n.
    - Sparse inputs of density p have E[L] = (1 − p)ⁿ Σ_j I_j ReLU(b_j)² + p (1 − p)ⁿ⁻¹ L₁ + O(p²), so that
      E[L]/p → L₁ as p → 0 where no bias is positive.

    With ``amplitude="one"`` the active feature is 1 instead of uniform: benefit_j = I_j (1 − ReLU(‖W_j‖² +
    b_j))², interference_j = I_j Σ_{i≠j} ReLU(W_j·W_i + b_j)².

    The integrals are in closed form (:func:`superscope.toy.integrals.squared_error`), exact to a few units of
    the last place of the dtype, and autograd gives their gradient.

    Args:
        W: weights; column i is the direction of feature i.
        b: biases of the output.
        importance: I_j.
        amplitude: of the active feature; uniform on [0, 1], or one.

    >>> W, b = torch.tensor([[1.0, -1.0]]), torch.zeros(2)  # an antipodal pair costs nothing,
    >>> [float(term.sum()) for term in one_sparse_terms(W, b, torch.ones(2))]
    [0.0, 0.0]
    >>> W = torch.tensor([[1.0, 1.0]])  # two features on one ray cost what each reads of the other
    >>> [round(float(term.sum()), 4) for term in one_sparse_terms(W, b, torch.ones(2))]
    [0.0, 0.6667]
    """
    G = W.mT @ W
    at_one = G + b.unsqueeze(-2)  # [active, read]
    if amplitude == "one":
        own = (1 - torch.relu(at_one.diagonal(dim1=-2, dim2=-1))).square()
        read = torch.relu(at_one).square()
    else:
        own = squared_error((0.0, 1.0), (b.expand(G.shape[:-1]), at_one.diagonal(dim1=-2, dim2=-1)))
        read = squared_error((0.0, 0.0), (b.unsqueeze(-2).expand(G.shape), at_one))
    others = ~torch.eye(G.shape[-1], dtype=torch.bool, device=G.device)
    return importance * own, importance * (read * others).sum(-2)
