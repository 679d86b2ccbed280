"""The readings as published: against their own arithmetic, and unlike the right ones where they should be."""

import math
from inspect import unwrap

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core.errors import InputError
from superscope.measures import (
    Moments,
    count_below,
    count_below_as_published,
    masked_mean,
    mean_over_padding,
)


def as_printed(activation):
    """The notebook's steps: reshape, an SVD in the maps' own precision, squares summed, those below 99 %."""
    channels = activation.shape[1]
    matrix = activation.numpy().reshape(channels, -1)
    s = np.linalg.svd(matrix, full_matrices=False)[1]
    share = np.cumsum(s**2) / np.sum(s**2)
    return int(np.sum(share < 0.99))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 12), st.integers(1, 5), st.booleans())
def test_equals_the_published_arithmetic(seed, samples, channels, side, rectified):
    maps = torch.randn(samples, channels, side, side, generator=torch.Generator().manual_seed(seed))
    maps = (maps * torch.linspace(0.1, 2, channels)[:, None, None]).relu() + 0.01 if rectified else maps
    assert count_below_as_published(maps) == as_printed(maps)


def test_differs_from_the_channels_as_by_hand():
    """Four samples of one image, four channels apart: the chunks are equal rows, the channels orthogonal."""
    image = torch.eye(4).reshape(1, 4, 2, 2)  # channel c is on at position c alone
    maps = image.expand(4, 4, 2, 2)
    assert count_below_as_published(maps) == as_printed(maps) == 0
    rows = maps.movedim(1, -1).reshape(-1, 4).double()
    assert count_below(torch.linalg.svdvals(rows)) == 3  # four equal energies
    assert count_below(Moments(4).update(maps, unit_axis=1).singular_values()) == 2  # three, once centred
    assert count_below_as_published(image) == 3  # one sample: a row is a channel


def test_the_other_way_round():
    """Every channel carries the same numbers, and the samples differ: one direction, read as many."""
    maps = torch.eye(4).reshape(4, 1, 2, 2).expand(4, 4, 2, 2)
    assert count_below_as_published(maps) == 3
    assert count_below(torch.linalg.svdvals(maps.movedim(1, -1).reshape(-1, 4))) == 0


def test_maps_that_do_not_lie_in_a_row_and_parts(monkeypatch):
    maps = torch.randn(6, 5, 4, 3, generator=torch.Generator().manual_seed(0)).to(
        memory_format=torch.channels_last
    )
    expected = as_printed(maps.contiguous())
    assert count_below_as_published(maps) == expected
    monkeypatch.setattr("superscope.measures.published._AT_ONCE", 20)
    assert count_below_as_published(maps) == expected


def test_means_by_hand():
    hidden = torch.tensor([[[1.0, 0.0], [3.0, 2.0], [8.0, 1.0]], [[4.0, 4.0], [0.0, 2.0], [2.0, 0.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert mean_over_padding(hidden).tolist() == [[4.0, 1.0], [2.0, 2.0]]
    assert masked_mean(hidden, mask).tolist() == [[2.0, 1.0], [2.0, 2.0]]
    assert torch.equal(masked_mean(hidden, mask.bool()), masked_mean(hidden, mask))


def test_what_stands_at_padding_does_not_matter():
    hidden = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
    spoilt = torch.where(mask[:, :, None].bool(), hidden, math.nan)
    assert torch.equal(masked_mean(spoilt, mask)[:2], masked_mean(hidden, mask)[:2])
    assert torch.allclose(masked_mean(hidden, mask)[0], hidden[0, :3].mean(0))
    assert masked_mean(hidden, mask)[2].isnan().all()
    longer = torch.cat([hidden, torch.ones(3, 2, 4)], 1)
    wider = torch.cat([mask, torch.zeros(3, 2, dtype=torch.int64)], 1)
    assert torch.equal(masked_mean(longer, wider)[:2], masked_mean(hidden, mask)[:2])


def test_what_cannot_be_used():
    with pytest.raises(InputError, match=r"expected maps \[sample"):
        unwrap(count_below_as_published)(torch.zeros(3, 4))
    with pytest.raises(InputError, match=r"expected maps \[sample"):
        count_below_as_published(torch.zeros(0, 4, 1, 1))
    with pytest.raises(InputError, match="not finite"):
        count_below_as_published(torch.full((1, 2, 1, 1), math.nan))
    with pytest.raises(InputError, match=r"mask has shape \(2, 4\)"):
        unwrap(masked_mean)(torch.zeros(2, 3, 1), torch.zeros(2, 4))
