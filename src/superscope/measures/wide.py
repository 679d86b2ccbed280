"""The Gram matrix of wide float32 rows: half the product, in tiles that stay in registers.

The plain reference is the product in :func:`superscope.measures.moments.shifted_sums`; a test holds the two
together. ``BLOCK`` rows at a time are shifted and packed into panels of ``PANEL`` columns, and each pair of
panels on or above the diagonal is multiplied in float32 and added to the float64 matrix. Pairs are tasks that
write nowhere else, so the result does not depend on the number of threads.
"""

from typing import no_type_check

import numba
import numpy as np

from superscope.measures.tiles import DEPTH, PANEL, ROWS, outer_tile

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
    gram = np.zeros((width, width))
    _accumulate(rows, shift, pairs, packed, sums, gram)
    return sums.sum(0, dtype=np.float64).reshape(-1)[:width], gram


@numba.njit(cache=True)
@no_type_check
def _pack_row(row, shift, out, sums):
    for q in range(PANEL):
        value = row[q] - shift[q]
        out[q] = value
        sums[q] += value


@numba.njit(cache=True)
@no_type_check
def _pack(rows, shift, panel, packed, first, sums):
    """Put the rows' columns of one panel, less their shift, behind row ``first``; zeros fill it up."""
    left = panel * PANEL
    width = min(PANEL, rows.shape[1] - left)
    here = packed[panel]
    for p in range(len(rows)):
        if width == PANEL:
            _pack_row(rows[p, left : left + PANEL], shift[left : left + PANEL], here[first + p], sums)
        else:
            here[first + p] = 0
            for q in range(width):
                value = rows[p, left + q] - shift[left + q]
                here[first + p, q] = value
                sums[q] += value
    here[first + len(rows) : first + DEPTH] = 0


@numba.njit(cache=True, parallel=True)
@no_type_check
def _accumulate(rows, shift, pairs, packed, sums, gram):
    width = rows.shape[1]
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        pieces = -(-len(block) // DEPTH)
        for piece in numba.prange(pieces):
            part = block[piece * DEPTH : (piece + 1) * DEPTH]
            for panel in range(len(packed)):
                _pack(part, shift, panel, packed, piece * DEPTH, sums[start // DEPTH + piece, panel])
        for pair in numba.prange(len(pairs)):
            i, j = pairs[pair]
            products = np.zeros((PANEL, PANEL), np.float32)
            for piece in range(pieces):
                here = packed[:, piece * DEPTH : (piece + 1) * DEPTH]
                for r in range(0, PANEL, ROWS):
                    outer_tile(here, i, r, j, products)
            top, left = i * PANEL, j * PANEL
            for r in range(min(PANEL, width - top)):
                for q in range(min(PANEL, width - left)):
                    gram[top + r, left + q] += products[r, q]
                    if i != j:
                        gram[left + q, top + r] += products[r, q]
