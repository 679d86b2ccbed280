import sys

import pytest

from superscope.core.errors import DataError, ModelError
from superscope.core.user_code import (
    call_function,
    defined_names,
    is_user_code,
    load_function,
    without_function,
)


def write(folder, text, name="mine.py"):
    path = folder / name
    path.write_text(text)
    return path


def run(spec):
    return call_function(load_function(spec, error=ModelError), spec, ModelError)


def fails(spec, *parts, error=ModelError):
    with pytest.raises(error) as caught:
        call_function(load_function(spec, error=error), spec, error)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message
    return message


def test_a_function_is_loaded_and_called(tmp_path):
    path = write(tmp_path, "def seven():\n    return 7\n")
    assert run(f"{path}:seven") == 7


@pytest.mark.parametrize("folder", ["a:b", "with space", "C:", "a.py:b"])
def test_only_the_last_colon_separates(tmp_path, folder):
    (tmp_path / folder).mkdir()
    path = write(tmp_path / folder, "def seven():\n    return 7\n")
    assert run(f"{path}:seven") == 7


@pytest.mark.parametrize(("spec", "expected"), [
    ("a.py:f", True), (r"C:\nets\a.py:f", True), ("x/y:z/a.py:f", True), ("a.py:", True),
    ("a.py", False), (r"C:\nets\a.py", False), ("digits", False), ("images:a", False),
    ("a.py:f:train", False),
])  # fmt: skip
def test_what_is_user_code(spec, expected):
    assert is_user_code(spec) is expected


def test_modules_beside_the_file_can_be_imported_at_load_and_in_the_call(tmp_path):
    write(tmp_path, "VALUE = 3\n", "sibling_one_of_test.py")
    write(tmp_path, "VALUE = 4\n", "sibling_two_of_test.py")
    path = write(
        tmp_path,
        "from sibling_one_of_test import VALUE\n"
        "def total():\n    import sibling_two_of_test as two\n    return VALUE + two.VALUE\n",
    )
    before = list(sys.path)
    assert run(f"{path}:total") == 7
    assert sys.path == before


def test_a_file_may_be_named_like_a_library_and_hold_dataclasses(tmp_path):
    lines = (
        "from __future__ import annotations",
        "import dataclasses as d",
        "@d.dataclass",
        "class A: x: int = 1",
    )
    path = write(tmp_path, "\n".join(lines), "torch.py")
    assert run(f"{path}:A").x == 1
    assert hasattr(sys.modules["torch"], "Tensor")


def test_a_missing_file_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fails("nets/a.py:f", str(tmp_path / "nets/a.py"), "does not exist")
    (tmp_path / "b.py").mkdir()
    fails("b.py:f", "is a folder")


def test_a_missing_function_names_the_nearest_and_all(tmp_path):
    path = write(
        tmp_path, "def build():\n    pass\nclass Net:\n    pass\ndef _hidden():\n    pass\nsize = 3\n"
    )
    fails(f"{path}:biuld", "no function 'biuld'", "did you mean 'build'?", "it defines build, Net")
    message = fails(f"{path}:zzz", "it defines build, Net")
    assert "did you mean" not in message
    assert "_hidden" not in message
    fails(f"{path}:size", "of type int")
    fails(f"{write(tmp_path, '', 'empty.py')}:f", "it defines none")


@pytest.mark.parametrize(("text", "parts"), [
    ("x = 1\ndef f(:\n    pass\n", ("line 2", "SyntaxError")),
    ("x = 1\n\nx = y + 1\ndef f():\n    pass\n", ("line 3", "NameError", "'y'")),
    ("import not_installed\ndef f():\n    pass\n", ("line 1", "ModuleNotFoundError", "not_installed")),
    ("def f():\n    x = 1\n    return x / 0\n", ("line 3", "ZeroDivisionError")),
    ("import json\ndef f():\n    return json.loads('{')\n", ("line 3", "JSONDecodeError")),
    ("def f():\n    raise ValueError('one\\ntwo')\n", ("line 2", "ValueError: one two")),
    ("def f(x):\n    pass\n", ("TypeError", "'x'", "called without arguments")),
    ("import sys\nsys.exit(3)\ndef f():\n    pass\n", ("line 2", "SystemExit: 3")),
    ("def f():\n    raise RuntimeError\n", ("line 2: RuntimeError",)),
    ("\0", ("Error",)),
])  # fmt: skip
def test_a_fault_in_the_file_is_told_in_one_line(tmp_path, text, parts):
    fails(f"{write(tmp_path, text)}:f", *parts)


def test_a_fault_in_a_sibling_names_both_places(tmp_path):
    write(tmp_path, "x = (\n", "broken_sibling_of_test.py")
    path = write(tmp_path, "\nimport broken_sibling_of_test\ndef f():\n    pass\n")
    fails(f"{path}:f", "line 2: SyntaxError", "broken_sibling_of_test.py, line 1")


def test_the_error_is_of_the_class_asked_for_and_keeps_its_cause(tmp_path):
    path = write(tmp_path, "def f():\n    return {}['a']\n")
    with pytest.raises(DataError) as caught:
        call_function(load_function(f"{path}:f", error=DataError), f"{path}:f", DataError)
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("text", ["raise KeyboardInterrupt\n", "def f():\n    raise KeyboardInterrupt\n"])
def test_an_interrupt_passes_through(tmp_path, text):
    path, before = write(tmp_path, text), list(sys.path)
    with pytest.raises(KeyboardInterrupt):
        run(f"{path}:f")
    assert sys.path == before


def test_a_failed_load_leaves_no_module(tmp_path):
    path, before = write(tmp_path, "1 / 0\n"), set(sys.modules)
    fails(f"{path}:f")
    assert not [name for name in set(sys.modules) - before if name.startswith("user_code")]


def test_a_changed_file_is_run_anew(tmp_path):
    path = write(tmp_path, "def f():\n    return 1\n")
    assert run(f"{path}:f") == 1
    path.write_text("def f():\n    return 1000\n")
    assert run(f"{path}:f") == 1000


def test_a_path_without_function_is_told_what_the_file_defines(tmp_path):
    path = write(tmp_path, "def build():\n    pass\n")
    assert without_function(str(path)).endswith("(it defines build)")
    assert without_function("nowhere.py").endswith("FILE.py:FUNCTION")
    assert without_function("digits") is None
    assert without_function(f"{path}:build") is None


def test_names_are_read_without_running_the_file(tmp_path):
    assert defined_names(write(tmp_path, "def f():\n    pass\n1 / 0\n")) == ["f"]
    assert defined_names(write(tmp_path, "def f(:\n")) == []
    assert defined_names(tmp_path / "none.py") == []
