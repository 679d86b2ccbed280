"""Attributions over images: colours by sign, scales by image, row or all."""

import numpy as np
import pytest
import torch

from superscope.core.errors import InputError
from superscope.plots import inline_svg, plot_attribution, style


def tile(ax) -> np.ndarray:
    return np.asarray(ax.images[0].get_array())


def test_red_pushes_up_and_blue_down_and_the_image_is_a_shadow():
    image = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    values = torch.tensor([[1.0, -1.0], [0.0, 0.0]])
    figure = plot_attribution(image[None], values[None], ["7"])
    up, down, nothing, ink = tile(figure.axes[0]).reshape(4, 3)
    np.testing.assert_allclose(up, style.diverging()(1.0)[:3])
    np.testing.assert_allclose(down, style.diverging()(0.0)[:3])
    assert nothing.min() > 0.95
    assert ink.max() < 0.75
    assert figure.axes[0].get_title() == "7"
    assert inline_svg(figure, "attribution", "f").count("<image") == 2  # one tile and the bar


def test_each_image_has_its_own_scale_unless_shared():
    values = torch.stack([torch.eye(3), 10 * torch.eye(3)])
    alone = plot_attribution(torch.zeros(2, 3, 3), values, "ab")
    np.testing.assert_allclose(tile(alone.axes[0]), tile(alone.axes[1]))
    assert alone.axes[-1].get_ylabel() == "attribution / image's largest"
    shared = plot_attribution(torch.zeros(2, 3, 3), values, "ab", shared=True)
    assert tile(shared.axes[0])[0, 0, 2] > tile(shared.axes[1])[0, 0, 2] + 0.3
    assert shared.axes[-1].get_ylabel() == "attribution (logit)"


def test_with_a_map_a_class_a_row_is_an_image():
    values = torch.zeros(2, 3, 4, 5)
    values[0, 1, 0, 0], values[0, 2, 0, 0] = 2.0, -1.0
    figure = plot_attribution(
        torch.zeros(2, 4, 5), values, ["digit 0", "digit 1"], classes=["zero", "one", "two"]
    )
    ax = figure.axes[0]
    sheet = tile(ax)
    assert sheet.shape == (2 * 4 + 1, 4 * 5 + 3, 4)
    np.testing.assert_allclose(sheet[0, 2 * 6, :3], style.diverging()(1.0)[:3])
    np.testing.assert_allclose(sheet[0, 3 * 6, :3], style.diverging()(0.25)[:3])  # half of the row's scale
    assert sheet[4, 0, 3] == 0  # the gap shows the page
    assert [text.get_text() for text in ax.get_xticklabels()] == ["image", "zero", "one", "two"]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["digit 0", "digit 1"]
    assert figure.axes[-1].get_ylabel() == "attribution / row's largest"


def test_nothing_and_what_is_not_finite_are_drawn():
    values = torch.zeros(2, 2, 2)
    values[1, 0, 0] = torch.nan
    figure = plot_attribution(torch.ones(2, 2, 2), values, "ab")
    assert tile(figure.axes[0]).min() > 0.95
    np.testing.assert_allclose(tile(figure.axes[1])[0, 0], style.diverging().get_bad()[:3])


@pytest.mark.parametrize(
    ("images", "maps", "titles", "classes", "message"),
    [
        (torch.ones(1, 2, 2), torch.ones(1, 3, 3), "a", None, "of one size"),
        (torch.ones(1, 2, 2), torch.ones(2, 2, 2), "a", None, "as many"),
        (torch.ones(1, 2, 2), torch.ones(1, 2, 2), "ab", None, "2 entries for 1"),
        (torch.ones(1, 2, 2), torch.ones(1, 2, 2), "a", "xy", "beside classes"),
        (torch.ones(1, 2, 2), torch.ones(1, 3, 2, 2), "a", "xy", "2 entries for 3"),
        (torch.ones(1, 1, 2, 2), torch.ones(1, 2, 2), "a", None, r"give it as \[image, height, width\]"),
    ],
)
def test_what_does_not_fit_is_refused(images, maps, titles, classes, message):
    with pytest.raises(InputError, match=message):
        plot_attribution(images, maps, titles, classes=classes)
