"""What the sparse kernels compute, in plain PyTorch: slow and clear, the yardstick of the fast paths.

Every function works on the pairs of a batch (:class:`~superscope.dictionary.sparse.pairs.Pairs`), p being a
pair of sample i_p and latent l_p with the value f_p. Operands may be of half precision; sums are taken in
float32, or in float64 where an operand has it.

With W_dec [latent, width], the error R = x̂ − x [sample, width] and the loss ½ Σ R², a training step is made
of: pairs from :func:`top_k`, x̂ from :func:`reconstruct`, ∂loss/∂f_p from :func:`value_gradients`, and with
:func:`by_latent` the gradients of the decoder, Σ f_p R, and of the encoder, Σ (∂loss/∂f_p) x, from
:func:`latent_sums`, and that of the encoder's bias from :func:`latent_totals`.
"""

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from superscope.core.errors import InputError
from superscope.dictionary.sparse.pairs import Pairs


def reconstruct(
    pairs: Pairs, W_dec: Float[Tensor, "latent width"], b_dec: Float[Tensor, " width"]
) -> Float[Tensor, "sample width"]:
    """Return x̂_i = b_dec + Σ_{p of sample i} f_p W_dec[l_p].

    A sample without pairs has b_dec.

    >>> pairs = Pairs.from_dense(torch.tensor([[0.0, 2.0], [0.0, 0.0]]))
    >>> reconstruct(pairs, torch.eye(2), torch.tensor([0.5, 0.0]))
    tensor([[0.5000, 2.0000],
            [0.5000, 0.0000]])
    """
    W_dec, b_dec = _full(W_dec), _full(b_dec)
    parts = pairs.values[:, None] * W_dec[pairs.latents.long()]
    return b_dec.repeat(pairs.samples, 1).index_add(0, pairs.rows.long(), parts)


def reconstruct_prefixes(
    pairs: Pairs,
    W_dec: Float[Tensor, "latent width"],
    b_dec: Float[Tensor, " width"],
    group_of: Int[Tensor, " latent"],
    n_groups: int,
) -> Float[Tensor, "{n_groups} sample width"]:
    """Return the nested reconstructions x̂_{g,i} = b_dec + Σ f_p W_dec[l_p] over i's pairs of groups ≤ g.

    The last is that of :func:`reconstruct`, up to rounding.
    """
    groups = group_of.long()[pairs.latents.long()]
    return torch.stack(
        [reconstruct(pairs.with_values(pairs.values * (groups <= g)), W_dec, b_dec) for g in range(n_groups)]
    )


def value_gradients(
    pairs: Pairs,
    R: Float[Tensor, "*group sample width"],
    W_dec: Float[Tensor, "latent width"],
    group_of: Int[Tensor, " latent"] | None = None,
) -> Float[Tensor, " pair"]:
    """Return R[i_p] · W_dec[l_p], the gradient of each value where R is that of x̂.

    With groups, R is [group, sample, width] and a pair has R[group_of[l_p], i_p]: for the nested
    reconstructions the sums of their errors from the last group backwards, since a latent is in that of its
    own group and in all later ones.
    """
    return (_gathered(R, pairs.rows, pairs.latents, group_of) * _full(W_dec)[pairs.latents.long()]).sum(-1)


def by_latent(pairs: Pairs, n_latents: int) -> tuple[Int64[Tensor, " boundary"], Int64[Tensor, " pair"]]:
    """Return where each latent's pairs begin and end, and the pairs in that order, samples ascending.

    Pairs ``order[starts[l] : starts[l + 1]]`` are those of latent l. Starts are [latent + 1].

    >>> by_latent(Pairs.from_dense(torch.tensor([[0.0, 2.0], [1.0, 3.0]])), 3)
    (tensor([0, 1, 3, 3]), tensor([1, 0, 2]))
    """
    latents = pairs.latents.long()
    starts = latents.new_zeros(n_latents + 1)
    starts[1:] = torch.bincount(latents, minlength=n_latents).cumsum(0)
    return starts, latents.argsort(stable=True)


def latent_sums(
    starts: Int64[Tensor, " boundary"],
    order: Int[Tensor, " pair"],
    rows: Int[Tensor, " pair"],
    weights: Float[Tensor, " pair"],
    X: Float[Tensor, "*group sample width"],
    group_of: Int[Tensor, " latent"] | None = None,
) -> Float[Tensor, "latent width"]:
    """Return Σ_{p of latent l} weights_p X[i_p] for each latent, 0 where it has no pairs.

    With the values and the errors as weights and X it is the decoder's gradient; with the values' gradients
    and the inputs, the encoder's. With groups, X is [group, sample, width] and latent l takes
    X[group_of[l]], as in :func:`value_gradients`.
    """
    owners = _owners(starts)
    parts = _full(weights)[order.long(), None] * _gathered(X, rows[order.long()], owners, group_of)
    return parts.new_zeros(len(starts) - 1, X.shape[-1]).index_add(0, owners, parts)


def latent_totals(
    starts: Int64[Tensor, " boundary"], order: Int[Tensor, " pair"], weights: Float[Tensor, " pair"]
) -> Float[Tensor, " latent"]:
    """Return Σ_{p of latent l} weights_p for each latent: with the values' gradients, that of the bias."""
    weights = _full(weights)
    return weights.new_zeros(len(starts) - 1).index_add(0, _owners(starts), weights[order.long()])


def top_k(pre: Float[Tensor, "sample latent"], k: int) -> Pairs:
    """Return the k largest of relu(pre) in each sample, in ascending order of latent.

    Always k a sample: where fewer are positive, others come with the value 0. Among equals those with the
    lowest numbers are taken. NaN counts as the largest, so that a training that has failed shows.

    Raises:
        InputError: when there are fewer than k latents, or k is not positive.

    >>> top_k(torch.tensor([[3.0, 1.0, 2.0], [-1.0, -2.0, 4.0]]), 2).to_dense(3)
    tensor([[3., 0., 2.],
            [0., 0., 4.]])
    """
    if not 1 <= k <= pre.shape[1]:
        raise InputError(f"k is {k}, expected 1 to the number of latents, {pre.shape[1]}")
    f = pre.relu()
    latents = f.sort(dim=1, descending=True, stable=True).indices[:, :k].sort(1).values
    return Pairs.from_rows(latents, f.gather(1, latents))


def above_threshold(
    pre: Float[Tensor, "sample latent"], threshold: float | Float[Tensor, ""] | Float[Tensor, " latent"]
) -> Pairs:
    """Return the pairs with pre > ``threshold``, one of all latents or one of each, in ascending order.

    NaN is kept, so that a training that has failed shows.

    >>> above_threshold(torch.tensor([[3.0, 1.0, 2.0], [-1.0, 0.0, 1.5]]), 1.0).to_dense(3)
    tensor([[3.0000, 0.0000, 2.0000],
            [0.0000, 0.0000, 1.5000]])
    """
    kept = (pre > threshold) | pre.isnan()
    rows, latents = kept.nonzero(as_tuple=True)
    offsets = torch.zeros(len(pre) + 1, dtype=torch.int64, device=pre.device)
    offsets[1:] = kept.sum(1).cumsum(0)
    return Pairs(offsets, rows.int(), latents.int(), pre[rows, latents].float())


def batch_top_k(pre: Float[Tensor, "sample latent"], count: int) -> Pairs:
    """Return the ``count`` largest of relu(pre) in the whole batch, sample by sample, latents ascending.

    Always so many: where fewer are positive, others come with the value 0. Ties and NaN as in :func:`top_k`,
    the samples one after the other.

    Raises:
        InputError: when ``count`` is not between 1 and the number of elements.

    >>> batch_top_k(torch.tensor([[3.0, 1.0, 2.0], [-1.0, -2.0, 1.5]]), 3).to_dense(3)
    tensor([[3.0000, 0.0000, 2.0000],
            [0.0000, 0.0000, 1.5000]])
    """
    if not 1 <= count <= pre.numel():
        raise InputError(f"count is {count}, expected 1 to the {pre.numel()} elements of the batch")
    samples, n_latents = pre.shape
    f = pre.relu().flatten()
    found = f.sort(descending=True, stable=True).indices[:count].sort().values
    rows = found // n_latents
    offsets = torch.zeros(samples + 1, dtype=torch.int64, device=pre.device)
    offsets[1:] = torch.bincount(rows, minlength=samples).cumsum(0)
    return Pairs(offsets, rows.int(), (found % n_latents).int(), f[found].float())


def _full(x: Tensor) -> Tensor:
    """Return x in float32, or in float64 where it has it."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _gathered(X: Tensor, rows: Tensor, latents: Tensor, group_of: Tensor | None) -> Tensor:
    """Return X[row], or X[group of the latent, row], of each pair.

    Raises:
        InputError: when X has groups and ``group_of`` is not there, or the other way round.
    """
    if X.ndim != (2 if group_of is None else 3):
        raise InputError(
            f"the samples' rows have shape {tuple(X.shape)}, expected [sample, width], "
            "or [group, sample, width] together with group_of"
        )
    if group_of is None:
        return _full(X)[rows.long()]
    return _full(X)[group_of.long()[latents.long()], rows.long()]


def _owners(starts: Tensor) -> Tensor:
    """Return the latent of each pair in the latents' order."""
    return torch.arange(len(starts) - 1, device=starts.device).repeat_interleave(starts.diff())
