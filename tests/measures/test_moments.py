"""Moments: streaming equals batch, merged equals whole, and what is not finite is kept out."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core.errors import InputError
from superscope.measures.moments import SINGLE, Moments


def rows_of(seed: int, count: int, width: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=generator, dtype=dtype)
    return torch.randn(count, width, generator=generator, dtype=dtype) @ mix + 5 * torch.randn(
        width, generator=generator, dtype=dtype
    )


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), width=st.integers(1, 12), cuts=st.lists(st.integers(0, 80), max_size=6),
       dtype=st.sampled_from([torch.float32, torch.float64]))  # fmt: skip
def test_any_split_and_any_merge_give_the_batch(
    seed: int, width: int, cuts: list[int], dtype: torch.dtype
) -> None:
    rows = rows_of(seed, 80, width, dtype)
    bounds = [0, *sorted(cuts), 80]
    parts = [rows[a:b] for a, b in itertools.pairwise(bounds)]
    streamed, merged = Moments(width), Moments(width)
    for part in parts:
        streamed.update(part)
        merged.merge(Moments(width).update(part))
    truth = torch.from_numpy(np.cov(rows.double().numpy().T)).reshape(width, width)
    for state in (streamed, merged, Moments(width).update(rows)):
        assert state.count == 80
        torch.testing.assert_close(state.mean, rows.double().mean(0), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(
            state.covariance(), truth, rtol=1e-10, atol=1e-10 * float(truth.diagonal().max())
        )


@pytest.mark.parametrize("centred", [True, False])
def test_singular_values_are_those_of_the_matrix(centred: bool) -> None:
    rows = rows_of(0, 300, 20)
    matrix = rows - rows.mean(0) if centred else rows
    torch.testing.assert_close(
        Moments(20).update(rows).singular_values(centred=centred),
        torch.linalg.svdvals(matrix),
        rtol=1e-7,
        atol=0,
    )


def test_float32_products_of_wide_rows_keep_to_their_bound() -> None:
    rows = rows_of(1, 5000, 256, torch.float32)
    fast, exact = Moments(256), Moments(256, exact=True)
    for part in rows.split(700):
        fast.update(part)
        exact.update(part)
    scale = float(exact.covariance().diagonal().max())
    error = fast.covariance() - exact.covariance()
    assert float(error.square().mean().sqrt()) < SINGLE * scale
    assert float(error.abs().max()) < 16 * SINGLE * scale
    torch.testing.assert_close(exact.covariance(), torch.cov(rows.double().T), rtol=1e-10, atol=1e-10 * scale)
    large = exact.singular_values() > 0.01 * exact.singular_values()[0]
    torch.testing.assert_close(
        fast.singular_values()[large], exact.singular_values()[large], rtol=1e-3, atol=0
    )


@pytest.mark.parametrize(
    ("width", "dtype"), [(40, torch.float64), (300, torch.float64), (300, torch.float32)]
)
def test_a_rank_deficient_cloud_has_exact_zeros_behind_its_rank(width: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(4000, 30, generator=generator, dtype=dtype) @ torch.randn(
        30, width, generator=generator, dtype=dtype
    )
    assert int((Moments(width).update(rows).singular_values() > 0).sum()) == 30


def test_a_large_offset_costs_no_digits() -> None:
    rows = rows_of(3, 500, 4, torch.float32).double()
    moved = (rows + 1e6).float()
    covariance = Moments(4).update(moved[:100]).update(moved[100:]).covariance()
    torch.testing.assert_close(covariance, torch.cov(moved.double().T), rtol=1e-9, atol=1e-9)


def test_what_is_not_finite_is_counted_and_kept_out() -> None:
    rows = rows_of(4, 50, 3)
    spoiled = rows.clone()
    spoiled[7, 1], spoiled[20, 0], spoiled[20, 2] = torch.nan, torch.inf, -torch.inf
    state = Moments(3).update(spoiled)
    keep = torch.ones(50, dtype=torch.bool)
    keep[[7, 20]] = False
    assert (state.count, state.nonfinite, state.left_out) == (48, 3, 2)
    torch.testing.assert_close(state.covariance(), torch.cov(rows[keep].T))


def test_finite_values_whose_sum_overflows_are_kept() -> None:
    rows = torch.full((10, 2), 3e38)
    state = Moments(2).update(rows)
    assert (state.count, state.nonfinite) == (10, 0)


def test_conv_maps_are_positions_by_channels() -> None:
    maps = torch.randn(6, 5, 4, 3, generator=torch.Generator().manual_seed(5))
    rows = maps.permute(0, 2, 3, 1).reshape(-1, 5)
    torch.testing.assert_close(
        Moments(5).update(maps, unit_axis=1).covariance(), Moments(5).update(rows).covariance()
    )


def test_memory_does_not_grow_with_rows() -> None:
    state = Moments(8)
    sizes = []
    for _ in range(3):
        state.update(torch.randn(1000, 8))
        sizes.append(sum(value.numel() for value in vars(state).values() if isinstance(value, torch.Tensor)))
    assert len(set(sizes)) == 1
    assert sizes[0] <= 8 * 8 + 2 * 8


def test_no_rows_and_one_row() -> None:
    empty, one = Moments(2), Moments(2).update(torch.tensor([[1.0, 2.0]]))
    assert empty.mean.isnan().all()
    assert empty.merge(one).count == 1
    assert one.covariance().isnan().all()
    assert one.covariance(correction=0).abs().max() == 0
    assert one.singular_values().tolist() == [0, 0]
    assert one.merge(Moments(2)).mean.tolist() == [1, 2]


@pytest.mark.parametrize("batch", [torch.zeros(3, 4), torch.zeros(3, 5, dtype=torch.int64), torch.zeros(())])
def test_a_batch_of_the_wrong_kind_is_refused(batch: torch.Tensor) -> None:
    with pytest.raises(InputError, match="expected a floating batch with 5 units"):
        Moments(5).update(batch)


def test_widths_that_differ_do_not_merge() -> None:
    with pytest.raises(InputError, match="widths 2 and 3"):
        Moments(2).merge(Moments(3))
    with pytest.raises(InputError, match="at least 1"):
        Moments(0)
