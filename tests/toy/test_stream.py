import numpy as np
import pytest

from superscope.toy.stream import fill_words, philox, stream_key

ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # the known answers that Random123 publishes for philox4x32-10
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers(counter, key, expected):
    assert philox(*map(np.uint64, (*counter, *key))) == expected


def words(block=0, step=0, use=0, key=(1, 2), quads=4096):
    filled = np.zeros((4, quads), np.uint32)
    fill_words(filled, block, step, use, key)
    return filled


def test_words_are_those_of_their_counters():
    filled = words(block=3, step=5, use=1, key=(7, 9), quads=6)
    for q in range(6):
        assert tuple(filled[:, q]) == philox(*map(np.uint64, (q, 3, 5, 1, 7, 9)))


def test_words_are_uniform_and_streams_differ():
    unit = words() / 2**32
    count = unit.size
    assert abs(unit.mean() - 1 / 2) < 4 * (1 / 12 / count) ** 0.5
    assert abs(unit.var() - 1 / 12) < 4 * (1 / 180 / count) ** 0.5
    bits = (words()[..., None] >> np.arange(32, dtype=np.uint32)) & 1
    assert (abs(bits.mean((0, 1)) - 0.5) < 4.5 * 0.5 / count**0.5).all()
    for other in (words(block=1), words(step=1), words(use=1), words(key=(1, 3))):
        assert abs(np.corrcoef(unit.ravel(), other.ravel())[0, 1]) < 4.5 / count**0.5


def test_keys_follow_seed_and_path():
    keys = {stream_key(seed, "batches", i) for seed in range(3) for i in range(3)}
    assert len(keys) == 9
    assert stream_key(1, "batches", 2) == stream_key(1, "batches", 2)
    assert all(0 <= word < 2**32 for key in keys for word in key)
