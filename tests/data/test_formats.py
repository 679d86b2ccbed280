import gzip
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core.errors import DataError
from superscope.data.formats import Joined, read_cifar, read_idx, read_mnist, read_npz


def idx(array):
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@settings(deadline=None, max_examples=30)
@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=3), packed=st.booleans())
def test_idx_round_trip(tmp_path_factory, shape, packed):
    array = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    path = tmp_path_factory.mktemp("idx") / "x"
    path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    np.testing.assert_array_equal(read_idx(path, len(shape)), array)


def test_a_truncated_idx_file_counts_bytes(tmp_path):
    data = idx(np.zeros((3, 2, 2), np.uint8))
    for cut, there in ((data[:-5], "23"), (data + b"x", "29"), (data[:7], "7")):
        (tmp_path / "x").write_bytes(cut)
        with pytest.raises(DataError, match=f"not whole: .* bytes unpacked, and it has {there};"):
            read_idx(tmp_path / "x", 3)
    (tmp_path / "x").write_bytes(data[:-5])
    with pytest.raises(DataError, match=r"3×2×2 values take 28 bytes"):
        read_idx(tmp_path / "x", 3)


def test_a_header_of_huge_sizes_is_not_believed(tmp_path):
    (tmp_path / "x").write_bytes(bytes((0, 0, 8, 3)) + b"\xff" * 12)
    with pytest.raises(DataError, match="not whole"):
        read_idx(tmp_path / "x", 3)


def test_a_damaged_gzip_file(tmp_path):
    packed = gzip.compress(idx(np.random.default_rng(0).integers(0, 256, (50, 8, 8)).astype(np.uint8)))
    (tmp_path / "x").write_bytes(packed[:-200])
    with pytest.raises(DataError, match="3,216 bytes unpacked"):
        read_idx(tmp_path / "x", 3)
    (tmp_path / "x").write_bytes(packed[:-6] + bytes(6))
    with pytest.raises(DataError, match="cannot unpack"):
        read_idx(tmp_path / "x", 3)


@pytest.mark.parametrize("start", [b"", b"\0\0\x08\x01", b"\0\0\x0d\x03", b"PK\x03\x04"])
def test_a_wrong_magic_number(tmp_path, start):
    (tmp_path / "x").write_bytes(start and start + bytes(40))
    with pytest.raises(DataError, match=r"no IDX file of 3 dimensions.*00 00 08 03"):
        read_idx(tmp_path / "x", 3)


def test_mnist_has_one_channel(tmp_path):
    (tmp_path / "i").write_bytes(idx(np.arange(8, dtype=np.uint8).reshape(2, 2, 2)))
    (tmp_path / "l").write_bytes(idx(np.array([3, 4], np.uint8)))
    images, labels = read_mnist(tmp_path / "i", tmp_path / "l")
    assert images.tolist() == [[[[0, 1], [2, 3]]], [[[4, 5], [6, 7]]]]
    assert labels.tolist() == [3, 4]


def record(labels, value):
    return bytes(labels) + bytes([value]) * 1024 + bytes([value + 1]) * 1024 + bytes([value + 2]) * 1024


def test_cifar_records(tmp_path):
    (tmp_path / "a").write_bytes(record([3], 10) + record([9], 20))
    (tmp_path / "b").write_bytes(record([0], 30))
    images, labels = read_cifar([tmp_path / "a", tmp_path / "b"], 1, 10)
    assert images.shape == (3, 3, 32, 32)
    assert labels.tolist() == [3, 9, 0]
    assert images[:, :, 5, 7].tolist() == [[10, 11, 12], [20, 21, 22], [30, 31, 32]]


def test_the_last_label_byte_is_the_class(tmp_path):
    (tmp_path / "a").write_bytes(record([19, 99], 1))
    assert read_cifar([tmp_path / "a"], 2, 100)[1].tolist() == [99]


def test_a_plane_is_row_major(tmp_path):
    plane = np.arange(3072) % 251
    (tmp_path / "a").write_bytes(bytes([1]) + plane.astype(np.uint8).tobytes())
    images, _ = read_cifar([tmp_path / "a"], 1, 10)
    assert images[0, 2, 3, 4] == (2 * 1024 + 3 * 32 + 4) % 251


def test_bad_cifar_files(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(record([1], 1) * 2 + bytes(3000))
    with pytest.raises(
        DataError, match=r"it has 9,146 bytes, and should have a multiple of 3,073 \(30,730,000"
    ):
        read_cifar([path], 1, 10)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="it has 0 bytes"):
        read_cifar([path], 1, 10)
    path.write_bytes(record([10], 1))
    with pytest.raises(DataError, match="no file of CIFAR-10: it has the label 10"):
        read_cifar([path], 1, 10)


def test_npz_arrays(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(3), y=np.ones(2))
    arrays = read_npz(tmp_path / "a.npz")
    assert {name: array.tolist() for name, array in arrays.items()} == {"x": [0, 1, 2], "y": [1, 1]}
    np.save(tmp_path / "b.npy", np.arange(2))
    assert read_npz(tmp_path / "b.npy")["data"].tolist() == [0, 1]


def test_object_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{}, 1], dtype=object))
    with pytest.raises(DataError, match="'x' holds Python objects"):
        read_npz(tmp_path / "a.npz")


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_damaged_npz_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).integers(0, 256, 500))
    whole = path.read_bytes()
    cut = data.draw(
        st.one_of(st.binary(max_size=64), st.integers(0, len(whole) - 1).map(lambda n: whole[:n]))
    )
    path.write_bytes(cut)
    with pytest.raises(DataError, match=r"a\.npz"):
        read_npz(path)


def test_a_flipped_byte_in_an_npz_is_seen(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(500))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(DataError, match="'x' is damaged"):
        read_npz(tmp_path / "a.npz")


@settings(deadline=None, max_examples=40)
@given(counts=st.lists(st.integers(0, 4), min_size=1, max_size=5), data=st.data())
def test_joined_arrays_are_what_concatenate_gives(counts, data):
    parts = [np.random.default_rng(count).integers(0, 9, (count, 2)) for count in counts]
    whole, joined = np.concatenate(parts), Joined(parts)
    assert (len(joined), joined.shape, joined.ndim, joined.dtype) == (
        len(whole), whole.shape, whole.ndim, whole.dtype,
    )  # fmt: skip
    n = len(whole)
    rows = data.draw(st.lists(st.integers(-n, n - 1), max_size=9)) if n else []
    np.testing.assert_array_equal(joined[np.array(rows, np.int64)], whole[np.array(rows, np.int64)])
    np.testing.assert_array_equal(joined[1:3], whole[1:3])
    np.testing.assert_array_equal(np.asarray(joined), whole)
    with pytest.raises(IndexError):
        joined[np.array([n])]


def test_images_are_mapped_and_not_read(tmp_path):
    (tmp_path / "i").write_bytes(idx(np.arange(8, dtype=np.uint8).reshape(2, 2, 2)))
    assert isinstance(read_idx(tmp_path / "i", 3), np.memmap)
    (tmp_path / "a").write_bytes(record([3], 10))
    images, _ = read_cifar([tmp_path / "a"], 1, 10)
    with (tmp_path / "a").open("r+b") as file:  # a change of the file shows, as it would not in a copy
        file.seek(1)
        file.write(bytes([77]))
    assert images[np.array([0])][0, 0, 0, 0] == 77
