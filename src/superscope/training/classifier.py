"""A classifier trained with cross-entropy and Adam, the same bits for the same seed."""

import torch
from jaxtyping import Int, Num
from torch import Tensor, nn
from torch.nn import functional

from superscope.core.progress import progress
from superscope.core.random import generator


def train_classifier(
    model: nn.Module,
    inputs: Num[Tensor, "sample *shape"],
    labels: Int[Tensor, " sample"],
    *,
    epochs: int = 30,
    batch_size: int = 64,
    lr: float = 1e-3,
    seed: int = 0,
) -> nn.Module:
    """Train ``model`` in place on data that lies in memory, and return it in eval mode.

    Each epoch goes once through a fresh permutation, drawn from ``seed``.
    """
    draws = generator(seed, "classifier", "order")
    optimizer = torch.optim.Adam(model.parameters(), lr)
    model.train()
    for _ in progress(range(epochs), "training", unit="epoch"):
        for rows in torch.randperm(len(inputs), generator=draws).split(batch_size):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs[rows]), labels[rows]).backward()
            optimizer.step()
    return model.eval()


@torch.inference_mode()
def accuracy(model: nn.Module, inputs: Num[Tensor, "sample *shape"], labels: Int[Tensor, " sample"]) -> float:
    """Return the share of samples whose largest logit is their label's, in [0, 1]."""
    return float((model(inputs).argmax(1) == labels).double().mean())
