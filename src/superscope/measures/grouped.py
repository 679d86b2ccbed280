"""Second moments by group of samples, for standard errors: one state of sums for each group.

Where rows are known to be a linear map of narrower ones, y = Wx + b, the state is that of x, and the moments
of y are W's of them: a layer that widens 256 units to 1,024 costs a sixteenth, in time and in memory. With
W = QR, the rows Rx have the lengths and angles of Wx in as many dimensions as x has, so every rank of y is
had without a matrix of y's width.
"""

from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from superscope.measures.moments import SINGLE, WIDE, Moments, shifted_sums

_PACKED, _MANY = 64, 2**18
"""Narrower rows than ``WIDE`` are multiplied in float32, too, from so many units and values at once on."""


class GroupedMoments:
    """Count, sum and Gram matrix of the rows of each group, about one shift; float64, O(group · width²).

    Args:
        width: units of the rows that :meth:`add` takes.
        groups: how many states there are.
        weight: W [unit, width] where what is asked for is y = Wx + b of the rows x; None for the rows
            themselves.
        bias: b [unit]; 0 where None.

    >>> state = GroupedMoments(2, 1)
    >>> state.add(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 12.0]]), 0)
    >>> state.rows, state.scatter(torch.ones(1, 1, dtype=torch.float64))[0].tolist()
    (3, [[8.0, 20.0], [20.0, 56.0]])
    """

    def __init__(
        self,
        width: int,
        groups: int,
        *,
        weight: Float[Tensor, "unit width"] | None = None,
        bias: Float[Tensor, " unit"] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.width, self.groups = width, groups
        self._device = torch.device(device)
        self.counts = torch.zeros(groups, dtype=torch.int64, device=device)
        self.total = torch.zeros(groups, width, dtype=torch.float64, device=device)
        self.shift: Tensor | None = None
        self.rounding = torch.finfo(torch.float64).eps
        # Rounded up to four for the fused kernel's tiles, which fill it on and below the diagonal only. Made
        # with the first rows: the packed half does instead where rows are wide.
        self._gram: Tensor | None = None
        self._packed: Tensor | None = None
        self._weight = None if weight is None else weight.detach().to(self._device, torch.float64)
        self._bias = None if bias is None else bias.detach().to(self._device, torch.float64)

    @property
    def gram(self) -> Tensor:
        """The Gram matrices [group, C, C], C the width rounded up to four, for a kernel to add to."""
        if self._gram is None:
            padded = -(-self.width // 4) * 4
            self._gram = torch.zeros(self.groups, padded, padded, dtype=torch.float64, device=self._device)
        return self._gram

    @property
    def rows(self) -> int:
        """How many rows there are in all groups."""
        return int(self.counts.sum())

    def add(self, rows: Float[Tensor, "row width"], group: int) -> None:
        """Add finite rows to a group; :attr:`shift` is set before the first ones, or 0."""
        if len(rows) == 0:
            return
        if self.shift is None:
            self.shift = torch.zeros(self.width, dtype=torch.float64, device=rows.device)
        wide = self.width >= WIDE or (self.width >= _PACKED and rows.numel() >= _MANY)
        if wide and rows.device.type == "cpu" and rows.dtype != torch.float64:
            from superscope.measures.wide import add_products, packed_products

            if self._packed is None:
                self._packed = torch.from_numpy(packed_products(self.width, self.groups))
            total = add_products(
                rows.float().contiguous().numpy(), self.shift.float().numpy(), self._packed[group].numpy()
            )
            self.total[group] += torch.from_numpy(total)
            rounding = SINGLE
        else:
            total, gram, rounding = shifted_sums(rows, self.shift)
            self.gram[group, : self.width, : self.width] += gram
            self.total[group] += total
        self.counts[group] += len(rows)
        self.rounding = max(self.rounding, rounding)

    def scatter(
        self, weights: Float[Tensor, "subset group"], *, centred: bool = True
    ) -> Float[Tensor, "subset k k"]:
        """Return Σ(y − ȳ)(y − ȳ)ᵀ of each subset of the groups (Σ y yᵀ where not centred), up to a rotation.

        k is the number of units, or the width of x (one more where not centred, for the bias) where y is
        wider than that: then in coordinates in which no length and no angle is another.
        """
        gram, total, rows = self._about_zero(weights) if not centred else self._about_mean(weights)
        if self._weight is None:
            return gram
        if centred or self._bias is None:
            R = self._triangle
            return R @ gram @ R.mT
        # y = [W b] (x, 1)
        R = torch.linalg.qr(torch.cat([self._weight, self._bias[:, None]], 1), mode="r").R
        augmented = torch.zeros(len(gram), self.width + 1, self.width + 1).to(gram)
        augmented[:, :-1, :-1] = gram
        augmented[:, -1, :-1] = augmented[:, :-1, -1] = total
        augmented[:, -1, -1] = rows
        return R @ augmented @ R.mT

    @cached_property
    def _triangle(self) -> Tensor:
        assert self._weight is not None
        return torch.linalg.qr(self._weight, mode="r").R

    def moments(self) -> Moments:
        """Return the moments of all rows y."""
        everything = torch.ones(1, self.groups).to(self.total)
        gram, _, _ = self._about_mean(everything)
        shift = torch.zeros(self.width).to(self.total) if self.shift is None else self.shift
        mean, scatter = shift + self.total.sum(0) / max(self.rows, 1), gram[0]
        if self._weight is not None:
            mean, scatter = self._weight @ mean, self._weight @ scatter @ self._weight.mT
            mean = mean if self._bias is None else mean + self._bias
        return Moments.from_sums(self.rows, mean, torch.zeros_like(mean), scatter, self.rounding)

    def _about_mean(self, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gram, total, rows = self._sums(weights)
        return gram - total[:, :, None] * total[:, None] / rows.clamp(min=1)[:, None, None], total, rows

    def _about_zero(self, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gram, total, rows = self._sums(weights)
        if self.shift is None:
            return gram, total, rows
        middle = total + rows[:, None] / 2 * self.shift
        outer = middle[:, :, None] * self.shift
        return gram + outer + outer.mT, total + rows[:, None] * self.shift, rows

    def _sums(self, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return Σ(x − shift)(x − shift)ᵀ, Σ(x − shift) and the count of each subset of the groups."""
        weights = weights.to(self.total)
        total, rows = weights @ self.total, weights @ self.counts.double()
        gram = torch.zeros(len(weights), self.width, self.width).to(self.total)
        if self._gram is not None:
            lower = torch.tensordot(weights, self._gram, 1)[:, : self.width, : self.width].tril()
            gram += lower + lower.tril(-1).mT
        if self._packed is not None:
            from superscope.measures.wide import unpacked

            for i, weight in enumerate(weights):
                packed = torch.tensordot(weight, self._packed, 1).numpy()
                gram[i] += torch.from_numpy(unpacked(packed, self.width))
        return gram, total, rows
