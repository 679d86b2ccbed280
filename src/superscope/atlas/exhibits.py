"""What a page shows of a sample: tokens, pixels or numbers; kept for as long as a latent needs it."""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from superscope.data import Batch

Kind = Literal["text", "image", "vector"]
_SIDE = 64
"""The longer side of a picture on a page, in pixels, at most; larger ones are scaled down."""
_NUMBERS = 128
"""Numbers of a vector that are shown; longer ones are averaged in pieces of like length."""
_SPARE = 4096


class Exhibits:
    """Samples by number, each reduced to what is shown of it.

    Attributes:
        kind: what they are; found at the first batch.
        items: by sample number: token numbers int32 [token], pixels float16 [channel, height, width] with one
            channel or three, or float32 [number].
        low, high: of images, the least and the largest value of each channel in all batches: as a set of
            natural images has both black and white in it, they undo whatever normalisation the pixels went
            through.
    """

    def __init__(self) -> None:
        self.kind: Kind = "vector"
        self.items: dict[int, np.ndarray] = {}
        self.low: np.ndarray | None = None
        self.high: np.ndarray | None = None
        self._room = _SPARE

    def keep(self, batch: Batch, numbers: Sequence[int], places: Sequence[int]) -> None:
        """Keep the samples at some places of a batch, whose samples have these numbers."""
        ids = token_ids(batch)
        if ids is not None:
            self.kind = "text"
            mask = batch.mask
            real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
            for place in places:
                tokens = ids[place].masked_fill(~real[place], -1)  # padding, on whichever side
                self.items[numbers[place]] = tokens.cpu().numpy().astype(np.int32)
            return
        values = _values(batch)
        self.kind = "image" if values.ndim == 4 else "vector"
        chosen = values[torch.tensor(places, dtype=torch.int64, device=values.device)]
        shown = _pixels(chosen) if self.kind == "image" else _numbers(chosen)
        for place, item in zip(places, shown.cpu().numpy(), strict=True):
            self.items[numbers[place]] = item

    def look(self, batch: Batch) -> None:
        """Take note of the range of a batch's pixels."""
        if token_ids(batch) is not None or (values := _values(batch)).ndim != 4:
            return
        channels = _channels(values.float()).movedim(1, 0).flatten(1).nan_to_num(0.0, 0.0, 0.0)
        low, high = (each.cpu().numpy() for each in channels.aminmax(dim=1))
        self.low = low if self.low is None else np.minimum(low, self.low)
        self.high = high if self.high is None else np.maximum(high, self.high)

    @property
    def full(self) -> bool:
        """Whether it is time to :meth:`forget`."""
        return len(self.items) > 2 * self._room

    def forget(self, needed: Iterable[int]) -> None:
        """Drop the samples that no latent needs."""
        self.items = {number: self.items[number] for number in sorted(set(needed)) if number in self.items}
        self._room = max(_SPARE, len(self.items))

    def picture(self, number: int) -> np.ndarray:
        """Return an image as uint8 [height, width] or [height, width, 3]."""
        assert self.low is not None
        assert self.high is not None
        low, span = self.low[:, None, None], np.maximum(self.high - self.low, 1e-12)[:, None, None]
        scaled = (self.items[number].astype(np.float32) - low) / span
        pixels = (scaled * 255).round().clip(0, 255).astype(np.uint8)
        return pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))


def token_ids(batch: Batch) -> Int[Tensor, "sample token"] | None:
    """Return the token numbers of a batch of texts; None for inputs of another kind."""
    inputs = batch.inputs
    ids = inputs if isinstance(inputs, Tensor) else inputs.get("input_ids")
    if ids is None or ids.ndim != 2 or ids.dtype == torch.bool or ids.is_floating_point() or ids.is_complex():
        return None
    return ids.long()


def _values(batch: Batch) -> Tensor:
    inputs = batch.inputs
    if isinstance(inputs, Tensor):
        return inputs
    floating = [value for value in inputs.values() if value.is_floating_point()]
    pictures = [value for value in floating if value.ndim == 4]
    return [*pictures, *floating, *inputs.values()][0]


def _channels(images: Tensor) -> Tensor:
    """Return images with one channel, their mean, where they have neither one nor three."""
    return images if images.shape[1] in (1, 3) else images.mean(1, keepdim=True)


def _pixels(images: Tensor) -> Tensor:
    images = _channels(images.float())
    height, width = images.shape[2:]
    if (longer := max(height, width)) > _SIDE:
        size = (max(1, height * _SIDE // longer), max(1, width * _SIDE // longer))
        images = torch.nn.functional.interpolate(images, size, mode="bilinear", antialias=True)
    return images.half()


def _numbers(values: Tensor) -> Tensor:
    flat = values.float().flatten(1)
    if flat.shape[1] <= _NUMBERS:
        return flat
    return torch.nn.functional.adaptive_avg_pool1d(flat[:, None], _NUMBERS)[:, 0]
