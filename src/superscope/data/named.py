"""The named sets: the files each is made of, its splits, and its normalisation."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch

from superscope.core.errors import DataError
from superscope.core.random import generator
from superscope.data.columns import Columns
from superscope.data.formats import Joined, read_cifar, read_mnist, read_npz
from superscope.data.images import ImageFolder, has_folders
from superscope.data.samples import IMAGENET, ArraySamples, Normalization, Samples
from superscope.data.text import TextSamples
from superscope.data.text_files import Texts, open_texts

Normalize = Literal["auto", "none", "imagenet"]
Part = TypeVar("Part")

# Mean and standard deviation of each training set's channels.
_MNIST = Normalization((0.1307,), (0.3081,))
_CIFAR10 = Normalization((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
_CIFAR100 = Normalization((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))

_CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_INPUTS = ("x", "images", "inputs", "data")
_LABELS = ("y", "labels", "targets")
_SPLITS = ("train", "test", "val")
_WHOLE = ""  # the name of the only part of a set without splits

# What the files in a folder are called, and so what the folder is.
_SIGNS = (
    ("*-images?idx3-ubyte*", "it looks like mnist:DIR"),
    ("*_batch*.bin", "it looks like cifar10:DIR"),
    ("train.bin", "it looks like cifar100:DIR"),
    ("test.bin", "it looks like cifar100:DIR"),
    ("data_batch_?", "it holds the Python version of CIFAR-10, which is pickle; fetch the binary version"),
    ("meta", "it holds the Python version of CIFAR-100, which is pickle; fetch the binary version"),
    ("*.npz", "it holds .npz files; give one as npz:FILE"),
    ("*.[jJpP][pPnN]*[gG]", "it holds image files, which have to be in a folder for each class"),
    ("*/*.[jJpP][pPnN]*[gG]", "it looks like images:DIR"),
    ("*/*/*.[jJpP][pPnN]*[gG]", "it looks like images:DIR"),
    ("dataset_dict.json", "it looks like hf:DIR"),
    ("state.json", "it looks like hf:DIR"),
    ("*.parquet", "it looks like hf:DIR"),
    ("*/*.parquet", "it looks like hf:DIR"),
    ("*.tsv", "it holds tables; give one as text:FILE"),
    ("*.csv", "it holds tables; give one as text:FILE"),
    ("*.jsonl", "it holds tables; give one as text:FILE"),
    ("*.tar.gz", "it holds an archive; unpack it first"),
    ("*.zip", "it holds an archive; unpack it first"),
)


class Request(NamedTuple):
    """What was asked for: where, which split (None: test, or the only one), and how it is prepared."""

    path: Path
    split: str | None
    normalize: Normalize | Normalization = "auto"
    image_size: int | None = None
    tokenizer: object | None = None
    max_length: int | None = None
    columns: Columns = Columns()

    def normalization(self, own: Normalization | None) -> Normalization | None:
        """Return the normalisation to use, where ``own`` is the set's."""
        if isinstance(self.normalize, Normalization):
            return self.normalize
        return {"auto": own, "none": None, "imagenet": IMAGENET}[self.normalize]

    def text(self, texts: Texts) -> TextSamples:
        """Return the texts as the tokenizer that was given makes them."""
        return TextSamples(texts, self.tokenizer, split=self.split, max_length=self.max_length)

    def choose(self, parts: Mapping[str, Part]) -> tuple[str | None, Part]:
        """Return the split asked for, and its name; ``val`` stands in for ``test`` where there is none.

        ``parts`` are all the splits there are, or the whole set under ``_WHOLE``.
        """
        wanted = ["train"] if self.split == "train" else ["test", "val"]
        wanted += [] if self.split else parts
        split = next((name for name in wanted if name in parts), None)
        if split is None:
            what = f"leave :{self.split} away" if _WHOLE in parts else f"there is {' and '.join(parts)}"
            raise DataError(f"{self.path} has no {self.split} split; {what}")
        return split or None, parts[split]

    def missing(self, expected: str, *folders: str) -> DataError:
        """Say that ``expected`` is not at the path, nor in the ``folders`` in it, and what is there."""
        if not self.path.exists():
            return DataError(f"{self.path} does not exist; expected {expected} there")
        also = f", or in {' or '.join(folders)} below it" if folders else ""
        return DataError(f"{self.path}: expected {expected} there{also}{looks_like(self.path)}")


def looks_like(path: Path) -> str:
    """Say what the files in a folder are, as the end of a sentence; nothing where that is not known."""
    if not path.is_dir():
        return "; it is a file" if path.is_file() else ""
    return next((f"; {sign}" for pattern, sign in _SIGNS if any(path.glob(pattern))), "")


def _digits(request: Request) -> Samples:
    from sklearn.datasets import load_digits

    pixels, labels = (np.asarray(each) for each in load_digits(return_X_y=True))
    order = torch.randperm(len(pixels), generator=generator(0, "data", "digits")).numpy()
    train = len(order) * 4 // 5
    split, rows = request.choose({"train": order[:train], "test": order[train:]})
    images = pixels[rows].reshape(-1, 1, 8, 8).astype(np.float32) / 16
    return _arrays(request, "digits", split, (images, labels[rows]), None, _numbers(10))


def _mnist(request: Request) -> Samples:
    parts = {}
    for split, stem in (("train", "train"), ("test", "t10k")):
        images, labels = (
            _find(request.path, ("", "raw", "MNIST/raw"), f"{stem}-{kind}?idx?-ubyte*")
            for kind in ("images", "labels")
        )
        if images is not None:
            parts[split] = images, labels
    if not parts:
        raise request.missing(
            "train-images-idx3-ubyte or t10k-images-idx3-ubyte (.gz or not)", "raw", "MNIST/raw"
        )
    split, (images, labels) = request.choose(parts)
    if labels is None:
        raise DataError(
            f"no labels for {images}; expected {images.name.replace('images', 'labels')} beside it"
        )
    return _arrays(request, "mnist", split, read_mnist(images, labels), _MNIST, _numbers(10))


def _cifar10(request: Request) -> Samples:
    train = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
    split, files = _cifar_files(request, "cifar-10-batches-bin", train, ("test_batch.bin",))
    return _arrays(request, "cifar10", split, read_cifar(files, 1, 10), _CIFAR10, _CIFAR10_CLASSES)


def _cifar100(request: Request) -> Samples:
    split, files = _cifar_files(request, "cifar-100-binary", ("train.bin",), ("test.bin",))
    listed = files[0].with_name("fine_label_names.txt")
    names = tuple(listed.read_text().split()) if listed.is_file() else ()
    classes = names if len(names) == 100 else _numbers(100)
    return _arrays(request, "cifar100", split, read_cifar(files, 2, 100), _CIFAR100, classes)


def _images(request: Request) -> Samples:
    parts = {name: request.path / name for name in _SPLITS if has_folders(request.path / name)}
    if not parts and not has_folders(request.path):
        raise request.missing("a folder for each class with image files in it")
    split, folder = request.choose(parts or {_WHOLE: request.path})
    return ImageFolder(
        folder,
        split=split,
        normalization=request.normalization(IMAGENET),
        image_size=request.image_size,
    )


def _npz(request: Request) -> Samples:
    if not request.path.is_file():
        raise request.missing("an .npz file")
    arrays = {name.lower(): array for name, array in read_npz(request.path).items()}

    def tagged(names: Iterable[str], tag: str) -> np.ndarray | None:
        return _first(arrays, [form for name in names for form in (f"{name}_{tag}", f"{tag}_{name}")])

    parts = {
        tag: (inputs, tagged(_LABELS, tag)) for tag in _SPLITS if (inputs := tagged(_INPUTS, tag)) is not None
    }
    if not parts:
        inputs = next(iter(arrays.values())) if len(arrays) == 1 else _first(arrays, _INPUTS)
        if inputs is None:
            raise DataError(
                f"{request.path} holds {', '.join(arrays) or 'nothing'}; name the inputs one of "
                f"{', '.join(_INPUTS)} and the labels one of {', '.join(_LABELS)} (or x_train, x_test, ...)"
            )
        parts[_WHOLE] = inputs, _first(arrays, _LABELS) if len(arrays) > 1 else None
    split, pair = request.choose(parts)
    return _arrays(request, request.path.stem, split, pair, None, None)


def _text(request: Request) -> Samples:
    if request.split:
        raise DataError(
            f"{request.path} is one file, without splits; name the file of the {request.split} split"
        )
    return request.text(open_texts(request.path, request.columns))


LOADERS: dict[str, Callable[[Request], Samples]] = {
    "digits": _digits,
    "mnist": _mnist,
    "cifar10": _cifar10,
    "cifar100": _cifar100,
    "images": _images,
    "npz": _npz,
    "text": _text,
}
"""What loads each kind of set."""


def _arrays(
    request: Request,
    name: str,
    split: str | None,
    pair: tuple[np.ndarray | Joined, np.ndarray | None],
    own: Normalization | None,
    classes: tuple[str, ...] | None,
) -> ArraySamples:
    return ArraySamples(
        *pair, name=name, split=split, classes=classes, normalization=request.normalization(own)
    )


def _cifar_files(
    request: Request, folder: str, train: tuple[str, ...], test: tuple[str, ...]
) -> tuple[str | None, list[Path]]:
    found = {name: _find(request.path, ("", folder), name) for name in (*train, *test)}
    parts = {
        split: names
        for split, names in (("train", train), ("test", test))
        if any(found[name] for name in names)
    }
    if not parts:
        raise request.missing(f"{train[0]} or {test[0]}", folder)
    split, names = request.choose(parts)
    if absent := [name for name in names if found[name] is None]:
        raise DataError(
            f"the {split} split in {request.path} is not whole: {', '.join(absent)} not there; fetch it again"
        )
    return split, [path for name in names if (path := found[name])]


def _find(path: Path, folders: Iterable[str], pattern: str) -> Path | None:
    return next((file for folder in folders for file in sorted((path / folder).glob(pattern))), None)


def _first(arrays: Mapping[str, np.ndarray], names: Iterable[str]) -> np.ndarray | None:
    return next((arrays[name] for name in names if name in arrays), None)


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(count))
