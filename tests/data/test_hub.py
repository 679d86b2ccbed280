import io
import socket
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from superscope.core.errors import DataError
from superscope.data import IMAGENET, Normalization, TextSamples, batches, load_data

datasets = pytest.importorskip("datasets")

SHA = "0123456789abcdef0123456789abcdef01234567"
TEXT_CARD = """---
configs:
- config_name: other
  data_files:
  - split: train
    path: other/train-*
- config_name: sst2
  data_files:
  - split: train
    path: sst2/train-*
  - split: validation
    path: sst2/validation-*
dataset_info:
- config_name: other
  splits:
  - name: train
    num_bytes: 5
    num_examples: 1
- config_name: sst2
  splits:
  - name: train
    num_bytes: 1234567
    num_examples: 67349
  - name: validation
    num_bytes: 1234
    num_examples: 872
---
# A card
"""


class Words:
    """A tokenizer whose tokens are the lengths of the words."""

    pad_token_id = 0

    def __call__(self, texts, max_length=None, **_):
        return {"input_ids": [[len(word) for word in text.split()][:max_length] for text in texts]}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub, and no hub."""
    import huggingface_hub.constants

    def refused(*_, **__):
        raise AssertionError("the network was tried")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "prepared")
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hub"


def repository(cache, name, files, card=None):
    """Lay out a repository as the hub's cache does: blobs, a ref, a snapshot of links."""
    root = cache / ("datasets--" + name.replace("/", "--"))
    for folder in ("blobs", "refs", "snapshots"):
        (root / folder).mkdir(parents=True)
    (root / "refs" / "main").write_text(SHA)
    for number, (path, table) in enumerate(files.items()):
        blob = root / "blobs" / f"{number:040x}"
        save(blob, table)
        link = root / "snapshots" / SHA / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    (root / "snapshots" / SHA).mkdir(exist_ok=True)
    if card:
        (root / "snapshots" / SHA / "README.md").write_text(card)


def save(path, table):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(table, datasets.Dataset):
        table = table.data.table
    pq.write_table(pa.table(table) if isinstance(table, dict) else table, path)


def reviews(texts, labels):
    features = datasets.Features({
        "idx": datasets.Value("int32"),
        "sentence": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["negative", "positive"]),
    })  # fmt: skip
    columns = {"idx": list(range(len(texts))), "sentence": texts, "label": labels}
    return datasets.Dataset.from_dict(columns, features=features)


def picture(value, size=(4, 4), mode="RGB"):
    file = io.BytesIO()
    Image.new("RGB", size, (value, value, value)).convert(mode).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def pictures(values, name="img", **options):
    features = datasets.Features({
        name: datasets.Image(), "fine_label": datasets.ClassLabel(names=["a", "b", "c"]),
        "coarse_label": datasets.ClassLabel(names=["x", "y"]),
    })  # fmt: skip
    columns = {
        name: [picture(value, **options) for value in values],
        "fine_label": [value % 3 for value in values],
        "coarse_label": [0 for _ in values],
    }
    return datasets.Dataset.from_dict(columns, features=features)


def texts_of(samples, rows):
    inputs, labels = samples.take(rows)
    return inputs["input_ids"].tolist(), None if labels is None else labels.tolist()


def load(spec, **options):
    return load_data(spec, tokenizer=Words(), **options)


def fails(spec, *parts, **options):
    with pytest.raises(DataError) as caught:
        load(spec, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 900
    for part in parts:
        assert part in message, message


TRAIN = reviews(["one", "two words", "and three words"], [0, 1, 1])
TEST = reviews(["a bb ccc", "dddd"], [1, 0])


def test_text_from_the_hubs_cache(cache):
    repository(cache, "org/name", {
        "data/train-00000-of-00001.parquet": TRAIN, "data/test-00000-of-00001.parquet": TEST,
    })  # fmt: skip
    samples = load("hf:org/name")
    assert isinstance(samples, TextSamples)
    assert (samples.name, samples.split, samples.classes) == ("org/name", "test", ("negative", "positive"))
    assert texts_of(samples, [1, 0]) == ([[4, 0, 0], [1, 2, 3]], [0, 1])
    assert len(load("hf:org/name:train")) == 3
    assert texts_of(load("hf:org/name:train[1:2]"), [0]) == ([[3, 5]], [1])
    assert len(load("hf:org/name:train+test")) == 5
    fails("hf:org/name:validation", "no validation split; there is", "train and test")
    with pytest.raises(DataError, match="org/name: text needs a model with a tokenizer"):
        load_data("hf:org/name")


def test_a_config_is_told_from_an_owner_by_what_there_is(cache):
    repository(cache, "glue", {
        "other/train-00000-of-00001.parquet": reviews(["other"], [0]),
        "sst2/train-00000-of-00001.parquet": TRAIN, "sst2/validation-00000-of-00001.parquet": TEST,
    }, TEXT_CARD)  # fmt: skip
    samples = load("hf:glue/sst2")
    assert (samples.name, samples.split, len(samples)) == ("glue/sst2", "validation", 2)
    assert len(load("hf:glue/sst2:train")) == 3
    assert len(load("hf:glue/other")) == 1
    fails("hf:glue", "other", "sst2")
    fails("hf:glue/mrpc", "mrpc", "sst2")
    repository(cache, "glue/sst2", {"data/train-00000-of-00001.parquet": reviews(["the owner's"], [1])})
    assert len(load("hf:glue/sst2")) == 1
    assert len(load("hf:glue/sst2/default:train")) == 1


def test_only_the_split_asked_for_is_prepared(cache, tmp_path):
    repository(cache, "org/name", {
        "data/train-00000-of-00001.parquet": TRAIN, "data/test-00000-of-00001.parquet": TEST,
    })  # fmt: skip
    load("hf:org/name")
    prepared = [path.name for path in (tmp_path / "prepared").rglob("*.arrow")]
    assert len(prepared) == 1
    assert "test" in prepared[0]


def test_images_from_the_hubs_cache(cache):
    repository(cache, "org/pics", {"data/test-00000-of-00001.parquet": pictures([0, 128, 255])})
    samples = load_data("hf:org/pics", normalize="none")
    assert (samples.shape, samples.classes, samples.split, samples.name) == (
        (3, 4, 4), ("a", "b", "c"), "test", "org/pics",
    )  # fmt: skip
    inputs, labels = samples.take([2, 0])
    assert [each.unique().tolist() for each in inputs] == [[1.0], [0.0]]
    assert labels.tolist() == [0, 0]
    assert load_data("hf:org/pics", label_column="coarse_label").classes == ("x", "y")
    (white,) = load_data("hf:org/pics").take([2])[0]
    torch.testing.assert_close(white[0, 0, 0], torch.tensor((1 - IMAGENET.mean[0]) / IMAGENET.std[0]))
    half = Normalization((0.5,) * 3, (0.5,) * 3)
    assert load_data("hf:org/pics", normalize=half).take([0])[0].unique().tolist() == [-1.0]
    assert load_data("hf:org/pics", image_size=2).shape == (3, 2, 2)
    labels = [batch.labels.tolist() for batch in batches(samples, batch_size=2)]
    assert labels == [[0, 2], [0]]


def test_images_of_any_storage(tmp_path):
    save(tmp_path / "struct" / "a.parquet", {"image": [picture(255)], "label": [3]})
    save(tmp_path / "bytes" / "a.parquet", {"image": [picture(255, mode="L")["bytes"]], "label": [3]})
    for name in ("struct", "bytes"):
        inputs, labels = load_data(f"hf:{tmp_path / name}", normalize="none").take([0])
        assert (inputs.shape, inputs.min().item(), labels.tolist()) == ((1, 3, 4, 4), 1, [3])


def test_damaged_and_absent_images(tmp_path):
    whole = picture(255)["bytes"]
    save(tmp_path / "d" / "a.parquet", {"image": [whole, whole[:40], None]})
    samples = load_data(f"hf:{tmp_path / 'd'}")
    with pytest.raises(DataError, match=r"cannot decode the image d, row 1: .*; repair it") as caught:
        samples.take([0, 1])
    assert "object at" not in str(caught.value)
    with pytest.raises(DataError, match=r"d, row 2 has no image"):
        samples.take([2])


def test_a_folder_of_tables(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "train.csv").write_text("text,label\none two,pos\nthree,neg\n")
    (tmp_path / "d" / "test.csv").write_text("text,label\nfour,neg\n")
    samples = load(f"hf:{tmp_path / 'd'}:train")
    assert (samples.name, samples.split, samples.classes) == ("d", "train", ("neg", "pos"))
    assert texts_of(samples, [0, 1]) == ([[3, 3], [5, 0]], [1, 0])
    assert load("hf:d").split == "test"
    (tmp_path / "j:k").mkdir()
    (tmp_path / "j:k" / "x.jsonl").write_text('{"body": "a b", "n": 1}\n')
    assert texts_of(load("hf:j:k"), [0]) == ([[1, 1]], None)
    assert load("hf:j:k").split == "train"


def test_what_save_to_disk_wrote(tmp_path):
    TRAIN.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": TRAIN, "dev": TEST}).save_to_disk(tmp_path / "two")
    assert (load("hf:one").split, len(load("hf:one"))) == (None, 3)
    assert (load("hf:two").split, load("hf:two").name) == ("dev", "two")
    assert texts_of(load("hf:two:train[-1:]"), [0]) == ([[3, 5, 5]], [1])
    assert len(load("hf:two:train[:34%]+dev")) == 3
    fails("hf:two:test", "no test split; there is train and dev")


def test_columns_are_chosen(tmp_path):
    save(tmp_path / "d" / "a.parquet", {
        "title": ["t"], "sentence": ["a bb"], "score": [0.5], "stars": [4], "kind": ["x"], "label": [0.5],
    })  # fmt: skip
    assert texts_of(load("hf:d"), [0]) == ([[1, 2]], None)  # a label of 0.5 is none
    assert texts_of(load("hf:d", text_column="title", label_column="stars"), [0]) == ([[1]], [4])
    assert load("hf:d", label_column="kind").classes == ("x",)
    fails("hf:d", "no column 'heading'", "title, sentence, score, stars", text_column="heading")
    fails("hf:d", "did you mean 'stars'", label_column="star")
    fails("hf:d", "'score' of d holds float64, not text; it has title (string)", text_column="score")
    fails("hf:d", "'score' holds no class labels", label_column="score")
    fails("hf:d", "'score' holds float64, not images", image_column="score")
    save(tmp_path / "e" / "a.parquet", {"one": ["a"], "two": ["b"]})
    fails("hf:e", "e has the columns one, two, and none of them is called as texts are", "--text-column")
    save(tmp_path / "f" / "a.parquet", {"x": [1.0]})
    fails("hf:f", "neither images nor text; it has x (float64)")


def test_hidden_labels_are_none(tmp_path):
    save(tmp_path / "d" / "a.parquet", reviews(["a", "b"], [-1, -1]))
    assert texts_of(load("hf:d"), [0]) == ([[1]], None)


def test_labels_that_are_several_or_missing_are_none(tmp_path):
    many = 1100  # more values than there may be names
    tables = {"several": [[0, 2], [1]], "missing": [*range(many - 1), None]}
    for name, labels in tables.items():
        save(tmp_path / name / "a.parquet", {"text": ["a"] * len(labels), "labels": labels})
        assert texts_of(load(f"hf:{name}"), [0]) == ([[1]], None)
        fails(f"hf:{name}", "'labels' holds no class labels", label_column="labels")


def test_a_text_that_is_not_there(tmp_path):
    save(tmp_path / "d" / "a.parquet", {"text": ["a", None]})
    with pytest.raises(DataError, match="d has no text in row 1 of the column 'text'"):
        load("hf:d").take([0, 1])


def test_nothing_is_found_and_the_line_says_where_and_what_to_do(cache, tmp_path):
    start = time.monotonic()
    fails("hf:none/there:test", "none/there or none (config there)", str(cache), str(tmp_path / "prepared"),
          "HF_HUB_OFFLINE", "hf:FOLDER:SPLIT", "HF_HOME")  # fmt: skip
    fails("hf:nothing", "no data set nothing in this folder")
    fails("hf:./nothing", "nothing does not exist; expected a folder")
    fails("hf:a/b/c/d", "does not exist; expected a folder")
    fails("hf:two words", "'two words' is no folder and no name of a data set")
    assert time.monotonic() - start < 20
    (tmp_path / "empty").mkdir()
    fails("hf:empty", "empty", "cannot be read")
    (tmp_path / "x.parquet").write_text("")
    fails("hf:x.parquet", "is a file")
    save(tmp_path / "damaged" / "a.parquet", {"text": ["a"]})
    (tmp_path / "damaged" / "a.parquet").write_bytes(b"PAR1 and no more")
    fails("hf:damaged", "cannot be read", "Parquet")


def test_an_unreachable_hub_is_asked_once(cache, monkeypatch):
    import huggingface_hub

    asked = []

    def unreachable(self, name, **options):
        asked.append((name, options["timeout"]))
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unreachable)
    fails("hf:none/there", "cannot be reached (ConnectionError: no route to host)", "hf:FOLDER:SPLIT")
    assert asked == [("none/there", 10.0)]
    assert datasets.config.HF_HUB_OFFLINE is False


def test_what_datasets_prepared_before_is_found(cache, tmp_path, monkeypatch):
    save(tmp_path / "org" / "name" / "data" / "test.parquet", TEST)
    datasets.load_dataset("org/name", split="test")
    prepared = tmp_path / "prepared" / "org___name"
    next(iter((tmp_path / "prepared").glob("name"))).rename(prepared)
    (tmp_path / "org" / "name").rename(tmp_path / "elsewhere")
    (tmp_path / "org").rmdir()
    assert texts_of(load("hf:org/name"), [1]) == ([[4]], [0])


def test_a_script_is_refused(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "s.py").write_text("raise SystemExit('it ran')")
    fails("hf:s", "scripts are no longer supported")


def test_many_rows_are_those_of_one_at_a_time(tmp_path):
    rng = np.random.default_rng(0)
    texts = [" ".join("w" * n for n in rng.integers(1, 9, rng.integers(1, 7))) for _ in range(50)]
    save(tmp_path / "d" / "a.parquet", {"text": texts, "label": rng.integers(0, 3, 50)})
    samples = load("hf:d")
    rows = rng.integers(0, 50, 20).tolist()
    found, labels = texts_of(samples, rows)
    for row, ids, label in zip(rows, found, labels, strict=True):
        ((alone,), (own,)) = texts_of(samples, [row])
        assert (ids[: len(alone)], set(ids[len(alone) :]) - {0}, label) == (alone, set(), own)
