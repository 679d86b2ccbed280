"""Pages and their blocks are plain frozen values."""

import dataclasses

import pandas as pd
import pytest

from superscope.report import DataTable, Page, Prose, Section


def test_blocks_are_frozen_and_optional_fields_have_defaults():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Prose("text").text = "other"
    table = DataTable(pd.DataFrame())
    assert (table.caption, dict(table.formats), dict(table.descriptions)) == ("", {}, {})
    assert Section("title", []).anchor is None


def test_pages_of_text_are_equal_when_their_text_is():
    assert Page("a", "b", [Section("s", [Prose("p")])]) == Page("a", "b", [Section("s", [Prose("p")])])
