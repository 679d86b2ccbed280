"""Rows as points in the plane: by their principal components, or by t-SNE."""

from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from superscope.core.errors import InputError

_COMPONENTS = 50
"""t-SNE starts from so many principal components (van der Maaten and Hinton 2008 took 30)."""
_ROWS_PER_NEIGHBOUR = 3
"""t-SNE looks at three times the perplexity many neighbours."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """Points in the plane, and how they came about."""

    points: Float[Tensor, "kept 2"]
    kept: Int[Tensor, " kept"]
    """Which rows have a point: those with finite values."""
    left_out: int
    """Rows with a value that is not finite."""
    axes: tuple[str, str]
    """What the coordinates are, for the names of axes."""
    detail: str
    """The method in words, with library and settings."""


def embed(
    x: Float[Tensor, "row width"],
    method: Literal["tsne", "pca"] = "tsne",
    *,
    seed: int = 0,
    perplexity: float = 30.0,
) -> Embedding:
    """Return a point in the plane for each row, near where rows are near.

    ``pca``: the first two principal components of the centred rows, by singular values; each component's
    sign makes its largest loading positive. A width of 1, or rows on a line, give a second coordinate of 0.

    ``tsne``: openTSNE where it imports, else scikit-learn, on the first 50 principal components, started from
    the first two. Distances between far groups and the sizes of groups mean nothing (Wattenberg et al. 2016,
    "How to Use t-SNE Effectively"). The perplexity is lowered to a third of the number of other rows where it
    is larger. The same rows and seed give the same points, on one machine.

    Args:
        x: rows; one with a value that is not finite is left out, and counted.
        method: of the two.
        seed: of t-SNE's search for neighbours.
        perplexity: about how many neighbours t-SNE keeps near.

    Raises:
        InputError: when x has not two axes, the method is unknown, the perplexity is below 1, or fewer than 2
            rows (pca) or 5 (tsne) are finite.
    """
    if x.ndim != 2 or x.shape[1] == 0:
        raise InputError(f"x has the shape {list(x.shape)}; give it as [row, width], no row empty")
    if method not in ("tsne", "pca"):
        raise InputError(f"method is {method!r}; give 'tsne' or 'pca'")
    if not perplexity >= 1:
        raise InputError(f"perplexity is {perplexity}; give 1 or more")
    plain = x.detach().cpu()
    finite = plain.isfinite().all(1)
    kept, rows = finite.nonzero()[:, 0], plain[finite].double()
    least = 2 if method == "pca" else 5
    if len(rows) < least:
        raise InputError(f"x has {len(rows)} finite rows of {len(x)}; {method} needs {least} or more")
    lost = len(x) - len(rows)

    scores, shares = _components(rows)
    if method == "pca":
        points = torch.nn.functional.pad(scores[:, :2], (0, max(0, 2 - scores.shape[1])))
        first, second = torch.nn.functional.pad(shares, (0, 1))[:2].tolist()
        axes = (f"component 1 ({first:.1%} of the variance)", f"component 2 ({second:.1%} of the variance)")
        return Embedding(points, kept, lost, axes, "principal components of the centred rows")
    lowered = min(perplexity, (len(rows) - 1) / _ROWS_PER_NEIGHBOUR)
    points, library = _tsne(scores[:, :_COMPONENTS], lowered, seed)
    detail = f"t-SNE by {library}, perplexity {lowered:g}, seed {seed}"
    if scores.shape[1] > _COMPONENTS:
        held = float(shares[:_COMPONENTS].sum())
        detail += f", from {_COMPONENTS} principal components ({held:.1%} of the variance)"
    return Embedding(points, kept, lost, ("t-SNE 1", "t-SNE 2"), detail)


def _components(rows: Float[Tensor, "row width"]) -> tuple[Float[Tensor, "row _"], Float[Tensor, " _"]]:
    """Return the rows' coordinates along their principal components, and each one's share of the variance."""
    u, s, vh = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    largest = vh.abs().argmax(1, keepdim=True)
    energy = s.square()
    return u * s * vh.gather(1, largest)[:, 0].sign(), energy / energy.sum().clamp_min(1e-300)


def _tsne(rows: Float[Tensor, "row _"], perplexity: float, seed: int) -> tuple[Float[Tensor, "row 2"], str]:
    flat = rows.numpy()
    start = torch.nn.functional.pad(rows[:, :2], (0, max(0, 2 - rows.shape[1])))
    start = (start / start[:, 0].std().clamp_min(1e-300) * 1e-4).numpy()  # as both libraries start from PCA
    settings: dict[str, Any] = {"perplexity": perplexity, "random_state": seed, "n_jobs": 1}
    try:
        import openTSNE
    except ImportError:
        import sklearn
        from sklearn.manifold import TSNE

        points = TSNE(init=cast("Any", start), **settings).fit_transform(flat)
        return torch.from_numpy(points).double(), f"scikit-learn {sklearn.__version__}"
    points = openTSNE.TSNE(initialization=cast("Any", start), **settings).fit(flat)
    return torch.from_numpy(np.array(points, np.float64)), f"openTSNE {openTSNE.__version__}"
