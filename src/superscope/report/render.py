"""From a page to one HTML file: everything inlined, everything escaped, the same page the same bytes.

A content security policy in the page's head allows the scripts that :func:`render` put there, by their
sha256, and nothing else: neither a request nor a script that slipped through in somebody's layer name.
"""

import base64
import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from superscope.core.errors import InputError
from superscope.plots import inline_drawing, inline_svg
from superscope.report.page import (
    Block,
    ClaimsTable,
    DataTable,
    Drawing,
    Facts,
    Interactive,
    Page,
    Picture,
    Prose,
)
from superscope.report.tables import MISSING, claim_row, data_table, summary


def render(page: Page) -> str:
    """Return a page as one self-contained HTML file.

    The file loads nothing, follows the reader's light or dark mode, and fits a phone. Plotly's script is in
    it, once, when a block is an :class:`Interactive`.

    Raises:
        InputError: when an anchor cannot be a fragment, a picture lacks its alt text, or a claim a field.
    """
    numbers = itertools.count(1)
    anchors = _anchors(page)
    sections = [
        {
            "title": section.title,
            "anchor": anchor,
            "blocks": [_view(block, f"b{next(numbers)}") for block in section.blocks],
        }
        for section, anchor in zip(page.sections, anchors, strict=True)
    ]
    interactive = any(isinstance(block, Interactive) for section in page.sections for block in section.blocks)
    scripts = [template("page.js")]
    if interactive:
        from plotly.offline import get_plotlyjs

        scripts.insert(0, get_plotlyjs())
    environment = Environment(
        loader=PackageLoader("superscope.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        page=page,
        sections=sections,
        style=Markup(template("page.css")),  # noqa: S704 (our own file)
        scripts=[Markup(script) for script in scripts],  # noqa: S704 (our own file and Plotly's)
        policy=policy_of(scripts),
    )


def _view(block: Block, identity: str) -> dict[str, object]:
    match block:
        case Prose(text):
            return {
                "kind": "prose",
                "paragraphs": [part for part in re.split(r"\n\s*\n", text.strip()) if part],
            }
        case Facts(values):
            return {"kind": "facts", "facts": [(name, _fact(value)) for name, value in values.items()]}
        case Picture(figure, caption, alt):
            svg = Markup(inline_svg(figure, alt, identity))  # noqa: S704 (an XML writer escaped it)
            return {"kind": "picture", "svg": svg, "caption": caption}
        case Drawing(drawn, caption, alt):
            svg = Markup(inline_drawing(drawn, alt, identity))  # noqa: S704 (an XML writer escaped it)
            return {"kind": "picture", "svg": svg, "caption": caption}
        case Interactive(figure, caption):
            return {
                "kind": "interactive",
                "id": identity,
                "json": _json(str(figure.to_json())),
                "caption": caption,
            }
        case DataTable():
            return {"kind": "table", **data_table(block)}
        case ClaimsTable(claims):
            return {
                "kind": "claims",
                "claims": [claim_row(claim) for claim in claims],
                "summary": summary(claims),
            }


def _fact(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_fact(item)}" for name, item in value.items()) or MISSING
    if isinstance(value, list | tuple):
        return ", ".join(map(_fact, value)) or MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return MISSING if value is None else str(value)


def _anchors(page: Page) -> list[str]:
    anchors: list[str] = []
    for section in page.sections:
        if section.anchor is not None and not re.fullmatch(r"\S+", section.anchor):
            raise InputError(
                f"anchor {section.anchor!r} cannot be a fragment; give one without white space, or None"
            )
        # "s-" keeps it apart from the ids of figures
        anchor = section.anchor or "s-" + (re.sub(r"\W+", "-", section.title.lower()).strip("-") or "section")
        taken, number = anchor, 2
        while anchor in anchors:
            anchor, number = f"{taken}-{number}", number + 1
        anchors.append(anchor)
    return anchors


def _json(text: str) -> Markup:
    for letter in "<>&":  # in JSON they stand in strings only; escaped, no element can end there
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)  # noqa: S704 (escaped above)


def policy_of(scripts: Iterable[str], *, beside: bool = False) -> str:
    """Return the content security policy of a page with these scripts, and with files beside it or none."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    files = " 'self' file:" if beside else ""  # of a page that is a file, 'self' may mean nothing
    return (
        f"default-src 'none'; script-src {allowed}{files}; style-src 'unsafe-inline'; "
        f"img-src data: blob:{files}"
    )


def template(name: str) -> str:
    """Return one of the files that pages are made of."""
    return resources.files("superscope.report").joinpath("templates", name).read_text(encoding="utf-8")
