"""The small language model of the course on superposition: an embedding, a hidden layer, a logit a word."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class SimpleLM(nn.Module):
    """Embedding → linear → ReLU → linear, each token by itself: no token sees another.

    The start is that of ``nn.Embedding`` and ``nn.Linear``: N(0, 1), and U(−1/√k, 1/√k) for k inputs, drawn
    in the order of the layers. So a generator with ``manual_seed(s)`` gives the bits that these modules get
    after ``torch.manual_seed(s)``, and the published figures can be had without touching torch's global
    generator. Source: Unravelling Superposition, section 4.

    Args:
        vocabulary: number of tokens.
        embedding: width of the embedding.
        hidden: hidden neurons.
        generator: where the start is drawn from; torch's global generator when None.

    >>> SimpleLM(generator=torch.Generator().manual_seed(42))(torch.tensor([3, 1, 4])).shape
    torch.Size([3, 1000])
    """

    def __init__(
        self,
        vocabulary: int = 1000,
        embedding: int = 50,
        hidden: int = 20,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        with torch.device("meta"):  # draws nothing from torch's global generator
            self.embedding = nn.Embedding(vocabulary, embedding)
            self.linear = nn.Linear(embedding, hidden)
            self.relu = nn.ReLU()
            self.output = nn.Linear(hidden, vocabulary)
        self.to_empty(device="cpu")
        with torch.no_grad():
            self.embedding.weight.normal_(generator=generator)
            for layer in (self.linear, self.output):
                bound = layer.in_features**-0.5
                for parameter in layer.parameters():  # the weight, then the bias
                    parameter.uniform_(-bound, bound, generator=generator)

    def hidden(self, tokens: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch hidden"]:
        """Return the hidden layer's activations."""
        return self.relu(self.linear(self.embedding(tokens)))

    def forward(self, tokens: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch word"]:
        """Return the logits."""
        return self.output(self.hidden(tokens))
