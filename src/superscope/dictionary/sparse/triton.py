"""The sums over active latents on CUDA, by Triton kernels.

The functions have the names, arguments and answers of :mod:`superscope.dictionary.sparse.reference`, in
float32; operands may be of half precision. Sums have a fixed order: on one kind of GPU, with one version of
triton, the result is the same bits for the same arguments. Nothing here waits for the GPU. The kernels are
:mod:`superscope.dictionary.sparse.triton_kernels`, which is imported as they are launched: triton need not be
there for all else.
"""

import contextlib
import importlib.util
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from superscope.core.errors import InputError
from superscope.dictionary.sparse.engine import Fit
from superscope.dictionary.sparse.pairs import Pairs

CHUNK = 256
"""Pairs of one latent that a program adds up: longer latents are divided among several."""
_COLUMNS = 512
_LATENTS_A_PROGRAM, _PAIRS_A_PROGRAM = 32, 32


class Tile(NamedTuple):
    """The pairs and the columns that a program works on at once."""

    pairs: int
    columns: int
    warps: int
    """Groups of 32 threads, each of which has 32 numbers of the tile."""

    def options(self) -> dict[str, int]:
        """Return them as a kernel takes them."""
        return {"PAIRS": self.pairs, "COLUMNS": self.columns, "num_warps": self.warps}


def declines() -> str | None:
    """Say why there are no kernels for a GPU, None where there are."""
    return "triton is not installed" if importlib.util.find_spec("triton") is None else None


def tile(width: int, most: int = _COLUMNS) -> Tile:
    """Choose a tile for rows of a width, at most so many columns of them at once.

    Narrow rows are taken several at once, so that a warp always has eight loads of 128 bits a thread on the
    way. No layout has been timed on a GPU yet.
    """
    columns = power_of_two(min(width, most))
    warps = 4 if columns <= 2_048 else 8 if columns <= 8_192 else 16
    return Tile(max(1, min(32, 1_024 * warps // columns)), columns, warps)


def reconstruct(
    pairs: Pairs, W_dec: Float[Tensor, "latent width"], b_dec: Float[Tensor, " width"]
) -> Float[Tensor, "sample width"]:
    """Return b_dec + Σ f W_dec[l] over each sample's pairs."""
    return _reconstruct(pairs, W_dec, b_dec, None, 1)[0]


def reconstruct_prefixes(
    pairs: Pairs,
    W_dec: Float[Tensor, "latent width"],
    b_dec: Float[Tensor, " width"],
    group_of: Int[Tensor, " latent"],
    n_groups: int,
) -> Float[Tensor, "{n_groups} sample width"]:
    """Return the nested reconstructions, each of the pairs of its group and those before."""
    return _reconstruct(pairs, W_dec, b_dec, group_of, n_groups)


def _reconstruct(
    pairs: Pairs, W_dec: Tensor, b_dec: Tensor, group_of: Tensor | None, n_groups: int
) -> Tensor:
    width = W_dec.shape[1]
    out = W_dec.new_empty(n_groups, pairs.samples, width, dtype=torch.float32)
    layout = tile(width)
    if out.numel():
        with on(out.device):
            _kernels().reconstruct[pairs.samples, parts(width, layout.columns)](
                out,
                pairs.offsets,
                pairs.latents,
                pairs.values,
                W_dec.contiguous(),
                b_dec.contiguous(),
                _or_any(group_of, pairs.offsets),
                pairs.samples,
                width,
                GROUPS=n_groups,
                **layout.options(),
            )
    return out


def fit(
    pairs: Pairs,
    W_dec: Float[Tensor, "latent output"],
    b_dec: Float[Tensor, " output"],
    y: Float[Tensor, "sample output"],
    sizes: Sequence[int] | None = None,
) -> Fit:
    """Decode the pairs, compare with the target, and send the error back to the values, all in one launch.

    Args:
        pairs: latents ascending in each sample, as every selection gives them.
        W_dec: the decoder.
        b_dec: its bias.
        y: the target.
        sizes: the numbers of latents in nested groups, whose prefixes are compared as well.
    """
    n_latents, width = W_dec.shape
    groups, samples = 1 if sizes is None else len(sizes), pairs.samples
    bounds = pairs.offsets if sizes is None else _bounds(pairs, n_latents, sizes)
    pull = W_dec.new_empty(groups, samples, width, dtype=torch.float32)
    losses, gradients = pull.new_empty(samples), torch.empty_like(pairs.values)
    if pull.numel():
        with on(pull.device):
            _kernels().fit_samples[(samples,)](
                pull,
                losses,
                gradients,
                bounds,
                pairs.latents,
                pairs.values,
                W_dec.contiguous(),
                b_dec.contiguous(),
                y.contiguous(),
                samples,
                2 / pull.numel(),
                width,
                GROUPS=groups,
                **tile(width, width).options(),
            )
    return Fit(losses.sum() / pull.numel(), pull, gradients)


def value_gradients(
    pairs: Pairs,
    R: Float[Tensor, "*group sample width"],
    W_dec: Float[Tensor, "latent width"],
    group_of: Int[Tensor, " latent"] | None = None,
) -> Float[Tensor, " pair"]:
    """Return R · W_dec[l] of each pair, R being that of its sample, and of its latent's group."""
    _check_groups(R, group_of)
    width = W_dec.shape[1]
    out, layout = torch.empty_like(pairs.values), tile(width)
    if len(pairs):
        with on(out.device):
            _kernels().value_gradients[(parts(len(pairs), layout.pairs),)](
                out,
                pairs.rows,
                pairs.latents,
                R.contiguous(),
                W_dec.contiguous(),
                _or_any(group_of, pairs.rows),
                len(pairs),
                pairs.samples,
                width,
                GROUPED=group_of is not None,
                **layout.options(),
            )
    return out


def by_latent(pairs: Pairs, n_latents: int) -> tuple[Int64[Tensor, " boundary"], Int64[Tensor, " pair"]]:
    """Return where each latent's pairs begin and end, and the pairs in that order, samples ascending."""
    latents, order = pairs.latents.sort(stable=True)
    numbers = torch.arange(n_latents + 1, dtype=torch.int32, device=latents.device)
    return torch.searchsorted(latents, numbers), order


def latent_sums(
    starts: Int64[Tensor, " boundary"],
    order: Int[Tensor, " pair"],
    rows: Int[Tensor, " pair"],
    weights: Float[Tensor, " pair"],
    X: Float[Tensor, "*group sample width"],
    group_of: Int[Tensor, " latent"] | None = None,
) -> Float[Tensor, "latent width"]:
    """Return Σ weight · X[i] over each latent's pairs, X being that of the latent's group.

    A latent that is active on many samples is divided among programs, at every CHUNK-th pair of the
    latents' order, so that it does not hold up the others.
    """
    _check_groups(X, group_of)
    n_latents, (samples, width) = len(starts) - 1, X.shape[-2:]
    out, layout = X.new_empty(n_latents, width, dtype=torch.float32), tile(width)
    columns = parts(width, layout.columns)
    boundaries = torch.arange(1, max(1, parts(len(order), CHUNK)), device=starts.device) * CHUNK
    partial = out.new_empty(len(boundaries), width)
    rest = (
        starts,
        order,
        rows,
        weights.contiguous(),
        X.contiguous(),
        _or_any(group_of, starts),
        samples,
        width,
    )
    options = {"GROUPED": group_of is not None, "CHUNK": CHUNK, **layout.options()}
    with on(out.device):
        if partial.numel():
            owners = torch.searchsorted(starts, boundaries, right=True) - 1
            _kernels().boundary_sums[len(partial), columns](partial, owners, *rest, **options)
        if out.numel():
            _kernels().latent_sums[n_latents, columns](out, partial, *rest, **options)
    return out


def latent_totals(
    starts: Int64[Tensor, " boundary"], order: Int[Tensor, " pair"], weights: Float[Tensor, " pair"]
) -> Float[Tensor, " latent"]:
    """Return Σ weight over each latent's pairs."""
    n_latents = len(starts) - 1
    out = weights.new_empty(n_latents, dtype=torch.float32)
    if n_latents:
        with on(out.device):
            _kernels().latent_totals[(parts(n_latents, _LATENTS_A_PROGRAM),)](
                out,
                starts,
                order,
                weights.contiguous(),
                n_latents,
                LATENTS=_LATENTS_A_PROGRAM,
                PAIRS=_PAIRS_A_PROGRAM,
            )
    return out


def _kernels() -> ModuleType:
    from superscope.dictionary.sparse import triton_kernels

    return triton_kernels


def on(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Make a GPU the one that triton launches on."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def _bounds(pairs: Pairs, n_latents: int, sizes: Sequence[int]) -> Tensor:
    """Return where the pairs of each group of each sample begin, and where the last ones end."""
    device = pairs.rows.device
    edges = torch.tensor([0, *sizes[:-1]], device=device).cumsum(0)
    firsts = torch.arange(pairs.samples, device=device)[:, None] * n_latents + edges
    bounds = torch.searchsorted(pairs.rows.long() * n_latents + pairs.latents, firsts.flatten())
    return torch.cat([bounds, pairs.offsets[-1:]])


def _check_groups(X: Tensor, group_of: Tensor | None) -> None:
    if X.ndim != (2 if group_of is None else 3):
        raise InputError(
            f"the samples' rows have shape {tuple(X.shape)}, expected [sample, width], "
            "or [group, sample, width] together with group_of"
        )


def _or_any(given: Tensor | None, stand_in: Tensor) -> Tensor:
    """Return a tensor to point at where none is given, which is not read then."""
    return stand_in if given is None else given.contiguous()


def parts(count: int, size: int) -> int:
    """Return how many parts of a size cover a number of things."""
    return -(-count // size)


def power_of_two(count: int) -> int:
    """Return the smallest power of two that is not less."""
    return 1 << (count - 1).bit_length()
