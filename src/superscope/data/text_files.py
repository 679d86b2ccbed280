"""Files of text, read where they lie: plain text, ``.tsv``, ``.csv`` and ``.jsonl``.

Only the place of each record in the file is kept (16 bytes a record); the text stays on disk until it is
asked for.
"""

import csv
import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from superscope.core.errors import DataError
from superscope.data.columns import MOST_CLASSES, Columns, LabelCode, find_column, listed, need_column

SEPARATOR = "<|endoftext|>"
"""What stands between the documents of a plain text, where it stands there at all."""

_CHUNK = 1 << 22
_BOM = b"\xef\xbb\xbf"
_NEWLINE, _QUOTE, _SPACE = 10, 34, 32


class Texts(ABC):
    """Texts with an index, each with a class label or none."""

    name: str
    """What they are called in tables."""
    classes: tuple[str, ...] | None = None
    """The names of the labels 0, 1, …; None where they have none."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, rows: Sequence[int]) -> tuple[list[str], np.ndarray | None]:
        """Return the texts at ``rows`` and their labels, int64 [n], or None without labels."""


def open_texts(path: Path, columns: Columns = Columns()) -> Texts:  # noqa: B008  # it cannot be changed
    """Return the texts in a file, which its suffix tells how to read.

    - ``.tsv``: a header, then fields between tabs, in which quotes mean nothing, as in GLUE's files.
    - ``.csv``: a header, then fields between commas (or semicolons), quoted as in RFC 4180.
    - ``.jsonl``, ``.ndjson``: an object a line.
    - any other: plain text. With ``<|endoftext|>`` in it, a text is what stands between two of them; else a
      line. Blank ones are left out, the line ends and blanks around a text too.

    Raises:
        DataError: for an empty file, a column that is not there; and from ``read``, with the line, for bytes
            that are no UTF-8 and records that do not fit.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file of text in it")
    if not path.exists():
        raise DataError(f"{path} does not exist; expected a text, .tsv, .csv or .jsonl file there")
    kinds = {".tsv": _Tsv, ".csv": _Csv, ".jsonl": _JsonLines, ".ndjson": _JsonLines}
    kind = kinds.get(path.suffix.lower())
    if kind is not None:
        return kind(path, columns)
    if named := [name for name in columns if name is not None]:
        raise DataError(f"{path} is read as plain text, which has no column {named[0]!r}; "
                        "a table's name ends in .tsv, .csv or .jsonl")  # fmt: skip
    return _Plain(path)


class _Records(Texts):
    """Stretches of bytes of one file."""

    def __init__(self, path: Path) -> None:
        self.name, self.path = path.stem, path
        self.starts, self.ends = self._spans()

    def __len__(self) -> int:
        return len(self.starts)

    def _spans(self) -> tuple[np.ndarray, np.ndarray]:
        return line_spans(self.path)

    def records(self, rows: Sequence[int]) -> Iterator[str]:
        with self.path.open("rb") as file:
            for row in rows:
                start = int(self.starts[row])
                file.seek(start)
                data = file.read(int(self.ends[row]) - start)
                try:
                    yield data.decode().removeprefix("\ufeff")
                except UnicodeDecodeError as error:
                    raise DataError(
                        f"{self.place(row)} is not UTF-8: it has the byte {data[error.start]:#04x}; "
                        "save the file as UTF-8"
                    ) from error

    def place(self, row: int) -> str:
        """Return the file and the line that a record begins on."""
        with self.path.open("rb") as file:
            line, left = 1, int(self.starts[row])
            while left > 0 and (data := file.read(min(left, _CHUNK))):
                line, left = line + data.count(b"\n"), left - len(data)
        return f"{self.path} line {line:,}"


class _Plain(_Records):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if not len(self):
            raise DataError(f"{path} holds no text")

    def _spans(self) -> tuple[np.ndarray, np.ndarray]:
        return document_spans(self.path) or line_spans(self.path)

    def read(self, rows: Sequence[int]) -> tuple[list[str], np.ndarray | None]:
        return [record.strip() for record in self.records(rows)], None


class _Table(_Records):
    """Records with named fields."""

    def __init__(self, path: Path, columns: Columns) -> None:
        super().__init__(path)
        there = self._columns()
        if not len(self):
            raise DataError(f"{path} holds no records")
        self._text = need_column("text", columns.text, there, str(path))
        self._label, self._code = find_column("label", columns.label, there, str(path)), None
        if self._label is not None:
            self._code = self._learn(self._label, certain=columns.label is not None)

    @abstractmethod
    def _columns(self) -> list[str]:
        """Return the names of the columns; leave the header, if there is one, out of the records."""

    @abstractmethod
    def _fields(self, rows: Sequence[int], names: Sequence[str]) -> Iterator[list[object]]:
        """Yield the fields of these names of each record."""

    def read(self, rows: Sequence[int]) -> tuple[list[str], np.ndarray | None]:
        names = [self._text] if self._code is None or self._label is None else [self._text, self._label]
        found = list(self._fields(rows, names))
        texts = [fields[0] for fields in found]
        for row, text in zip(rows, texts, strict=True):
            if not isinstance(text, str):
                raise DataError(f"{self.place(row)}: the column {self._text!r} holds no text there")
        if self._code is None:
            return [str(text).strip() for text in texts], None
        try:
            return [str(text).strip() for text in texts], self._code.numbers([each[1] for each in found])
        except KeyError as error:
            raise DataError(
                f"{self.path}: the column {self._label!r} holds whole numbers, and {error.args[0]!r} too"
            ) from error

    def _learn(self, label: str, *, certain: bool) -> LabelCode | None:
        """Learn the classes: from the first records where they are numbers, else from all of them."""
        everything = (fields[0] for fields in self._fields(range(len(self)), [label]))
        first = list(islice(everything, MOST_CLASSES))
        code = LabelCode(first)
        if not code.numeric and code.usable:
            code = LabelCode(self._and_rest(first, everything))
        if code.usable:
            self.classes = code.classes
            return code
        if certain:
            raise DataError(
                f"{self.path}: the column {label!r} holds no class labels (whole numbers, or at most "
                f"{MOST_CLASSES:,} names): it begins with {listed(map(repr, first[:3]))}"
            )
        return None

    @staticmethod
    def _and_rest(first: list[object], rest: Iterator[object]) -> Iterator[object]:
        yield from first
        yield from rest


class _Tsv(_Table):
    def _columns(self) -> list[str]:
        if not len(self):
            raise DataError(f"{self.path} is empty; expected a header and records")
        header = next(self.records([0])).rstrip("\r\n")
        self.starts, self.ends = self.starts[1:], self.ends[1:]
        self._names = [name.strip() for name in self._split(header)]
        return self._names

    def _split(self, record: str) -> list[str]:
        return record.split("\t")

    def _fields(self, rows: Sequence[int], names: Sequence[str]) -> Iterator[list[object]]:
        places = [self._names.index(name) for name in names]
        for row, record in zip(rows, self.records(rows), strict=True):
            fields = self._split(record.rstrip("\r\n"))
            if len(fields) != len(self._names):
                raise DataError(
                    f"{self.place(row)} has {len(fields)} fields, and the header {len(self._names)} "
                    f"({listed(self._names)})"
                )
            yield [fields[place] for place in places]


class _Csv(_Tsv):
    _comma = ","

    def _spans(self) -> tuple[np.ndarray, np.ndarray]:
        return line_spans(self.path, quotes=True)

    def _columns(self) -> list[str]:
        if len(self):
            header = next(self.records([0]))
            self._comma = ";" if ";" in header and "," not in header else ","
        return super()._columns()

    def _split(self, record: str) -> list[str]:
        try:
            return next(csv.reader(io.StringIO(record, newline=""), delimiter=self._comma, strict=True))
        except csv.Error as error:
            start = record[:60].replace("\n", " ")
            raise DataError(f"{self.path}: the record {start!r} is no CSV: {error}") from error


class _JsonLines(_Table):
    def _columns(self) -> list[str]:
        return list(next(self._objects([0]))) if len(self) else []

    def _objects(self, rows: Sequence[int]) -> Iterator[dict[str, object]]:
        for row, record in zip(rows, self.records(rows), strict=True):
            try:
                value = json.loads(record)
            except ValueError as error:
                raise DataError(f"{self.place(row)} is no JSON: {error}") from error
            if not isinstance(value, dict):
                raise DataError(f"{self.place(row)} is no JSON object but a {type(value).__name__}")
            yield value

    def _fields(self, rows: Sequence[int], names: Sequence[str]) -> Iterator[list[object]]:
        for row, value in zip(rows, self._objects(rows), strict=True):
            if absent := [name for name in names if name not in value]:
                raise DataError(f"{self.place(row)} has no {absent[0]!r}; it has {listed(value)}")
            yield [value[name] for name in names]


def line_spans(path: Path, *, quotes: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return where the lines of a file that are not blank start and end, two int64 arrays.

    Args:
        path: the file; it is read once, in pieces.
        quotes: whether a line end between double quotes is part of the line.

    Raises:
        DataError: when a quote is opened and never closed.
    """
    size = path.stat().st_size
    data = np.memmap(path, np.uint8, "r") if size else np.empty(0, np.uint8)
    mark = 3 if data[:3].tobytes() == _BOM else 0  # not to be seen, though its bytes are above a blank
    ends, seen, visible, quoted = [np.empty(0, np.int64)], [np.empty(0, np.int64)], -mark, 0
    for begin in range(0, size, _CHUNK):
        chunk = np.asarray(data[begin : begin + _CHUNK])
        counts = visible + np.cumsum(chunk > _SPACE)
        newlines = np.flatnonzero(chunk == _NEWLINE)
        visible = int(counts[-1])
        if quotes:
            marks = quoted + np.cumsum(chunk == _QUOTE)
            newlines, quoted = newlines[marks[newlines] % 2 == 0], int(marks[-1])
        ends.append(newlines + begin)
        seen.append(counts[newlines])
    if quoted % 2:
        raise DataError(f"{path}: a quote is opened and not closed; quotes inside a field are to be doubled")
    # The last line may lack its end; where it does not, this is a blank one.
    stops = np.concatenate([*ends, [size]])
    counts = np.concatenate([*seen, [visible]])
    starts = np.concatenate([[mark], stops[:-1] + 1])
    solid = np.diff(counts, prepend=0) > 0
    return starts[solid], stops[solid]


def document_spans(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Return where the documents between separators start and end, blank ones aside; None without any."""
    size, mark = path.stat().st_size, SEPARATOR.encode()
    if size == 0:
        return None
    data = np.memmap(path, np.uint8, "r").data  # a buffer that re can search without a copy
    breaks = [match.span() for match in re.finditer(re.escape(mark), data)]
    if not breaks:
        return None
    starts, stops = [0, *(end for _, end in breaks)], [*(start for start, _ in breaks), size]
    solid = [(a, b) for a, b in zip(starts, stops, strict=True) if data[a:b].tobytes().strip()]
    pairs = np.array(solid, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
