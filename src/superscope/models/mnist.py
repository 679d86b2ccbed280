"""The classifier of handwritten digits that the course on superposition trains: 784-128-64-10."""

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

_WIDTHS = (128, 64, 10)


class MnistMLP(nn.Sequential):
    """A ReLU classifier of images with ``inputs`` pixels, inputs-128-64-10.

    Its layers are ``flatten``, ``fc1``, ``relu1``, ``fc2``, ``relu2`` and ``fc3``. Weights and biases start
    at U(−1/√k, 1/√k) for k inputs, as ``nn.Linear`` starts them. Source: Unravelling Superposition,
    section 2.

    Args:
        inputs: pixels of an image.
        generator: where the start is drawn from; torch's global generator when None.

    >>> MnistMLP()(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 10])
    """

    def __init__(self, inputs: int = 784, *, generator: torch.Generator | None = None) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        for index, width in enumerate(_WIDTHS, 1):
            with torch.device("meta"):  # draws nothing from torch's global generator
                layer = nn.Linear(inputs, width)
            layers[f"fc{index}"] = layer.to_empty(device="cpu")
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -(inputs**-0.5), inputs**-0.5, generator=generator)
            if index < len(_WIDTHS):
                layers[f"relu{index}"] = nn.ReLU()
            inputs = width
        super().__init__(layers)

    def forward(self, input: Float[Tensor, "batch *pixels"]) -> Float[Tensor, "batch 10"]:  # noqa: A002 (nn.Sequential's)
        """Return the ten logits of images of any shape with that many pixels."""
        return super().forward(input)
