"""A shuffled pass is a permutation that a seed fixes, from any batch on, and it mixes."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.activations.mixing import Mixing, Parts
from superscope.core import InputError


def stream(rows: int, sizes: tuple[int, ...] = (7, 1, 30)):
    """A stream of row numbers, with their doubles beside them, in parts of several sizes."""

    def from_row(first: int) -> Parts:
        turn = 0
        while first < rows:
            part = np.arange(first, min(rows, first + sizes[turn % len(sizes)]))
            first, turn = first + len(part), turn + 1
            yield part[:, None], 2 * part[:, None]

    return from_row


def read(mixing: Mixing, rows: int, start: int = 0, *, ring: int = 0, **kwargs: tuple[int, ...]):
    found = []
    for numbers, doubles in mixing(stream(rows, **kwargs), start, ring=ring):
        assert np.array_equal(doubles, 2 * numbers)
        found.append(numbers[:, 0].tolist())
    return found


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 300),
    size=st.integers(1, 40),
    room=st.integers(1, 400),
    seed=st.integers(0, 5),
    data=st.data(),
)
def test_a_pass_has_each_row_once_and_may_begin_at_any_batch(rows, size, room, seed, data) -> None:
    if size > min(rows, room):
        with pytest.raises(InputError):
            Mixing.of(rows, size, room, seed)
        return
    mixing = Mixing.of(rows, size, room, seed)
    assert mixing.chunk * size <= room
    whole = read(mixing, rows)
    assert [len(batch) for batch in whole] == [size] * (rows // size)
    assert sorted(chain(*whole)) == list(range(rows // size * size))
    start = data.draw(st.integers(0, len(whole) + 2))
    assert read(mixing, rows, start, sizes=(11,)) == whole[start:]  # whatever parts the stream comes in


def test_the_order_is_the_seeds() -> None:
    orders = [read(Mixing.of(200, 10, 100, seed), 200) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_a_ring_of_arrays_gives_the_same_batches() -> None:
    mixing = Mixing.of(200, 10, 60, 0)
    assert read(mixing, 200, ring=3) == read(mixing, 200)
    arrays = [batch[0] for batch in mixing(stream(200), ring=3)]
    assert len({id(each) for each in arrays}) == 3
    assert len({id(each) for each in [batch[0] for batch in mixing(stream(200))]}) == 20


def test_chunks_are_of_like_size_and_fill_the_room() -> None:
    assert Mixing.of(1_000, 10, 399, 0).chunk == 34  # three chunks, as 39 batches fit: 34, 34, 32
    assert Mixing.of(1_000, 10, 5_000, 0).chunk == 100


def test_rows_that_were_near_are_spread_over_the_chunk() -> None:
    rows, size, room = 4_000, 20, 1_000
    batch_of = {row: n for n, batch in enumerate(read(Mixing.of(rows, size, room, 0), rows)) for row in batch}
    for first in range(0, rows, 100):
        found = [batch_of[row] for row in range(first, first + 100)]
        assert len(set(found)) > 30  # of 50 batches in its chunk; 100 draws hit 43 on average
        assert max(found) - min(found) > 40


def test_every_place_in_the_order_is_as_likely() -> None:
    first = [read(Mixing.of(12, 3, 6, seed), 12)[2] for seed in range(600)]  # of the second chunk
    counts = np.bincount(np.ravel(first), minlength=12)
    # Each of its six rows is near Binomial(600, 1/2): 300 with a standard deviation of 12.
    assert counts[:6].sum() == 0
    assert np.abs(counts[6:] - 300).max() < 50


@pytest.mark.parametrize(
    ("size", "room", "said"), [(0, 10, "1 to 100"), (101, 200, "1 to 100"), (20, 19, "memory")]
)
def test_what_cannot_be_mixed(size: int, room: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Mixing.of(100, size, room, 0)
