import pytest
import torch

from superscope.core import InputError
from superscope.plots.latents import plot_examples


def drawn(images, values, names=("a", "b")):
    figure = plot_examples(images, values, names, value_name="the activation")
    figure.draw_without_rendering()
    return figure.axes[0]


def test_every_example_is_drawn_in_its_row_and_place_with_its_activation():
    images = torch.rand(2, 3, 4, 4)
    values = torch.tensor([[3.0, 2.0, 1.0], [0.5, 0.25, 0.125]])
    ax = drawn(images, values)
    pictures = ax.get_images()
    assert len(pictures) == 6
    for place, picture in enumerate(pictures):
        assert torch.equal(torch.tensor(picture.get_array()), images.double().flatten(0, 1)[place])
        left, right, bottom, top = picture.get_extent()
        assert (right - left, bottom - top) == pytest.approx((4, 4))
    lefts = [picture.get_extent()[0] for picture in pictures]
    tops = [picture.get_extent()[3] for picture in pictures]
    assert lefts[0] < lefts[1] < lefts[2]
    assert lefts[:3] == lefts[3:]
    assert tops[0] == tops[2] < tops[3]
    assert [text.get_text() for text in ax.texts] == ["3", "2", "1", "0.5", "0.25", "0.125"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    limits = {picture.get_clim() for picture in pictures}
    assert limits == {(float(images.min()), float(images.max()))}


def test_what_does_not_excite_a_latent_is_left_out():
    values = torch.tensor([[1.0, 0.0, torch.nan], [2.0, 1.0, 0.0]])
    assert len(drawn(torch.rand(2, 3, 4, 4), values).get_images()) == 3


@pytest.mark.parametrize(
    ("shape", "names", "said"),
    [
        ((2, 2, 4, 4), ("a", "b"), "beside values of"),
        ((2, 3, 4, 4), ("a",), "names has 1 entries for 2"),
        ((2, 3, 4), ("a", "b"), "latent, example, height, width"),
    ],
)
def test_shapes_that_do_not_fit_are_told(shape, names, said):
    with pytest.raises(InputError, match=said):
        plot_examples(torch.rand(shape), torch.ones(2, 3), names, value_name="x")
