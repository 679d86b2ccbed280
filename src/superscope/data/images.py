"""Encoded images, decoded only when a batch asks for them: folders of files, one folder a class."""

import io
import re
import textwrap
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from superscope.core.errors import DataError
from superscope.data.samples import Normalization, Samples

_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))
_DECODERS = 4


class ImageSamples(Samples):
    """Encoded images, decoded only when they are asked for.

    Each image becomes RGB, upright by its EXIF orientation: grey is repeated, alpha is dropped (as
    torchvision does), 16 bits become 8.

    Args:
        labels: the class of each image, int64 [n], or None.
        normalization: for three channels in [0, 1]; None for none.
        image_size: the shorter side is scaled to this, and a square cut from the centre; None for images of
            one size.

    Raises:
        DataError: for an ``image_size`` below 1; and from :meth:`take`, when an image is damaged, or is of
            another size than the first while ``image_size`` is None.
    """

    def __init__(
        self, labels: Tensor | None, normalization: Normalization | None, image_size: int | None
    ) -> None:
        if image_size is not None and image_size < 1:
            raise DataError(f"an image size of {image_size} pixels; give 1 or more")
        self._labels, self._normalization, self._size = labels, normalization, image_size
        self.shape = tuple(self._decode(0).shape)

    @abstractmethod
    def encoded(self, index: int) -> Path | bytes:
        """Return the file of one image, or the bytes of one."""

    @abstractmethod
    def called(self, index: int) -> str:
        """Return what an image is called where something is wrong with it."""

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Decode the images at ``indices``, in a few threads."""
        with ThreadPoolExecutor(_DECODERS) as pool:
            images = list(pool.map(self._decode, indices))
        for index, image in zip(indices, images, strict=True):
            if image.shape != self.shape:
                raise DataError(
                    f"the images differ in size: {self.called(0)} is {_size(self.shape)} and "
                    f"{self.called(index)} is {_size(image.shape)}; "
                    "scale them all to one size with --image-size"
                )
        inputs = torch.from_numpy(np.stack(images)).float() / 255
        inputs = inputs if self._normalization is None else self._normalization.apply(inputs)
        return inputs, None if self._labels is None else self._labels[list(indices)]

    def _decode(self, index: int) -> np.ndarray:
        """Return the image as uint8 [3, height, width]."""
        source = self.encoded(index)
        try:
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
                image = _rgb(ImageOps.exif_transpose(file))
        except (
            Exception
        ) as error:  # a damaged image raises anything: OSError, SyntaxError, ValueError, struct.error, ...
            reason = re.sub(r"<_io.BytesIO object at \w+>", "it", str(error)).replace(
                repr(str(source)), "the file"
            )
            raise DataError(
                f"cannot decode the image {self.called(index)}: "
                f"{textwrap.shorten(reason, 160, placeholder=' ...')}; repair it or take it out"
            ) from error
        if self._size is not None:
            image = _square(image, self._size)
        return np.asarray(image).transpose(2, 0, 1)


class ImageFolder(ImageSamples):
    """The images below ``folder``, whose sub-folders are the classes in the order of their names.

    An image may lie any number of folders below its class. Otherwise as :class:`ImageSamples`.

    Args:
        folder: where the class folders are.
        split: which part of a set this is, or None.
        normalization: for three channels in [0, 1]; None for none.
        image_size: the shorter side is scaled to this, and a square cut from the centre; None for images of
            one size.

    Raises:
        DataError: when ``folder`` has no class folder with images; and from :meth:`take`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        split: str | None = None,
        normalization: Normalization | None = None,
        image_size: int | None = None,
    ) -> None:
        files = class_files(folder)
        if not files:
            raise DataError(
                f"no images in {folder.absolute()}; expected a folder a class with image files in it"
            )
        self.name, self.split = (folder.parent if split else folder).absolute().name, split
        self.classes = tuple(files)
        self._files = [path for paths in files.values() for path in paths]
        labels = torch.tensor([label for label, paths in enumerate(files.values()) for _ in paths])
        super().__init__(labels, normalization, image_size)

    def __len__(self) -> int:
        return len(self._files)

    def encoded(self, index: int) -> Path | bytes:
        """Return the file of one image."""
        return self._files[index]

    def called(self, index: int) -> str:
        """Return the path of an image."""
        return str(self._files[index])


def class_files(folder: Path) -> dict[str, list[Path]]:
    """Return the image files below each sub-folder of ``folder`` that has any, all in the order of names."""
    found = {}
    for sub in sorted(folder.iterdir()) if folder.is_dir() else ():
        if sub.is_dir() and _is_visible(sub):
            images = (
                path for path in sub.rglob("*") if path.suffix.lower() in _SUFFIXES and _is_visible(path)
            )
            found[sub.name] = sorted(images)
    return {name: paths for name, paths in found.items() if paths}


def has_folders(path: Path) -> bool:
    """Whether ``path`` is a folder with folders in it, hidden ones aside."""
    return path.is_dir() and any(sub.is_dir() and _is_visible(sub) for sub in path.iterdir())


def _is_visible(path: Path) -> bool:
    return not path.name.startswith((".", "__"))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits, which convert() would clip to 8
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _square(image: Image.Image, side: int) -> Image.Image:
    scale = side / min(image.size)
    width, height = (max(side, round(length * scale)) for length in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[2]}×{shape[1]}"
