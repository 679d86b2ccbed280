"""SVG that may stand in a page: its colours, its ids, its texts."""

import re
from xml.etree import ElementTree as ET

import pytest
import torch
from matplotlib.figure import Figure

from superscope.core.errors import InputError
from superscope.plots import inline_svg, plot_features, style

HOSTILE = "</script><img src=x onerror=alert(1)>"


def svg(prefix: str = "f1", alt: str = "Two features") -> ET.Element:
    figure = plot_features(torch.eye(2)[None], [HOSTILE])
    return ET.fromstring(inline_svg(figure, alt, prefix))


def test_inline_svg_has_a_label_a_width_and_no_prolog():
    text = inline_svg(plot_features(torch.eye(2)[None], ["eye"]), "Two\x00 <features>", "f1")
    root = ET.fromstring(text)
    assert text.startswith("<svg ")
    assert root.get("role") == "img"
    assert root[0].tag == "title"
    assert root[0].get("id") == root.get("aria-labelledby") == "f1-title"
    assert root[0].text == "Two <features>"
    assert "width:100%" in root.get("style", "")
    assert root.get("width") is None
    assert not {"metadata", "style", "script"} & {element.tag for element in root.iter()}


def test_all_ink_follows_the_page():
    text = ET.tostring(svg(), encoding="unicode")
    assert style.INK not in text
    assert "currentColor" in text
    for element in svg().iter("text"):
        assert "fill: currentColor" in element.get("style", "")


def test_ids_are_unique_per_figure_and_every_reference_has_its_target():
    ids = {}
    for prefix in ("a", "b"):
        root = svg(prefix)
        ids[prefix] = {element.get("id") for element in root.iter() if element.get("id")}
        used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', ET.tostring(root, encoding="unicode")))
        assert used
        assert {one or other for one, other in used} <= ids[prefix]
    assert not ids["a"] & ids["b"]


def test_hostile_titles_are_text():
    root = svg(alt=HOSTILE)
    assert root[0].text == HOSTILE
    assert not {"img", "script"} & {element.tag for element in root.iter()}
    assert any("<img src=x" in "".join(element.itertext()) for element in root.iter("text"))


def test_the_same_figure_gives_the_same_svg_each_time():
    figure = plot_features(torch.eye(2)[None], ["eye"])
    again = plot_features(torch.eye(2)[None], ["eye"])
    assert inline_svg(figure, "x", "f") == inline_svg(figure, "x", "f") == inline_svg(again, "x", "f")


def test_inline_svg_refuses_a_blank_alt_and_a_bad_prefix():
    with pytest.raises(InputError, match="without an alt text"):
        inline_svg(Figure(), " ", "f")
    with pytest.raises(InputError, match="prefix '1 f' cannot start an id"):
        inline_svg(Figure(), "x", "1 f")


def test_a_drawing_of_another_program_comes_without_what_runs_or_loads():
    from superscope.plots import inline_drawing

    drawn = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="90pt" height="20pt"><script>alert(1)</script>'
        '<g id="a" onclick="alert(1)"><text fill="#1e2b3a">layer &lt;1&gt;</text></g><image href="http://x"/></svg>'
    )
    made = inline_drawing(drawn, "A graph.", "pic")
    assert "alert" not in made
    assert "http://x" not in made
    assert '<g id="pic-a"><text fill="currentColor">layer &lt;1&gt;</text></g>' in made
    with pytest.raises(InputError, match="is no SVG"):
        inline_drawing("<svg", "A graph.", "pic")
    with pytest.raises(InputError, match="not an <svg>"):
        inline_drawing("<html/>", "A graph.", "pic")
