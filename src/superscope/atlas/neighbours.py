"""Which latents write in like directions: cosines between the rows of a decoder."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_CELLS = 1 << 24


def nearest_latents(
    decoder: Float[Tensor, "latent width"], count: int = 8
) -> tuple[Int[Tensor, "latent rank"], Float[Tensor, "latent rank"]]:
    """Return, for each row, the rows with the largest cosine to it, and those cosines, falling.

    A row of zeros has the cosine 0 to every other. There are ``count`` of them, or all others where there are
    fewer. Cosines are taken a block of rows at a time, so that memory does not grow with latents².

    >>> near, cosines = nearest_latents(torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]]), 1)
    >>> near.flatten().tolist(), [round(each, 3) for each in cosines.flatten().tolist()]
    ([2, 2, 0], [0.707, 0.707, 0.707])
    """
    rows = torch.nn.functional.normalize(decoder.detach().float(), dim=1)
    count = max(0, min(count, len(rows) - 1))
    parts = []
    step = max(1, _CELLS // max(1, len(rows)))
    for start in range(0, len(rows), step):
        cosines = rows[start : start + step] @ rows.T
        own = torch.arange(len(cosines))
        cosines[own, own + start] = -torch.inf
        parts.append(cosines.topk(count))
    near = torch.cat([part.indices for part in parts]).cpu()
    return near, torch.cat([part.values for part in parts]).cpu()
