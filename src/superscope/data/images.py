"""Folders of image files, one folder a class, decoded only when a batch asks for them."""

import textwrap
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


class ImageFolder(Samples):
    """The images below ``folder``, whose sub-folders are the classes in the order of their names.

    Each image becomes RGB, upright by its EXIF orientation: grey is repeated, alpha is dropped (as
    torchvision does), 16 bits become 8. An image may lie any number of folders below its class.

    Args:
        folder: where the class folders are.
        split: which part of a set this is, or None.
        normalization: for three channels in [0, 1]; None for none.
        image_size: the shorter side is scaled to this, and a square cut from the centre; None for images of
            one size.

    Raises:
        DataError: when ``folder`` has no class folder with images; and from :meth:`take` when an image is
            damaged, or is of another size than the first while ``image_size`` is None.
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
        if image_size is not None and image_size < 1:
            raise DataError(f"an image size of {image_size} pixels; give 1 or more")
        self.name, self.split = (folder.parent if split else folder).absolute().name, split
        self.classes = tuple(files)
        self._files = [path for paths in files.values() for path in paths]
        self._labels = torch.tensor([label for label, paths in enumerate(files.values()) for _ in paths])
        self._normalization, self._size = normalization, image_size
        self.shape = tuple(self._decode(self._files[0]).shape)

    def __len__(self) -> int:
        return len(self._files)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Decode the images at ``indices``, in a few threads."""
        paths = [self._files[index] for index in indices]
        with ThreadPoolExecutor(_DECODERS) as pool:
            images = list(pool.map(self._decode, paths))
        for path, image in zip(paths, images, strict=True):
            if image.shape != self.shape:
                raise DataError(
                    f"the images differ in size: {self._files[0]} is {_size(self.shape)} and {path} is "
                    f"{_size(image.shape)}; scale them all to one size with --image-size"
                )
        inputs = torch.from_numpy(np.stack(images)).float() / 255
        inputs = inputs if self._normalization is None else self._normalization.apply(inputs)
        return inputs, self._labels[list(indices)]

    def _decode(self, path: Path) -> np.ndarray:
        """Return the image as uint8 [3, height, width]."""
        try:
            with Image.open(path) as file:
                image = _rgb(ImageOps.exif_transpose(file))
        except (
            Exception
        ) as error:  # a damaged image raises anything: OSError, SyntaxError, ValueError, struct.error, ...
            reason = textwrap.shorten(
                str(error).replace(repr(str(path)), "the file"), 160, placeholder=" ..."
            )
            raise DataError(f"cannot decode the image {path}: {reason}; repair it or take it out") from error
        if self._size is not None:
            image = _square(image, self._size)
        return np.asarray(image).transpose(2, 0, 1)


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
