"""How much of an image a place of a map sees."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from superscope.atlas.receptive import receptive_field
from superscope.data import Batch

CPU = torch.device("cpu")


def convolutions(depth: int) -> nn.Sequential:
    net = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(depth)))
    for each in net:
        nn.init.constant_(each.weight, 1.0)  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
    return net


def test_convolutions_see_more_the_deeper_they_are_and_less_than_they_could() -> None:
    images = Batch(torch.rand(3, 1, 33, 33, generator=torch.Generator().manual_seed(0)))
    net = convolutions(8)
    sides = [receptive_field(net, str(layer), images, CPU)[0] * 33 for layer in range(8)]
    assert sides[0] == pytest.approx(3.0)
    assert all(one <= other for one, other in pairwise(sides))
    assert 5 <= sides[7] < 17  # the whole would be 17: the edges of a field count for little


def test_a_layer_without_a_map_sees_everything() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    images = Batch(torch.rand(2, 1, 9, 9))
    assert receptive_field(net, "3", images, CPU) == (1.0, 1.0)
    assert receptive_field(nn.Sequential(nn.Linear(3, 2)), "0", Batch(torch.rand(2, 3)), CPU) == (1.0, 1.0)
    assert receptive_field(net, "1", images, CPU)[0] > 0.7  # of an average, every place that it is over


def test_a_network_that_lets_no_gradient_through() -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                return self.conv(x)

    net = Cut()
    assert receptive_field(net, "conv", Batch(torch.rand(2, 1, 9, 9)), CPU) == (1.0, 1.0)
    assert not net.conv._forward_hooks
