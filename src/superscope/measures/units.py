"""Cosines between a layer's units over all rows, exact from their Gram matrix."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from superscope.core.errors import InputError


@dataclass(frozen=True)
class UnitCosines:
    """The cosines between all pairs of different units."""

    mean: float
    """In [−1, 1]; NaN for fewer than two usable units."""
    std: float
    """Population standard deviation over the pairs; NaN for fewer than two usable units."""
    left_out: int
    """Units that are zero on every row."""
    counts: Float[Tensor, " bin"]
    edges: Float[Tensor, " edge"]


def unit_cosines(gram: Float[Tensor, "unit unit"], bins: int = 60) -> UnitCosines:
    """Return the cosines G_uv/√(G_uu G_vv) between units, where G = Σ x xᵀ over the rows, not centred.

    Each unit is the vector of its values on all rows; the statistics equal those of
    :func:`superscope.measures.pairwise_cosine_between_units`, without the rows. A rotation of the space mixes
    the units and changes them; scale and order do not.

    Raises:
        InputError: when ``gram`` is not square, or there are no bins.

    >>> found = unit_cosines(torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]).double())
    >>> found.mean, found.left_out, int(found.counts.sum())
    (1.0, 1, 1)
    """
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or bins < 1:
        raise InputError(
            f"a Gram matrix of shape {tuple(gram.shape)} and {bins} bins; give [unit, unit] and 1 or more"
        )
    lengths = gram.double().diagonal().clamp(min=0).sqrt()
    usable = lengths > 0
    directions = gram.double()[usable][:, usable] / torch.outer(lengths[usable], lengths[usable])
    first, second = torch.triu_indices(*directions.shape, offset=1)
    pairs = directions[first, second].clamp(-1, 1)
    counts, edges = torch.histogram(pairs.cpu(), bins, range=(-1.0, 1.0))
    return UnitCosines(
        mean=float(pairs.mean()) if len(pairs) else math.nan,
        std=float(pairs.std(correction=0)) if len(pairs) else math.nan,
        left_out=int((~usable).sum()),
        counts=counts,
        edges=edges,
    )
