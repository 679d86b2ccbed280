"""How a training of a dictionary went."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float64
from torch import Tensor


@dataclass
class History:
    """How a training went, a number for each record."""

    steps: list[int] = field(default_factory=list)
    """Steps done."""
    fvu: list[float] = field(default_factory=list)
    """Squared error over that of the mean, averaged over the steps since the record before."""
    l0: list[float] = field(default_factory=list)
    """Active latents of a sample, averaged likewise."""
    dead: list[int] = field(default_factory=list)
    """Dead latents at the record."""
    left_out: int = 0
    """Rows with NaN or infinite numbers, which no step has seen."""

    def add(self, step: int, fvu: float, l0: float, dead: int) -> None:
        """Add a record."""
        self.steps.append(step)
        self.fvu.append(fvu)
        self.l0.append(l0)
        self.dead.append(dead)

    def tensor(self) -> Float64[Tensor, "4 record"]:
        """Return the records, for a checkpoint."""
        return torch.tensor([self.steps, self.fvu, self.l0, self.dead], dtype=torch.float64)

    @classmethod
    def of(cls, records: Float64[Tensor, "4 record"], left_out: int) -> "History":
        """Return what :meth:`tensor` was made of."""
        steps, fvu, l0, dead = records.tolist()
        return cls([int(step) for step in steps], fvu, l0, [int(count) for count in dead], left_out)
