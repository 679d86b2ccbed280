"""The tied autoencoder of the toy models: what it sees, what it gives back, and what that costs.

x' = f(WᵀW x + b) with f the identity or ReLU, after Elhage et al. 2022, "Toy Models of Superposition" (arXiv
2209.10652), section 2. The columns W_i of ``W`` [hidden, feature] are the directions of the features.
"""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from superscope.core import InputError, config

Output = Literal["relu", "linear"]
Importance = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@config
class ToyConfig:
    """A toy model: how many features share how many dimensions."""

    n_features: Annotated[int, Field(ge=1)]
    """Features, n."""
    n_hidden: Annotated[int, Field(ge=1)]
    """Hidden dimensions, m; may be more than n."""
    importance: Importance | tuple[Importance, ...] = 1.0
    """A number r stands for I_i = r^i, i = 0 … n−1; or one number for each feature."""
    output: Output = "relu"
    """The function on the output: relu, or linear for none."""


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


def sample(
    density: Float[Tensor, "*instance feature"], batch_size: int, generator: torch.Generator | None = None
) -> Float[Tensor, "*instance {batch_size} feature"]:
    """Draw sparse inputs: x_i = 0 with probability 1 − density_i, else uniform on [0, 1), all independent.

    One uniform draw u serves for both: x = u/density where u < density, else 0; on a grid of 2⁻²⁴/density.

    Args:
        density: the probability, in (0, 1], that a feature is active; 1 − S for sparsity S.
        batch_size: samples for each instance.
        generator: the source of the draws, on the device of ``density``.

    >>> sample(torch.tensor([1.0, 0.1]), 4, torch.Generator().manual_seed(0)).shape
    torch.Size([4, 2])
    """
    *instance, feature = density.shape
    x = torch.rand(*instance, batch_size, feature, generator=generator, device=density.device)
    x.div_(density.unsqueeze(-2))
    return x.mul_(x < 1)  # twice as quick as masked_fill_, whose branch on random bits is mispredicted


def reconstruct(
    x: Float[Tensor, "*instance batch feature"],
    W: Float[Tensor, "*instance hidden feature"],
    b: Float[Tensor, "*instance feature"],
    output: Output = "relu",
) -> Float[Tensor, "*instance batch feature"]:
    """Return x' = f(WᵀW x + b), f = ReLU or the identity.

    >>> W, b = torch.tensor([[1.0, -1.0]]), torch.zeros(2)  # an antipodal pair in one dimension
    >>> reconstruct(torch.tensor([[0.5, 0.0]]), W, b)
    tensor([[0.5000, 0.0000]])
    """
    pre = x @ W.mT @ W + b.unsqueeze(-2)
    return torch.relu(pre) if output == "relu" else pre


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
