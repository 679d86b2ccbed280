"""A classifier of images trained on cropped and flipped batches, the same bits for the same seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional

from superscope.core.checkpoint import Checkpoint
from superscope.core.errors import InputError
from superscope.core.progress import progress
from superscope.core.random import generator
from superscope.data import Normalization
from superscope.training.state import identity, restore, training_state

_PADDING = 4


@dataclass(frozen=True)
class Images:
    """Labelled images in memory, as bytes: what a graphics card has room for."""

    pixels: UInt8[Tensor, "image channel height width"]
    labels: Int[Tensor, " image"]

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Images":
        """Return the images on ``device``."""
        return Images(self.pixels.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Curve:
    """A training, epoch by epoch."""

    loss: Float[Tensor, " epoch"]
    """Mean over the epoch's batches of the cross-entropy, in nats, each before its own step."""
    accuracy: Float[Tensor, " epoch"]
    """Share of the test images that are classified rightly behind the epoch."""


def crop_and_flip(
    pixels: UInt8[Tensor, "image channel height width"], draws: torch.Generator, padding: int = _PADDING
) -> UInt8[Tensor, "image channel height width"]:
    """Return each image shifted by up to ``padding`` pixels, black moving in, and every other one mirrored.

    Each image is padded with zeros on all sides and cut back to its size at a place that is drawn evenly from
    (2 · padding + 1)²; it is mirrored with probability ½. The draws are made on the generator's device, so
    that they are the same wherever the images are.
    """
    count, channels, height, width = pixels.shape
    padded = functional.pad(pixels, [padding] * 4)
    own = {"generator": draws, "device": draws.device}
    corners = torch.randint(2 * padding + 1, (2, count, 1), **own).to(pixels.device)
    mirrored = torch.rand(count, 1, **own).to(pixels.device) < 0.5
    rows = corners[0] + torch.arange(height, device=pixels.device)
    across = torch.arange(width, device=pixels.device)
    columns = corners[1] + torch.where(mirrored, across.flip(0), across)
    image = torch.arange(count, device=pixels.device)[:, None, None, None]
    channel = torch.arange(channels, device=pixels.device)[:, None, None]
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def scaled(
    pixels: UInt8[Tensor, "image channel height width"], normalization: Normalization
) -> Float[Tensor, "image channel height width"]:
    """Return images as a network takes them: from bytes to [0, 1], then (x − mean) / std by channel."""
    mean, std = (torch.tensor(each, device=pixels.device).view(-1, 1, 1) for each in normalization)
    return (pixels / 255 - mean) / std


def train_augmented(
    model: nn.Module,
    images: Images,
    test: Images,
    normalization: Normalization,
    *,
    epochs: int,
    batch_size: int = 128,
    lr: float = 1e-3,
    seed: int = 0,
    checkpoint: Path | None = None,
) -> Curve:
    """Train ``model`` in place with cross-entropy and Adam, and leave it in eval mode.

    Each epoch goes once through a fresh permutation of ``images``, every batch through :func:`crop_and_flip`.
    What is drawn in an epoch depends on ``seed`` and the epoch alone, so that a training taken up from its
    checkpoint ends with the bits of one that was never stopped. A last batch of one image, of which a batch
    norm cannot take the variance, joins the one before.

    Args:
        model: takes normalised images and returns logits; it stays on its device, where the images go too.
        images: to train on.
        test: to take the accuracy on behind each epoch.
        normalization: what :func:`scaled` does to both.
        epochs: passes over ``images``.
        batch_size: images a step.
        lr: Adam's learning rate.
        seed: of the order and of the crops.
        checkpoint: a file that the state is kept in behind each epoch (at most every ten seconds) and that
            training goes on from, to the same bits. It stays when training ends.

    Raises:
        InputError: when there is less than one epoch, there are fewer than two images, or the loss of an
            epoch is not finite.
        ArtifactError: when the checkpoint cannot be written, is damaged or belongs to another training.
    """
    if epochs < 1 or len(images) < 2:
        raise InputError(f"{epochs} epochs over {len(images)} images; give an epoch and two images or more")
    device = next(model.parameters()).device
    images, test = images.to(device), test.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr)
    curve: list[tuple[float, float]] = []
    kept = None
    if checkpoint is not None:
        options = (epochs, batch_size, lr, seed, normalization)
        data = (images.pixels, images.labels, test.pixels, test.labels)
        kept = Checkpoint(checkpoint, identity(model, options, *data))
        if (state := kept.load()) is not None:
            restore(state, model, optimizer)
            curve = [(loss, accuracy) for loss, accuracy in state["curve"].tolist()]
    for epoch in progress(range(len(curve), epochs), "training", unit="epoch"):
        draws = generator(seed, "augmented", epoch)
        model.train()
        loss = torch.zeros((), dtype=torch.float64, device=device)
        parts = _parts(torch.randperm(len(images), generator=draws), batch_size)
        for rows in progress(parts, f"epoch {epoch + 1} of {epochs}", unit="batch"):
            chosen = rows.to(device)
            batch = scaled(crop_and_flip(images.pixels[chosen], draws), normalization)
            optimizer.zero_grad()
            cost = functional.cross_entropy(model(batch), images.labels[chosen])
            cost.backward()
            optimizer.step()
            loss += cost.detach()
        if not loss.isfinite():
            raise InputError(f"the loss is {float(loss)} in epoch {epoch + 1}; lower lr, now {lr:g}")
        curve.append((float(loss) / len(parts), accuracy_on(model, test, normalization, batch_size)))
        if kept is not None and kept.due:
            so_far = {"curve": torch.tensor(curve, dtype=torch.float64)}
            kept.save(training_state(model, optimizer) | so_far)
    model.eval()
    losses, rights = zip(*curve, strict=True)
    return Curve(torch.tensor(losses, dtype=torch.float64), torch.tensor(rights, dtype=torch.float64))


@torch.inference_mode()
def accuracy_on(
    model: nn.Module, images: Images, normalization: Normalization, batch_size: int = 128
) -> float:
    """Return the share of images whose largest logit is their label's; the model is left in eval mode."""
    model.eval()
    right = sum(
        int((model(scaled(pixels, normalization)).argmax(1) == labels).sum())
        for pixels, labels in _batched(images, batch_size)
    )
    return right / len(images)


def _batched(images: Images, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(images.pixels.split(batch_size), images.labels.split(batch_size), strict=True)


def _parts(order: Tensor, batch_size: int) -> list[Tensor]:
    parts = list(order.split(batch_size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts
