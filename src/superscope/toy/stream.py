"""The random stream of the fast path: Philox4x32-10, a function of a key and a counter with no state to keep.

Any number of the stream can be had without the ones before it, so what an instance draws at a step depends on
its key and the step alone: not on threads, not on where a run was killed.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (SC11).
"""

import hashlib
from typing import no_type_check

import numba
import numpy as np

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_MASK, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_ROUNDS = 10


def stream_key(seed: int, *path: str | int) -> tuple[int, int]:
    """Return the key, two 32-bit words, of the stream of ``seed`` for the use named by ``path``."""
    name = "/".join([str(seed), *(str(part) for part in path)])
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big")


@numba.njit(inline="always")
@no_type_check
def philox(c0, c1, c2, c3, k0, k1):
    """Return four random words for a counter of four words and a key of two, all as uint64 below 2³²."""
    for _ in range(_ROUNDS):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _MASK, (p0 >> _HALF) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    return c0, c1, c2, c3


@numba.njit(cache=True)
@no_type_check
def fill_words(words, block, step, use, key):
    """Fill uint32 ``words`` [4, n] with the words of the counters (0 … n−1, block, step, use)."""
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    c1, c2, c3 = np.uint64(block), np.uint64(step), np.uint64(use)
    for q in range(words.shape[1]):
        a, b, c, d = philox(np.uint64(q), c1, c2, c3, k0, k1)
        words[0, q], words[1, q] = np.uint32(a), np.uint32(b)
        words[2, q], words[3, q] = np.uint32(c), np.uint32(d)
