"""The arrangements that equal features settle in, told apart by the angles between their directions.

A shape is known by how many points it has, the dimensions they span, and the angles between them, under the
best matching of the points. Turning the space or numbering the points anew changes nothing.

Sorted angles alone do not tell: there are eight directions in three dimensions whose lists of angles are the
square antiprism's within 8 degrees, whose dimensionalities are 0.36, and which no matching brings nearer to
it than 24 degrees.
"""

import math
from dataclasses import dataclass
from functools import cache
from itertools import permutations

import numpy as np
from jaxtyping import Float, Int

_POLYGONS = {5: "pentagon", 6: "hexagon", 7: "heptagon", 8: "octagon"}
_TIGHT, _PACKED = 1 / 3, (2 * math.sqrt(2) - 1) / 7
_HEIGHTS = 41
"""At so many the antiprism is tried; a step moves no angle by more than 0.3 degrees."""


@dataclass(frozen=True)
class Shape:
    """An arrangement of unit vectors."""

    name: str
    """Its name."""
    points: int
    """Unit vectors, k."""
    dimensions: int
    """Dimensions that they span, r; each point has dimensionality r/k."""
    angles: Float[np.ndarray, "variant point point"]
    """Angles between the points, in degrees; a matrix for each form that the shape may have."""


def shape_of(points: int, dimensions: int) -> Shape | None:
    """Return the shape with a name that has so many points and dimensions, None where there is none.

    single (1 in 1), digon (2 in 1), triangle (3 in 2), tetrahedron (4 in 3), k-gon (k ≥ 5 in 2), square
    antiprism (8 in 3). Two orthogonal digons make a square, and three an octahedron: those are compositions,
    no shapes of their own.

    >>> shape_of(3, 2).name, shape_of(3, 2).angles
    ('triangle', array([[[  0., 120., 120.],
            [120.,   0., 120.],
            [120., 120.,   0.]]]))
    >>> shape_of(4, 2) is None
    True
    """
    k, r = points, dimensions
    if k == r + 1 <= 4 or (k, r) == (1, 1):
        name = "single" if k == 1 else {2: "digon", 3: "triangle", 4: "tetrahedron"}[k]
        apart = round(math.degrees(math.acos(-1 / r)), 12)
        return Shape(name, k, r, (apart * (1 - np.eye(k)))[None])
    if r == 2 and k >= 5:
        steps = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
        return Shape(_POLYGONS.get(k, f"{k}-gon"), k, r, (360 / k * np.minimum(steps, k - steps))[None])
    if (k, r) == (8, 3):
        heights = np.sqrt(np.linspace(_PACKED, _TIGHT, _HEIGHTS))
        return Shape("square antiprism", k, r, np.stack([angles(square_antiprism(h)) for h in heights]))
    return None


def square_antiprism(height: float = math.sqrt(_TIGHT)) -> Float[np.ndarray, "3 8"]:
    """Return two squares of unit vectors at ±``height``, one turned by 45 degrees against the other.

    The symmetry leaves the height free. At √(1/3) the eight points share the three dimensions equally (a
    tight frame) and each has dimensionality 3/8; at √((2√2 − 1)/7) = 0.511 they are as far apart as eight
    points on a sphere can be, with 0.366; equal charges (Thomson's problem) come to rest in between.

    >>> square_antiprism(0.6).shape
    (3, 8)
    """
    turn = np.pi / 2 * np.arange(4)
    turns = np.concatenate([turn, turn + np.pi / 4])
    radius = math.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turns), radius * np.sin(turns), height * np.repeat([1.0, -1.0], 4)])


def angles(directions: Float[np.ndarray, "hidden point"]) -> Float[np.ndarray, "point point"]:
    """Return the angles between unit vectors, in degrees; 0 on the diagonal.

    >>> angles(np.array([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]])).round()
    array([[  0.,  90., 180.],
           [ 90.,   0.,  90.],
           [180.,  90.,   0.]])
    """
    between = np.degrees(np.arccos(np.clip(directions.T @ directions, -1, 1)))
    np.fill_diagonal(between, 0)
    return between


def shape_distance(directions: Float[np.ndarray, "hidden point"], shape: Shape) -> float:
    """Return how far unit vectors are from a shape: the largest error of an angle, in degrees, in [0, 180].

    The points are matched with the shape's so that this is least: in the plane by their order around the
    origin, else by trying every order. A shape of several forms is matched by its middle one and counts with
    the nearest.

    >>> shape_distance(np.array([[1.0, 1.0]]), shape_of(2, 1))  # parallel, no digon
    180.0
    """
    found = angles(directions)
    if shape.dimensions == 2:
        _, sizes, rows = np.linalg.svd(directions, full_matrices=False)
        order = np.argsort(np.arctan2(sizes[1] * rows[1], sizes[0] * rows[0]))
    else:
        orders = _orders(shape.points)
        errors = np.abs(found[orders[:, :, None], orders[:, None]] - shape.angles[len(shape.angles) // 2])
        order = orders[errors.max((1, 2)).argmin()]
    return float(np.abs(found[np.ix_(order, order)] - shape.angles).max((1, 2)).min())


@cache
def _orders(points: int) -> Int[np.ndarray, "order {points}"]:
    """Return every order that starts with the first point; the symmetry of a shape gives the others."""
    return np.array([(0, *rest) for rest in permutations(range(1, points))])
