"""The course's sparse autoencoder of one sentence as published: its network, its loss, its training."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from superscope.core import generator

SENTENCE = "It was the best of times, it was the worst of times."
LATENTS, STEPS = 16, 500
_LR, _HALVED_EACH, _SPARSITY = 1e-3, 100, 0.01
PRINTED = {100: 10.9564, 200: 2.0957, 300: 1.4265, 400: 1.3351, 500: 1.3095}
"""The printed losses by step, of GPT-2 and one unknown start."""


class OneSentence(nn.Module):
    """f = ReLU(x W_encᵀ + b_enc), x̂ = f W_decᵀ + b_dec: two ``nn.Linear``, neither tied nor held to a norm.

    Weights and biases start at U(−1/√k, 1/√k) for k inputs, as ``nn.Linear`` starts them.
    """

    def __init__(self, width: int, latents: int = LATENTS, draws: torch.Generator | None = None) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(width, latents), nn.Linear(latents, width)
        for layer in (self.encoder, self.decoder):
            for parameter in layer.parameters():
                reach = layer.in_features**-0.5
                nn.init.uniform_(parameter, -reach, reach, generator=draws)

    def forward(
        self, x: Float[Tensor, "*token width"]
    ) -> tuple[Float[Tensor, "*token latent"], Float[Tensor, "*token width"]]:
        """Return the codes and the reconstruction."""
        f = self.encoder(x).relu()
        return f, self.decoder(f)


@dataclass(frozen=True)
class Trained:
    """One training."""

    network: OneSentence
    start: OneSentence
    """The same network before its first step."""
    history: Float[Tensor, " step"]
    """The loss of each step, before the step is taken."""

    def printed(self) -> list[float]:
        """Return the losses that the course prints: of the steps 100, 200, …, 500."""
        return [float(self.history[step - 1]) for step in PRINTED]


def train_published(x: Float[Tensor, "token width"], seed: int) -> Trained:
    """Train on the hidden states of one sentence, all of them in every step.

    The loss is the mean of (x − x̂)² over all entries and 0.01 times the mean of |f|; Adam at 1e-3, halved
    each 100 of 500 steps.
    """
    network = OneSentence(x.shape[1], draws=generator(seed, "one sentence"))
    start = _copy(network)
    optimizer = torch.optim.Adam(network.parameters(), _LR)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, _HALVED_EACH, 0.5)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        f, found = network(x)
        loss = functional.mse_loss(found, x) + _SPARSITY * f.abs().mean()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
    return Trained(network.requires_grad_(requires_grad=False), start, torch.stack(losses))


def from_tensors(tensors: Mapping[str, Tensor], seed: int) -> Trained:
    """Return a training from what :func:`to_tensors` made of it."""
    network = OneSentence(tensors["encoder.weight"].shape[1], draws=generator(seed, "one sentence"))
    start = _copy(network)
    network.load_state_dict({name: tensors[name] for name in network.state_dict()})
    return Trained(network.requires_grad_(requires_grad=False), start, tensors["history"])


def to_tensors(trained: Trained) -> dict[str, Tensor]:
    """Return the trained weights and the losses; the start comes from its seed."""
    return {**trained.network.state_dict(), "history": trained.history}


def _copy(network: OneSentence) -> OneSentence:
    width, latents = network.encoder.in_features, network.encoder.out_features
    made = OneSentence(width, latents, torch.Generator())
    made.load_state_dict(network.state_dict())
    return made.requires_grad_(requires_grad=False)
