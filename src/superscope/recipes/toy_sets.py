"""Words for how sets of features that come together lie in the hidden space.

The thresholds were fixed before any run. Two features *collapse* to one direction when cos > 0.95 and their
norms differ by less than 10 %. A *hexagon* has gaps of 60° ± 20° between neighbours. A set is *almost
orthogonal* when every |cos| in it is below 0.2. Embedded, orthogonal and antipodal are those of
:mod:`superscope.recipes.toy_training`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from superscope.recipes.toy_training import ANTIPODAL, EMBEDDED, ORTHOGONAL

ALIKE, PAIRED = 0.95, 1.1
HEXAGON = 20.0
ALMOST = 0.2
ODD, UNIT = 0.05, 0.1


def orthogonal_sets(W: Float[Tensor, "hidden feature"], sizes: Sequence[int]) -> bool:
    """Tell whether every feature is embedded, and orthogonal to the others of its set."""
    return all_embedded(W) and all(bool((c.abs() < ORTHOGONAL).all()) for c in _within(W, sizes))


def antipodal_sets(W: Float[Tensor, "hidden feature"], sizes: Sequence[int]) -> bool:
    """Tell whether every feature is embedded, and antipodal to the others of its set."""
    return all_embedded(W) and all(bool((c < ANTIPODAL).all()) for c in _within(W, sizes))


def hexagon_of_pairs(W: Float[Tensor, "2 6"]) -> bool:
    """Tell whether the features stand as a hexagon, each pair (0, 1), (2, 3), (4, 5) side by side."""
    angles = torch.atan2(W[1], W[0]).rad2deg()
    ring = angles.argsort()
    between = (angles[ring.roll(-1)] - angles[ring]) % 360
    place = ring.argsort()
    apart = (place[0::2] - place[1::2]).abs()
    beside = (apart == 1) | (apart == 5)
    return all_embedded(W) and bool(((between - 60).abs() <= HEXAGON).all() and beside.all())


def local_bases(W: Float[Tensor, "hidden feature"], sizes: Sequence[int]) -> bool:
    """Tell whether more features than dimensions are embedded, and each set is almost orthogonal."""
    hidden = W.shape[0]
    return bool((_norms(W) > EMBEDDED).sum() > hidden) and all(
        bool((c.abs() < ALMOST).all()) for c in _within(W, sizes)
    )


def collapsed(W: Float[Tensor, "hidden feature"]) -> int:
    """Count the pairs (0, 1), (2, 3), ... whose features share a direction and a norm, both embedded."""
    norms = _norms(W)
    a, b = norms[0::2], norms[1::2]
    cosine = torch.cosine_similarity(W[:, 0::2], W[:, 1::2], dim=0)
    alike = (cosine > ALIKE) & (torch.maximum(a, b) < PAIRED * torch.minimum(a, b))
    return int((alike & (torch.minimum(a, b) > EMBEDDED)).sum())


def odd_share(W: Float[Tensor, "*batch hidden feature"]) -> Float[Tensor, "*batch"]:
    """Return how much of ‖W‖²_F lies along the pairs' second components: Σ ‖W_a − W_b‖²/2 over ‖W‖²_F.

    From 0, where every pair has collapsed to its principal component (a + b)/√2, over ¼ in a hexagon with
    pairs side by side and ½ for orthogonal pairs, to 1; 0 for W = 0.
    """
    odd = (W[..., 0::2] - W[..., 1::2]).square().sum((-2, -1)) / 2
    total = W.square().sum((-2, -1))
    return odd / total.masked_fill(total == 0, 1)


def principal_components(W: Float[Tensor, "hidden feature"]) -> bool:
    """Tell whether W projects to as many principal components (a + b)/√2 of pairs as there are dimensions."""
    stretches = torch.linalg.svdvals(W)
    return bool(odd_share(W) < ODD and ((stretches - 1).abs() < UNIT).all())


def all_embedded(W: Float[Tensor, "hidden feature"]) -> bool:
    """Tell whether every feature is embedded."""
    return bool((_norms(W) > EMBEDDED).all())


def _norms(W: Tensor) -> Tensor:
    return torch.linalg.vector_norm(W, dim=0)


def _within(W: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Return the cosines of the pairs of embedded features within each set."""
    found = []
    for part in W.split([*sizes, W.shape[1] - sum(sizes)], dim=1)[: len(sizes)]:
        directions = torch.nn.functional.normalize(part[:, _norms(part) > EMBEDDED], dim=0)
        rows, columns = torch.triu_indices(directions.shape[1], directions.shape[1], 1)
        found.append((directions.mT @ directions)[rows, columns])
    return found
