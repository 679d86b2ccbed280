"""Sums of wide rows by tiles: against float64, at widths and counts that fill no panel and no block."""

import numba
import numpy as np
import pytest
import torch

from superscope.measures.moments import SINGLE, Moments
from superscope.measures.wide import BLOCK, wide_sums


def rows_of(count: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    mix = generator.standard_normal((width, width)) / width**0.5
    return (generator.standard_normal((count, width)) @ mix).astype(np.float32)


@pytest.mark.parametrize(
    ("count", "width"), [(1, 256), (130, 300), (BLOCK, 512), (BLOCK + 1, 257), (2 * BLOCK + 77, 290), (5, 1)]
)
def test_sums_are_those_of_float64(count: int, width: int) -> None:
    rows = rows_of(count, width)
    shift = np.linspace(-1, 1, width).astype(np.float32)
    total, gram = wide_sums(rows, shift)
    exact = (rows - shift).astype(np.float64)  # the shift is part of the rows' definition, rounded as theirs
    truth = exact.T @ exact
    scale = truth.diagonal().max()
    np.testing.assert_allclose(total, exact.sum(0), rtol=1e-6, atol=2e-6 * count**0.5)
    assert np.sqrt(np.square(gram - truth).mean()) < SINGLE * scale
    assert np.abs(gram - truth).max() < 16 * SINGLE * scale
    np.testing.assert_array_equal(gram, gram.T)


def test_the_number_of_threads_changes_nothing() -> None:
    rows, shift = rows_of(1500, 300), np.zeros(300, np.float32)
    before, together = numba.get_num_threads(), wide_sums(rows, shift)
    numba.set_num_threads(1)
    try:
        alone = wide_sums(rows, shift)
    finally:
        numba.set_num_threads(before)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)


def test_moments_of_many_wide_rows_go_through_the_tiles() -> None:
    rows = torch.from_numpy(rows_of(5000, 256)) + 3
    fast, exact = Moments(256).update(rows), Moments(256, exact=True).update(rows)
    scale = float(exact.covariance().diagonal().max())
    assert float((fast.covariance() - exact.covariance()).square().mean().sqrt()) < SINGLE * scale
    torch.testing.assert_close(fast.mean, exact.mean, rtol=1e-6, atol=1e-6)
    spoiled = rows.clone()
    spoiled[17, 5] = torch.nan
    torch.testing.assert_close(
        Moments(256).update(spoiled).covariance(),
        Moments(256).update(torch.cat([rows[:17], rows[18:]])).covariance(),
        rtol=0,
        atol=16 * SINGLE * scale,
    )
