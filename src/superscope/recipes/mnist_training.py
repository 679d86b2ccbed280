"""How the recipe on MNIST gets its images and its networks, trained and as they start."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from superscope.core import DataError, Run, config, generator
from superscope.core.runtime import threads
from superscope.data import Samples, load_data
from superscope.models import MnistMLP
from superscope.recipes.toy_training import Count, Seeds
from superscope.training import accuracy, train_classifier

HOME = "SUPERSCOPE_DATA"
"""The variable that names the folder of real data."""


@config
class MnistConfig:
    """A ReLU classifier 784-128-64-10 trained on MNIST, and the ranks of its weights and activations."""

    data: str | None = None
    """mnist:DIR; without, mnist in the folder that SUPERSCOPE_DATA names. digits is for a rehearsal."""
    seeds: Seeds = (0, 1, 2, 3, 4)
    """A start and an order of the images for each; the claims are judged over them."""
    epochs: Count = 5
    """Passes over the training images."""
    batch_size: Count = 64
    """Images a step."""
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    """Adam's learning rate; 1e-3 is its default."""
    threads: Count = 1
    """Of the CPU; so small a product is slower on two."""


@dataclass(frozen=True)
class Images:
    """The images of a run, normalised, in memory."""

    train: Float[Tensor, "image 1 height width"]
    labels: Int[Tensor, " image"]
    test: Float[Tensor, "test 1 height width"]
    test_labels: Int[Tensor, " test"]
    name: str
    """What the set is called."""

    @property
    def pixels(self) -> int:
        """Pixels of an image."""
        return self.train[0].numel()

    @property
    def published(self) -> bool:
        """Whether this is what the published numbers are of."""
        return self.name == "mnist" and self.pixels == 784


def load_images(data: str | None) -> Images:
    """Return the training and test images that a config names.

    Raises:
        DataError: when none are named, they cannot be found or read, or are no grey images of ten classes.
    """
    if data is None:
        home = os.environ.get(HOME)
        if not home:
            raise DataError(
                "this recipe needs MNIST; give --data mnist:DIR with the folder of its IDX files, set "
                f"{HOME} to a folder that holds them as mnist, or give --preset smoke for a rehearsal on "
                "embedded digits"
            )
        data = f"mnist:{Path(home) / 'mnist'}"
    sets = load_data(f"{data}:train"), load_data(f"{data}:test")
    parts: list[Tensor] = []
    for samples in sets:
        inputs, labels = samples.take(range(len(samples))) if isinstance(samples, Samples) else (None, None)
        grey = isinstance(inputs, Tensor) and inputs.ndim == 4 and inputs.shape[1] == 1
        if not grey or labels is None or int(labels.max()) != 9:
            raise DataError(f"{data} is no set of grey images of ten classes; give mnist:DIR or digits")
        parts += [inputs, labels]
    return Images(*parts, name=getattr(sets[0], "name", data))


@dataclass(frozen=True)
class Network:
    """What is measured of a seed."""

    trained: MnistMLP
    start: MnistMLP
    """The same network before its first step."""
    accuracy: float
    """Share of the test images that the trained network classifies rightly."""


def start(seed: int, pixels: int) -> MnistMLP:
    """Return the network that a seed's training begins with."""
    return MnistMLP(pixels, generator=generator(seed, "mnist", "start")).eval()


def train_networks(run: Run, options: MnistConfig, images: Images) -> list[Network]:
    """Train a network with each seed, each a stage of the run that goes on where it was killed."""

    def work(seed: int, stage: str) -> dict[str, Tensor]:
        network = start(seed, images.pixels)
        with threads(options.threads):
            train_classifier(
                network,
                images.train,
                images.labels,
                epochs=options.epochs,
                batch_size=options.batch_size,
                lr=options.lr,
                seed=seed,
                checkpoint=run.checkpoint(stage),
            )
        return network.state_dict()

    networks = []
    for seed in options.seeds:
        stage = f"mnist-seed-{seed}"
        state = run.stage(stage, lambda seed=seed, stage=stage: work(seed, stage))
        trained = MnistMLP(images.pixels, generator=generator(seed))  # its values come from the stage
        trained.load_state_dict(state)
        share = accuracy(trained.eval(), images.test, images.test_labels)
        run.metric(seed=seed, accuracy=share)
        networks.append(Network(trained, start(seed, images.pixels), share))
    return networks
