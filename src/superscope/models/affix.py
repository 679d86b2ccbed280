"""The network that reads affixes through a narrow hidden layer."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

_PADDING, _ALPHABET = 0, 26


class AffixNetwork(nn.Module):
    """Characters → embedding → convolution → maximum over positions → hidden layer, ReLU → a logit a class.

    As described by Murphy and Qiao, "Toy Models of Superposition Review", section 2.2; they give the hidden
    width of 2 and the five classes, the other sizes are ours. Words come as :func:`superscope.data.encode`
    writes them. Padding has the embedding 0 and lies on both sides of a word, so that the network sees where
    it begins and ends; how much of it there is changes nothing.

    Args:
        width: hidden neurons.
        classes: outputs.
        generator: where the start is drawn from; torch's global generator when None.

    >>> AffixNetwork(2, generator=torch.Generator().manual_seed(0))(torch.tensor([[21, 14, 4, 15]])).shape
    torch.Size([1, 5])
    """

    def __init__(
        self,
        width: int,
        classes: int = 5,
        *,
        embedding: int = 16,
        channels: int = 32,
        window: int = 5,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        with torch.device("meta"):  # draws nothing from torch's global generator
            self.embedding = nn.Embedding(_ALPHABET + 1, embedding, padding_idx=_PADDING)
            self.convolution = nn.Conv1d(embedding, channels, window)
            self.hidden = nn.Linear(channels, width)
            self.output = nn.Linear(width, classes)
        self.to_empty(device="cpu")
        with torch.no_grad():
            self.embedding.weight.normal_(generator=generator)[_PADDING] = 0
        for layer, inputs in (
            (self.convolution, embedding * window),
            (self.hidden, channels),
            (self.output, width),
        ):
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -(inputs**-0.5), inputs**-0.5, generator=generator)

    def pooled(self, letters: Int[Tensor, "word letter"]) -> Float[Tensor, "word channel"]:
        """Return each channel's maximum over the positions of a word, the padding around it among them."""
        window = self.convolution.kernel_size[0]
        # one more on both sides than the window needs: there is always a window of padding alone
        padded = functional.pad(letters, (window, window), value=_PADDING)
        return self.convolution(self.embedding(padded).mT).amax(-1)

    def squeezed(self, pooled: Float[Tensor, "word channel"]) -> Float[Tensor, "word width"]:
        """Return the hidden layer's activations."""
        return self.hidden(pooled).relu()

    def forward(self, letters: Int[Tensor, "word letter"]) -> Float[Tensor, "word class"]:
        """Return the logits."""
        return self.output(self.squeezed(self.pooled(letters)))
