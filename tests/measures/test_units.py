"""Cosines between units from the Gram matrix alone."""

import math

import pytest
import torch

from superscope.core.errors import InputError
from superscope.measures import pairwise_cosine_between_units
from superscope.measures.units import unit_cosines


def rows(seed: int = 0) -> torch.Tensor:
    return torch.randn(50, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.5


def test_they_are_those_of_the_rows() -> None:
    x = rows()
    x[:, 3] = 0
    found, expected = unit_cosines(x.T @ x), pairwise_cosine_between_units(x)
    assert found.mean == pytest.approx(expected.mean, abs=1e-12)
    assert found.std == pytest.approx(expected.std, abs=1e-12)
    assert found.left_out == expected.left_out == 1
    assert int(found.counts.sum()) == expected.count == 15
    assert (float(found.edges[0]), float(found.edges[-1])) == (-1, 1)


def test_scale_and_order_of_the_units_change_nothing() -> None:
    x = rows(1)
    order, scale = torch.randperm(7, generator=torch.Generator().manual_seed(2)), torch.arange(1.0, 8)
    one, other = unit_cosines(x.T @ x), unit_cosines((x[:, order] * scale).T @ (x[:, order] * scale))
    assert (one.mean, one.std) == pytest.approx((other.mean, other.std), abs=1e-12)


def test_one_unit_has_no_pair() -> None:
    found = unit_cosines(torch.ones(1, 1))
    assert math.isnan(found.mean)
    assert int(found.counts.sum()) == 0
    with pytest.raises(InputError, match="0 bins"):
        unit_cosines(torch.ones(2, 2), bins=0)
