"""Three readings of one network's convolutions: the course's, the same batch by channel, and all images.

The course reshapes a map [image, channel, height, width] to [channel, image · height · width] without moving
channels first. A row of that matrix is then no channel but a stretch of the map as it lies in memory: with
128 images, all channels of 128/channels images, or 128 channels of one image. It counts the cumulative
energies of this matrix that lie below 99 %, not centred, of the last batch that its hooks saw.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import stats
from torch import Tensor, nn

from superscope.activations import capture, rank_cap
from superscope.measures import Moments, count_below
from superscope.measures.published import count_below_as_published
from superscope.recipes.cifar100_training import BATCH, NORMALIZATION, SIDE
from superscope.survey import measure
from superscope.training import Images
from superscope.training.augmented import scaled

PUBLISHED, UNMIXED, RIGHT = READINGS = ("as published", "same batch by channel", "all images by channel")
_COURSE_BATCHES = 10


@dataclass(frozen=True)
class Layers:
    """The convolutions of a network, in the order of its forward pass."""

    names: tuple[str, ...]
    channels: Int[Tensor, " layer"]
    positions: Int[Tensor, " layer"]
    """Of an output map."""
    reach: Int[Tensor, " layer"]
    """Most dimensions that the output can have: a convolution is linear, so no more than it has inputs, and
    no more than it has channels."""

    def columns(self, images: int) -> Int[Tensor, " layer"]:
        """Return the columns of the course's matrix for so many images."""
        return images * self.positions

    def reach_as_published(self, images: int) -> Int[Tensor, " layer"]:
        """Return the most that the course's count can be for so many images: its matrix's smaller side."""
        return torch.minimum(self.channels, self.columns(images))


def convolutions(network: nn.Module) -> dict[str, nn.Conv2d]:
    """Return the convolutions of a network by name."""
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}


@torch.inference_mode()
def layers_of(network: nn.Module) -> Layers:
    """Return the convolutions of a network of images [3, 32, 32]."""
    modules = convolutions(network)
    device = next(network.parameters()).device
    positions: dict[str, int] = {}

    def note(name: str, _: nn.Module, output: Tensor) -> None:
        positions[name] = output.shape[2] * output.shape[3]

    with capture(network.eval(), list(modules), sink=note):
        network(torch.zeros(1, 3, SIDE, SIDE, device=device))
    found = [modules[name] for name in positions]
    channels = torch.tensor([each.out_channels for each in found])
    return Layers(
        tuple(positions),
        channels,
        torch.tensor(list(positions.values())),
        torch.tensor([rank_cap(each, each.out_channels) for each in found]),
    )


def course_batch(images: Images) -> Images:
    """Return the batch that the course measures: the tenth of 128, or the last where there are fewer."""
    last = min(_COURSE_BATCHES, -(-len(images) // BATCH)) - 1
    rows = slice(last * BATCH, (last + 1) * BATCH)
    return Images(images.pixels[rows], images.labels[rows])


def read_layers(network: nn.Module, images: Images, device: str) -> Int[Tensor, "reading layer"]:
    """Return each convolution's count of cumulative energies below 99 %, in the three readings.

    Args:
        network: in eval mode afterwards.
        images: test images; the course's batch is taken from them.
        device: as :func:`superscope.survey.measure` takes it.
    """
    names = list(convolutions(network))
    batch = course_batch(images)
    counts: dict[str, list[int]] = {}

    def read(name: str, _: nn.Module, output: Tensor) -> None:
        rows = output.movedim(1, -1).flatten(0, -2)
        tall = rows if len(rows) >= rows.shape[1] else rows.T  # not centred, the other way round is the same
        moments = Moments(tall.shape[1], device=tall.device).update(tall)
        unmixed = count_below(moments.singular_values(centred=False))
        counts[name] = [int(count_below_as_published(output)), int(unmixed)]

    where = next(network.parameters()).device
    with torch.inference_mode(), capture(network.eval(), names, sink=read):
        network(scaled(batch.pixels.to(where), NORMALIZATION))
    inputs = scaled(images.pixels, NORMALIZATION)
    survey = measure(
        network, inputs, names, measures=("ranks",), errors=False, batch_size=BATCH, device=device
    )
    right = {row.name: int(row.measures["count_below"]) for row in survey.rows}
    return torch.tensor([[*both, right[name]] for name, both in counts.items()]).T.contiguous()


def fall(ratios: Float[Tensor, " layer"]) -> float:
    """Return Spearman's rank correlation of the layers' order with their ratios, −1 where each falls."""
    return agreement(torch.arange(len(ratios)).double(), ratios)


def agreement(one: Float[Tensor, " layer"], other: Float[Tensor, " layer"]) -> float:
    """Return Spearman's rank correlation, ties at their mean rank; 0 where one side is constant."""
    ranks = [stats.rankdata(each.numpy()) for each in (one, other)]
    return 0.0 if min(each.std() for each in ranks) == 0 else float(np.corrcoef(ranks)[0, 1])
