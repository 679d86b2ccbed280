"""The active latents of a batch, without the zeros between them."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Float32, Int, Int32, Int64
from torch import Tensor

from superscope.core.errors import InputError


@dataclass(frozen=True)
class Pairs:
    """The (sample, latent) pairs of a batch with their values: codes in compressed rows.

    Pairs ``offsets[i]`` up to ``offsets[i + 1]`` are those of sample i. A sample has each latent once at the
    most; whatever makes pairs gives them in ascending order of latent. A pair may have the value 0: it
    counts for nothing in any sum.

    Shapes and devices are checked as it is made; :meth:`check` looks at the numbers too.

    Raises:
        InputError: when the lengths do not fit each other, or the tensors lie on several devices.
    """

    offsets: Int64[Tensor, " boundary"]
    """[sample + 1], from 0 to the number of pairs."""
    rows: Int32[Tensor, " pair"]
    """The sample of each pair, ascending."""
    latents: Int32[Tensor, " pair"]
    values: Float32[Tensor, " pair"]

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in ("rows", "latents", "values")}
        if len(set(lengths.values())) != 1:
            raise InputError(f"rows, latents and values have the lengths {lengths}, expected one length")
        if len(self.offsets) == 0:
            raise InputError("offsets are empty, expected 0 and an offset for each sample")
        devices = {str(tensor.device) for tensor in vars(self).values()}
        if len(devices) != 1:
            raise InputError(f"the pairs lie on {', '.join(sorted(devices))}, expected one device")

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.rows)

    @property
    def samples(self) -> int:
        """The number of samples, those without a pair among them."""
        return len(self.offsets) - 1

    @classmethod
    def from_dense(cls, f: Float[Tensor, "sample latent"]) -> "Pairs":
        """Return the pairs whose value is not 0, as float32.

        >>> Pairs.from_dense(torch.tensor([[0.0, 2.0], [0.0, 0.0], [1.0, 3.0]])).latents
        tensor([1, 0, 1], dtype=torch.int32)
        """
        rows, latents = f.nonzero(as_tuple=True)
        offsets = torch.zeros(len(f) + 1, dtype=torch.int64, device=f.device)
        offsets[1:] = (f != 0).sum(1).cumsum(0)
        return cls(offsets, rows.int(), latents.int(), f[rows, latents].float())

    @classmethod
    def from_rows(cls, latents: Int[Tensor, "sample k"], values: Float[Tensor, "sample k"]) -> "Pairs":
        """Return pairs of which each sample has the same number, k.

        >>> Pairs.from_rows(torch.tensor([[3], [5]]), torch.tensor([[1.0], [2.0]])).offsets
        tensor([0, 1, 2])
        """
        samples, k = latents.shape
        device = latents.device
        offsets = torch.arange(samples + 1, device=device) * k
        rows = torch.arange(samples, dtype=torch.int32, device=device).repeat_interleave(k)
        return cls(offsets, rows, latents.flatten().int(), values.flatten().float())

    def to_dense(self, n_latents: int) -> Float32[Tensor, "sample latent"]:
        """Return the codes with their zeros.

        >>> pairs = Pairs.from_dense(torch.tensor([[0.0, 2.0], [1.0, 3.0]]))
        >>> pairs.to_dense(3)
        tensor([[0., 2., 0.],
                [1., 3., 0.]])
        """
        f = self.values.new_zeros(self.samples, n_latents)
        f[self.rows.long(), self.latents.long()] = self.values
        return f

    def with_values(self, values: Float32[Tensor, " pair"]) -> "Pairs":
        """Return the same pairs with other values, such as their gradients."""
        return replace(self, values=values)

    def check(self, n_latents: int) -> None:
        """Look at the numbers themselves, for which a GPU must be waited for.

        Raises:
            InputError: when offsets, rows or latents contradict each other or leave their range, or a sample
                has a latent twice.
        """
        offsets, rows, latents = self.offsets.cpu(), self.rows.cpu().long(), self.latents.cpu().long()
        if offsets[0] != 0 or offsets[-1] != len(rows) or (offsets.diff() < 0).any():
            raise InputError(
                f"offsets go from {int(offsets[0])} to {int(offsets[-1])}, expected 0 to the "
                f"{len(rows)} pairs without a step back"
            )
        if not torch.equal(rows, torch.arange(self.samples).repeat_interleave(offsets.diff())):
            raise InputError("rows are not what offsets say: expected sample i between offsets i and i + 1")
        if len(latents) and not 0 <= int(latents.min()) <= int(latents.max()) < n_latents:
            raise InputError(
                f"latents go from {int(latents.min())} to {int(latents.max())}, expected 0 to {n_latents - 1}"
            )
        if len((rows * n_latents + latents).unique()) < len(rows):
            raise InputError("a sample has a latent twice, expected each once at the most")
