"""What every library's trainer is asked for, whatever it calls it."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Task:
    """An autoencoder to train: sizes, steps and L0; everything else is the library's own default."""

    architecture: str
    width: int
    n_latents: int
    k: int
    batch_size: int
    steps: int
    seed: int = 0
    coefficient: float | None = None
    """The weight of the sparsity penalty; the library's default where None."""
    optimizer: str | None = None
    """Where the library offers several."""
    device: str = "cpu"


class Trainer(Protocol):
    """A library's own trainer of one autoencoder."""

    def run(self, rows: Tensor) -> None:
        """Take whole steps through rows [sample, width], a batch after the other, as the library does."""
        ...

    def decoder(self) -> Tensor:
        """Return the learned directions [latent, width]."""
        ...

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes [sample, latent] as in use, not as in training."""
        ...


def prefixes(n_latents: int) -> list[int]:
    """Return the nested widths that a Matryoshka autoencoder is given: 1/16, 1/8, 1/4, 1/2 and all."""
    return sorted({max(1, n_latents // part) for part in (16, 8, 4, 2, 1)})
