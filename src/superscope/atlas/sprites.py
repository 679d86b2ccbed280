"""Many small pictures in a few large ones, which a page cuts them out of."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from superscope.report import Sheet

PER_SHEET = 1024
"""Pictures on a sheet: of 64 pixels, four million pixels, which every browser takes."""
_COLUMNS = 32
_FINE = 33
"""Colour pictures of so many pixels and more are photographs, for which JPEG takes a fifth of PNG's room."""


def sheets(pictures: Sequence[np.ndarray]) -> list[Sheet]:
    """Return pictures of one size, uint8 [height, width] or [height, width, 3], in rows of 32 on sheets."""
    found = []
    for start in range(0, len(pictures), PER_SHEET):
        some = pictures[start : start + PER_SHEET]
        height, width = some[0].shape[:2]
        columns = min(_COLUMNS, len(some))
        rows = -(-len(some) // columns)
        canvas = np.zeros((rows * height, columns * width, *some[0].shape[2:]), np.uint8)
        for place, picture in enumerate(some):
            y, x = place // columns * height, place % columns * width
            canvas[y : y + height, x : x + width] = picture
        image, buffer = Image.fromarray(canvas), io.BytesIO()
        if canvas.ndim == 3 and max(height, width) >= _FINE:
            image.save(buffer, "JPEG", quality=88, subsampling=0)
            found.append(Sheet(buffer.getvalue(), "image/jpeg", columns, rows))
        else:
            image.save(buffer, "PNG", optimize=True)
            found.append(Sheet(buffer.getvalue(), "image/png", columns, rows))
    return found
