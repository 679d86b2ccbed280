"""Attributions over the picture they explain: red where a pixel pushes the logit up, blue where down."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from superscope.core.errors import InputError
from superscope.plots import style
from superscope.plots.style import Values

_COLUMNS = 5
_GAP = 0.08
"""Between tiles, in widths of a tile."""
_SHADE = 0.3
"""How much a full pixel of the picture darkens its tile: seen below the colours, and not hiding them."""
_TAIL = 0.999
"""As in SHAP's picture, one pixel in a thousand may lie beyond the scale."""


def plot_attribution(
    images: Values,
    maps: Values,
    titles: Sequence[object],
    *,
    classes: Sequence[object] | None = None,
    shared: bool = False,
) -> Figure:
    """Draw attributions over a grey shadow of their images: red pushes the logit up, blue down.

    With one map an image, a tile for each image, five in a row. With a map for each class, a row for each
    image: the image, then a tile for each class, as in SHAP's picture of MNIST (Lundberg and Lee 2017).
    The scale is symmetric around 0 and ends where 99.9 % of the sizes end: those of the tile or the row
    alone, or of all tiles where ``shared``. What is not finite is grey.

    Args:
        images: [image, height, width], brighter where there is more; any range.
        maps: [image, height, width] or [image, class, height, width], the attributions.
        titles: of each image, such as "7" or "7, taken for 9".
        classes: names of the classes; numbers from 0 where None.
        shared: one scale for all, with the attribution's unit, the logit's, on its bar.

    Raises:
        InputError: when the shapes do not fit each other, or a title or a class's name is missing.
    """
    pictures = style.array(images, "images", "image height width")
    by_class = maps.ndim == 4
    values = style.array(maps, "maps", "image class height width" if by_class else "image height width")
    if (len(values), *values.shape[-2:]) != pictures.shape:
        raise InputError(
            f"maps has the shape {list(values.shape)} beside images of {list(pictures.shape)}; give as many, "
            "of one size"
        )
    if classes is not None and not by_class:
        raise InputError(
            f"maps has the shape {list(values.shape)} beside classes; give [image, class, height, width]"
        )
    limits = _limits(values, shared=shared)
    tiles = _paint(pictures[:, None] if by_class else pictures, values, limits)
    if by_class:
        originals = _paint(pictures, np.zeros_like(pictures), np.ones((len(pictures), 1, 1)))
        tiles = np.concatenate([originals[:, None], tiles], 1)
        every = range(values.shape[1]) if classes is None else classes
        named = ["image", *style.names(every, values.shape[1], "classes", 10)]
        figure = _rows(tiles, style.names(titles, len(pictures), "titles", 14), named)
    else:
        figure = _grid(tiles, style.names(titles, len(pictures), "titles", 18))
    scope = "row" if by_class else "image"
    top = float(limits.max()) if shared else 1.0
    text = "attribution (logit)" if shared else f"attribution / {scope}'s largest"
    bar = style.colorbar(figure, ScalarMappable(Normalize(-top, top), style.diverging()), text)
    if not shared:
        bar.set_ticks([-1, 0, 1], labels=["−1", "0", "1"])
    return figure


def _limits(values: Float[np.ndarray, "image ..."], *, shared: bool) -> Float[np.ndarray, "image ..."]:
    """Return the end of each image's scale, shaped to divide ``values`` by."""
    sizes = np.where(np.isfinite(values), np.abs(values), np.nan).reshape(1 if shared else len(values), -1)
    known = np.isfinite(sizes).any(1)
    ends = np.ones(len(sizes))
    ends[known] = np.nanquantile(sizes[known], _TAIL, axis=1, method="higher")
    ends[known & (ends == 0)] = np.nanmax(sizes[known & (ends == 0)], axis=1, initial=0.0)
    ends[ends == 0] = 1.0
    return np.broadcast_to(ends, len(values)).reshape(-1, *[1] * (values.ndim - 1))


def _paint(
    pictures: Float[np.ndarray, "*tile height width"],
    values: Float[np.ndarray, "*tiles height width"],
    limits: Float[np.ndarray, "..."],
) -> Float[np.ndarray, "*tiles height width 3"]:
    """Return tiles: the values' colours, darkened by the picture."""
    low = pictures.min((-2, -1), keepdims=True)
    spread = pictures.max((-2, -1), keepdims=True) - low
    shadow = 1 - _SHADE * (pictures - low) / np.where(spread > 0, spread, 1)
    colors = style.diverging()(np.ma.masked_invalid(np.clip(0.5 + values / limits / 2, 0, 1)))[..., :3]
    return colors * np.broadcast_to(shadow, values.shape)[..., None]


def _grid(tiles: Float[np.ndarray, "image height width 3"], titles: list[str]) -> Figure:
    _, height, width, _ = tiles.shape
    figure, panels = style.grid(len(tiles), _COLUMNS, aspect=height / width)
    for ax, tile, title in zip(panels, tiles, titles, strict=True):
        _show(ax, tile)
        style.say(ax, title=title)
    return figure


def _rows(
    tiles: Float[np.ndarray, "image class height width 3"], titles: list[str], classes: list[str]
) -> Figure:
    """Put all tiles into one picture, which is many times faster and smaller than a panel for each."""
    rows, columns, height, width, _ = tiles.shape
    gap = max(1, round(_GAP * width))
    sheet = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4))
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + gap), column * (width + gap)
            sheet[top : top + height, left : left + width, :3] = tiles[row, column]
            sheet[top : top + height, left : left + width, 3] = 1
    figure, [ax] = style.grid(1, 1, aspect=max(0.3, 0.88 * sheet.shape[0] / sheet.shape[1]))
    _show(ax, sheet)
    across = np.arange(columns) * (width + gap) + width / 2
    down = np.arange(rows) * (height + gap) + height / 2
    ax.set_xticks(across, classes, rotation=90 if sum(map(len, classes[1:])) > 30 else 0)
    ax.set_yticks(down, titles)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    return figure


def _show(ax: Axes, picture: np.ndarray) -> None:
    height, width = picture.shape[:2]
    ax.imshow(picture, extent=(0, width, height, 0), interpolation="none")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
