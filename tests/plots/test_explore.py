"""Plotly figures: their traces, their menus, and names that Plotly must not read as HTML."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from superscope.core.errors import InputError
from superscope.plots import explore_ranks, explore_spectra

HOSTILE = "</script><img src=x onerror=alert(1)>"


def table(**changes: object) -> pd.DataFrame:
    given = {
        "name": ["conv1", HOSTILE], "kind": "Conv2d", "width": [4, 8], "samples": 1000,
        "stable_rank": [2.0, 4.0], "stable_rank_ratio": [0.5, 0.5], "stable_rank_se": [0.1, np.nan],
    }  # fmt: skip
    return pd.DataFrame(given | changes)


def test_ranks_have_a_line_for_each_unit_and_one_for_the_width():
    rank, ratio, width = explore_ranks(table()).data
    np.testing.assert_allclose(rank.y, [2, 4])
    np.testing.assert_allclose(ratio.y, [0.5, 0.5])
    np.testing.assert_allclose(width.y, [4, 8])
    assert (rank.visible, ratio.visible) == (True, False)


def test_the_hover_text_says_all():
    first, second = explore_ranks(table()).data[0].hovertext
    assert first == "<b>conv1</b> (Conv2d)<br>width 4, 1,000 samples<br>stable rank: 2 ± 0.2 (95 %)"
    assert "±" not in second
    bare = explore_ranks(table().drop(columns=["kind", "samples", "stable_rank_se"])).data[0].hovertext
    assert bare[0] == "<b>conv1</b><br>width 4<br>stable rank: 2"


def test_buttons_switch_between_dimensions_and_ratio():
    figure = explore_ranks(table())
    rank, ratio = figure.layout.updatemenus[0].buttons
    assert list(rank.args[0]["visible"]) == [True, False, True]
    assert list(ratio.args[0]["visible"]) == [False, True, False]
    assert (rank.args[1]["yaxis.type"], ratio.args[1]["yaxis.type"]) == ("log", "linear")


def test_a_menu_shows_one_spectrum_alone():
    figure = explore_spectra({"a": torch.tensor([1.0, 4]), "b": torch.ones(3)})
    np.testing.assert_allclose(figure.data[0].y, [1, 0.25])
    np.testing.assert_allclose(figure.data[0].x, [0.5, 1])
    every, *alone = figure.layout.updatemenus[0].buttons
    assert list(every.args[0]["visible"]) == [True, True]
    assert [list(button.args[0]["visible"]) for button in alone] == [[True, False], [False, True]]
    assert figure.layout.showlegend


def test_many_long_spectra_are_thinned_and_have_no_legend():
    figure = explore_spectra({f"l{i}": torch.arange(1, 2001).flip(0) / 1.0 for i in range(60)})
    assert not figure.layout.showlegend
    assert len({line.line.color for line in figure.data}) == 60
    assert len(figure.data[0].y) == 256
    assert (figure.data[0].x[0], figure.data[0].x[-1]) == (1 / 2000, 1)


def test_dead_and_tiny_spectra_are_drawn_as_far_as_they_go():
    dead, one, part = explore_spectra(
        {"a": torch.zeros(3), "b": torch.ones(1), "c": torch.tensor([1.0, 0])}
    ).data
    assert len(dead.y) == 0
    assert one.mode == "markers"
    np.testing.assert_array_equal(part.y, [1, np.nan])


def strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize(
    "figure", [explore_ranks(table(kind=HOSTILE)), explore_spectra({HOSTILE: torch.ones(2)})]
)
def test_hostile_names_are_escaped_for_plotly(figure):
    texts = strings(json.loads(figure.to_json()))
    assert any("&lt;img" in text for text in texts)
    assert not any("<img" in text or "</script" in text for text in texts)


def test_nothing_to_explore_is_refused():
    with pytest.raises(InputError, match="0 rows"):
        explore_ranks(table()[:0])
    with pytest.raises(InputError, match="spectra is empty"):
        explore_spectra({})
