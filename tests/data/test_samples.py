import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from superscope.core.errors import DataError
from superscope.data import IMAGENET, ArraySamples, Normalization


def test_bytes_are_scaled_and_normalised_by_channel():
    images = np.zeros((2, 2, 1, 1), np.uint8)
    images[1] = [[[255]], [[51]]]
    samples = ArraySamples(images, name="a", normalization=Normalization((0.5, 0.1), (0.25, 0.1)))
    inputs, labels = samples.take([1, 0])
    torch.testing.assert_close(inputs.flatten(1), torch.tensor([[2.0, 1.0], [-2.0, -1.0]]))
    assert labels is None


@pytest.mark.parametrize(("dtype", "expected"), [
    (np.uint8, torch.float32), (np.float16, torch.float32), (np.float64, torch.float32),
    (np.int64, torch.int64), (np.int32, torch.int64), (np.uint16, torch.int64), (bool, torch.int64),
])  # fmt: skip
def test_dtypes(dtype, expected):
    inputs, _ = ArraySamples(np.ones((3, 2), dtype), name="a").take([0, 2])
    assert inputs.dtype == expected
    assert inputs.shape == (2, 2)


def test_a_single_sample_and_the_protocol_of_a_dataset():
    samples = ArraySamples(
        np.arange(6.0).reshape(3, 2), np.array([5, 6, 7], np.uint8), name="a", split="test"
    )
    assert (len(samples), samples.shape, samples.name, samples.split, samples.classes) == (
        3,
        (2,),
        "a",
        "test",
        None,
    )
    x, y = samples[-1]
    assert x.tolist() == [4, 5]
    assert (y.item(), y.dtype) == (7, torch.int64)
    with pytest.raises(IndexError):
        samples[3]
    assert len(list(samples)) == 3
    assert ArraySamples(np.ones((2, 3)), name="a")[0].tolist() == [1, 1, 1]


def test_it_works_in_a_data_loader():
    samples = ArraySamples(np.arange(6.0).reshape(3, 2), np.arange(3), name="a")
    (x, y), (x2, y2) = DataLoader(samples, batch_size=2, generator=torch.Generator())
    assert (x.tolist(), y.tolist(), x2.tolist(), y2.tolist()) == ([[0, 1], [2, 3]], [0, 1], [[4, 5]], [2])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=12))
def test_many_are_what_single_ones_are(rows):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (7, 3, 2, 2)).astype(np.uint8), rng.integers(0, 9, 7)
    samples = ArraySamples(images, labels, name="a", normalization=IMAGENET)
    inputs, classes = samples.take(rows)
    assert torch.equal(inputs, torch.stack([samples[row][0] for row in rows]))
    assert classes.tolist() == [labels[row] for row in rows]


def test_taking_changes_nothing():
    images = np.full((2, 1, 1, 1), 255, np.uint8)
    floats = np.ones((2, 1), np.float32)
    for array in (images, floats):
        samples = ArraySamples(array, name="a")
        samples.take([0])[0].fill_(-1)
        assert samples.take([0])[0].item() == 1


@pytest.mark.parametrize("labels", [np.array([[3], [4]]), np.array([3.0, 4.0]), np.array([3, 4], np.uint8)])
def test_labels_of_any_whole_kind(labels):
    assert ArraySamples(np.ones((2, 1)), labels, name="a").take([0, 1])[1].tolist() == [3, 4]


@pytest.mark.parametrize(("inputs", "labels", "said"), [
    (np.ones((0, 2)), None, "no samples"),
    (np.ones(()), None, "no samples"),
    (np.array(["a"]), None, "not numbers"),
    (np.ones((2, 1)), np.arange(3), "2 samples and 3 labels"),
    (np.ones((2, 1)), np.ones((2, 5)), "one whole number a sample"),
    (np.ones((2, 1)), np.array([0.5, 1]), "one whole number a sample"),
    (np.ones((2, 1)), np.array([np.nan, 1]), "one whole number a sample"),
    (np.ones((2, 1)), np.array(["a", "b"]), "one whole number a sample"),
])  # fmt: skip
def test_bad_arrays(inputs, labels, said):
    with pytest.raises(DataError, match=f"bad: .*{said}"):
        ArraySamples(inputs, labels, name="bad")


@pytest.mark.parametrize("shape", [(2, 1, 4, 4), (2, 4, 4, 3), (2, 3)])
def test_a_normalisation_for_other_channels(shape):
    with pytest.raises(DataError, match="3, height, width"):
        ArraySamples(np.ones(shape), name="a", normalization=IMAGENET)
