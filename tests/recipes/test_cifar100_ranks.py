import numpy as np
import pytest
import torch
from torch import nn

from superscope.core import generator
from superscope.models import resnet50
from superscope.recipes.cifar100_published import COUNTS
from superscope.recipes.cifar100_ranks import (
    READINGS,
    agreement,
    convolutions,
    course_batch,
    fall,
    layers_of,
    read_layers,
)
from superscope.recipes.cifar100_training import NORMALIZATION, fit_batch_norms
from superscope.training import Images
from superscope.training.augmented import scaled


class Small(nn.Sequential):
    """Three convolutions, the last of them with fewer inputs than channels."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 8, 3, 4, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, 4, 1, bias=False),
            nn.Conv2d(16, 40, 1, bias=False),
        )
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, generator=generator(0, "small"))


def images(count):
    noise = torch.randint(0, 256, (count, 3, 32, 32), generator=generator(count, "images"), dtype=torch.uint8)
    noise[:, :, 8:] //= 4  # so that positions differ
    return Images(noise, torch.arange(count) % 3)


def as_the_course_prints_it(network, pixels):
    """A literal transcription of the notebook's arithmetic on one batch."""
    kept, handles = {}, []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            handles.append(
                module.register_forward_hook(
                    lambda _m, _i, output, name=name: kept.update({name: output.cpu()})
                )
            )
    with torch.no_grad():
        network.eval()(pixels)
    for handle in handles:
        handle.remove()
    counts = {}
    for name, activation in kept.items():
        reshaped = activation.reshape(activation.shape[1], -1).numpy()
        S = np.linalg.svd(reshaped, full_matrices=False)[1]
        counts[name] = int((np.cumsum(S**2) / (S**2).sum() < 0.99).sum())
    return counts


def by_channel(network, pixels, *, centred):
    counts = {}
    for name, module in convolutions(network).items():
        maps = []
        handle = module.register_forward_hook(lambda _m, _i, output, maps=maps: maps.append(output))
        with torch.no_grad():
            network.eval()(pixels)
        handle.remove()
        rows = maps[0].movedim(1, -1).reshape(-1, maps[0].shape[1]).double()
        s = torch.linalg.svdvals(rows - rows.mean(0) if centred else rows)
        counts[name] = int((s.square().cumsum(0) / s.square().sum() < 0.99).sum())
    return counts


@pytest.mark.parametrize("count", [1400, 150])
def test_each_reading_is_what_it_says(count):
    network, some = Small(), images(count)
    found = dict(zip(READINGS, read_layers(network, some, "cpu").tolist(), strict=True))
    first = {1400: 1152, 150: 128}[count]  # of the tenth batch, or of the last
    batch = scaled(some.pixels[first : first + 128], NORMALIZATION)
    assert found["as published"] == list(as_the_course_prints_it(network, batch).values())
    assert found["same batch by channel"] == list(by_channel(network, batch, centred=False).values())
    whole = scaled(some.pixels, NORMALIZATION)
    assert found["all images by channel"] == list(by_channel(network, whole, centred=True).values())
    assert len(course_batch(some)) == min(128, count - first)


def test_no_reading_passes_its_ceiling_and_the_published_one_passes_that_of_the_channels():
    network, some = Small(), images(1400)
    layers = layers_of(network)
    assert layers.names == ("0", "3", "4")
    assert layers.positions.tolist() == [64, 4, 4]
    assert layers.reach.tolist() == [8, 16, 16]
    assert layers.reach_as_published(2).tolist() == [8, 8, 8]
    published, unmixed, right = read_layers(network, some, "cpu")
    assert (published <= layers.reach_as_published(128)).all()
    assert (unmixed <= layers.reach).all()
    assert (right <= layers.reach).all()
    assert published[2] > layers.reach[2]  # 40 chunks of memory, though the channels span 16 dimensions


def test_the_printed_table_is_one_of_this_network():
    layers = layers_of(resnet50(100))
    assert layers.names == tuple(name for name, _, _ in COUNTS)
    assert layers.channels.tolist() == [channels for _, channels, _ in COUNTS]
    columns = layers.reach_as_published(128)
    assert all(count <= int(most) for (_, _, count), most in zip(COUNTS, columns, strict=True))
    printed = [count / channels for _, channels, count in COUNTS]
    assert fall(torch.tensor(printed)) == pytest.approx(-0.8366, abs=1e-4)
    assert COUNTS[0] == ("conv1", 64, 59)
    assert COUNTS[52] == ("layer4.2.conv3", 2048, 27)


def test_rank_correlation():
    assert fall(torch.tensor([5.0, 4.0, 1.0])) == pytest.approx(-1)
    assert fall(torch.tensor([1.0, 2.0, 2.0])) == pytest.approx(0.8660254)
    assert agreement(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10.0, 30.0, 20.0])) == pytest.approx(0.5)
    assert fall(torch.ones(2)) == 0


def test_fitted_batch_norms_hold_the_statistics_of_the_images():
    network, some = Small(), images(256)
    fit_batch_norms(network, some)
    norm = network[1]
    with torch.no_grad():
        maps = network[0](scaled(some.pixels, NORMALIZATION))
    torch.testing.assert_close(norm.running_mean, maps.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    first, second = (half.var((0, 2, 3)) for half in maps.chunk(2))
    torch.testing.assert_close(norm.running_var, (first + second) / 2, rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.1
    assert not network.training
