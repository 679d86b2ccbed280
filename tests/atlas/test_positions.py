"""Which rows of a layer's output are real, in the shapes that layers give."""

import pytest
import torch
from torch import nn

from superscope.atlas.positions import Positions
from superscope.core import LayerError
from superscope.data import Batch

CPU = torch.device("cpu")
IDS = torch.tensor([[3, 1, 4, 0], [1, 5, 0, 0], [9, 0, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]])
TEXTS = Batch({"input_ids": IDS, "attention_mask": MASK})
HIDDEN = torch.arange(24.0).view(3, 4, 2)


@pytest.mark.parametrize(
    ("shape", "back"),
    [
        (lambda h: h, lambda h: h),
        (lambda h: h.transpose(0, 1), lambda h: h.transpose(0, 1)),
        (lambda h: h.reshape(12, 2), lambda h: h.view(3, 4, 2)),
    ],
)
def test_masked_tokens_are_left_in_every_shape(shape, back):
    rows = Positions.of(TEXTS, CPU).rows("mid", nn.Linear(2, 2), shape(HIDDEN))
    order = rows.sample[rows.keep].argsort(stable=True)
    assert rows.kept[order].equal(HIDDEN[MASK.bool()])
    assert rows.sample[rows.keep][order].tolist() == [0, 0, 0, 1, 1, 2]
    new = back(rows.put(-rows.kept - 1))
    assert new.equal(torch.where(MASK.bool()[..., None], -HIDDEN - 1, HIDDEN))


def test_the_first_tokens_are_left_alone_wherever_a_text_begins():
    assert Positions.of(TEXTS, CPU, 1).mask.int().tolist() == [[0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    left = Batch({"input_ids": IDS, "attention_mask": MASK.flip(1)})
    assert Positions.of(left, CPU, 2).mask.int().tolist() == [[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert Positions.of(Batch(IDS), CPU, 1).mask.int().tolist() == [[0, 1, 1, 1]] * 3


def test_channels_are_units_and_every_place_counts():
    maps = torch.arange(2.0 * 3 * 2 * 2).view(2, 3, 2, 2)
    rows = Positions.of(Batch(torch.zeros(2, 1, 3, 3)), CPU).rows("conv", nn.Conv2d(1, 3, 2), maps)
    assert rows.kept.equal(maps.movedim(1, -1).reshape(8, 3))
    assert rows.sample.flatten().tolist() == [0] * 4 + [1] * 4
    assert rows.put(2 * rows.kept).equal(2 * maps)


def test_a_layer_without_tokens_counts_as_a_whole_but_skips_none():
    pooled = torch.arange(6.0).view(3, 2)
    rows = Positions.of(TEXTS, CPU).rows("pool", nn.Linear(2, 2), pooled)
    assert rows.kept.equal(pooled)
    windows = torch.arange(12.0).view(6, 2)  # two for each sample
    found = Positions.of(Batch(torch.zeros(3, 5)), CPU).rows("win", nn.Linear(2, 2), windows)
    assert found.sample.tolist() == [0, 0, 1, 1, 2, 2]
    with pytest.raises(LayerError, match=r"layer pool puts out shape .3, 2., in which the first tokens"):
        Positions.of(TEXTS, CPU, 1).rows("pool", nn.Linear(2, 2), pooled)
    with pytest.raises(LayerError, match="for 3 samples, which cannot be told apart"):
        Positions.of(Batch(torch.zeros(3, 5)), CPU).rows("odd", nn.Linear(2, 2), torch.zeros(4, 2))
