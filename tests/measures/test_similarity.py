"""Pairwise cosines without the matrix of pairs, against the matrix of pairs."""

import math
from inspect import unwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core.errors import InputError
from superscope.measures import CosineState, CosineStatistics, pairwise_cosine, pairwise_cosine_between_units


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
