"""What a report is made of: a page of sections, a section of blocks, each a small frozen value.

Blocks hold results, not markup: every string in them is plain text and is escaped when the page is rendered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure
from plotly.basedatatypes import BaseFigure


@dataclass(frozen=True)
class Prose:
    """Plain text; a blank line starts a new paragraph."""

    text: str


@dataclass(frozen=True)
class Facts:
    """Names and values as a compact list: a config, an environment; a value may be a mapping or a list."""

    values: Mapping[str, object]


@dataclass(frozen=True, eq=False)
class Picture:
    """A Matplotlib figure, drawn into the page as SVG that follows the light or dark mode."""

    figure: Figure
    caption: str
    alt: str
    """What the picture shows, for those who cannot see it."""


@dataclass(frozen=True)
class Drawing:
    """An SVG document from elsewhere, such as Graphviz; the colour of the figures' ink follows the page's."""

    svg: str
    caption: str
    alt: str
    """What it shows, for those who cannot see it."""


@dataclass(frozen=True, eq=False)
class Interactive:
    """A Plotly figure; the first one on a page brings Plotly's script with it."""

    figure: BaseFigure
    caption: str


@dataclass(frozen=True, eq=False)
class DataTable:
    """A table to scroll and to sort by a click on a header."""

    table: pd.DataFrame
    caption: str = ""
    formats: Mapping[str, str] = field(default_factory=dict[str, str])
    """A ``str.format`` pattern for each column that needs one, such as ``{"ratio": "{:.3f}"}``."""
    descriptions: Mapping[str, str] = field(default_factory=dict[str, str])
    """What a column means, shown below the table and where the pointer rests on its header."""


@dataclass(frozen=True)
class ClaimsTable:
    """Published numbers beside the measured ones.

    Each claim is a mapping with ``id``, ``statement``, ``setting``, ``source``, ``published`` and
    ``tolerance`` (number, text or None), ``measured``, ``low``, ``high`` (mean and 95 % interval, or None),
    ``seeds``, ``verdict`` (``"reproduced"``, ``"not reproduced"`` or ``"not run"``), and ``evidence``.
    """

    claims: Sequence[Mapping[str, object]]


Block = Prose | Facts | Picture | Drawing | Interactive | DataTable | ClaimsTable


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]
    anchor: str | None = None
    """The fragment that links to the section; made from the title where None."""


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    subtitle: str
    sections: Sequence[Section]
