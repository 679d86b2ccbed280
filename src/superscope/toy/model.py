"""The networks of the toy models: what they give back, and what that costs.

x' = f(W_outᵀ g(W x) + b). W [hidden, feature] reads the features in, its columns W_i are their directions;
W_out [hidden, feature] writes them out and is W itself in a tied model. g is the identity or ReLU, f the
identity, ReLU or another activation.

After Elhage et al. 2022, "Toy Models of Superposition" (arXiv 2209.10652).
"""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from superscope.core import InputError, config

Activation = Callable[[Tensor], Tensor]
Amplitude = Literal["uniform", "signed", "gaussian", "constant"]
Hidden = Literal["linear", "relu"]
Marginal = Literal["group", "feature"]
Output = Literal["relu", "linear", "exrelu"]
Importance = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Sizes = tuple[Annotated[int, Field(ge=1)], ...]


@config
class ToyConfig:
    """A toy model: how many features share how many dimensions, what they are like, and the network."""

    n_features: Annotated[int, Field(ge=1)]
    """Features, n."""
    n_hidden: Annotated[int, Field(ge=1)]
    """Hidden dimensions, m; more than n only where hidden units have a ReLU."""
    importance: Importance | tuple[Importance, ...] = 1.0
    """A number r stands for I_i = r^i, i = 0 … n−1; or one number for each feature."""
    output: Output = "relu"
    """The function on the output: relu, linear for none, or exrelu: x where x ≥ threshold, else 0."""
    threshold: Annotated[float, Field(allow_inf_nan=False)] = -0.25
    """t of exrelu; at 0 it is relu."""
    hidden: Hidden = "linear"
    """The function on the hidden units: linear for none, or relu, which makes their basis privileged."""
    tied: bool = True
    """Whether the output weights are the input weights; if not, they are trained apart."""
    target: Literal["input", "abs"] = "input"
    """What the output is compared with: the input, or its absolute value."""
    amplitude: Amplitude = "uniform"
    """What an active feature is drawn from: U[0, 1), signed U[−1, 1), gaussian N(0, 1), or constant 1."""
    correlated: Sizes = ()
    """Sizes of groups whose features are active together; they are the first features."""
    anticorrelated: Sizes = ()
    """Sizes of groups of which at most one feature is active; they follow the correlated ones."""
    marginal: Marginal = "group"
    """What density means in an anti-correlated group: that of the group, or of each of its features."""


def importances(config: ToyConfig) -> Float[Tensor, " feature"]:
    """Return I_i of each feature, from the config's number r (I_i = r^i) or its own list.

    Raises:
        InputError: when the list is not as long as there are features.

    >>> importances(ToyConfig(n_features=3, n_hidden=1, importance=0.5))
    tensor([1.0000, 0.5000, 0.2500])
    """
    if isinstance(config.importance, tuple):
        if len(config.importance) != config.n_features:
            raise InputError(
                f"importance lists {len(config.importance)} numbers for {config.n_features} features; "
                "give one for each"
            )
        return torch.tensor(config.importance)
    return torch.tensor([config.importance**i for i in range(config.n_features)])


def exrelu(x: Tensor, t: float) -> Tensor:
    """Return ExReLU_t(x) = x where x ≥ t, else 0; ReLU is t = 0, and at t < 0 negative values down to t pass.

    Source: Murphy and Qiao, review of "Toy Models of Superposition", section 3.

    >>> exrelu(torch.tensor([-0.5, -0.2, 0.5]), -0.25)
    tensor([ 0.0000, -0.2000,  0.5000])
    """
    return torch.where(x >= t, x, torch.zeros_like(x))


def activation(output: Output, threshold: float = -0.25) -> Activation:
    """Return the function on the output called ``output``; ``threshold`` is t of exrelu."""
    if output == "exrelu":
        return lambda x: exrelu(x, threshold)
    return torch.relu if output == "relu" else lambda x: x


def reconstruct(
    x: Float[Tensor, "*instance batch feature"],
    W: Float[Tensor, "*instance hidden feature"],
    b: Float[Tensor, "*instance feature"],
    output: Output | Activation = "relu",
    *,
    W_out: Float[Tensor, "*instance hidden feature"] | None = None,
    hidden: Hidden = "linear",
) -> Float[Tensor, "*instance batch feature"]:
    """Return x' = f(W_outᵀ g(W x) + b).

    Args:
        x: inputs.
        W: input weights.
        b: biases of the output.
        output: f by name, exrelu with t = −0.25; or any function on tensors.
        W_out: output weights; W where None.
        hidden: g by name.

    >>> W, b = torch.tensor([[1.0, -1.0]]), torch.zeros(2)  # an antipodal pair in one dimension
    >>> reconstruct(torch.tensor([[0.5, 0.0]]), W, b)
    tensor([[0.5000, 0.0000]])
    """
    h = x @ W.mT
    if hidden == "relu":
        h = torch.relu(h)
    pre = h @ (W if W_out is None else W_out) + b.unsqueeze(-2)
    f = output if callable(output) else activation(output)
    return f(pre)


def target(x: Float[Tensor, "*shape"], config: ToyConfig) -> Float[Tensor, "*shape"]:
    """Return what the model is to give for the inputs x: x or |x|."""
    return x.abs() if config.target == "abs" else x


def loss(
    x: Float[Tensor, "*instance batch feature"],
    reconstruction: Float[Tensor, "*instance batch feature"],
    importance: Float[Tensor, "*#instance feature"],
) -> Float[Tensor, "*instance"]:
    """Return L = E_x Σ_i I_i (x_i − x'_i)² of each instance, the expectation taken over the batch.

    In [0, ∞), in the squared unit of x. The paper's formula sums over the features; its notebook prints the
    mean over them, which is this divided by n.

    >>> float(loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]]), torch.tensor([1.0, 2.0])))
    0.75
    """
    return ((x - reconstruction).square().mean(-2) * importance).sum(-1)
