"""From a Matplotlib figure to SVG that lives inside a page and takes its colours."""

import re
import warnings
from xml.etree import ElementTree as ET

from matplotlib.figure import Figure

from superscope.core import artifacts
from superscope.core.errors import InputError
from superscope.plots.style import INK, one_line

# In a page, a style would be everybody's; the others run or load something, or say what the caption says.
_LEFT_OUT = ("metadata", "style", "title", "script", "image", "foreignObject", "a")


def inline_svg(figure: Figure, alt: str, prefix: str) -> str:
    """Return a figure as an ``<svg>`` element to put into an HTML page.

    Ink becomes ``currentColor``, every id starts with ``prefix`` so that figures on a page do not share
    theirs, the background is transparent, and the element is as wide as its column up to a readable size.
    The figure's layout is settled by this call, so that drawing it again gives the same bytes.

    Args:
        figure: any Matplotlib figure; what it draws in ``style.INK`` follows the page's colour.
        alt: what it shows, for those who cannot see it; it becomes the title and the label.
        prefix: letters, digits, ``-`` and ``_``, starting with a letter.

    Raises:
        InputError: when ``alt`` is blank or ``prefix`` cannot start an id.
    """
    _require_words(alt, prefix)
    with warnings.catch_warnings():
        # A letter that Matplotlib's font lacks is still text in the SVG, and the browser has a font for it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # it would start again from where it ended, and end elsewhere
        root = ET.fromstring(artifacts.render(figure, "svg"))  # noqa: S314 (Matplotlib wrote it just now)
    return _element(root, alt, prefix)


def inline_drawing(svg: str, alt: str, prefix: str) -> str:
    """Return an SVG document of another program as :func:`inline_svg` does a figure.

    What could run or load something (scripts, links, handlers, images, foreign objects) is left out.

    Raises:
        InputError: as :func:`inline_svg` does, and when ``svg`` is no SVG.
    """
    _require_words(alt, prefix)
    try:
        root = ET.fromstring(svg)  # noqa: S314 (of a program on this machine)
    except ET.ParseError as error:
        raise InputError(f"the drawing is no SVG: {error}; give the whole document") from error
    if _local(root.tag) != "svg" or "width" not in root.attrib:
        raise InputError(f"the drawing is a {_local(root.tag)} element, not an <svg> with a width")
    return _element(root, alt, prefix)


def _require_words(alt: str, prefix: str) -> None:
    if not alt.strip():
        raise InputError("a picture came without an alt text; say in a sentence what it shows")
    if not re.fullmatch(r"[A-Za-z][\w-]*", prefix, re.ASCII):
        raise InputError(
            f"prefix {prefix!r} cannot start an id; use letters, digits, - and _, a letter first"
        )


def _element(root: ET.Element, alt: str, prefix: str) -> str:
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in _LEFT_OUT and not _is_pixels(child):
                parent.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = {
            _local(key): _inlined(_local(key), value, prefix)
            for key, value in element.attrib.items()
            if not _local(key).startswith("on")
        }
    width = float(root.attrib.pop("width").removesuffix("pt"))
    root.attrib.pop("height", None)
    title = ET.Element("title", {"id": f"{prefix}-title"})
    title.text = one_line(alt)
    root.insert(0, title)
    root.attrib |= {
        "role": "img",
        "aria-labelledby": f"{prefix}-title",
        "style": f"width:100%;max-width:{1.75 * width:.0f}px;height:auto;stroke-linejoin:round",
    }
    return ET.tostring(root, encoding="unicode")


def _is_pixels(element: ET.Element) -> bool:
    """Tell whether an element is a picture that the file holds itself, such as the cells of a heat map."""
    hrefs = [value for key, value in element.attrib.items() if _local(key) == "href"]
    return _local(element.tag) == "image" and all(href.startswith("data:image/png;base64,") for href in hrefs)


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _inlined(key: str, value: str, prefix: str) -> str:
    if key == "id":
        return f"{prefix}-{value}"
    if key == "href" and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    return value.replace("url(#", f"url(#{prefix}-").replace(INK, "currentColor")
