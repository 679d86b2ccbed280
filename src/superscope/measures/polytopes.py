"""The arrangements that equal features settle in, told apart by the angles between their directions.

A shape is known by how many points it has, the dimensions they span, and the angles that each point has to
all the others. The points of every shape here are alike (its symmetries carry any one to any other), so one
sorted row of angles stands for all of them. Turning the space or naming the points anew changes nothing.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

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
    angles: Float[np.ndarray, "variant other"]
    """Sorted angles from a point to the others, in degrees; a row for each form that the shape may have."""


def shape_of(points: int, dimensions: int) -> Shape | None:
    """Return the shape with a name that has so many points and dimensions, None where there is none.

    single (1 in 1), digon (2 in 1), triangle (3 in 2), tetrahedron (4 in 3), k-gon (k ≥ 5 in 2), square
    antiprism (8 in 3). Two orthogonal digons make a square, and three an octahedron: those are compositions,
    no shapes of their own.

    >>> shape_of(3, 2)
    Shape(name='triangle', points=3, dimensions=2, angles=array([[120., 120.]]))
    >>> shape_of(4, 2) is None
    True
    """
    k = points
    if dimensions == k - 1 and 2 <= k <= 4:
        name = {2: "digon", 3: "triangle", 4: "tetrahedron"}[k]
        angles = [[math.degrees(math.acos(-1 / (k - 1)))] * (k - 1)]
        return Shape(name, k, dimensions, np.round(angles, 12))
    if (k, dimensions) == (1, 1):
        return Shape("single", 1, 1, np.zeros((1, 0)))
    if dimensions == 2 and k >= 5:
        steps = np.arange(1, k)
        angles = 360 / k * np.minimum(steps, k - steps)
        return Shape(_POLYGONS.get(k, f"{k}-gon"), k, 2, np.sort(angles)[None])
    if (k, dimensions) == (8, 3):
        return Shape("square antiprism", 8, 3, _antiprism_angles())
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


def angle_rows(directions: Float[np.ndarray, "hidden point"]) -> Float[np.ndarray, "point other"]:
    """Return the sorted angles from each unit vector to the others, in degrees.

    >>> angle_rows(np.array([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]])).round()
    array([[ 90., 180.],
           [ 90.,  90.],
           [ 90., 180.]])
    """
    k = directions.shape[1]
    angles = np.degrees(np.arccos(np.clip(directions.T @ directions, -1, 1)))
    return np.sort(angles[~np.eye(k, dtype=bool)].reshape(k, k - 1), axis=1)


def shape_distance(directions: Float[np.ndarray, "hidden point"], shape: Shape) -> float:
    """Return how far unit vectors are from a shape: the largest error of an angle, in degrees, in [0, 180].

    Each point's sorted angles are held against the shape's; a shape of several forms counts with the nearest.

    >>> shape_distance(np.array([[1.0, 1.0]]), shape_of(2, 1))  # parallel, no digon
    180.0
    """
    errors = np.abs(angle_rows(directions)[None] - shape.angles[:, None])
    return float(errors.max((1, 2), initial=0.0).min())


def _antiprism_angles() -> Float[np.ndarray, "variant 7"]:
    heights = np.sqrt(np.linspace(_PACKED, _TIGHT, _HEIGHTS))
    return np.stack([angle_rows(square_antiprism(height))[0] for height in heights])
