"""How the recipe on CIFAR-100 gets its images and its networks: trained, and untrained as a control."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torch.nn import functional

from superscope.core import DataError, Run, config, generator
from superscope.core.runtime import resolve_device
from superscope.data import Normalization, Samples, load_data
from superscope.models import ResNet, load_model, resnet18, resnet50
from superscope.training import Curve, Images, train_augmented
from superscope.training.augmented import scaled

SIDE = 32
NORMALIZATION = Normalization((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))
"""The course's mean and deviation of CIFAR-100; the set's own differ in the fourth decimal."""
BATCH = 128
_NETWORKS = {"resnet18": resnet18, "resnet50": resnet50}
_FITTED_BATCHES = 20

Count = Annotated[int, Field(ge=1)]


def _distinct(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) < len(values):
        raise ValueError("a number that comes twice is no further evidence")
    return values


@config
class Cifar100Config:
    """A ResNet trained on CIFAR-100, and how many dimensions each convolution's output uses."""

    data: str | None = None
    """cifar100:DIR, the binary version; any labelled set of images for a rehearsal (digits)."""
    weights: str | None = None
    """What training starts from: a .safetensors or .pth file, or hf:REPO[/FILE]; from scratch without. The
    course starts from ImageNet's (hf:timm/resnet50.tv_in1k)."""
    network: Literal["resnet50", "resnet18"] = "resnet50"
    """The claims are about ResNet-50; ResNet-18 is for a rehearsal."""
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), AfterValidator(_distinct)
    ] = (
        0,
        1,
        2,
    )
    """A new final layer (from scratch: a start), an order and crops for each; claims are judged over them."""
    epochs: Count = 10
    """Passes over the training images."""
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    """Adam's learning rate."""
    images: Annotated[int, Field(ge=2)] | None = None
    """Training images, drawn at random; all where not given."""
    test_images: Count | None = None
    """Test images, the first ones; all where not given."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""


@dataclass(frozen=True)
class Data:
    """The images of a run."""

    train: Images
    test: Images
    classes: int
    name: str
    full: int
    """Training images there are, of which ``train`` may be a part."""


def load_images(config: Cifar100Config) -> Data:
    """Return training and test images as bytes [3, 32, 32].

    Raises:
        DataError: when no data is named, it cannot be found or read, or is no labelled set of images.
    """
    if config.data is None:
        raise DataError(
            "this recipe needs CIFAR-100; give --data cifar100:DIR with the folder of its binary version "
            "(train.bin and test.bin), or --preset smoke for a rehearsal on embedded digits"
        )
    train, test = (load_data(f"{config.data}:{split}", normalize="none") for split in ("train", "test"))
    if not isinstance(train, Samples) or not isinstance(test, Samples):
        raise DataError(f"{config.data} has no train and test split; give cifar100:DIR")
    rows = torch.arange(len(train))
    if config.images is not None and config.images < len(train):
        rows = torch.randperm(len(train), generator=generator(0, "cifar100", "images"))[: config.images]
    first = torch.arange(min(len(test), config.test_images or len(test)))
    made = Data(_bytes(train, rows), _bytes(test, first), 0, train.name, len(train))
    classes = 1 + int(torch.cat([made.train.labels, made.test.labels]).max())
    return Data(made.train, made.test, max(classes, len(train.classes or ())), made.name, made.full)


def _bytes(samples: Samples, rows: Tensor) -> Images:
    parts, labels = [], []
    for some in rows.split(1000):
        pixels, known = samples.take(some.tolist())
        if (
            not isinstance(pixels, Tensor)
            or known is None
            or pixels.ndim != 4
            or pixels.shape[1] not in (1, 3)
        ):
            raise DataError(f"{samples.name} is no labelled set of images; give cifar100:DIR")
        if pixels.shape[-2:] != (SIDE, SIDE):
            pixels = functional.interpolate(pixels, (SIDE, SIDE))
        parts.append((255 * pixels.expand(-1, 3, -1, -1)).round().to(torch.uint8))
        labels.append(known)
    return Images(torch.cat(parts), torch.cat(labels))


@dataclass(frozen=True)
class Networks:
    """What is measured of a seed: its trained network, and one that has seen no label."""

    trained: ResNet
    untrained: ResNet
    curve: Curve


def given_network(config: Cifar100Config) -> ResNet | None:
    """Return the network whose weights training starts from; None from scratch.

    Raises:
        ModelError: when the weights cannot be found or do not fit.
    """
    if config.weights is None:
        return None
    network = load_model(config.network, config.weights)
    assert isinstance(network, ResNet)
    return network


def start(config: Cifar100Config, seed: int, classes: int, given: ResNet | None) -> ResNet:
    """Return what training starts from: a new network, or the given one under a new final layer."""
    network = _new(config, classes, generator(seed, "cifar100", "start"), given)
    if given is not None:
        kept = {name: value for name, value in given.state_dict().items() if not name.startswith("fc.")}
        network.load_state_dict(network.state_dict() | kept)
    return network


def _new(config: Cifar100Config, classes: int, draws: torch.Generator, given: ResNet | None) -> ResNet:
    small = given is not None and given.conv1.kernel_size == (3, 3)
    return _NETWORKS[config.network](classes, cifar_stem=small, generator=draws)


def networks(config: Cifar100Config, run: Run, seed: int, data: Data, given: ResNet | None) -> Networks:
    """Train a network with one seed, a stage of the run, and put an untrained one beside it.

    The untrained network is of the same kind with random weights. Its batch norms are fitted to training
    images, which takes no labels and no gradient: without that its maps would grow from block to block.
    """
    device = resolve_device(config.device)
    network = start(config, seed, data.classes, given)
    name = f"trained-{seed}"

    def work() -> dict[str, Tensor]:
        curve = train_augmented(
            network.to(device),
            data.train,
            data.test,
            NORMALIZATION,
            epochs=config.epochs,
            batch_size=BATCH,
            lr=config.lr,
            seed=seed,
            checkpoint=run.checkpoint(name),
        )
        weights = {f"weights/{key}": value for key, value in network.state_dict().items()}
        return {**weights, "loss": curve.loss, "accuracy": curve.accuracy}

    found = run.stage(name, work)
    network.load_state_dict(
        {key.removeprefix("weights/"): value for key, value in found.items() if key.startswith("weights/")}
    )
    random = _new(config, data.classes, generator(seed, "cifar100", "untrained"), given)
    fit_batch_norms(random.to(device), data.train)
    return Networks(network.to(device).eval(), random, Curve(found["loss"], found["accuracy"]))


@torch.no_grad()
def fit_batch_norms(model: nn.Module, images: Images) -> None:
    """Set each batch norm's mean and variance to their averages over twenty batches, in place."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
    device = next(model.parameters()).device
    model.train()
    for pixels in images.pixels[: _FITTED_BATCHES * BATCH].split(BATCH):
        model(scaled(pixels.to(device), NORMALIZATION))
    model.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
