"""The one integral that the closed forms of ReLU models are made of."""

import torch
from jaxtyping import Float
from torch import Tensor


def squared_error(
    target: tuple[Tensor | float, Tensor | float],
    read: tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]],
) -> Float[Tensor, "*shape"]:
    """Return ∫₀¹ (t(x) − ReLU(v(x)))² dx for t and v linear in x, each given by its values at 0 and at 1.

    Where v changes its sign, it does so at κ = |v(0)| / (|v(0)| + |v(1)|). The error e = t − ReLU(v) is
    linear on either side of κ, and ∫ e² over a piece of length ℓ with e = p at one end and q at the other
    is ℓ (p² + pq + q²)/3. Nothing is divided by the slope of v, so a slope near 0 costs no digits.

    The integral has a continuous gradient except where v(0) = v(1) = 0, and autograd gives it, kink at an end
    included.

    Args:
        target: t(0) and t(1).
        read: v(0) and v(1), what the ReLU is applied to.

    >>> zero, one = torch.tensor(0.0), torch.tensor(1.0)
    >>> float(squared_error((0.0, 0.0), (-one, one)))  # half of the way below 0, then ∫ (2x − 1)² = 1/6
    0.1666666716337204
    >>> float(squared_error((0.0, 1.0), (zero, one)))  # read back whole
    0.0
    """
    (t_0, t_1), (v_0, v_1) = target, read
    relu_0, relu_1 = v_0.clamp(min=0), v_1.clamp(min=0)  # clamp has slope 1 at 0, so that a zero bias moves
    crosses = (v_0 < 0) != (v_1 < 0)
    size_0, size_1 = 2 * relu_0 - v_0, 2 * relu_1 - v_1
    kink = torch.where(crosses, size_0, 0) / torch.where(crosses, size_0 + size_1, 1)
    e_0, e_1 = t_0 - relu_0, t_1 - relu_1
    e_kink = torch.where(crosses, t_0 + kink * (t_1 - t_0), e_0)
    return (kink * _thrice(e_0, e_kink) + (1 - kink) * _thrice(e_kink, e_1)) / 3


def _thrice(p: Float[Tensor, "*shape"], q: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return p.square() + p * q + q.square()
