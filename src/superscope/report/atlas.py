"""The page of an atlas: thousands of latents in one file, or in a file and a folder beside it.

What is shown of the latents comes as JSON in chunks, compressed, and is unpacked and drawn by the page when a
latent is opened. Every string in it reaches the page as text, never as markup.
"""

import base64
import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from superscope.core.artifacts import json_text
from superscope.report.render import policy_of, template

ONE_FILE = 32 << 20
"""The largest page that is written as one file, in bytes."""


@dataclass(frozen=True)
class Sheet:
    """Many small pictures in one."""

    data: bytes
    kind: str
    """``image/png`` or ``image/jpeg``."""
    columns: int
    rows: int


@dataclass(frozen=True)
class AtlasPage:
    """What the page shows. :func:`superscope.atlas.packing.pack` makes it and says what its parts hold."""

    title: str
    subtitle: str
    facts: Mapping[str, object]
    notes: Sequence[str]
    reading: Sequence[str]
    """How to read it, by paragraphs."""
    search: str
    """What can be searched for, as an example."""
    index: Mapping[str, object]
    """What is needed of all latents: columns, names, words."""
    chunks: Sequence[str]
    """Packed (:func:`packed`): what is shown of one latent, for ``index["chunk"]`` latents at a time."""
    sheets: Sequence[Sheet] = field(default_factory=tuple)


def packed(value: object) -> str:
    """Return a value as JSON, compressed and in letters; the same value, the same letters."""
    return base64.b64encode(gzip.compress(json_text(value).encode(), mtime=0)).decode()


def render_atlas(page: AtlasPage, folder: str | None = None) -> str:
    """Return the page: one file, or one that looks for the files of :func:`atlas_files` in ``folder``."""
    files = [{"file": name, "columns": sheet.columns, "rows": sheet.rows} for name, sheet in _sheets(page)]
    index = {**page.index, "sheets": files, "folder": folder}
    scripts = [template("atlas.js")]
    environment = Environment(
        loader=PackageLoader("superscope.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sheets = [{"type": each.kind, "data": base64.b64encode(each.data).decode()} for each in page.sheets]
    return environment.get_template("atlas.html").render(
        page=page,
        index=packed(index),
        chunks=page.chunks if folder is None else (),
        sheets=sheets if folder is None else (),
        style=Markup(template("page.css") + template("atlas.css")),  # noqa: S704 (our own files)
        scripts=[Markup(script) for script in scripts],  # noqa: S704 (our own file)
        policy=policy_of(scripts, beside=folder is not None),
    )


def atlas_files(page: AtlasPage) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of the files that go into the folder beside a page."""
    for number, chunk in enumerate(page.chunks):
        yield f"chunk-{number}.js", f'atlasChunk({number},"{chunk}")\n'.encode()
    yield from ((name, sheet.data) for name, sheet in _sheets(page))


def size_of(page: AtlasPage) -> int:
    """Return about how many bytes the page has as one file."""
    return sum(map(len, page.chunks)) + sum(len(sheet.data) * 4 // 3 for sheet in page.sheets)


def _sheets(page: AtlasPage) -> Iterator[tuple[str, Sheet]]:
    for number, sheet in enumerate(page.sheets):
        yield f"sheet-{number}.{sheet.kind.rpartition('/')[2]}", sheet
