"""Feature geometry: known polytopes, a slow reference, and the properties that the paper states."""

import math
from inspect import unwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core.errors import InputError
from superscope.measures import (
    capacity,
    dimensions_per_feature,
    feature_dimensionality,
    feature_norms,
    features_represented,
    gram,
    interference,
    welch_bound,
    welch_gap,
)

MEASURES = (
    feature_norms,
    gram,
    interference,
    feature_dimensionality,
    dimensions_per_feature,
    features_represented,
    capacity,
    welch_gap,
)
FACE = torch.tensor([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]])


def random_weights(seed, hidden=3, feature=5, batch=()):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, hidden, feature, dtype=torch.float64, generator=generator)


def polygon(k):
    angles = torch.arange(k, dtype=torch.float64) * (2 * math.pi / k)
    return torch.stack([angles.cos(), angles.sin()])


def slow(W):
    """Interference and dimensionality of one W by the definition, feature by feature."""
    columns = W.T.tolist()
    interferences, dimensionalities = [], []
    for i, w in enumerate(columns):
        norm = math.sqrt(sum(a * a for a in w))
        overlaps = [
            (sum(a * b for a, b in zip(w, v, strict=True)) / norm) ** 2 if norm else 0.0 for v in columns
        ]
        interferences.append(sum(overlaps) - overlaps[i])
        dimensionalities.append(norm**2 / sum(overlaps) if norm else 0.0)
    return torch.tensor(interferences, dtype=W.dtype), torch.tensor(dimensionalities, dtype=W.dtype)


def test_face_is_exact():
    assert feature_norms(FACE).tolist() == [1, 1, 1, 1]
    assert interference(FACE).tolist() == [1, 1, 1, 1]
    assert feature_dimensionality(FACE).tolist() == [0.5, 0.5, 0.5, 0.5]
    assert gram(FACE).tolist() == [[1, 0, -1, 0], [0, 1, 0, -1], [-1, 0, 1, 0], [0, -1, 0, 1]]
    assert dimensions_per_feature(FACE).item() == 0.5
    assert features_represented(FACE).item() == 4


@pytest.mark.parametrize("k", [3, 4, 5, 6, 8])
def test_regular_polygons_share_two_dimensions_equally(k):
    torch.testing.assert_close(
        feature_dimensionality(polygon(k)), torch.full((k,), 2 / k, dtype=torch.float64)
    )
    torch.testing.assert_close(interference(polygon(k)), torch.full((k,), k / 2 - 1, dtype=torch.float64))


def test_orthogonal_features_have_a_dimension_each_whatever_their_norms():
    W = torch.diag(torch.tensor([1e-12, 1.0, 1e12]))
    assert feature_dimensionality(W).tolist() == [1, 1, 1]
    assert interference(W).tolist() == [0, 0, 0]


def test_zero_feature():
    W = torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    assert interference(W).tolist() == [4, 0, 1]
    torch.testing.assert_close(feature_dimensionality(W), torch.tensor([0.2, 0.0, 0.8]))
    zero = torch.zeros(2, 3)
    assert feature_dimensionality(zero).tolist() == [0, 0, 0]
    assert dimensions_per_feature(zero).item() == math.inf
    assert features_represented(zero).item() == 0


def test_features_represented_is_strictly_above_the_threshold():
    W = torch.tensor([[0.5, 0.6, 0.4, math.nan]])
    assert features_represented(W).item() == 1
    assert features_represented(W, threshold=0.3).item() == 3


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 9))
def test_equals_the_definition(seed, hidden, feature):
    W = random_weights(seed, hidden, feature)
    W[:, seed % feature] *= seed % 2  # half of the time a feature that is zero
    interferences, dimensionalities = slow(W)
    torch.testing.assert_close(interference(W), interferences)
    torch.testing.assert_close(feature_dimensionality(W), dimensionalities)
    torch.testing.assert_close(feature_norms(W), W.square().sum(0).sqrt())
    torch.testing.assert_close(gram(W), torch.einsum("ai,aj->ij", W, W))
    torch.testing.assert_close(dimensions_per_feature(W), hidden / W.square().sum())


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 9), st.integers(1, 4))
def test_dimensionality_is_a_share_and_sums_to_at_most_the_rank(seed, hidden, feature, rank):
    W = random_weights(seed, hidden, rank) @ random_weights(seed + 1, rank, feature)
    D = feature_dimensionality(W)
    assert bool(((D > 0) & (D <= 1)).all())
    assert D.sum().item() <= torch.linalg.matrix_rank(W).item() + 1e-9


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_rotating_the_hidden_space_changes_nothing(seed):
    W = random_weights(seed, 4, 7)
    Q = torch.linalg.qr(random_weights(seed + 1, 4, 4)).Q
    for measure in MEASURES:
        torch.testing.assert_close(measure(Q @ W), measure(W))


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0, 1e15, 1e30])
def test_dimensionality_does_not_see_the_scale_in_float32(scale):
    W = random_weights(0, 4, 9).float()
    torch.testing.assert_close(
        feature_dimensionality(W * scale), feature_dimensionality(W), rtol=1e-5, atol=0
    )
    torch.testing.assert_close(feature_norms(W * scale), feature_norms(W) * scale, rtol=1e-5, atol=0)


def test_interference_and_dimensions_per_feature_do_not_overflow_at_1e15():
    W = random_weights(0, 4, 9).float()
    torch.testing.assert_close(interference(W * 1e15), interference(W) * 1e30, rtol=1e-5, atol=0)
    torch.testing.assert_close(
        dimensions_per_feature(W * 1e15), dimensions_per_feature(W) * 1e-30, rtol=1e-5, atol=0
    )


def test_capacity_by_hand_and_of_orthogonal_blocks():
    W = torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    assert capacity(W).item() == pytest.approx(0.2 + 0.8)
    blocks = torch.block_diag(polygon(5), polygon(3), torch.tensor([[1.0, -1.0]]), torch.zeros(1, 2))
    assert capacity(blocks).item() == pytest.approx(5)
    i = 2
    overlaps = (W.T @ W)[i].square()
    assert feature_dimensionality(W)[i].item() == pytest.approx((overlaps[i] / overlaps.sum()).item())


def test_welch_bound_by_hand():
    assert welch_bound(3, 2) == pytest.approx(1 / 2)
    assert welch_bound(4, 3) == pytest.approx(1 / 3)
    assert welch_bound(6, 3) == pytest.approx(1 / math.sqrt(5))  # the six axes of the icosahedron
    assert welch_bound(7, 1) == pytest.approx(1)
    assert [welch_bound(n, 4) for n in (1, 2, 4)] == [0, 0, 0]
    for n, m in ((0, 1), (1, 0)):
        with pytest.raises(InputError, match="at least one of each"):
            welch_bound(n, m)


def test_welch_gap_is_0_for_equiangular_tight_frames_alone():
    phi = (1 + math.sqrt(5)) / 2
    axes = torch.tensor([[0, 1, phi], [0, 1, -phi], [1, phi, 0], [1, -phi, 0], [phi, 0, 1], [-phi, 0, 1]])
    for frame in (polygon(3), axes.T.double(), torch.eye(3)):
        assert welch_gap(frame).item() == pytest.approx(0, abs=1e-6)
        assert welch_gap(5 * frame).item() == pytest.approx(0, abs=1e-6)
    assert welch_gap(polygon(5)).item() == pytest.approx(math.cos(math.pi / 5) - math.sqrt(3 / 8))
    assert welch_gap(FACE).item() == pytest.approx(1 - math.sqrt(2 / 6))


def test_welch_gap_leaves_out_features_up_to_the_threshold():
    W = torch.tensor([[1.0, -0.5, -0.5, 0.0, 0.3], [0.0, 0.75**0.5, -(0.75**0.5), 0.0, 0.0]])
    assert welch_gap(W).item() == pytest.approx(1 - welch_bound(4, 2))
    assert welch_gap(W, threshold=0.4).item() == pytest.approx(0, abs=1e-6)
    assert welch_gap(W, threshold=2.0).item() == 0
    assert welch_gap(torch.tensor([[1.0, math.nan]])).isnan().item()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 9))
def test_no_directions_beat_the_welch_bound(seed, hidden, feature):
    W = random_weights(seed, hidden, feature)
    unit = W / W.norm(dim=0)
    cosines = (unit.T @ unit).abs() - torch.eye(feature, dtype=W.dtype)
    largest = cosines.max().clamp(min=0).item() if feature > 1 else 0.0
    assert largest >= welch_bound(feature, hidden) - 1e-12
    assert welch_gap(W).item() == pytest.approx(largest - welch_bound(feature, hidden), abs=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_batch_axes_and_dtypes(measure):
    W = random_weights(0, batch=(2, 3))
    alone = torch.stack([torch.stack([measure(w) for w in row]) for row in W])
    torch.testing.assert_close(measure(W), alone)
    for given_, expected in ((torch.float32, torch.float32), (torch.bfloat16, torch.float32)):
        result = measure(W.to(given_))
        assert result.dtype == (expected if result.is_floating_point() else torch.int64)


@pytest.mark.parametrize(
    "measure", [feature_norms, gram, interference, feature_dimensionality, dimensions_per_feature]
)
def test_gradients(measure):
    assert torch.autograd.gradcheck(measure, random_weights(1).requires_grad_())


def test_gradient_at_a_zero_feature_is_finite():
    W = torch.tensor([[1.0, 0.0, 0.5], [0.0, 0.0, 0.5]], requires_grad=True)
    (feature_dimensionality(W).sum() + interference(W).sum()).backward()
    assert W.grad is not None
    assert bool(W.grad.isfinite().all())


def test_nan_is_not_hidden():
    W = FACE.clone()
    W[0, 0] = math.nan
    assert feature_norms(W).isnan().tolist() == [True, False, False, False]
    assert bool(feature_dimensionality(W).isnan().all())
    assert bool(interference(W).isnan().all())


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 3)])
def test_empty_weights(measure, shape):
    with pytest.raises(InputError, match="at least one of each"):
        measure(torch.zeros(shape))


def test_vector_instead_of_a_matrix():
    with pytest.raises(InputError, match=r"shape \(3,\), expected \[\*batch, hidden, feature\]"):
        unwrap(feature_norms)(torch.zeros(3))
