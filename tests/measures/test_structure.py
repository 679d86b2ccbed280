"""Components are the polytopes they are made of, and only those: by dimensionality and by angles."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core.errors import InputError
from superscope.measures import (
    STRUCTURES,
    components,
    feature_dimensionality,
    feature_graph,
    name_component,
    structure_counts,
)
from superscope.measures.polytopes import angles, shape_distance, shape_of, square_antiprism


def polygon(k):
    turns = torch.arange(k, dtype=torch.float64) * (2 * math.pi / k)
    return torch.stack([turns.cos(), turns.sin()])


def planar(*degrees):
    turns = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([turns.cos(), turns.sin()])


TETRAHEDRON = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]).double() / math.sqrt(3)
CUBE = torch.tensor([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]).double().T / math.sqrt(3)
ANTIPRISM = torch.from_numpy(square_antiprism())
SHAPES = {
    "single": torch.ones(1, 1).double(),
    "digon": torch.tensor([[1.0, -1.0]]).double(),
    "triangle": polygon(3),
    "tetrahedron": TETRAHEDRON,
    "pentagon": polygon(5),
    "hexagon": polygon(6),
    "heptagon": polygon(7),
    "octagon": polygon(8),
    "11-gon": polygon(11),
    "square antiprism": ANTIPRISM,
}
TWIN = [
    [-0.764, 0.147, 0.238, 0.943, -0.204, 0.046, 0.379, -0.785],
    [-0.436, 0.852, -0.37, 0.332, 0.801, -0.999, -0.046, -0.133],
    [0.477, -0.503, -0.898, 0.029, 0.563, 0.013, 0.924, -0.605],
]


def orthogonal(seed, size):
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=generator)).Q


def together(*blocks, spare=0):
    """The blocks in orthogonal spaces, with some more dimensions that nothing uses."""
    W = torch.block_diag(*blocks)
    return torch.cat([W, torch.zeros(spare, W.shape[1], dtype=torch.float64)])


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_has_its_name(name):
    W = SHAPES[name]
    [found] = components(W)
    assert found.name == name
    assert found.features == tuple(range(W.shape[1]))
    assert found.dimensions == W.shape[0]
    assert found.dimensionality == pytest.approx(W.shape[0] / W.shape[1])
    assert found.spread == pytest.approx(0, abs=1e-12)
    assert found.distance == pytest.approx(0, abs=1e-5)


def test_a_square_is_two_digons_and_an_octahedron_three():
    assert [(c.name, c.features) for c in components(polygon(4))] == [("digon", (0, 2)), ("digon", (1, 3))]
    eye = torch.eye(3)
    octahedron = torch.cat([eye, -eye], dim=1)
    assert [(c.name, c.features) for c in components(octahedron)] == [
        ("digon", (0, 3)),
        ("digon", (1, 4)),
        ("digon", (2, 5)),
    ]


def test_bipyramids_are_a_polygon_and_a_digon():
    for k, name in ((3, "triangle"), (5, "pentagon")):
        W = together(polygon(k), SHAPES["digon"])
        assert [c.name for c in components(W)] == [name, "digon"]


@pytest.mark.parametrize(
    ("W", "fraction"),
    [
        pytest.param(torch.ones(1, 2), 1 / 2, id="two parallel features, no digon"),
        pytest.param(planar(0, 90, 30, 120), 1 / 2, id="two crosses, no digons"),
        pytest.param(planar(0, 60, 120), 2 / 3, id="a triangle with one corner turned over"),
        pytest.param(TETRAHEDRON * torch.tensor([1, 1, 1, -1]), 3 / 4, id="a tetrahedron turned over"),
        pytest.param(planar(0, 60, 120, 20, 110), 2 / 5, id="a turned triangle and a cross, no pentagon"),
        pytest.param(polygon(5) * torch.tensor([1, 1, 1, 1, -1]), 2 / 5, id="a pentagon turned over"),
        pytest.param(CUBE, 3 / 8, id="the cube, no square antiprism"),
        pytest.param(
            torch.cat([TETRAHEDRON, orthogonal(3, 3) @ TETRAHEDRON], dim=1), 3 / 8, id="two tetrahedra"
        ),
    ],
)
def test_a_coincidence_of_fractions_is_other(W, fraction):
    D = feature_dimensionality(W.double())
    torch.testing.assert_close(D, torch.full_like(D, fraction))
    assert name_component(W, range(W.shape[1])).name == "other"
    assert {c.name for c in components(W)} == {"other"}


def test_angles_without_the_dimensionality_are_other():
    W = SHAPES["digon"].repeat(1, 1) * torch.tensor([1.0, 0.7])  # ½ on the mean, .67 and .33 apart
    [found] = components(W)
    assert found.dimensionality == pytest.approx(0.5)
    assert found.distance == 0
    assert found.name == "other"
    assert components(W, fraction=0.4)[0].name == "digon"


def test_interference_from_outside_the_component_takes_the_name():
    """Forty small features, each too small to be embedded, share the dimension of a big one."""
    W = torch.cat([torch.ones(1, 1), 0.1 * torch.ones(1, 40)], dim=1)
    [found] = components(W)
    assert found.features == (0,)
    assert found.dimensionality == pytest.approx(1 / 1.4)
    assert found.name == "other"


def test_the_free_height_of_the_antiprism():
    """From the packing's height to the tight frame's; at the cube's, with a twist, and far out, no more."""
    for squared in (0.2612, 0.29, 0.3141, 1 / 3):
        W = torch.from_numpy(square_antiprism(math.sqrt(squared)))
        [found] = components(W)
        assert (found.name, found.distance < 0.4) == ("square antiprism", True)
    for squared in (0.15, 0.5):
        W = torch.from_numpy(square_antiprism(math.sqrt(squared)))
        assert name_component(W, range(8)).name == "other"


def test_thomson_antiprism():
    """Eight charges on a sphere, let go: they come to rest in the shape that the name stands for."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 8, dtype=torch.float64, generator=generator).requires_grad_()
    optimizer = torch.optim.LBFGS([x], max_iter=300, line_search_fn="strong_wolfe")
    pairs = torch.triu_indices(8, 8, 1)

    def energy():
        optimizer.zero_grad()
        u = x / x.norm(dim=0)
        total = (1 / (u[:, pairs[0]] - u[:, pairs[1]]).norm(dim=0)).sum()
        total.backward()
        return total

    optimizer.step(energy)
    assert energy().item() == pytest.approx(19.675288, abs=1e-5)  # the known least energy
    [found] = components((x / x.norm(dim=0)).detach())
    assert found.name == "square antiprism"
    assert found.distance < 0.4
    assert found.dimensionality == pytest.approx(3 / 8, abs=0.002)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(sorted(SHAPES)), min_size=1, max_size=4), st.integers(0, 10**6))
def test_orthogonal_blocks_in_any_order_rotation_and_scale(names, seed):
    W = together(*(SHAPES[name] for name in names), spare=2)
    hidden, features = W.shape
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(features, generator=generator)
    moved = 10.0 ** (seed % 40 - 20) * (orthogonal(seed, hidden) @ W)[:, order]
    found = components(moved)
    assert sorted(c.name for c in found) == sorted(names)
    place = order.argsort()
    expected = {tuple(sorted(place[list(c.features)].tolist())): c for c in components(W)}
    assert {c.features for c in found} == set(expected)
    for c in found:
        assert c.name == expected[c.features].name
        assert c.dimensionality == pytest.approx(expected[c.features].dimensionality)
        assert c.distance == pytest.approx(expected[c.features].distance, abs=1e-4)
    assert [c.features[0] for c in found] == sorted(c.features[0] for c in found)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6))
def test_small_noise_changes_no_name(seed):
    names = ["single", "digon", "digon", "triangle", "tetrahedron", "pentagon", "square antiprism"]
    W = together(*(SHAPES[name] for name in names), torch.zeros(1, 5), spare=1)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(W.shape, dtype=torch.float64, generator=generator) / math.sqrt(W.shape[0])
    found = components(W + 0.03 * noise)
    assert [c.name for c in found] == names
    assert structure_counts(found, W.shape[1])["not embedded"] == 5


def test_the_graph_by_hand():
    W = torch.tensor([[1.0, 0.2, 0.0, -0.6], [0.0, 0.98, 0.4, 0.0]])
    expected = torch.tensor([[1, 1, 0, 1], [1, 1, 0, 1], [0, 0, 0, 0], [1, 1, 0, 1]]).bool()
    assert torch.equal(feature_graph(W), expected)
    assert not bool(feature_graph(W, edge=0.25)[0, 1])
    assert torch.equal(feature_graph(W, embedded=0.35).diagonal(), torch.ones(4).bool())


def test_no_feature_is_embedded_in_zero():
    assert components(torch.zeros(2, 3)) == ()
    assert structure_counts((), 3) == {**dict.fromkeys(STRUCTURES, 0), "not embedded": 3}


def test_counts_are_of_features_and_name_what_is_rare():
    W = together(polygon(5), SHAPES["digon"], SHAPES["digon"], polygon(7), torch.zeros(1, 2))
    counts = structure_counts(components(W), W.shape[1])
    assert {name: n for name, n in counts.items() if n} == {
        "pentagon": 5,
        "digon": 4,
        "heptagon": 7,
        "not embedded": 2,
    }
    with pytest.raises(InputError, match="the components hold 16 features and the model 3"):
        structure_counts(components(W), 3)


def test_angles_of_the_antiprism():
    cosines = (1 / 3, 1 / 3, (2**0.5 - 1) / 3, (2**0.5 - 1) / 3, -1 / 3, -(1 + 2**0.5) / 3, -(1 + 2**0.5) / 3)
    expected = [0.0, *(math.degrees(math.acos(c)) for c in cosines)]
    for row in angles(square_antiprism()):
        assert sorted(row) == pytest.approx(expected)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from(["triangle", "tetrahedron", "pentagon", "square antiprism"]))
def test_distance_is_the_least_of_all_matchings(seed, name):
    generator = torch.Generator().manual_seed(seed)
    W = SHAPES[name] + 0.2 * torch.randn(SHAPES[name].shape, dtype=torch.float64, generator=generator)
    directions = (W / W.norm(dim=0)).numpy()
    shape = shape_of(*reversed(W.shape))
    assert shape is not None
    found = angles(directions)
    least = min(
        np.abs(found[np.ix_((first, *rest), (first, *rest))] - form).max()
        for form in (shape.angles if len(shape.angles) == 1 else shape.angles[[len(shape.angles) // 2]])
        for first in range(1 if name == "square antiprism" else W.shape[1])
        for rest in permutations([i for i in range(W.shape[1]) if i != first])
    )
    assert shape_distance(directions, shape) <= least + 1e-9
    if len(shape.angles) == 1:
        assert shape_distance(directions, shape) == pytest.approx(least)


def test_sorted_angles_alone_do_not_make_an_antiprism():
    """Eight directions whose sorted angles are an antiprism's within 8 degrees, found by a search."""
    W = torch.tensor(TWIN)
    D = feature_dimensionality(W)
    assert bool(((D / 0.375 - 1).abs() < 0.1).all())
    rows, expected = (np.sort(angles(x), axis=1) for x in ((W / W.norm(dim=0)).numpy(), square_antiprism()))
    assert np.abs(rows - expected).max() < 8
    [found] = components(W)
    assert found.distance > 20
    assert found.name == "other"


def test_a_polygon_of_many_sides_must_be_regular_to_a_quarter_of_a_step():
    turns = torch.arange(30, dtype=torch.float64) * 12
    turned = turns + torch.tensor([2.0, -2.0]).repeat(15)
    assert components(planar(*turns))[0].name == "30-gon"
    assert components(planar(*turned))[0].name == "other"


def test_only_these_shapes_have_names():
    named = [(k, r) for k in range(1, 10) for r in range(1, k + 1) if shape_of(k, r) is not None]
    assert named == [(1, 1), (2, 1), (3, 2), (4, 3), (5, 2), (6, 2), (7, 2), (8, 2), (8, 3), (9, 2)]


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([], "features are"),
        ([0, 0], "different columns"),
        ([0, 7], "0 to 3"),
        ([3], "not zero"),
    ],
)
def test_wrong_features_are_refused(features, message):
    W = torch.tensor([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    with pytest.raises(InputError, match=message):
        name_component(W, features)


def test_wrong_weights_and_thresholds_are_refused():
    W = torch.eye(2)
    with pytest.raises(InputError, match="not finite"):
        components(torch.tensor([[1.0, math.nan]]))
    with pytest.raises(InputError, match=r"expected .hidden, feature."):
        components(torch.zeros(0, 3))
    with pytest.raises(InputError, match="edge is 1"):
        components(W, edge=1.0)
    with pytest.raises(InputError, match=r"embedded is -0\.1"):
        feature_graph(W, embedded=-0.1)
    with pytest.raises(InputError, match="flat 0"):
        name_component(W, [0], flat=0.0)
