"""Colours, labels and log axes."""

from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core.errors import InputError
from superscope.plots import inline_svg, style


def luminance(color: str) -> float:
    """Relative luminance by WCAG 2.2."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@pytest.mark.parametrize("count", [1, 6, 7, 60])
def test_lines_stand_out_from_a_white_page_and_from_a_dark_one(count):
    colors = style.line_colors(count)
    assert len(set(colors)) == count
    for color in colors:
        assert 1.05 / (luminance(color) + 0.05) > 1.8
        assert (luminance(color) + 0.05) / (luminance("#14181d") + 0.05) > 1.8


def test_ordered_gives_each_thing_its_own_band():
    colors = style.ordered(5)
    assert len({tuple(color) for color in colors.to_rgba(np.arange(5))}) == 5
    assert style.ordered(1).to_rgba(np.array([0])).shape == (1, 4)


@given(st.text(max_size=100), st.integers(3, 60))
@settings(deadline=None, max_examples=50)
def test_a_label_is_one_printable_line_of_at_most_limit_letters(text, limit):
    shown = style.label(text, limit).replace(r"\$", "$")
    assert shown.isprintable()
    assert len(shown) <= limit


@pytest.mark.parametrize("text", ["$x$", "a$b", "$$", r"\$x$", "50 % & <b>", "層\x00名"])
def test_matplotlib_draws_a_label_letter_by_letter(text):
    figure, [ax] = style.grid(1, 1, 1.0)
    style.say(ax, title=style.label(text))
    root = ET.fromstring(inline_svg(figure, "a title", "f"))
    assert " ".join(text.replace("\x00", " ").split()) in {
        "".join(e.itertext()).strip() for e in root.iter("text")
    }


def test_some_ticks_start_at_0_and_are_not_too_many():
    for count in range(1, 100):
        ticks = style.some_ticks(count, 7)
        assert ticks[0] == 0
        assert len(ticks) <= 7
        assert ticks[-1] < count
        assert len(set(np.diff(ticks))) <= 1


@pytest.mark.parametrize("values", [[9.5, 10], [1, 2000], [1e-9], [3, 3], [0, -1, np.nan, 4.2]])
def test_a_log_axis_always_has_a_number_on_it(values):
    figure, [ax] = style.grid(1, 1, 1.0)
    style.log_axis(ax, [np.array(values)])
    figure.draw_without_rendering()
    low, high = ax.get_ylim()
    assert any(low <= tick <= high for tick in ax.get_yticks())


def test_a_log_axis_without_a_positive_value_says_so():
    _, [ax] = style.grid(1, 1, 1.0)
    style.log_axis(ax, [np.array([0.0, -1, np.nan])])
    assert [text.get_text() for text in ax.texts] == ["no positive value to draw"]
    assert ax.get_yscale() == "linear"


def test_log_lines_leave_gaps_and_dot_lone_points():
    _, [ax] = style.grid(1, 1, 1.0)
    style.log_lines(ax, [(np.arange(5), np.array([1, 0, 3, np.nan, -2]))], ["loss"])
    line, dots = ax.lines
    np.testing.assert_array_equal(line.get_ydata(), [1, np.nan, 3, np.nan, np.nan])
    np.testing.assert_array_equal(dots.get_xdata(), [0, 2])


def test_array_checks_the_axes():
    np.testing.assert_array_equal(style.array(torch.ones(2, requires_grad=True), "x", "row"), [1, 1])
    with pytest.raises(InputError, match=r"x has the shape \[2\]; give it as \[row, column\]"):
        style.array(torch.ones(2), "x", "row column")
    with pytest.raises(InputError, match=r"\[0\].*no axis empty"):
        style.array(torch.ones(0), "x", "row")
