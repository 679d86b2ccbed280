"""Functions from a person's own Python file, named on the command line as ``FILE.py:FUNCTION``."""

import ast
import contextlib
import difflib
import sys
import textwrap
import traceback
import zlib
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

from superscope.core.errors import SuperscopeError


def is_user_code(spec: str) -> bool:
    r"""Whether ``spec`` has the form ``FILE.py:FUNCTION``; nothing is opened.

    >>> [is_user_code(spec) for spec in ("small.py:build", r"C:\nets\small.py:build", r"C:\nets\small.py")]
    [True, True, False]
    """
    return spec.rpartition(":")[0].endswith(".py")


def load_function(spec: str, *, error: type[SuperscopeError]) -> Callable[..., object]:
    """Run the file of ``FILE.py:FUNCTION`` as a module and return its function (or any other callable).

    The last colon separates, so that a path may hold colons. The file's folder is on ``sys.path``
    meanwhile, for imports of the modules beside it.

    Raises:
        error: when there is no such file, or no such function in it; and when the file fails, with the
            kind of the exception, its message, and the line of the file. KeyboardInterrupt passes through.
    """
    path, name = _parts(spec)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise error(f"{spec}: the file {path} {what}; give the path of a Python file, as FILE.py:FUNCTION")
    with _blame(spec, error):
        module = _run(path)
    found = vars(module).get(name)
    if found is None:
        raise error(f"{spec}: {path.name} has no function {name!r}{_nearest(name, defined_names(path))}")
    if not callable(found):
        raise error(
            f"{spec}: {name} is of type {type(found).__name__}, not a function; "
            f"return it from a function and name that one"
        )
    return found


def call_function(function: Callable[..., object], spec: str, error: type[SuperscopeError]) -> object:
    """Call the ``function`` that ``spec`` names, without arguments, and return its result.

    Raises:
        error: when the function fails, with the kind of the exception, its message, and the line of the file.
            KeyboardInterrupt passes through.
    """
    with _blame(spec, error):
        return function()


def without_function(spec: str) -> str | None:
    """Say what is wrong with a ``spec`` that is a Python file without a function; None for any other.

    >>> without_function("net.py")
    'net.py names a Python file but no function in it; write FILE.py:FUNCTION'
    """
    if not spec.endswith(".py"):
        return None
    names = defined_names(Path(spec).expanduser())
    return f"{spec} names a Python file but no function in it; write FILE.py:FUNCTION" + (
        f" (it defines {', '.join(names)})" if names else ""
    )


def defined_names(path: Path) -> list[str]:
    """Return the public functions and classes at the top level of a Python file, without running it.

    A file that cannot be read or parsed has none.
    """
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return []
    return [
        node.name
        for node in body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]


def _parts(spec: str) -> tuple[Path, str]:
    file, _, name = spec.rpartition(":")
    return Path(file).expanduser().absolute(), name


def _run(path: Path) -> ModuleType:
    # A name of its own, as the file may be called like any module; in sys.modules, where dataclasses look.
    name = f"user_code_{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = str(path)
    try:
        SourceFileLoader(name, str(path)).exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextlib.contextmanager
def _blame(spec: str, error: type[SuperscopeError]) -> Iterator[None]:
    """Put the file's folder on ``sys.path``, and turn what fails inside into ``error``."""
    path, _ = _parts(spec)
    folder = str(path.parent)
    sys.path.insert(0, folder)
    try:
        yield
    except (Exception, SystemExit) as caught:
        raise error(f"{spec}: {_reason(caught, path)}") from caught
    finally:
        with contextlib.suppress(ValueError):  # the file may have taken it off itself
            sys.path.remove(folder)


def _reason(caught: BaseException, path: Path) -> str:
    frames = traceback.extract_tb(caught.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    message = str(caught)
    if isinstance(caught, SyntaxError) and caught.filename == str(path):
        lines, message = [caught.lineno], caught.msg
    message = textwrap.shorten(message, 400, placeholder=" ...")
    where = f"line {lines[-1]}: " if lines else ""
    hint = "" if lines or not isinstance(caught, TypeError) else " (it is called without arguments)"
    return f"{where}{type(caught).__name__}{': ' if message else ''}{message}{hint}"


def _nearest(name: str, names: list[str]) -> str:
    if not names:
        return "; it defines none"
    near = difflib.get_close_matches(name, names, 1)
    return (f"; did you mean {near[0]!r}?" if near else "") + f"; it defines {', '.join(names)}"
