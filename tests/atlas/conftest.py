"""A small network, data for it, and an atlas of it."""

import pytest
import torch
from torch import Tensor, nn

from superscope.atlas import Atlas, resolve
from superscope.dictionary import DictionaryConfig

HOSTILE = "<img src=x onerror=alert(1)>"


class Reader(nn.Module):
    """Embeds tokens, mixes each with the one before, and predicts the next."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.head = nn.Embedding(30, 8), nn.Linear(8, 8), nn.Linear(8, 30)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.embed(input_ids) * attention_mask[..., None]
        return self.head(self.mix(x + x.roll(1, 1)))


class Letters:
    """A tokenizer whose second token is markup."""

    all_special_ids = (1,)

    def decode(self, ids: list[int]) -> str:
        return HOSTILE if ids[0] == 2 else f" {chr(97 + ids[0] % 26)}"


@pytest.fixture(scope="session")
def reader() -> nn.Module:
    torch.manual_seed(0)
    return Reader().eval()


@pytest.fixture(scope="session")
def reading() -> dict[str, Tensor]:
    count = 60
    draws = torch.Generator().manual_seed(0)
    lengths = torch.randint(4, 13, (count,), generator=draws)
    mask = (torch.arange(12) < lengths[:, None]).long()
    return {"input_ids": torch.randint(2, 30, (count, 12), generator=draws) * mask, "attention_mask": mask}


SMALL = DictionaryConfig(n_latents=24, k=3, batch_size=32)


@pytest.fixture(scope="session")
def text_atlas(reader: nn.Module, reading: dict[str, Tensor]) -> Atlas:
    return resolve(reader, reading, "mix", SMALL, steps=60, tokenizer=Letters(), examples=5)


@pytest.fixture(scope="session")
def image_atlas() -> Atlas:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    images = torch.rand(40, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    return resolve(net, (images, torch.arange(40) % 3), "1", SMALL, steps=30, examples=4)


@pytest.fixture(scope="session")
def vector_atlas() -> Atlas:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU())
    return resolve(net, torch.randn(200, 5, generator=torch.Generator().manual_seed(0)), "0", SMALL, steps=30)
