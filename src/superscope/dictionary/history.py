"""How a training of a dictionary went."""

from dataclasses import dataclass, field


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
