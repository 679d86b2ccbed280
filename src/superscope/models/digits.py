"""The embedded classifier: small enough to train in seconds, deep enough to be measured layer by layer."""

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn


class DigitsMLP(nn.Sequential):
    """A ReLU classifier of 8×8 digits, 64-64-32-10.

    Its layers are ``flatten``, ``fc1``, ``relu1``, ``fc2``, ``relu2`` and ``fc3``. Weights and biases start
    at U(−1/√k, 1/√k) for k inputs, as ``nn.Linear`` starts them.

    Args:
        generator: where the start is drawn from; torch's global generator when None.

    >>> DigitsMLP()(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])
    """

    def __init__(self, generator: torch.Generator | None = None) -> None:
        super().__init__(
            OrderedDict(
                flatten=nn.Flatten(),
                fc1=_linear(64, 64, generator),
                relu1=nn.ReLU(),
                fc2=_linear(64, 32, generator),
                relu2=nn.ReLU(),
                fc3=_linear(32, 10, generator),
            )
        )

    def forward(self, input: Float[Tensor, "batch *pixels"]) -> Float[Tensor, "batch 10"]:  # noqa: A002 (nn.Sequential's)
        """Return the ten logits of images [batch, 1, 8, 8] or [batch, 64] in [0, 1]."""
        return super().forward(input)


def _linear(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(
        device="cpu"
    )  # draws nothing from torch's global
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -(inputs**-0.5), inputs**-0.5, generator=generator)
    return layer
