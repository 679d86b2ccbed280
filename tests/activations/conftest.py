import os
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn


class Net(nn.Module):
    """Tokens to a residual stream of two layers, with a map of its own on the way."""

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(0)
        self.embed = nn.Embedding(40, 6)
        self.up = nn.Linear(6, 10)
        self.down = nn.Linear(10, 6)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=draws)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:  # noqa: ARG002
        x = self.embed(input_ids)
        return x + self.down(self.up(x).relu())


class Texts:
    """Batches of texts padded on the right; ``stop`` interrupts the pass before that batch."""

    name = "texts"

    def __init__(self, count: int = 9, *, stop: int | None = None) -> None:
        self.stop, self.batches = stop, []
        draws = torch.Generator().manual_seed(1)
        for _ in range(count):
            lengths = torch.randint(1, 8, (4, 1), generator=draws)
            ids = torch.randint(1, 40, (4, 7), generator=draws)
            mask = (torch.arange(7) < lengths).long()
            self.batches.append({"input_ids": ids * mask, "attention_mask": mask})

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for number, batch in enumerate(self.batches):
            if number == self.stop:
                raise KeyboardInterrupt
            yield batch


@pytest.fixture
def net() -> nn.Module:
    return Net()


@pytest.fixture
def texts() -> type[Texts]:
    return Texts


@pytest.fixture
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores of many small shards would wait for the disk hundreds of times."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
