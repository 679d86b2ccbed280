"""Which latents of a batch are active, on CUDA: exact selections of the largest, by Triton kernels.

The functions have the names, arguments and answers of :mod:`superscope.dictionary.sparse.reference`, and the
same bits. Nothing waits for the GPU but :func:`above_threshold`, whose number of pairs is not known before.
The kernels are :mod:`superscope.dictionary.sparse.triton_selection_kernels`, which is imported as they are
launched: triton need not be there for all else.
"""

from types import ModuleType

import torch
from jaxtyping import Float
from torch import Tensor

from superscope.core.errors import InputError
from superscope.dictionary.sparse.pairs import Pairs
from superscope.dictionary.sparse.triton import on, parts, power_of_two

_LATENTS = 4_096
"""Latents that a program looks at at once; they have as many maxima, where there are more."""
_WRITTEN = 1_024
"""Latents that a program looks at at once as it writes pairs: its threads have addresses to keep."""
_SPARE = 1_024
"""Room for the keys of a sample that reach the k-th largest maximum."""
_BLOCK = 4_096
"""Elements of a whole batch that a program looks at at once."""
_PROGRAMS = 1_024
"""Programs that count the digits of a batch, at the most."""


def top_k(pre: Float[Tensor, "sample latent"], k: int) -> Pairs:
    """Return the k largest of relu(pre) in each sample, latents ascending; ties and NaN as the reference."""
    samples, n_latents = pre.shape
    if not 1 <= k <= n_latents:
        raise InputError(f"k is {k}, expected 1 to the number of latents, {n_latents}")
    pairs = _empty(pre, k * samples, torch.arange(samples + 1, device=pre.device) * k)
    latents = max(min(power_of_two(n_latents), _LATENTS), power_of_two(k))
    spare = 1 if latents >= n_latents else max(_SPARE, 2 * power_of_two(k))
    gathered = pairs.rows.new_empty(samples if spare > 1 else 0, spare)
    if samples:
        with on(pre.device):
            _kernels().top_k[(samples,)](
                pairs.rows,
                pairs.latents,
                pairs.values,
                gathered,
                pre.contiguous(),
                k,
                n_latents,
                SPARE=spare,
                LATENTS=latents,
                WRITTEN=min(latents, _WRITTEN),
                num_warps=_warps(latents),
            )
    return pairs


def batch_top_k(pre: Float[Tensor, "sample latent"], count: int) -> Pairs:
    """Return the ``count`` largest of relu(pre) in the whole batch; ties and NaN as the reference.

    The smallest of them is found by its digits, from the leading one on, in four passes over the batch.
    """
    samples, n_latents = pre.shape
    elements = pre.numel()
    if not 1 <= count <= elements:
        raise InputError(f"count is {count}, expected 1 to the {elements} elements of the batch")
    pre, kernels = pre.contiguous(), _kernels()
    digits = torch.zeros(4, 256, dtype=torch.int64, device=pre.device)
    above, ties = (digits.new_empty(samples) for _ in range(2))
    per_program = _BLOCK * max(1, parts(elements, _BLOCK * _PROGRAMS))
    with on(pre.device):
        for number in range(4):
            kernels.count_digits[(parts(elements, per_program),)](
                digits, pre, count, elements, per_program, PASS=number, BLOCK=_BLOCK, num_warps=8
            )
        kernels.count_batch[(samples,)](
            above, ties, digits, pre, count, n_latents, **_block(n_latents, _LATENTS)
        )
        # ties are taken from the first sample on, as long as there is room
        room = count - above.sum()
        kept = above + ties.cumsum(0).minimum(room).diff(prepend=ties.new_zeros(1))
        pairs = _empty(pre, count, _offsets(kept))
        kernels.write_batch[(samples,)](
            pairs.rows,
            pairs.latents,
            pairs.values,
            pairs.offsets,
            above,
            digits,
            pre,
            count,
            n_latents,
            **_block(n_latents, _WRITTEN),
        )
    return pairs


def above_threshold(
    pre: Float[Tensor, "sample latent"], threshold: float | Float[Tensor, ""] | Float[Tensor, " latent"]
) -> Pairs:
    """Return the pairs with pre > ``threshold``, one of all latents or one of each; NaN is kept."""
    samples, n_latents = pre.shape
    pre, kernels = pre.contiguous(), _kernels()
    cut = torch.as_tensor(threshold, dtype=torch.float32, device=pre.device).contiguous()
    each = cut.ndim > 0
    counts = torch.zeros(samples, dtype=torch.int64, device=pre.device)
    with on(pre.device):
        if samples:
            kernels.count_above[(samples,)](counts, pre, cut, n_latents, each, **_block(n_latents, _LATENTS))
        offsets = _offsets(counts)
        pairs = _empty(pre, int(offsets[-1]), offsets)
        if len(pairs):
            kernels.write_above[(samples,)](
                pairs.rows,
                pairs.latents,
                pairs.values,
                pairs.offsets,
                pre,
                cut,
                n_latents,
                each,
                **_block(n_latents, _WRITTEN),
            )
    return pairs


def _kernels() -> ModuleType:
    from superscope.dictionary.sparse import triton_selection_kernels

    return triton_selection_kernels


def _offsets(counts: Tensor) -> Tensor:
    """Return where each sample's pairs begin, from how many it has."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _empty(pre: Tensor, count: int, offsets: Tensor) -> Pairs:
    """Return pairs to be written."""
    numbers = torch.empty(count, dtype=torch.int32, device=pre.device)
    return Pairs(offsets, numbers, torch.empty_like(numbers), torch.empty_like(numbers, dtype=torch.float32))


def _block(n_latents: int, most: int) -> dict[str, int]:
    """Return how many of a sample's latents a program looks at at once."""
    latents = min(power_of_two(n_latents), most)
    return {"LATENTS": latents, "num_warps": _warps(latents)}


def _warps(latents: int) -> int:
    """Return how many warps work on a block: a thread has sixteen latents, or fewer."""
    return max(1, min(8, latents // 128))
