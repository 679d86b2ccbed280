"""Pictures on sheets, cut out again as a page does."""

import io

import numpy as np
import pytest
from PIL import Image

from superscope.atlas.sprites import PER_SHEET, sheets


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_small_pictures_come_back_to_the_bit(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, shape, np.uint8) for _ in range(PER_SHEET + 40)]
    found = sheets(pictures)
    assert [(each.kind, each.columns, each.rows) for each in found] == [
        ("image/png", 32, 32),
        ("image/png", 32, 2),
    ]
    opened = [np.asarray(Image.open(io.BytesIO(each.data))) for each in found]
    for number, picture in enumerate(pictures):
        sheet, place = found[number // PER_SHEET], number % PER_SHEET
        y, x = place // sheet.columns * 5, place % sheet.columns * 7
        assert np.array_equal(opened[number // PER_SHEET][y : y + 5, x : x + 7], picture)


def test_photographs_are_compressed_and_stay_what_they_were() -> None:
    ramp = np.tile(np.linspace(0, 255, 64, dtype=np.uint8)[:, None, None], (1, 64, 3))
    [sheet] = sheets([ramp, 255 - ramp])
    assert sheet.kind == "image/jpeg"
    opened = np.asarray(Image.open(io.BytesIO(sheet.data))).astype(int)
    assert opened.shape == (64, 128, 3)
    assert abs(opened[:, :64] - ramp).max() < 12
    assert sheets([]) == []
