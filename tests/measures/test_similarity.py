"""Pairwise cosines without the matrix of pairs, against the matrix of pairs."""

import math
from collections import Counter
from inspect import unwrap

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core.errors import InputError
from superscope.measures import (
    CosineState,
    CosineStatistics,
    cosine_histogram,
    pairwise_cosine,
    pairwise_cosine_between_units,
    similarity,
)


def randn(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def cosines(x):
    """The cosines of all ordered pairs of different rows, from the full matrix."""
    directions = x.double() / x.double().norm(dim=1, keepdim=True)
    matrix = directions @ directions.T
    return matrix[~torch.eye(len(x), dtype=torch.bool)]


def assert_equal_to_matrix(result, x, tolerance=1e-7):
    pairs = cosines(x)
    assert result.mean == pytest.approx(pairs.mean().item(), abs=tolerance)
    assert result.std == pytest.approx(pairs.std(correction=0).item(), abs=tolerance)
    assert result.count == len(x) * (len(x) - 1) // 2


def assert_same(a, b):
    assert (a.count, a.left_out) == (b.count, b.left_out)
    assert a.mean == pytest.approx(b.mean, abs=1e-12, nan_ok=True)
    assert a.std == pytest.approx(b.std, abs=1e-7, nan_ok=True)  # the root of a rounding where all are equal
    assert a.standard_error == pytest.approx(b.standard_error, abs=1e-7, nan_ok=True)


def test_hand_computed():
    result = pairwise_cosine(torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 0.0]]))  # cosines 0, 1, 0
    assert result.mean == pytest.approx(1 / 3)
    assert result.std == pytest.approx(math.sqrt(2) / 3)
    assert (result.count, result.left_out) == (3, 0)


def test_orthogonal_rows_and_a_pair_of_opposites():
    assert_same(pairwise_cosine(torch.eye(5)), CosineStatistics(0.0, 0.0, 10, 0, 0.0))
    assert pairwise_cosine(torch.tensor([[1.0, 2.0], [-2.0, -4.0]])).mean == pytest.approx(-1)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(1, 30), st.floats(-3, 3))
def test_equals_the_matrix_of_pairs(seed, rows, width, offset):
    x = randn(seed, rows, width) + offset
    assert_equal_to_matrix(pairwise_cosine(x), x)
    assert_equal_to_matrix(CosineState(width).update(x).result(), x)
    assert_same(pairwise_cosine(x), CosineState(width).update(x).result())
    assert_equal_to_matrix(pairwise_cosine_between_units(x.T), x)


@pytest.mark.parametrize("spread", [1e-1, 1e-3, 1e-5, 1e-7])
@pytest.mark.parametrize("shape", [(500, 8), (20, 300)])
def test_nearly_parallel_rows(spread, shape):
    """The spread of the cosines is near spread², below what a difference of second moments resolves."""
    x = 1 + spread * randn(0, *shape)
    pairs = 1 - differences(x)
    for result in (pairwise_cosine(x), CosineState(shape[1]).update(x[:7]).update(x[7:]).result()):
        assert_equal_to_matrix(result, x, 1e-6)
        assert result.std == pytest.approx(pairs.std(correction=0).item(), rel=1e-3)


def differences(x):
    """1 − cosine of all ordered pairs as ‖x̂_i − x̂_j‖²/2, which keeps its digits near 0."""
    directions = x / x.norm(dim=1, keepdim=True)
    halves = (directions[:, None] - directions[None]).square().sum(-1) / 2
    return halves[~torch.eye(len(x), dtype=torch.bool)]


def test_equal_rows_have_no_spread():
    result = pairwise_cosine(torch.tensor([[0.1, 0.2, 0.7]]).expand(1000, 3))
    assert result.mean == pytest.approx(1)
    assert result.std == pytest.approx(0, abs=1e-12)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_batches_and_merges_give_the_whole(seed, sizes):
    x = randn(seed, sum(sizes), 4) + 1
    x[seed % 3 :: 3] = 0  # some rows without a direction
    streamed, merged = CosineState(4), CosineState(4)
    for part in x.split(sizes):
        streamed.update(part)
        merged.merge(CosineState(4).update(part))
    assert_same(streamed.result(), pairwise_cosine(x))
    assert_same(merged.result(), pairwise_cosine(x))


def test_merging_leaves_the_other_alone():
    a, b = CosineState(3).update(randn(0, 5, 3)), CosineState(3).update(randn(1, 6, 3))
    before = b.result()
    a.merge(b).update(randn(2, 4, 3))
    assert b.result() == before
    empty = CosineState(3).merge(b)
    empty.update(randn(3, 4, 3))
    assert b.result() == before


def test_lengths_and_rotations_do_not_matter():
    x = randn(0, 30, 6) + 0.5
    Q = torch.linalg.qr(randn(1, 6, 6)).Q
    lengths = 10.0 ** torch.linspace(-200, 200, 30, dtype=torch.float64)
    assert_same(pairwise_cosine(x @ Q), pairwise_cosine(x))
    assert_same(pairwise_cosine(x * lengths[:, None]), pairwise_cosine(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_rows_are_measured_as_they_are(dtype):
    x = randn(0, 50, 6).to(dtype)
    assert_equal_to_matrix(pairwise_cosine(x), x)


def test_rows_without_a_direction_are_left_out_and_counted():
    x = randn(0, 8, 3)
    spoilt = x.clone()
    spoilt[1] = 0
    spoilt[3, 0] = math.nan
    spoilt[6, 2] = -math.inf
    kept = pairwise_cosine(x[[0, 2, 4, 5, 7]])
    result = pairwise_cosine(spoilt)
    assert result.left_out == 3
    assert (result.mean, result.std, result.count) == (kept.mean, kept.std, 10)


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows(rows):
    x = torch.cat([torch.ones(rows, 3), torch.zeros(2, 3)])
    for result in (pairwise_cosine(x), CosineState(3).update(x).result()):
        assert math.isnan(result.mean)
        assert math.isnan(result.std)
        assert (result.count, result.left_out) == (0, 2)
    assert pairwise_cosine(torch.zeros(0, 3)).count == 0


def test_standard_error_is_the_delete_one_jackknife():
    x = randn(0, 12, 4) + 0.5
    means = torch.tensor([cosines(x[torch.arange(12) != i]).mean() for i in range(12)])
    expected = math.sqrt(11 / 12 * (means - means.mean()).square().sum().item())
    assert pairwise_cosine(x).standard_error == pytest.approx(expected, rel=1e-6)
    assert math.isnan(pairwise_cosine(x[:2]).standard_error)


def test_standard_error_covers_the_spread_over_samples():
    results = [pairwise_cosine(randn(seed, 100, 4) + 0.5) for seed in range(200)]
    spread = torch.tensor([result.mean for result in results]).std().item()
    average = sum(result.standard_error for result in results) / len(results)
    assert average == pytest.approx(spread, rel=0.2)  # a spread of 200 draws is known to about 5 %


def test_no_gradient_is_kept():
    x = randn(0, 5, 3).requires_grad_()
    assert not CosineState(3).update(x).scatter.requires_grad
    assert_equal_to_matrix(pairwise_cosine(x), x.detach())


def test_bad_input():
    with pytest.raises(InputError, match="width is 0"):
        CosineState(0)
    with pytest.raises(InputError, match=r"shape \(2, 4\), expected \[row, 3\]"):
        CosineState(3).update(torch.ones(2, 4))
    with pytest.raises(InputError, match="width 4 cannot merge into one of 3"):
        CosineState(3).merge(CosineState(4))
    with pytest.raises(InputError, match="width of at least 1"):
        pairwise_cosine(torch.ones(3, 0))
    with pytest.raises(InputError, match=r"shape \(3,\)"):
        unwrap(pairwise_cosine)(torch.ones(3))


def plain_histogram(x, bins):
    pairs = [(i, j) for i in range(len(x)) for j in range(i)]
    cosines = np.array([torch.cosine_similarity(x[i], x[j], dim=0) for i, j in pairs])
    return np.histogram(cosines, bins=bins, range=(-1, 1))


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 6), st.integers(1, 9))
def test_histogram_of_all_pairs(seed, rows, width, bins):
    x = randn(seed, rows, width) + 0.3 * (width > 1)
    counts, edges = cosine_histogram(x, bins)
    expected, expected_edges = plain_histogram(x, bins)
    assert counts.sum() == rows * (rows - 1) // 2
    if width > 1:  # alone, cosines are 1 and −1 but for a rounding, which bins without a range drop
        assert counts.tolist() == expected.tolist()
    assert edges.numpy() == pytest.approx(expected_edges)


def test_histogram_at_the_edges():
    x = torch.tensor([[1.0, 0.0], [3.0, 0.0], [-2.0, 0.0], [0.0, 5.0], [0.0, 0.0], [math.nan, 1.0]])
    counts, _ = cosine_histogram(x, 4)  # 1, −1, 0, −1, 0, 0
    assert counts.tolist() == [2, 0, 3, 1]
    assert cosine_histogram(x[3:], 4)[0].tolist() == [0, 0, 0, 0]
    assert cosine_histogram(x[4:], 4)[0].tolist() == [0, 0, 0, 0]
    assert cosine_histogram(x[:4].T, 4)[0].tolist() == [0, 0, 1, 0]  # of units
    parallel = randn(0, 1, 50).float().expand(300, 50) * torch.linspace(0.1, 9, 300)[:, None]
    assert cosine_histogram(parallel, 10)[0].tolist() == [0] * 9 + [300 * 299 // 2]


def drawn(rows, pairs, seed):
    """The pairs that were drawn, of rows at angles 2^i: the angle between two tells which they are."""
    unit = 2.0**-12
    angles = unit * 2.0 ** torch.arange(rows, dtype=torch.float64)
    x = torch.stack([angles.cos(), angles.sin()], 1)
    between = torch.cat(list(similarity._drawn_cosines(x, pairs, seed))).arccos() / unit
    assert (between - between.round()).abs().max() < 1e-3
    return between.round().long().tolist()


@pytest.mark.parametrize(("rows", "most"), [(3, 3), (8, 24), (9, 36), (12, 60)])
def test_drawn_pairs_are_different_ones(rows, most):
    for pairs in range(1, most + 1):
        found = drawn(rows, pairs, seed=pairs)
        assert len(found) == len(set(found)) == pairs


def test_every_pair_is_drawn_as_often():
    counts = Counter(pair for seed in range(1500) for pair in drawn(7, 10, seed))
    assert len(counts) == 21
    expected = 1500 * 10 / 21
    assert all(abs(count - expected) < 5 * math.sqrt(expected) for count in counts.values())


def test_drawn_histogram_is_near_that_of_all_pairs():
    x = randn(0, 1500, 5).float() + 0.2
    some, _ = cosine_histogram(x, 20, pairs=20_000)
    whole, _ = cosine_histogram(x, 20)
    assert whole.sum() == 1500 * 1499 // 2
    assert some.sum() == 20_000
    assert (some / some.sum() - whole / whole.sum()).abs().max() < 0.01
    assert torch.equal(some, cosine_histogram(x, 20, pairs=20_000)[0])
    assert not torch.equal(some, cosine_histogram(x, 20, pairs=20_000, seed=1)[0])


def test_histogram_in_blocks(monkeypatch):
    x = randn(1, 50, 5)
    expected = cosine_histogram(x)[0]
    monkeypatch.setattr(similarity, "_BLOCK", 7)
    assert torch.equal(cosine_histogram(x)[0], expected)


def test_histogram_of_what_cannot_be_used():
    with pytest.raises(InputError, match=r"expected \[row, width\]"):
        unwrap(cosine_histogram)(torch.zeros(3))
    with pytest.raises(InputError, match="bins is 0"):
        cosine_histogram(torch.zeros(3, 2), 0)


def test_subsets_of_states_are_as_their_merge():
    parts = [randn(seed, 5 + 3 * seed, 7) + 0.3 * seed for seed in range(4)]
    parts[2][0] = 0  # has no direction
    states = [CosineState(7).update(part) for part in parts] + [CosineState(7)]
    chosen = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 0, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 1.0]])
    for subset, found in zip(chosen, similarity.merged_cosines(states, chosen), strict=True):
        merged = CosineState(7)
        for state, marked in zip(states, subset.tolist(), strict=True):
            if marked:
                merged.merge(state)
        expected = merged.result()
        assert (found.count, found.left_out) == (expected.count, expected.left_out)
        for name in ("mean", "std", "standard_error"):
            assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-10, nan_ok=True)
