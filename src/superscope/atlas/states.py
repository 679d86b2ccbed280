"""What is kept of each latent while the data streams by, in bounded memory: largest entries, a histogram.

Both take entries (latent, value), any number at a time, and end the same however the entries are divided into
calls.
"""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor


class RunningTop:
    """For each latent, the ``count`` entries with the largest keys of all that were offered.

    Of equal keys the earlier entry is kept. Memory: latents × count × what an entry carries.

    Args:
        latents: how many there are.
        count: entries to keep of each.
        fields: what an entry carries beside its key: the type of each field and the shape of one entry's.

    Attributes:
        keys: [latent, entry], falling; −∞ where nothing was offered.
        fields: [latent, entry, ...] by name, in the order of the keys.

    >>> top = RunningTop(2, 2, {"row": (torch.int64, ())})
    >>> latents, keys = torch.tensor([0, 0, 1, 0]), torch.tensor([1.0, 3.0, 2.0, 2.0])
    >>> _ = top.offer(latents, keys, lambda kept: {"row": kept})
    >>> top.keys.tolist(), top.fields["row"][0].tolist()
    ([[3.0, 2.0], [2.0, -inf]], [1, 3])
    """

    def __init__(
        self, latents: int, count: int, fields: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]
    ) -> None:
        self.count = count
        self.keys = torch.full((latents, count), -torch.inf)
        self.fields = {
            name: torch.zeros(latents, count, *shape, dtype=kind) for name, (kind, shape) in fields.items()
        }

    def offer(
        self,
        latents: Int[Tensor, " entry"],
        keys: Float[Tensor, " entry"],
        carried: Callable[[Int[Tensor, " kept"]], Mapping[str, Tensor]],
    ) -> Int[Tensor, " kept"]:
        """Take in entries and return the places of those that are kept for now, by latent and falling key.

        Args:
            latents: whose each entry is.
            keys: what it is judged by.
            carried: gives the fields of the entries at some places; only asked for those that are kept.
        """
        kept = torch.nonzero(keys > self.keys[latents, -1]).flatten()
        kept = kept[keys[kept].argsort(descending=True, stable=True)]
        kept = kept[latents[kept].argsort(stable=True)]
        touched, counts = latents[kept].unique_consecutive(return_counts=True)
        rank = torch.arange(len(kept)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        first = rank < self.count
        kept, rank = kept[first], rank[first]
        if not len(kept):
            return kept
        row = torch.searchsorted(touched, latents[kept])
        keys_of = torch.full((len(touched), self.count), -torch.inf)
        keys_of[row, rank] = keys[kept]
        place = torch.zeros(len(touched), self.count, dtype=torch.int64)  # of an entry among the kept
        place[row, rank] = torch.arange(len(kept))
        merged, order = torch.cat([self.keys[touched], keys_of], 1).sort(dim=1, descending=True, stable=True)
        order = order[:, : self.count]
        self.keys[touched] = merged[:, : self.count]
        given = carried(kept)
        new = order >= self.count
        at = place.gather(1, (order - self.count).clamp(min=0))
        for name, field in self.fields.items():
            old = field[touched[:, None], order.clamp(max=self.count - 1)]
            old[new] = given[name][at[new]].to(field.dtype)
            field[touched] = old
        return kept


class RunningHistogram:
    """For each latent, a histogram of its positive values in equal bins from 0 to the next power of two.

    A latent's range is doubled, and its bins are joined in pairs, when a larger value comes: bins of powers
    of two are unions of smaller ones, so that the end is that of a histogram over the last range.

    Args:
        latents: how many there are.
        bins: a power of two.

    Attributes:
        counts: int64 [latent, bin].

    Between half the bins and all of them are in use: the last range is less than twice the largest value.
    """

    def __init__(self, latents: int, bins: int = 64) -> None:
        self.bins = bins
        self.counts = torch.zeros(latents, bins, dtype=torch.int64)
        self._exponents = torch.zeros(latents, dtype=torch.int64)
        self._empty = torch.ones(latents, dtype=torch.bool)

    @property
    def tops(self) -> Float[Tensor, " latent"]:
        """The upper end of each latent's range, float64; NaN for a latent without a value."""
        return torch.where(self._empty, torch.nan, torch.exp2(self._exponents.double()))

    def add(self, latents: Int[Tensor, " entry"], values: Float[Tensor, " entry"]) -> None:
        """Count positive, finite values."""
        if not len(values):
            return
        largest = torch.zeros(len(self.counts)).scatter_reduce_(0, latents, values.float(), "amax")
        seen = largest > 0
        wanted = torch.frexp(largest)[1].long()  # the largest value lies below 2 to this
        self._exponents = torch.where(self._empty & seen, wanted, self._exponents)
        self._empty &= ~seen
        self._widen(torch.where(seen, (wanted - self._exponents).clamp(min=0), 0))
        scale = torch.exp2(-self._exponents[latents].double()) * self.bins
        place = (values.double() * scale).long().clamp(max=self.bins - 1)
        one = torch.ones((), dtype=torch.int64).expand(len(place))
        self.counts.view(-1).scatter_add_(0, latents * self.bins + place, one)

    def _widen(self, doublings: Int[Tensor, " latent"]) -> None:
        self._exponents += doublings
        while len(rows := torch.nonzero(doublings).flatten()):
            joined = self.counts[rows].view(len(rows), self.bins // 2, 2).sum(2)
            self.counts[rows] = torch.nn.functional.pad(joined, (0, self.bins - self.bins // 2))
            doublings[rows] = (doublings[rows] - 1).clamp(max=self.bins.bit_length())  # by then all is in one
