"""The Gram matrix of wide float32 rows: half the product, in tiles that stay in registers.

The plain reference is the product in :func:`superscope.measures.moments.shifted_sums`; a test holds the two
together. ``BLOCK`` rows at a time are shifted and packed into panels of ``PANEL`` columns, and each pair of
panels on or above the diagonal is multiplied in float32 and added to the float64 matrix. Pairs are tasks that
write nowhere else, so the result does not depend on the number of threads.
"""

import threading
from typing import no_type_check

import numba
import numpy as np

from superscope.measures.tiles import DEPTH, PANEL, ROWS, outer_tile, pack_tile

_kept = threading.local()
BLOCK = 1024
"""Rows in a block: their panels stay in the shared cache at widths of a few thousand."""


def wide_sums(rows: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Σ(x − shift) and Σ(x − shift)(x − shift)ᵀ, float64, of the rows x.

    Args:
        rows: float32 [row, unit], finite, contiguous.
        shift: float32 [unit].
    """
    products = packed_products(rows.shape[1])
    total = add_products(rows, shift, products)
    return total, unpacked(products, rows.shape[1])


def packed_products(width: int, *groups: int) -> np.ndarray:
    """Return zeros for :func:`add_products`, float64 [*group, pair, ``PANEL``, ``PANEL``]: half a matrix."""
    panels = -(-width // PANEL)
    return np.zeros((*groups, panels * (panels + 1) // 2, PANEL, PANEL))


def add_products(rows: np.ndarray, shift: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Add Σ(x − shift)(x − shift)ᵀ of the rows x to ``products``; return Σ(x − shift), float64.

    Args:
        rows: float32 [row, unit], finite, contiguous.
        shift: float32 [unit].
        products: as :func:`packed_products` makes them.
    """
    width = rows.shape[1]
    panels = -(-width // PANEL)
    packed = _buffer(panels * BLOCK * PANEL).reshape(panels, BLOCK, PANEL)
    sums = np.zeros((-(-len(rows) // DEPTH), panels, PANEL), np.float32)
    _accumulate(rows, shift, _pairs(panels), packed, sums, products)
    return sums.sum(0, dtype=np.float64).reshape(-1)[:width]


def unpacked(products: np.ndarray, width: int) -> np.ndarray:
    """Return packed products as the whole symmetric matrix [width, width]."""
    gram = np.empty((width, width))
    _unpack(products, _pairs(-(-width // PANEL)), gram)
    return gram


def _pairs(panels: int) -> np.ndarray:
    return np.array([(i, j) for j in range(panels) for i in range(j + 1)])


def _buffer(size: int) -> np.ndarray:
    """Return this thread's buffer of float32; a fresh one would fault in page by page."""
    if len(getattr(_kept, "buffer", ())) < size:
        _kept.buffer = np.empty(size, np.float32)
    return _kept.buffer[:size]


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
