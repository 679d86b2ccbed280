import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core.errors import DataError
from superscope.data import text_files
from superscope.data.columns import Columns, LabelCode
from superscope.data.text_files import open_texts


def opened(tmp_path, name, content, **columns):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_texts(path, Columns(**columns))


def everything(texts):
    found, labels = texts.read(range(len(texts)))
    return found, None if labels is None else labels.tolist()


def fails(tmp_path, name, content, *parts, **columns):
    with pytest.raises(DataError) as caught:
        everything(opened(tmp_path, name, content, **columns))
    message = str(caught.value)
    assert "\n" not in message
    for part in (name, *parts):
        assert part in message, message


@pytest.mark.parametrize("content", ["one\ntwo\n", "one\r\n\r\ntwo", "\ufeff\n  one \n \t\n\ntwo\n\n"])
def test_lines_that_are_not_blank(tmp_path, content):
    texts = opened(tmp_path, "x.txt", content)
    assert everything(texts) == (["one", "two"], None)
    assert texts.read([1, 0, 1])[0] == ["two", "one", "two"]
    assert texts.name == "x"


def test_documents_between_separators(tmp_path):
    content = "<|endoftext|>One.\nTwo.\n<|endoftext|>\n\n<|endoftext|>\nThree é.\n<|endoftext|>cut of"
    assert everything(opened(tmp_path, "x", content))[0] == ["One.\nTwo.", "Three é.", "cut of"]


@pytest.fixture(params=[1, 2, 7, 1 << 22])
def chunk(request, monkeypatch):
    monkeypatch.setattr(text_files, "_CHUNK", request.param)


@settings(deadline=None, max_examples=25)
@given(lines=st.lists(st.text(st.sampled_from("aé \t\r"), max_size=5), max_size=8), end=st.booleans())
def test_spans_are_those_of_splitting_whatever_the_piece(tmp_path_factory, lines, end):
    path = tmp_path_factory.mktemp("x") / "x.txt"
    data = ("\n".join(lines) + ("\n" if end else "")).encode()
    path.write_bytes(data)
    expected = [line for line in data.split(b"\n") if line.strip()]
    before = text_files._CHUNK
    try:
        for size in (1, 3, before):
            text_files._CHUNK = size
            found = [data[a:b] for a, b in zip(*text_files.line_spans(path), strict=True)]
            assert found == expected
    finally:
        text_files._CHUNK = before


FIELD = st.text(st.sampled_from('ab",\n;é '), min_size=1, max_size=6).filter(str.strip)


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(st.tuples(FIELD, st.integers(0, 9)), min_size=1, max_size=6))
def test_csv_is_what_csv_reads(tmp_path_factory, rows):
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerows([("text", "label"), *rows])
    texts = opened(tmp_path_factory.mktemp("x"), "x.csv", file.getvalue())
    assert everything(texts) == ([text.strip() for text, _ in rows], [label for _, label in rows])


def test_tables(tmp_path, chunk):
    content = "label\tsentence\n1\t\"quoted\" and 'so'\n0\ttwo\n"
    assert everything(opened(tmp_path, "x.tsv", content)) == (["\"quoted\" and 'so'", "two"], [1, 0])
    content = 'id,Review,Sentiment\r\n1,"a, ""b""\nc",pos\r\n2,d,neg\r\n'
    texts = opened(tmp_path, "x.csv", content)
    assert everything(texts) == (['a, "b"\nc', "d"], [1, 0])
    assert texts.classes == ("neg", "pos")
    assert everything(opened(tmp_path, "y.csv", "text;class\na, b;3\n")) == (["a, b"], [3])
    lines = [{"story": "a\nb", "target": 2}, {"story": "c", "target": 0}]
    content = "\n".join(map(json.dumps, lines))
    assert everything(opened(tmp_path, "x.jsonl", content)) == (["a\nb", "c"], [2, 0])


def test_columns_may_be_named(tmp_path):
    content = "text\tlabel\ttitle\tstars\na\tx\tb\t5\n"
    assert everything(opened(tmp_path, "x.tsv", content, text="title", label="stars")) == (["b"], [5])
    fails(
        tmp_path,
        "x.tsv",
        content,
        "no column 'star'",
        "did you mean 'stars'?",
        "text, label, title",
        label="star",
    )
    fails(tmp_path, "x.tsv", "a\tb\n1\t2\n", "has the columns a, b", "--text-column")
    fails(tmp_path, "x.txt", "a\n", "plain text", "'title'", text="title")


def test_a_column_that_holds_no_classes_is_left_out_unless_named(tmp_path):
    content = "text\tlabel\na\t0.25\nb\t0.5\n"
    assert everything(opened(tmp_path, "x.tsv", content)) == (["a", "b"], None)
    fails(tmp_path, "x.tsv", content, "'label' holds no class labels", "'0.25', '0.5'", label="label")
    many = "text\tlabel\n" + "\n".join(f"a\tname {i}" for i in range(1001))
    assert everything(opened(tmp_path, "x.tsv", many))[1] is None


def test_names_are_learnt_from_all_records(tmp_path):
    labels = ["b"] * 1500 + ["a"]
    texts = opened(tmp_path, "x.tsv", "text\tlabel\n" + "\n".join(f"t\t{each}" for each in labels))
    assert texts.classes == ("a", "b")
    assert texts.read([1500, 0])[1].tolist() == [0, 1]
    numbers = "text\tlabel\n" + "t\t1\n" * 1500 + "t\tone\n"
    fails(tmp_path, "x.tsv", numbers, "'label' holds whole numbers, and 'one' too")


def test_what_cannot_be_read_is_told_with_its_line(tmp_path):
    fails(tmp_path, "x.txt", b"", "holds no text")
    fails(tmp_path, "x.txt", b" \n\n", "holds no text")
    fails(tmp_path, "x.txt", b"<|endoftext|>\n", "holds no text")
    fails(tmp_path, "x.txt", b"one\n\ntwo \xff\n", "line 3 is not UTF-8", "0xff", "save the file as UTF-8")
    fails(tmp_path, "x.tsv", "", "is empty")
    fails(tmp_path, "x.tsv", "text\tlabel\n", "holds no records")
    fails(tmp_path, "x.tsv", "text\tlabel\na\t1\n\nb\n", "line 4 has 1 fields", "text, label")
    fails(tmp_path, "x.csv", 'text\n"a\n', "a quote is opened and not closed")
    fails(tmp_path, "x.csv", 'text,label\n"a"b"c,1\n', "x.csv")
    fails(tmp_path, "x.jsonl", '{"text": "a"}\n{"text": \n', "line 2 is no JSON")
    fails(tmp_path, "x.jsonl", '{"text": "a"}\n[1]\n', "line 2 is no JSON object but a list")
    fails(tmp_path, "x.jsonl", '{"text": "a"}\n{"test": "b"}\n', "line 2 has no 'text'; it has test")
    fails(tmp_path, "x.jsonl", '{"text": 3}\n', "line 1", "holds no text")
    fails(tmp_path, "x.jsonl", "", "holds no records")
    with pytest.raises(DataError, match="is a folder; name a file"):
        open_texts(tmp_path)
    with pytest.raises(DataError, match="does not exist; expected"):
        open_texts(tmp_path / "none.txt")


def test_a_file_is_not_held(tmp_path):
    texts = opened(tmp_path, "x.txt", "one\n" * 100_000)
    size = sum(each.nbytes for each in vars(texts).values() if isinstance(each, np.ndarray))
    assert size == 16 * len(texts)
    assert not any(isinstance(each, str | bytes | list) and len(each) > 10 for each in vars(texts).values())


@pytest.mark.parametrize(("values", "classes", "numbers"), [
    (["1", "0"], None, [1, 0]), ([3, 3], None, [3, 3]), ([True, False], None, [1, 0]), (["2.0"], None, [2]),
    (["b", "a", "b"], ("a", "b"), [1, 0, 1]), (["3", "x"], ("3", "x"), [0, 1]),
])  # fmt: skip
def test_labels_become_numbers(values, classes, numbers):
    code = LabelCode(values)
    assert (code.usable, code.classes, code.numbers(values).tolist()) == (True, classes, numbers)


@pytest.mark.parametrize("values", [[0.5], ["0.5"], [""], [None, "a"], [float("nan")], ["inf"], [[1]]])
def test_what_names_no_class(values):
    assert not LabelCode(values).usable
