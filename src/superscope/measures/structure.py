"""The structures that features gather in: components of the feature graph, and the polytopes that they are.

The graph joins two embedded features that are far from orthogonal. In a toy model its components are
polytopes that lie orthogonal to each other (a tegum product), each with dimensionalities at the fraction
dimensions/points. A fraction alone proves nothing: the eight corners of a cube have 3/8 like the square
antiprism's. So a component is named by its number of features, the dimensions they span, its
dimensionalities *and* its angles, or it is "other".

Nothing here changes when the hidden space is rotated, W is scaled, or the features are numbered anew (but for
the numbers). After Elhage et al. 2022, "Toy Models of Superposition", arXiv 2209.10652.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from superscope.core.errors import InputError
from superscope.measures.geometry import feature_dimensionality, feature_norms
from superscope.measures.polytopes import shape_distance, shape_of

_SHAPES = "single", "digon", "triangle", "tetrahedron", "pentagon", "hexagon", "square antiprism"
STRUCTURES: tuple[str, ...] = (*_SHAPES, "other")
"""What :func:`structure_counts` always counts; further polygons appear when they are found."""


@dataclass(frozen=True)
class Component:
    """Features that hang together, and what they form."""

    name: str
    """single, digon, triangle, tetrahedron, pentagon … 9-gon …, square antiprism, or other."""
    features: tuple[int, ...]
    """Their numbers, in order."""
    dimensions: int
    """Dimensions that their directions span, noise left out."""
    dimensionality: float
    """Mean of their D_i, all features of W counted."""
    spread: float
    """Largest D_i less the smallest."""
    distance: float
    """Largest error of an angle against the shape with so many points and dimensions, in degrees; NaN where
    no shape has them."""


def feature_graph(
    W: Float[Tensor, "hidden feature"], *, embedded: float = 0.5, edge: float = 1 / 6
) -> Bool[Tensor, "feature feature"]:
    """Return which features hang together: |Ŵ_i·Ŵ_j| > ``edge``, both embedded.

    True at (i, i) where feature i is embedded at all. The cosine stands in for the paper's |W_i·W_j|, so that
    the graph does not change with the scale of W; embedded features have norms near each other.

    Args:
        W: directions of one model.
        embedded: a feature counts from this share of the largest norm on. Trained norms gather near 0 and
            near one other value; ½ is halfway.
        edge: cosine from which two features hang together. The tetrahedron is the shape that the weakest
            cosines hold together, 1/3; features of different polytopes have 0; 1/6 is halfway.

    Raises:
        InputError: when W is not [hidden, feature], holds a value that is not finite, or a threshold is
            outside [0, 1).

    >>> feature_graph(torch.tensor([[1.0, 0.0, -1.0, 0.1], [0.0, 1.0, 0.0, 0.0]])).int()
    tensor([[1, 0, 1, 0],
            [0, 1, 0, 0],
            [1, 0, 1, 0],
            [0, 0, 0, 0]], dtype=torch.int32)
    """
    for name, value in (("embedded", embedded), ("edge", edge)):
        if not 0 <= value < 1:
            raise InputError(f"{name} is {value}; give a share in [0, 1)")
    norms, directions = _norms_and_directions(W)
    kept = (norms > embedded * norms.max()) & (norms > 0)
    return ((directions.mT @ directions).abs() > edge) & kept[:, None] & kept[None]


def components(
    W: Float[Tensor, "hidden feature"],
    *,
    embedded: float = 0.5,
    edge: float = 1 / 6,
    angle: float = 10.0,
    fraction: float = 0.1,
    flat: float = 0.5,
) -> tuple[Component, ...]:
    """Return the connected components of the feature graph with their names, by their first feature.

    A feature that is not embedded is in no component.

    Args:
        W: directions of one model.
        embedded: as in :func:`feature_graph`.
        edge: as in :func:`feature_graph`.
        angle: as in :func:`name_component`.
        fraction: as in :func:`name_component`.
        flat: as in :func:`name_component`.

    Raises:
        InputError: when W is not [hidden, feature], holds a value that is not finite, or an argument is out
            of range.

    Two orthogonal digons, the square:

    >>> for found in components(torch.tensor([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]])):
    ...     print(found.name, found.features, found.dimensions, found.dimensionality)
    digon (0, 2) 1 0.5
    digon (1, 3) 1 0.5
    """
    from scipy.sparse.csgraph import connected_components

    graph = feature_graph(W, embedded=embedded, edge=edge).cpu().numpy()
    kept = np.flatnonzero(graph.diagonal())
    if not kept.size:
        return ()
    count, member = connected_components(graph[np.ix_(kept, kept)], directed=False)
    groups = sorted(kept[member == number].tolist() for number in range(count))
    return _named(W, groups, angle, fraction, flat)


def name_component(
    W: Float[Tensor, "hidden feature"],
    features: Sequence[int],
    *,
    angle: float = 10.0,
    fraction: float = 0.1,
    flat: float = 0.5,
) -> Component:
    """Return what some features of W form.

    The number of features k and the dimensions r that they span leave one shape at most. It has the name if
    every D_i is r/k and every angle is the shape's, within the tolerances.

    Args:
        W: directions of one model.
        features: those to name.
        angle: largest error of an angle, in degrees, and at most 90/k for a polygon, a quarter of its step.
            Directions that are off by a tenth of their length at random are turned against each other by
            √2/10, 8 degrees, and keep their name; the cube, which has the dimensionality of the square
            antiprism, is 36 degrees off.
        fraction: largest error of a D_i, in parts of r/k. A tenth allows norms that differ by 5 % in a digon,
            or as much interference from outside as a tenth of what is within.
        flat: a dimension counts when the directions have this share of their largest singular value in it.
            Those of a polytope are equal (85 % at least in a square antiprism), the others noise; ½ is
            between.

    Raises:
        InputError: when W is not [hidden, feature], holds a value that is not finite, the features are not
            different columns of W of norm above 0, or a tolerance is out of range.

    >>> tripod = torch.tensor([[1.0, -0.5, -0.5], [0.0, 0.866, -0.866]])
    >>> name_component(tripod, [0, 1, 2]).name
    'triangle'
    >>> name_component(tripod * torch.tensor([1.0, 1.0, -1.0]), [0, 1, 2]).name  # with D_i = 2/3
    'other'
    """
    return _named(W, [sorted(features)], angle, fraction, flat)[0]


def structure_counts(found: Sequence[Component], n_features: int) -> dict[str, int]:
    """Return how many features are in components of each name: one row of a table of models.

    Every name of :data:`STRUCTURES`, others as found, and "not embedded" for the features in no component;
    the values sum to ``n_features``.

    Args:
        found: the components of one model.
        n_features: features of that model.

    Raises:
        InputError: when the components hold more features than there are.

    >>> counts = structure_counts(components(torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]])), 3)
    >>> {name: count for name, count in counts.items() if count}
    {'single': 1, 'digon': 2}
    """
    counts: dict[str, int] = dict.fromkeys(STRUCTURES, 0)
    for component in found:
        counts[component.name] = counts.get(component.name, 0) + len(component.features)
    left = n_features - sum(counts.values())
    if left < 0:
        raise InputError(f"the components hold {n_features - left} features and the model {n_features}")
    return {**counts, "not embedded": left}


def _named(
    W: Tensor, groups: Sequence[Sequence[int]], angle: float, fraction: float, flat: float
) -> tuple[Component, ...]:
    if not (angle >= 0 and fraction >= 0 and 0 < flat < 1):
        raise InputError(
            f"angle is {angle}, fraction {fraction}, flat {flat}; give two of at least 0, and flat in (0, 1)"
        )
    norms, directions = _norms_and_directions(W)
    D = feature_dimensionality(W.detach().double()).cpu().numpy()
    lengths, units = norms.cpu().numpy(), directions.cpu().numpy()
    named = []
    for group in groups:
        k = len(set(group))
        if not group or k < len(group) or not 0 <= group[0] <= group[-1] < len(D) or not lengths[group].all():
            raise InputError(
                f"features are {group}; give different columns of W, 0 to {len(D) - 1}, not zero"
            )
        own, shares = units[:, group], D[group]
        singular = np.linalg.svd(own, compute_uv=False)
        r = int((singular > flat * singular[0]).sum())
        shape = shape_of(k, r)
        distance = math.nan if shape is None else shape_distance(own, shape)
        equal = bool((np.abs(shares * k / r - 1) <= fraction).all())
        near = distance <= (min(angle, 90 / k) if r == 2 else angle)
        name = shape.name if shape is not None and near and equal else "other"
        named.append(Component(name, tuple(group), r, float(shares.mean()), float(np.ptp(shares)), distance))
    return tuple(named)


def _norms_and_directions(W: Tensor) -> tuple[Float[Tensor, " feature"], Float[Tensor, "hidden feature"]]:
    if W.ndim != 2 or 0 in W.shape:
        raise InputError(
            f"W has shape {tuple(W.shape)}, expected [hidden, feature] of one model; take W[instance]"
        )
    W = W.detach().double()
    if not bool(W.isfinite().all()):
        raise InputError("W holds a value that is not finite, which has no direction; leave that model out")
    W = W / W.abs().max().clamp(min=torch.finfo(W.dtype).tiny)  # so that no square over- or underflows
    norms = feature_norms(W)
    return norms, W / norms.clamp(min=torch.finfo(W.dtype).tiny)
