"""Numbers as the text of cells."""

import numpy as np
import pandas as pd
import pytest

from superscope.report import DataTable
from superscope.report.tables import data_table, number


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([12.3456, 0.5], ["12.35", "0.50"]),
        ([1234.5, -7.0], ["1,234", "-7"]),
        ([0.00123456, 0.001], ["0.001235", "0.001000"]),
        ([1e-9, 1.0], ["1e-09", "1"]),
        ([1e-12], ["1e-12"]),
        ([0.0, 0.0], ["0", "0"]),
        ([64.0, np.nan], ["64", "–"]),
        ([np.nan, np.inf], ["–", "inf"]),
        ([np.nan, 2.5], ["–", "2.500"]),
        ([1, 20000], ["1", "20,000"]),
        ([True, False], ["yes", "no"]),
        ([pd.NaT, None], ["–", "–"]),
    ],
)
def test_a_column_keeps_its_decimals_below_each_other(values, shown):
    rows = data_table(DataTable(pd.DataFrame({"x": values})))["rows"]
    assert [cell["text"] for [cell] in rows] == shown


def test_numbers_of_numpy_read_as_those_of_python():
    given = [*np.array([0.5], np.float32), *np.array([3]), *np.array([True])]
    assert [number(value) for value in given] == ["0.5", "3", "yes"]
