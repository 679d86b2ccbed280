"""Worlds of sparse features whose truth is known, to check dictionaries on.

A world adds up the directions of the features that fire, x = b + Σ_i s_i d_i. A dictionary that is trained on
x alone should find the d_i again.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import embedding_bag

from superscope.core import generator
from superscope.core.errors import InputError
from superscope.toy.world_firing import (
    Fired,
    Firing,
    Magnitude,
    NormalMagnitude,
    ProductMagnitude,
    UniformMagnitude,
    on_device,
)

_CHUNK = 2**16
"""Samples drawn at a time, fewer where cells are drawn one by one, so that memory stays small."""
_CELLS = 2**23


@dataclass(frozen=True)
class World:
    """Features with known directions, firings and magnitudes.

    Raises:
        InputError: when the parts are not of one number of features, or a direction has not norm 1.
    """

    directions: Float[Tensor, "feature width"]
    """Unit rows."""
    firing: Firing
    magnitude: Magnitude
    true_l0: float
    """The mean number of features that fire in a sample."""
    bias: Float[Tensor, " width"] | None = None
    scaled_by_parent: bool = False
    """Whether a child's magnitude is multiplied by its parent's, over the parent's mean. (Normal magnitudes
    only.)"""

    def __post_init__(self) -> None:
        n = len(self.firing.probabilities)
        norms = torch.linalg.vector_norm(self.directions, dim=1)
        if len(self.directions) != n or bool(((norms - 1).abs() > 1e-4).any()):
            raise InputError(
                f"World: directions of shape {tuple(self.directions.shape)} with norms from "
                f"{float(norms.min()):.4g} to {float(norms.max()):.4g} for {n} features; "
                "give unit rows, one each"
            )
        if self.scaled_by_parent and not (
            isinstance(self.magnitude, NormalMagnitude) and self.firing.parent is not None
        ):
            raise InputError(
                f"World: scaled_by_parent needs parents and normal magnitudes, "
                f"got {type(self.magnitude).__name__}"
            )

    @property
    def n_features(self) -> int:
        """The number of features."""
        return self.directions.shape[0]

    @property
    def width(self) -> int:
        """The number of dimensions of x."""
        return self.directions.shape[1]

    def to(self, device: torch.device | str) -> "World":
        """Return the same world on ``device``, where it draws with a generator of that device."""
        return on_device(self, device)

    def sample(
        self, count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "sample width"], Float[Tensor, "sample feature"]]:
        """Draw samples x and the magnitudes s of the features in each, 0 where a feature does not fire.

        The samples are those of :meth:`stream` for a generator in the same state.
        """
        s = torch.zeros(count, self.n_features, device=self.directions.device)
        x = torch.empty(count, self.width, device=self.directions.device)
        for start, fired, values in self._firings(count, generator):
            s[fired.sample + start, fired.feature] = values
            self._add(fired, values, x[start : start + self._chunk])
        return x, s

    def stream(self, count: int, generator: torch.Generator) -> Float[Tensor, "sample width"]:
        """Draw samples x alone, in the memory of x: for training, where nobody may look at the features."""
        x = torch.empty(count, self.width, device=self.directions.device)
        for start, fired, values in self._firings(count, generator):
            self._add(fired, values, x[start : start + self._chunk])
        return x

    @property
    def _chunk(self) -> int:
        """Samples at a time."""
        return min(_CHUNK, max(1, _CELLS // max(self.firing.cells, 1)))

    def _firings(
        self, count: int, generator: torch.Generator
    ) -> Iterator[tuple[int, Fired, Float[Tensor, " firing"]]]:
        for start in range(0, count, self._chunk):
            fired = self.firing.draw(min(self._chunk, count - start), generator)
            values = self.magnitude.draw(fired.feature, generator)
            if self.scaled_by_parent:
                values = self._scaled(fired, values)
            yield start, fired, values

    def _scaled(self, fired: Fired, values: Tensor) -> Tensor:
        """Multiply each firing by its ancestors' magnitudes, each over its mean, from the roots down."""
        assert isinstance(self.magnitude, NormalMagnitude)
        assert self.firing.parent is not None
        key = fired.sample * self.n_features + fired.feature
        parent = self.firing.parent[fired.feature]
        place = torch.searchsorted(key, key - fired.feature + parent.clamp(min=0))
        ratio = values / self.magnitude.mean[fired.feature]
        factor, ancestor, has = torch.ones_like(values), place, parent >= 0
        while bool(has.any()):
            factor = torch.where(has, factor * ratio[ancestor], factor)
            has = has & (parent[ancestor] >= 0)
            ancestor = place[ancestor]
        return values * factor

    def _add(self, fired: Fired, values: Tensor, x: Tensor) -> None:
        """Write b + Σ_i s_i d_i of each sample into x."""
        counts = fired.sample.bincount(minlength=len(x))
        offsets = counts.cumsum(0) - counts
        summed = embedding_bag(fired.feature, self.directions, offsets, mode="sum", per_sample_weights=values)
        torch.add(summed, 0 if self.bias is None else self.bias, out=x)


class WorldSource:
    """Fresh samples of a world as a source of training batches (:class:`superscope.dictionary.Source`).

    No sample is kept: batch ``i`` of a seed is drawn from a stream of its own, so that a training that goes
    on from a checkpoint sees what one never stopped would have seen.

    Args:
        world: that the samples are of.
        samples: in one pass.
    """

    def __init__(self, world: World, samples: int) -> None:
        self.world, self.width = world, world.width
        self.samples = samples

    def batches(self, size: int, seed: int, start: int = 0) -> Iterator[Float[Tensor, "sample width"]]:
        """Give one pass of batches of ``size`` samples, from batch ``start`` on."""
        device = self.world.directions.device
        for i in range(start, self.samples // size):
            yield self.world.stream(size, generator(seed, "world", i, device=device))


def random_directions(
    n_features: int, width: int, generator: torch.Generator
) -> Float[Tensor, "feature width"]:
    """Return directions drawn evenly from the sphere: Gaussian rows at norm 1."""
    rows = torch.randn(n_features, width, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(rows, dim=1).float()


def orthogonal_directions(
    n_features: int, width: int, generator: torch.Generator
) -> Float[Tensor, "feature width"]:
    """Return orthonormal directions, drawn evenly from all such sets.

    Raises:
        InputError: when there are more features than dimensions.
    """
    if n_features > width:
        raise InputError(f"{n_features} features cannot be orthogonal in {width} dimensions; give fewer")
    Q, R = torch.linalg.qr(torch.randn(width, n_features, generator=generator, dtype=torch.float64))
    return (Q * R.diagonal().sign()).T.float().contiguous()


def even_world(generator: torch.Generator, n_features: int = 256, width: int = 64, l0: float = 4.0) -> World:
    """Return a world of features that are all alike and more than the dimensions: superposition alone.

    Random unit directions; each fires alone with probability l0/n_features and magnitude U(0.5, 1.5).

    >>> world = even_world(torch.Generator().manual_seed(0))
    >>> x, s = world.sample(1000, torch.Generator().manual_seed(1))
    >>> x.shape, s.shape, world.true_l0
    (torch.Size([1000, 64]), torch.Size([1000, 256]), 4.0)
    """
    firing = Firing(torch.full((n_features,), l0 / n_features))
    return World(random_directions(n_features, width, generator), firing, UniformMagnitude(0.5, 1.5), l0)


def decaying_world(
    generator: torch.Generator,
    n_features: int = 512,
    width: int = 256,
    l0: float = 5.0,
    decay: float = 0.99,
) -> World:
    """Return a world of common and rare features: superposition and unequal frequencies.

    Random unit directions; feature i fires alone with p_i ∝ decay^i, ``l0`` of them on average, and a
    magnitude that is the product of two U(0, 1). At the default sizes p goes from 0.050 down to 0.0003.
    """
    p = decay ** torch.arange(n_features, dtype=torch.float64)
    firing = Firing((l0 * p / p.sum()).float())
    return World(random_directions(n_features, width, generator), firing, ProductMagnitude(), l0)


def correlated_world(
    generator: torch.Generator,
    n_features: int = 50,
    width: int = 100,
    strength: tuple[float, float] = (0.3, 0.9),
) -> World:
    """Return a world without superposition whose features fire together or shun each other.

    Orthogonal directions; p_i = 0.345 (n − i)/n + 0.05 for i = 0 … n − 1 (true L0 11.3 for n = 50);
    magnitude N(1, 0.15²), 0 where negative. Firings follow a Gaussian copula (:class:`Firing`) with the
    matrix of :func:`random_correlations`. After the toy model of Chanin & Garriga-Alonso 2025, arXiv
    2508.16560, where a dictionary with too small an L0 mixes features that occur together.
    """
    i = torch.arange(n_features, dtype=torch.float64)
    p = 0.345 * (n_features - i) / n_features + 0.05
    C = random_correlations(n_features, strength, generator)
    firing = Firing(p.float(), loadings=torch.linalg.cholesky(C).float())
    magnitude = NormalMagnitude(torch.ones(n_features), torch.full((n_features,), 0.15))
    return World(orthogonal_directions(n_features, width, generator), firing, magnitude, float(p.sum()))


def random_correlations(
    n: int, strength: tuple[float, float], generator: torch.Generator, smallest: float = 1e-4
) -> Float[Tensor, "{n} {n}"]:
    """Return a random correlation matrix in float64.

    Each pair has a correlation of magnitude U(strength), positive or negative with probability ½. Such a
    matrix is not positive definite; its eigenvalues are raised to at least ``smallest`` and the rows and
    columns scaled back to a diagonal of 1, which shrinks the correlations: for 50 features and (0.3, 0.9)
    from 0.6 to about 0.15 on average, the largest to about 0.45.
    """
    low, high = strength
    pairs = n * (n - 1) // 2
    sizes = low + (high - low) * torch.rand(pairs, generator=generator, dtype=torch.float64)
    signs = torch.randint(2, (pairs,), generator=generator) * 2 - 1
    C = torch.eye(n, dtype=torch.float64)
    i, j = torch.triu_indices(n, n, offset=1)
    C[i, j] = C[j, i] = sizes * signs
    values, Q = torch.linalg.eigh(C)
    C = (Q * values.clamp(min=smallest)) @ Q.T
    scale = C.diagonal().rsqrt()
    return C * scale[:, None] * scale


def hierarchical_world(
    generator: torch.Generator,
    roots: int = 20,
    children: int = 3,
    width: int = 100,
    root_probability: float = 0.15,
    child_probability: float = 1 / 3,
) -> World:
    """Return a world without superposition in which a child fires only with its parent.

    Orthogonal directions. A root fires alone; each of its children fires, independently of its siblings, with
    ``child_probability`` where the root does and nowhere else; magnitudes N(1, 0.15²). At the defaults 80
    features, 3 roots and 3 children in a sample on average: true L0 6. A dictionary saves a latent by a child
    that holds its parent's direction too, and a parent that is silent then: feature absorption (Chanin et al.
    2024, arXiv 2409.14507). Roots come first, then the children of the first root, of the second …
    """
    n = roots * (1 + children)
    parent = torch.cat([torch.full((roots,), -1), torch.arange(roots).repeat_interleave(children)])
    p = torch.full((n,), child_probability, dtype=torch.float64)
    p[:roots] = root_probability
    firing = Firing(p, parent=parent)
    magnitude = NormalMagnitude(torch.ones(n), torch.full((n,), 0.15))
    l0 = float(firing.marginals().sum())
    return World(orthogonal_directions(n, width, generator), firing, magnitude, l0)
