"""The Gram matrix of wide float32 rows: half the product, in tiles that stay in registers.

The plain reference is the product in :func:`superscope.measures.moments.shifted_sums`; a test holds the two
together. ``BLOCK`` rows at a time are shifted and packed into panels of ``PANEL`` columns, and each pair of
panels on or above the diagonal is multiplied in float32 and added to the float64 matrix. Pairs are tasks that
write nowhere else, so the result does not depend on the number of threads.
"""

from typing import no_type_check

import numba
import numpy as np

from superscope.measures.tiles import DEPTH, PANEL, ROWS, outer_tile, pack_tile

BLOCK = 1024
"""Rows in a block: their panels stay in the shared cache at widths of a few thousand."""


def wide_sums(rows: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Σ(x − shift) and Σ(x − shift)(x − shift)ᵀ, float64, of the rows x.

    Args:
        rows: float32 [row, unit], finite, contiguous.
        shift: float32 [unit].
    """
    width = rows.shape[1]
    panels = -(-width // PANEL)
    pairs = np.array([(i, j) for j in range(panels) for i in range(j + 1)])
    packed = np.empty((panels, BLOCK, PANEL), np.float32)
    sums = np.zeros((-(-len(rows) // DEPTH), panels, PANEL), np.float32)
    products, gram = np.zeros((len(pairs), PANEL, PANEL)), np.empty((width, width))
    _accumulate(rows, shift, pairs, packed, sums, products)
    _unpack(products, pairs, gram)
    return sums.sum(0, dtype=np.float64).reshape(-1)[:width], gram


@numba.njit(cache=True)
@no_type_check
def _pack(rows, shift, start, stop, packed, first, piece, sums):
    """Put rows from ``start`` to ``stop``, less their shift, behind row ``first``; zeros fill the panels."""
    width = rows.shape[1]
    whole = width // PANEL
    for p in range(start, stop):
        row = first + p - start
        for panel in range(whole):
            pack_tile(rows, p, panel * PANEL, shift, packed, panel, row, piece, sums)
        if whole < len(packed):
            packed[whole, row] = 0
            for q in range(width - whole * PANEL):
                value = rows[p, whole * PANEL + q] - shift[whole * PANEL + q]
                packed[whole, row, q] = value
                sums[piece, whole, q] += value
    packed[:, first + stop - start : first + DEPTH] = 0


@numba.njit(cache=True, parallel=True)
@no_type_check
def _accumulate(rows, shift, pairs, packed, sums, products):
    for block in range(0, len(rows), BLOCK):
        pieces = -(-min(BLOCK, len(rows) - block) // DEPTH)
        for piece in numba.prange(pieces):
            start = block + piece * DEPTH
            stop = min(start + DEPTH, len(rows))
            _pack(rows, shift, start, stop, packed, piece * DEPTH, start // DEPTH, sums)
        for pair in numba.prange(len(pairs)):
            left, right = pairs[pair]
            here = np.zeros((PANEL, PANEL), np.float32)
            for piece in range(pieces):
                for i in range(0, PANEL, ROWS):
                    outer_tile(packed, left, i, right, piece * DEPTH, here)
            products[pair] += here


@numba.njit(cache=True)
@no_type_check
def _unpack(products, pairs, gram):
    """Put the pairs' products in their place and in the mirrored one."""
    width = len(gram)
    for pair in range(len(pairs)):
        top, left = pairs[pair] * PANEL
        for r in range(min(PANEL, width - top)):
            for q in range(min(PANEL, width - left)):
                gram[top + r, left + q] = gram[left + q, top + r] = products[pair, r, q]
