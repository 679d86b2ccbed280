"""The register tiles against NumPy, away from the arrays' edges, where a wrong offset shows."""

import numba
import numpy as np
import pytest

from superscope.measures.tiles import DEPTH, LANES, PANEL, ROWS, dot_tile, load_tile, outer_tile, pack_tile


@numba.njit
def load(source, c, start, width, shift, mean, offset, buffer, active, sums):
    load_tile(source, c, start, width, shift, mean, offset, buffer, active, sums)


@numba.njit
def dot(rows, c, d, width, gram):
    dot_tile(rows, c, d, width, gram)


@numba.njit
def outer(panels, left, i, right, row, products):
    outer_tile(panels, left, i, right, row, products)


@numba.njit
def pack(rows, p, left, shift, panels, panel, row, piece, sums):
    pack_tile(rows, p, left, shift, panels, panel, row, piece, sums)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("vectors", [0, 1, 3])
def test_a_load_shifts_counts_and_sums_four_rows(vectors: int) -> None:
    width, start, offset, c = vectors * LANES, 5, 3, 2
    source, shift = numbers(9, 80), numbers(9)
    mean, buffer = np.ones(90, np.float32), np.full((8, 90), 7, np.float32)
    active, sums = np.full(9, -1), np.full(9, np.nan)
    load(source, c, start, width, shift, mean, offset, buffer, active, sums)
    here = source[c : c + 4, start : start + width]
    shifted = here - shift[c : c + 4, None]
    expected, means = np.full((8, 90), 7, np.float32), np.ones(90)
    expected[c : c + 4, offset : offset + width] = shifted
    means[offset : offset + width] += here.sum(0)
    np.testing.assert_array_equal(buffer, expected)
    np.testing.assert_allclose(mean, means, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(active[c : c + 4], (here > 0).sum(1))
    np.testing.assert_allclose(sums[c : c + 4], shifted.sum(1, dtype=np.float64), rtol=1e-5, atol=1e-6)
    assert np.all(active[[0, 1, 6, 7, 8]] == -1)
    assert np.all(np.isnan(sums[[0, 1, 6, 7, 8]]))


def test_zero_negative_and_not_a_number_are_not_active() -> None:
    source = np.zeros((4, LANES), np.float32)
    source[0, :3], source[1, 0], source[2] = [1, -1, np.nan], np.inf, 2
    active, sums = np.empty(4, np.int64), np.empty(4)
    load(source, 0, 0, LANES, np.zeros(4, np.float32), np.zeros(LANES, np.float32), 0,
         np.empty((4, LANES), np.float32), active, sums)  # fmt: skip
    assert active.tolist() == [1, 1, LANES, 0]
    assert np.isnan(sums[0])
    assert sums[1:].tolist() == [np.inf, 2 * LANES, 0]


def test_a_dot_tile_adds_sixteen_products() -> None:
    rows, gram = numbers(12, 3 * LANES), np.ones((12, 13))
    dot(rows, 8, 4, 2 * LANES, gram)
    expected = np.ones((12, 13))
    expected[8:12, 4:8] += rows[8:12, : 2 * LANES].astype(float) @ rows[4:8, : 2 * LANES].T
    np.testing.assert_allclose(gram, expected, rtol=1e-5, atol=1e-5)


def test_an_outer_tile_adds_rows_of_one_panel_times_another() -> None:
    panels, products = numbers(3, DEPTH + 5, PANEL), np.ones((PANEL, PANEL), np.float32)
    i = PANEL - ROWS
    outer(panels, 2, i, 1, 5, products)
    expected = np.ones((PANEL, PANEL))
    expected[i:] += panels[2, 5:, i:].astype(float).T @ panels[1, 5:]
    np.testing.assert_allclose(products, expected, rtol=1e-4, atol=1e-4)


def test_a_row_is_packed_into_its_panel() -> None:
    rows, shift = numbers(4, 3 * PANEL), numbers(3 * PANEL)
    panels, sums = np.full((3, 6, PANEL), 7, np.float32), np.ones((2, 3, PANEL), np.float32)
    pack(rows, 3, PANEL, shift, panels, 1, 4, 1, sums)
    packed = rows[3, PANEL : 2 * PANEL] - shift[PANEL : 2 * PANEL]
    expected, totals = np.full((3, 6, PANEL), 7, np.float32), np.ones((2, 3, PANEL), np.float32)
    expected[1, 4] = packed
    totals[1, 1] += packed
    np.testing.assert_array_equal(panels, expected)
    np.testing.assert_array_equal(sums, totals)
