"""The rendered file: its structure by an HTML parser, its escaping, and that it loads nothing."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs

from superscope.core.errors import InputError
from superscope.plots import explore_ranks, plot_features
from superscope.report import (
    ClaimsTable,
    DataTable,
    Facts,
    Interactive,
    Page,
    Picture,
    Prose,
    Section,
    render,
)  # fmt: skip

HOSTILE = "</script><img src=x onerror=alert(1)>"
VOID = {"meta", "link", "img", "br", "hr", "input"}
CLAIM = {
    "id": "T2", "statement": "a pentagon", "setting": "n=5, m=2", "source": "TMS", "published": 0.4,
    "tolerance": 0.02, "measured": 0.4003, "low": 0.398, "high": 0.402, "seeds": 5, "verdict": "reproduced",
    "evidence": "all five",
}  # fmt: skip


class Parsed(HTMLParser):
    """Tags with their attributes, and text by the tag it stands in; tags have to be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def inside(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]


def page(*blocks, title="Title", sections=1) -> Page:
    return Page(title, "Subtitle", [Section(f"Section {i}", blocks) for i in range(sections)])


def parse(*blocks, **options) -> Parsed:
    return Parsed(render(page(*blocks, **options)))


def ranks(name: str = "conv1") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "name": [name, "fc"],
            "width": [4, 8],
            "stable_rank": [2.0, np.nan],
            "stable_rank_ratio": [0.5, np.nan],
        }
    )


def every_block(text: str) -> list:
    figure = plot_features(torch.eye(2)[None], [text])
    return [
        Prose(f"{text}\n\n{text}"),
        Facts({text: text, "nested": {text: [text]}}),
        Picture(figure, text, text),
        Interactive(explore_ranks(ranks(text)), text),
        DataTable(ranks(text).rename(columns={"width": text}), text, {}, {text: text}),
        ClaimsTable([{**CLAIM, "id": text, "statement": text, "setting": text, "source": text,
                      "published": text, "tolerance": text, "seeds": text, "evidence": text}]),
    ]  # fmt: skip


def test_the_head_names_language_viewport_and_title():
    parsed = parse(Prose("text"))
    assert parsed.named("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in parsed.named("meta")
    assert parsed.inside("title") == parsed.inside("h1") == ["Title"]
    assert parsed.inside("h2") == ["Section 0"]


def test_nothing_is_loaded_and_only_our_own_scripts_run():
    text = render(page(*every_block("conv1")))
    parsed = Parsed(text)
    for tag, attributes in parsed.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name) or attributes.get(f"xlink:{name}") or ""
            assert not value or value.startswith(("#", "data:")), (tag, value)
    assert not {"link", "iframe", "object", "base"} & {tag for tag, _ in parsed.tags}
    assert "@import" not in text
    policy = next(meta["content"] for meta in parsed.named("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    for script in re.findall(r"<script>(.*?)</script>", text, re.DOTALL):
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy


@pytest.mark.parametrize("block", every_block(HOSTILE), ids=lambda block: type(block).__name__)
def test_hostile_text_is_inert_in_every_block(block):
    parsed = Parsed(render(Page(HOSTILE, HOSTILE, [Section(HOSTILE, [block])] * 3)))
    assert not parsed.named("img")
    assert not [1 for _, attributes in parsed.tags if any(name.startswith("on") for name in attributes)]
    scripts = len(parsed.named("script"))
    assert scripts == (5 if isinstance(block, Interactive) else 1)
    assert HOSTILE in parsed.inside("h1")
    assert HOSTILE in parsed.inside("h2")


@given(st.text())
@settings(deadline=None, max_examples=30)
def test_any_text_comes_out_as_it_went_in(text):
    text = " ".join(text.split())
    shown = [name for name in text if name.isprintable()]
    parsed = Parsed(render(Page("t", "", [Section("s", [Facts({"fact": "x" + "".join(shown) + "x"})])])))
    assert parsed.inside("dd") == ["x" + "".join(shown) + "x"]


def test_json_of_a_chart_cannot_end_its_script():
    figure = go.Figure(go.Scatter(name=HOSTILE, y=[1, 2]))
    text = render(page(Interactive(figure, "caption")))
    data = re.search(r'<script type="application/json" id="b1-data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert "<" not in data[1]
    assert json.loads(data[1])["data"][0]["name"] == HOSTILE


def test_plotly_comes_once_and_only_where_it_is_used():
    chart = Interactive(explore_ranks(ranks()), "caption")
    assert render(page(chart, chart, sections=2)).count(get_plotlyjs()) == 1
    assert get_plotlyjs()[:200] not in render(page(Prose("text")))


def test_the_same_page_gives_the_same_bytes():
    assert render(page(*every_block("conv1"))) == render(page(*every_block("conv1")))
    again = page(*every_block("conv1"))
    assert render(again) == render(again)


def test_ids_are_unique():
    parsed = parse(*every_block("conv1"), sections=3)
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("count", [2, 3])
def test_three_sections_have_a_contents_list_that_leads_to_them(count):
    parsed = parse(Prose("text"), sections=count)
    targets = [link["href"] for link in parsed.named("a")]
    assert targets == ([f"#s-section-{i}" for i in range(3)] if count == 3 else [])
    assert {section["id"] for section in parsed.named("section")} == {f"s-section-{i}" for i in range(count)}


def test_anchors_are_kept_made_and_told_apart():
    sections = [Section("A & B", []), Section("a b", []), Section("?", []), Section("c", [], anchor="own")]
    parsed = Parsed(render(Page("t", "", sections)))
    assert [section["id"] for section in parsed.named("section")] == ["s-a-b", "s-a-b-2", "s-section", "own"]
    with pytest.raises(InputError, match="anchor 'a b' cannot be a fragment"):
        render(Page("t", "", [Section("c", [], anchor="a b")]))


def test_prose_splits_at_blank_lines():
    assert parse(Prose("one\ntwo\n  \n\nthree\n")).inside("p") == ["Subtitle", "one\ntwo", "three"]


def test_facts_are_written_plainly():
    parsed = parse(Facts({"a": 0.001, "b": None, "c": True, "d": {"torch": "2.13", "x": [1, 2]}, "e": []}))
    assert parsed.inside("dt") == list("abcde")
    assert parsed.inside("dd") == ["0.001", "–", "yes", "torch 2.13, x 1, 2", "–"]


def test_a_picture_is_a_labelled_svg_with_its_caption():
    parsed = parse(Picture(plot_features(torch.eye(2)[None], ["eye"]), "A caption.", "Two features"))
    [svg] = parsed.named("svg")
    assert svg["role"] == "img"
    assert "Two features" in parsed.inside("title")
    assert parsed.inside("figcaption") == ["A caption."]


def test_a_table_writes_numbers_in_columns_and_a_dash_for_none():
    table = pd.DataFrame(
        {
            "name": ["a", "b"], "rank": [12.3456, np.nan], "width": [64, 20480], "tiny": [1e-9, 1.0],
            "ok": [True, False], "ratio": [0.51234, 0.1], "note": [None, "x"],
        }
    )  # fmt: skip
    parsed = parse(DataTable(table, "caption", {"ratio": "{:.1%}"}, {"rank": "what it means"}))
    cells = [text for tag, text in parsed.texts if tag in ("td", "th")]
    assert cells[:7] == ["a", "12.35", "64", "1e-09", "yes", "51.2%", "–"]
    assert cells[7:] == ["b", "–", "20,480", "1", "no", "10.0%", "x"]
    assert parsed.inside("button") == list(table.columns)
    assert parsed.inside("dd") == ["what it means"]
    rank = next(cell for cell in parsed.named("td") if cell.get("data-key") == "12.3456")
    assert rank["class"] == "number"
    assert {"scope": "row"} in parsed.named("th")


def test_columns_of_the_same_name_and_tables_without_rows_are_shown():
    twice = pd.DataFrame([[1, 2]], columns=["x", "x"])
    assert [text for tag, text in parse(DataTable(twice)).texts if tag in ("th", "td")] == ["1", "2"]
    assert parse(DataTable(ranks()[:0])).inside("td") == ["no rows"]


def test_a_format_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"column 'name' holds 'conv1', which '{:.3f}' cannot write"):
        render(page(DataTable(ranks(), "", {"name": "{:.3f}"})))


@pytest.mark.parametrize(
    ("verdict", "shown"),
    [("reproduced", "✓ reproduced"), ("not reproduced", "✗ not reproduced"), ("not run", "– not run")],
)
def test_a_verdict_is_text_and_sign_and_colour(verdict, shown):
    parsed = parse(ClaimsTable([{**CLAIM, "verdict": verdict}]))
    assert shown in parsed.inside("span")
    assert {"class": "verdict " + verdict.replace(" ", "-")} in parsed.named("span")
    assert f"1 {verdict}" in parsed.inside("figcaption")[0]


def test_a_claim_shows_its_numbers():
    parsed = parse(ClaimsTable([CLAIM]))
    for text in ("± 0.02", "[0.398, 0.402]", "T2"):
        assert text in parsed.inside("span")
    assert "0.4003" in parsed.inside("td")
    assert "5 seeds" in parsed.inside("small")
    bare = {
        **CLAIM,
        "measured": None,
        "low": None,
        "high": None,
        "seeds": 0,
        "verdict": "not run",
        "tolerance": None,
    }
    assert not [text for text in parse(ClaimsTable([bare])).inside("span") if text.startswith(("±", "["))]


def test_claims_that_are_not_whole_are_refused():
    with pytest.raises(InputError, match="claim 'T2' lacks low, evidence"):
        render(
            page(
                ClaimsTable([{key: value for key, value in CLAIM.items() if key not in ("low", "evidence")}])
            )
        )
    with pytest.raises(InputError, match="claim 'T2' has the verdict 'maybe'; give one of reproduced, not"):
        render(page(ClaimsTable([{**CLAIM, "verdict": "maybe"}])))
