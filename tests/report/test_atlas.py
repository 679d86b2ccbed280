"""An atlas' page: nothing but text gets into it, nothing is loaded, and large ones are divided."""

import base64
import gzip
import json
import re

import pytest

from superscope.report import AtlasPage, Sheet, atlas_files, packed, render_atlas

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def page(**fields: object) -> AtlasPage:
    given: dict[str, object] = {
        "title": HOSTILE,
        "subtitle": HOSTILE,
        "facts": {HOSTILE: HOSTILE},
        "notes": [HOSTILE],
        "reading": ["read", "more"],
        "search": HOSTILE,
        "index": {"names": [HOSTILE], "count": 1},
        "chunks": [packed({"latents": [HOSTILE]}), packed({})],
        "sheets": [Sheet(b"\x89PNG", "image/png", 2, 1)],
    }
    return AtlasPage(**(given | fields))  # pyright: ignore[reportArgumentType]


def unpacked(text: str) -> object:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def blocks(html: str) -> dict[str, str]:
    return dict(re.findall(r'<script type="text/plain" id="([^"]+)"[^>]*>([^<]*)</script>', html))


def test_everything_is_in_one_file_and_hostile_text_stays_text() -> None:
    html = render_atlas(page())
    found = blocks(html)
    assert set(found) == {"index", "chunk-0", "chunk-1", "sheet-0"}
    index = unpacked(found["index"])
    assert isinstance(index, dict)
    assert index["names"] == [HOSTILE]
    assert index["folder"] is None
    assert index["sheets"] == [{"file": "sheet-0.png", "columns": 2, "rows": 1}]
    assert unpacked(found["chunk-0"]) == {"latents": [HOSTILE]}
    assert base64.b64decode(found["sheet-0"]) == b"\x89PNG"
    assert "alert(1)" not in html.replace("&lt;/script&gt;&lt;script&gt;alert(1)", "")
    assert "<img" not in html
    assert html.count("<script>") == 1


def test_the_policy_lets_the_pages_own_script_run_and_nothing_be_loaded() -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', render_atlas(page()))
    assert policy is not None
    assert "default-src &#39;none&#39;" in policy[1]
    assert "http" not in policy[1]
    assert "file:" not in policy[1]
    assert "unsafe-inline" not in policy[1].partition("style-src")[0]
    beside = re.search(r'Content-Security-Policy" content="([^"]+)"', render_atlas(page(), "atlas"))
    assert beside is not None
    assert "file:" in beside[1]


def test_the_script_makes_no_markup_of_text() -> None:
    html = render_atlas(page())
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch("):
        assert word not in html


def test_a_divided_page_names_its_files() -> None:
    html = render_atlas(page(), "beside")
    assert set(blocks(html)) == {"index"}
    index = unpacked(blocks(html)["index"])
    assert isinstance(index, dict)
    assert index["folder"] == "beside"
    files = dict(atlas_files(page()))
    assert list(files) == ["chunk-0.js", "chunk-1.js", "sheet-0.png"]
    call = re.fullmatch(r'atlasChunk\(0,"([\w+/=]+)"\)\n', files["chunk-0.js"].decode())
    assert call is not None
    assert unpacked(call[1]) == {"latents": [HOSTILE]}


def test_the_same_page_gives_the_same_bytes() -> None:
    assert render_atlas(page()) == render_atlas(page())
    assert packed({"a": [1.5, None, float("nan")]}) == packed({"a": [1.5, None, float("nan")]})
    assert unpacked(packed({"a": [float("inf")]})) == {"a": [None]}


@pytest.mark.parametrize("name", ["atlas.js", "atlas.css", "atlas.html"])
def test_templates_name_no_place_on_a_network(name: str) -> None:
    from superscope.report.render import template

    text = template(name).replace("http://www.w3.org/2000/svg", "")
    assert "http" not in text.lower().replace("http-equiv", "")
