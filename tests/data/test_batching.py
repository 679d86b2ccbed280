import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from superscope.core.errors import DataError, InputError
from superscope.data import ArraySamples, ImageFolder, Samples, batches

N = 10
X, Y = torch.arange(2.0 * N).reshape(N, 2), torch.arange(N)


class Stream(IterableDataset):
    def __iter__(self):
        yield from zip(X, Y, strict=True)


class Dicts(Dataset):
    def __len__(self):
        return N

    def __getitem__(self, index):
        return {"x": X[index], "mask": torch.ones(2), "label": int(Y[index])}


class Again:
    def __iter__(self):
        return iter([(X[:4], Y[:4]), (X[4:], Y[4:])])


def loader(data, **options):
    return DataLoader(data, generator=torch.Generator().manual_seed(0), **options)


INDEXED = {
    "samples": ArraySamples(X.numpy(), Y.numpy(), name="a"),
    "tuple": (X, Y),
    "arrays": (X.numpy(), Y.numpy()),
    "listed labels": (X, Y.tolist()),
    "triple": (X, Y, X),
    "dict": {"x": X, "labels": Y},
    "dict and labels": ({"x": X}, Y),
    "dataset": TensorDataset(X, Y),
    "dataset of dicts": Dicts(),
}
STREAMS = {
    "loader": loader(TensorDataset(X, Y), batch_size=3),
    "list": [(X[:4], Y[:4]), (X[4:], Y[4:])],
    "lists": [[X[:4], Y[:4]], [X[4:], Y[4:]]],
    "dicts": [{"x": X[:4], "labels": Y[:4]}, {"x": X[4:], "labels": Y[4:]}],
    "iterable": Again(),
    "stream": Stream(),
    "with an empty batch": [(X[:4], Y[:4]), (X[:0], Y[:0]), (X[4:], Y[4:])],
}


def read(found):
    inputs, labels = [], []
    for batch in found:
        assert len(batch) == len(batch.labels)
        assert batch.labels.dtype == batch.indices.dtype == torch.int64
        assert torch.equal(batch.indices, batch.labels)  # which are 0, 1, 2, ... here
        inputs.append(batch.inputs if isinstance(batch.inputs, torch.Tensor) else batch.inputs["x"])
        labels.append(batch.labels)
    return torch.cat(inputs), torch.cat(labels)


@pytest.mark.parametrize("name", INDEXED | STREAMS)
def test_everything_comes_once_and_in_order_every_time(name):
    found = batches((INDEXED | STREAMS)[name], batch_size=4)
    for _ in range(2):
        inputs, labels = read(found)
        assert torch.equal(inputs, X)
        assert torch.equal(labels, Y)
    assert found.total == (N if name in INDEXED or name == "loader" else None)


@pytest.mark.parametrize("name", INDEXED)
def test_a_subset_is_random_fixed_and_without_replacement(name):
    data = INDEXED[name]
    inputs, labels = read(batches(data, batch_size=4, samples=6, seed=3))
    assert len(set(labels.tolist())) == 6
    assert labels.tolist() != sorted(labels.tolist())
    assert torch.equal(inputs, X[labels])
    assert torch.equal(labels, read(batches(data, batch_size=1, samples=6, seed=3))[1])
    assert not torch.equal(labels, read(batches(data, samples=6, seed=4))[1])
    assert torch.equal(labels[:4], read(batches(data, samples=4, seed=3))[1])
    assert batches(data, samples=6).total == 6
    assert torch.equal(read(batches(data, samples=99))[1], Y)
    assert batches(data, samples=99).total == N


@pytest.mark.parametrize("name", INDEXED)
@pytest.mark.parametrize("samples", [6, None])
def test_a_shuffle_reorders_the_same_samples(name, samples):
    data = INDEXED[name]
    plain = read(batches(data, batch_size=4, samples=samples, seed=3))[1].tolist()
    inputs, labels = read(batches(data, batch_size=4, samples=samples, seed=3, shuffle=5))
    assert sorted(labels.tolist()) == sorted(plain)
    assert torch.equal(inputs, X[labels])
    assert labels.tolist() not in (plain, sorted(plain))
    assert labels.tolist() == read(batches(data, samples=samples, seed=3, shuffle=5))[1].tolist()
    assert labels.tolist() != read(batches(data, samples=samples, seed=3, shuffle=6))[1].tolist()


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("samples", [1, 4, 6, 99])
def test_a_stream_gives_its_first(name, samples):
    found = batches(STREAMS[name], batch_size=4, samples=samples)
    inputs, labels = read(found)
    assert torch.equal(inputs, X[:samples])
    assert torch.equal(labels, Y[:samples])


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 30), batch_size=st.integers(1, 40), samples=st.integers(1, 40))
def test_batch_sizes_add_up(n, batch_size, samples):
    found = batches(torch.arange(n)[:, None], batch_size=batch_size, samples=samples)
    sizes = [len(batch) for batch in found]
    assert sum(sizes) == found.total == min(n, samples)
    assert all(size == batch_size for size in sizes[:-1])
    assert 0 < sizes[-1] <= batch_size


def test_every_sample_is_as_likely():
    counts = torch.zeros(N)
    for seed in range(400):
        counts[read(batches((X, Y), samples=3, seed=seed))[1]] += 1
    # Each count is near Binomial(400, 0.3): 120 with a standard deviation of 9.2.
    assert (counts - 120).abs().max() < 40


def test_a_stream_is_read_no_further_than_needed():
    def numbers():
        yield X[:3]
        yield X[3:6]
        raise AssertionError("read too far")

    assert sum(len(batch) for batch in batches(numbers(), samples=5)) == 5


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64, torch.uint8, torch.bool])
def test_dtypes_are_kept(dtype):
    (batch,) = batches(torch.ones(3, 2).to(dtype))
    assert batch.inputs.dtype == dtype
    assert batch.labels is None
    if dtype != torch.bool:
        (batch,) = batches(torch.ones(3, 2).to(dtype).numpy())
        assert batch.inputs.dtype == dtype


@pytest.mark.parametrize("change", [
    lambda a: a[::-1], lambda a: a.astype(">f8"), np.asfortranarray,
])  # fmt: skip
def test_arrays_of_any_layout(change):
    array = change(np.arange(6.0).reshape(3, 2))
    array.flags.writeable = False
    (batch,) = batches(array)
    assert batch.inputs.tolist() == array.tolist()


def test_other_targets_are_left_out():
    for target in (X, torch.rand(N), None, ["a"] * N):
        (batch,) = batches([(X, target)])
        assert batch.labels is None
    (batch,) = batches([{"x": X, "labels": X}])
    assert batch.labels is None
    assert list(batch.inputs) == ["x"]


def test_the_totals_of_loaders():
    def total(*args, samples=None, **options):
        return batches(loader(*args, **options), samples=samples).total

    data = TensorDataset(X)
    assert total(data, batch_size=3, drop_last=True) == 9
    assert total(data, batch_size=3, samples=4) == 4
    assert total(data, sampler=[1, 2, 3]) == 3
    assert total(data, batch_sampler=[[1, 2], [3]]) is None
    assert total(Stream()) is None
    for options in ({"batch_size": 3, "drop_last": True}, {"sampler": [1, 2, 3], "batch_size": 2}):
        found = batches(loader(data, **options))
        assert sum(len(batch) for batch in found) == found.total


def test_an_iterator_is_run_through_only_once():
    found = batches(X[start : start + 2] for start in (0, 2))
    assert sum(len(batch) for batch in found) == 4
    with pytest.raises(DataError, match="only once"):
        iter(found)


def test_torchs_global_generator_is_left_alone():
    before = torch.random.get_rng_state()
    for data in (TensorDataset(X, Y), Stream(), X):
        list(batches(data, samples=3))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.fixture
def folder(tmp_path):
    for value in range(7):
        (tmp_path / str(value)).mkdir()
        Image.new("RGB", (2, 2), (value, value, value)).save(tmp_path / str(value) / "x.png")
    return tmp_path


def test_images_are_read_ahead_in_order(folder):
    for options in ({}, {"samples": 5}):
        found = batches(ImageFolder(folder), batch_size=2, **options)
        for _ in range(2):
            labels = [batch.labels.tolist() for batch in found]
            values = [(batch.inputs[:, 0, 0, 0] * 255).round().int().tolist() for batch in found]
            assert labels == values
        assert [len(batch) for batch in labels] == ([2, 2, 2, 1] if not options else [2, 2, 1])


def test_a_damaged_image_is_told_when_its_batch_comes(folder):
    (folder / "3" / "x.png").write_bytes(b"no image")
    found = iter(batches(ImageFolder(folder), batch_size=2))
    assert next(found).labels.tolist() == [0, 1]
    with pytest.raises(DataError, match="cannot decode"):
        next(found)


def test_a_pass_over_images_may_be_left(folder):
    for batch in batches(ImageFolder(folder), batch_size=2):
        assert len(batch) == 2
        break


def failing(error):
    yield X
    raise error


class Failing(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        raise KeyError("column\nmissing")


class Unsized(Dataset):
    def __getitem__(self, index):
        return X[index]


@pytest.mark.parametrize(("data", "said"), [
    (torch.zeros(0, 2), "empty"),
    ((torch.zeros(0, 2), torch.zeros(0).long()), "empty"),
    (TensorDataset(torch.zeros(0, 2)), "empty"),
    ([], "empty"),
    ((), "empty"),
    (iter([]), "empty"),
    ([torch.zeros(0, 2)], "empty"),
    (None, "of type NoneType"),
    (3, "of type int"),
    ("digits", "of type str"),
    (torch.nn.Linear(2, 2), "of type Linear"),
    (torch.zeros(()), r"shapes \[\]"),
    ((X, Y[:4]), "10 samples and 4 labels"),
    ({"x": X, "m": X[:3]}, r"shapes \[10, 2\], \[3, 2\]"),
    ({"labels": Y}, "shapes"),
    ({"x": "text"}, "the field 'x' is of type str"),
    ([["a", "b"]], "a batch is of type str"),
    ([3], "a batch is of type int"),
    (np.array(["a"]), "not numbers"),
    (failing(ValueError("first\nsecond")), "ValueError: first second"),
    (Failing(), "KeyError"),
    (Unsized(), "Unsized"),
])  # fmt: skip
def test_bad_data(data, said):
    with pytest.raises(DataError, match=said) as caught:
        list(batches(data))
    assert "\n" not in str(caught.value)


def test_bad_numbers():
    with pytest.raises(InputError, match="batch_size is 0"):
        batches(X, batch_size=0)
    with pytest.raises(InputError, match="samples is -1"):
        batches(X, samples=-1)


def test_an_interrupt_passes_through():
    with pytest.raises(KeyboardInterrupt):
        list(batches(failing(KeyboardInterrupt())))


def test_the_mask_is_the_attention_mask_as_bools():
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    (batch,) = batches([{"input_ids": torch.ones(2, 3).long(), "attention_mask": mask, "labels": Y[:2]}])
    assert batch.mask.tolist() == [[True, True, False], [True, False, False]]
    assert batch[1:].mask.tolist() == [[True, False, False]]
    for data in ([X], [{"x": X}], [{"x": X, "attention_mask": torch.ones(N, 1, 2, 2)}]):
        assert next(iter(batches(data))).mask is None


class Pairs(Samples):
    name, split, classes, shape = "pairs", None, None, ()

    def __len__(self):
        return N

    def take(self, indices):
        rows = torch.tensor(list(indices))
        return {"x": X[rows], "attention_mask": torch.ones(len(rows), 2)}, Y[rows]


def test_samples_may_have_several_inputs():
    inputs, labels = read(batches(Pairs(), batch_size=4))
    assert torch.equal(inputs, X)
    assert torch.equal(labels, Y)
    one, label = Pairs()[3]
    assert (one["x"].tolist(), label.item()) == (X[3].tolist(), 3)
    (batch, labels), *_ = loader(Pairs(), batch_size=4)
    assert (list(batch), labels.tolist()) == (["x", "attention_mask"], [0, 1, 2, 3])
