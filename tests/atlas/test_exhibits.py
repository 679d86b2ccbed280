"""What is shown of samples: pixels as they were, tokens without padding, vectors of a length to draw."""

import numpy as np
import pytest
import torch

from superscope.atlas.exhibits import Exhibits
from superscope.data import Batch


def test_pixels_come_back_whatever_normalisation_they_went_through() -> None:
    pixels = torch.randint(
        0, 256, (12, 3, 8, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    pixels[0, :, 0, 0], pixels[1, :, 0, 0] = 0, 255
    mean, std = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.25]).view(3, 1, 1)
    exhibits = Exhibits()
    for rows in torch.arange(12).split(5):
        batch = Batch((pixels[rows] / 255 - mean) / std)
        exhibits.look(batch)
        exhibits.keep(batch, (rows + 7).tolist(), list(range(len(rows))))
    for number in range(12):
        shown = exhibits.picture(number + 7).astype(int)
        assert abs(shown - pixels[number].permute(1, 2, 0).numpy()).max() <= 1


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((1, 8, 8), (8, 8)), ((2, 8, 8), (8, 8)), ((3, 128, 100), (64, 50, 3)), ((4, 70, 7), (64, 6))],
)
def test_pictures_are_grey_or_in_colour_and_not_larger_than_a_thumb(
    shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    exhibits, batch = Exhibits(), Batch(torch.rand(2, *shape))
    exhibits.look(batch)
    exhibits.keep(batch, [0, 1], [1])
    assert exhibits.picture(1).shape == expected
    assert exhibits.picture(1).dtype == np.uint8


def test_images_in_a_mapping_are_found_and_masks_are_not_taken_for_them() -> None:
    exhibits = Exhibits()
    inputs = {"pixel_mask": torch.ones(2, 4, 4), "pixel_values": torch.rand(2, 3, 4, 4)}
    exhibits.keep(Batch(inputs), [0, 1], [0])
    assert (exhibits.kind, exhibits.items[0].shape) == ("image", (3, 4, 4))


def test_tokens_are_kept_without_padding_on_either_side() -> None:
    exhibits = Exhibits()
    inputs = {
        "input_ids": torch.tensor([[0, 5, 6], [7, 8, 0]]),
        "attention_mask": torch.tensor([[0, 1, 1], [1, 1, 0]]),
    }
    exhibits.keep(Batch(inputs), [3, 9], [0, 1])
    assert exhibits.kind == "text"
    assert {number: item.tolist() for number, item in exhibits.items.items()} == {
        3: [-1, 5, 6],
        9: [7, 8, -1],
    }


def test_long_vectors_are_averaged_in_pieces() -> None:
    exhibits = Exhibits()
    exhibits.keep(Batch(torch.arange(256.0).repeat(2, 1)), [0, 1], [0])
    assert exhibits.kind == "vector"
    assert exhibits.items[0][:3].tolist() == [0.5, 2.5, 4.5]
    exhibits.keep(Batch(torch.ones(1, 3, 2)), [5], [0])
    assert exhibits.items[5].tolist() == [1.0] * 6


def test_what_is_not_needed_is_forgotten() -> None:
    exhibits = Exhibits()
    exhibits.keep(Batch(torch.ones(4, 2)), [0, 1, 2, 3], [0, 1, 2, 3])
    exhibits.forget([2, 0, 77])
    assert sorted(exhibits.items) == [0, 2]
