"""From a Matplotlib figure to SVG that lives inside a page and takes its colours."""

import re
import warnings
from xml.etree import ElementTree as ET

from matplotlib.figure import Figure

from superscope.core import artifacts
from superscope.core.errors import InputError
from superscope.plots.style import INK, one_line


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
    if not alt.strip():
        raise InputError("a picture came without an alt text; say in a sentence what it shows")
    if not re.fullmatch(r"[A-Za-z][\w-]*", prefix, re.ASCII):
        raise InputError(
            f"prefix {prefix!r} cannot start an id; use letters, digits, - and _, a letter first"
        )
    with warnings.catch_warnings():
        # A letter that Matplotlib's font lacks is still text in the SVG, and the browser has a font for it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # it would start again from where it ended, and end elsewhere
        root = ET.fromstring(artifacts.render(figure, "svg"))  # noqa: S314 (Matplotlib wrote it just now)
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):  # in a page, that style would be everybody's
                parent.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = {
            _local(key): _inlined(_local(key), value, prefix) for key, value in element.attrib.items()
        }
    width = float(root.attrib.pop("width").removesuffix("pt"))
    root.attrib.pop("height")
    title = ET.Element("title", {"id": f"{prefix}-title"})
    title.text = one_line(alt)
    root.insert(0, title)
    root.attrib |= {
        "role": "img",
        "aria-labelledby": f"{prefix}-title",
        "style": f"width:100%;max-width:{1.75 * width:.0f}px;height:auto;stroke-linejoin:round",
    }
    return ET.tostring(root, encoding="unicode")


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _inlined(key: str, value: str, prefix: str) -> str:
    if key == "id":
        return f"{prefix}-{value}"
    if key == "href" and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    return value.replace("url(#", f"url(#{prefix}-").replace(INK, "currentColor")
