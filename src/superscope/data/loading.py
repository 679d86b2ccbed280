"""From what a person names (``digits``, ``mnist:DIR``, ``images:DIR:train``, …) to a data set."""

import difflib
from pathlib import Path
from typing import get_args

from superscope.core.errors import DataError, InputError
from superscope.core.user_code import call_function, is_user_code, load_function, without_function
from superscope.data.batching import batches
from superscope.data.columns import Columns
from superscope.data.hub import load_hub
from superscope.data.named import LOADERS, Normalize, Request, looks_like
from superscope.data.samples import Normalization

_FORMS = (
    "digits", "mnist:DIR", "cifar10:DIR", "cifar100:DIR", "images:DIR", "text:FILE", "npz:FILE",
    "hf:DATASET[/CONFIG]:SPLIT", "FILE.py:FUNCTION",
)  # fmt: skip
_UNDERSTOOD = f"give {', '.join(_FORMS)}"


def load_data(
    spec: str,
    *,
    normalize: Normalize | Normalization = "auto",
    image_size: int | None = None,
    tokenizer: object | None = None,
    max_length: int | None = None,
    text_column: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
) -> object:
    """Return the data that ``spec`` names, as :func:`superscope.data.batches` takes it.

    - ``digits``: scikit-learn's 1,797 digits [1, 8, 8] in [0, 1]; 80 % train, 20 % test, always the same.
    - ``mnist:DIR``: IDX files, ``.gz`` or not, in DIR, DIR/raw or DIR/MNIST/raw.
    - ``cifar10:DIR``: the binary version, in DIR or DIR/cifar-10-batches-bin.
    - ``cifar100:DIR``: the binary version, in DIR or DIR/cifar-100-binary; the fine labels.
    - ``images:DIR``: a folder a class in DIR/train and DIR/test (or DIR/val); or in DIR itself, as one set.
    - ``text:FILE``: texts, tokenised by ``tokenizer``. A ``.tsv``, ``.csv`` or ``.jsonl`` file with a column
      of text (``sentence``, ``text``, ``content``, ``review``, …) and perhaps one of labels (``label``,
      ``class``, ``sentiment``, ``target``, …: whole numbers or names); any other file is plain text, whose
      lines that are not blank are the texts, or what stands between ``<|endoftext|>`` and the next.
    - ``npz:FILE``: inputs ``x``, ``images``, ``inputs`` or ``data``; labels ``y``, ``labels`` or ``targets``;
      with splits as ``x_test`` or ``test_x`` (or ``val``), else as one set; or a single array of any name.
    - ``hf:DATASET[/CONFIG][:SPLIT]``: a data set of the hub, or a folder laid out like one or written by
      ``save_to_disk``; its columns of images or text, and of labels, by type and name
      (:func:`superscope.data.hub.load_hub`).
    - ``FILE.py:FUNCTION``: what the function returns, called without arguments; anything that ``batches``
      takes.

    All but the last give :class:`Samples`, of the test split or the only one there is; ``:train`` or
    ``:test`` behind the spec asks for one (``hf:`` takes any split, and a part: ``train[:1000]``).

    Args:
        spec: one of the above; paths may hold colons.
        normalize: by channel, to (x − mean) / std. ``auto``: with the set's own mean and std for MNIST and
            CIFAR, ImageNet's for ``images:`` and ``hf:``; ``imagenet``: with ImageNet's; ``none``, and
            ``auto`` for all others: not. In each case uint8 is divided by 255 first, and floats in an
            ``.npz`` are taken as they are. A :class:`Normalization` is used for any set of images.
        image_size: for ``images:`` and ``hf:``, the side of the square that each image is scaled and
            cropped to.
        tokenizer: for text: the one of the model that is to read it (:class:`superscope.data.TextSamples`).
        max_length: for text: longer ones are cut to so many tokens; None for as many as the model takes.
        text_column: which column of a table is the text, where its name does not say so.
        image_column: which column is the image.
        label_column: which column is the label.

    Raises:
        DataError: in one line, when nothing matches ``spec``; when what it names is missing, damaged, or of
            another format; when the split is not there; when ``normalize`` or ``image_size`` do not apply.

    >>> digits = load_data("digits:train")
    >>> len(digits), digits.shape, digits.take([0, 1])[1].shape
    (1437, (1, 8, 8), torch.Size([2]))
    """
    if not isinstance(normalize, Normalization) and normalize not in get_args(Normalize):
        raise InputError(f"normalize={normalize!r}; choose {', '.join(get_args(Normalize))}")
    if is_user_code(spec):
        return _user_data(spec, normalize, image_size)
    columns = Columns(text_column, image_column, label_column)
    if spec.startswith("hf:") and len(spec) > 3:
        options = Request(Path(), None, normalize, image_size, tokenizer, max_length, columns)
        return load_hub(spec.removeprefix("hf:"), options)
    base, split = _without_split(spec)
    if is_user_code(base):
        raise DataError(f"{spec}: a function has no splits; name one that returns the {split} set instead")
    kind, _, where = base.partition(":")
    if kind not in LOADERS or (kind == "digits") != (base == "digits") or (kind != "digits" and not where):
        raise DataError(_not_understood(spec, kind))
    if image_size is not None and kind != "images":
        raise DataError(
            f"{spec}: an image size is for images:DIR and hf:DATASET; the samples of {kind} keep their shape"
        )
    if any(columns) and kind != "text":
        raise DataError(f"{spec}: columns are for text:FILE and hf:DATASET; {kind} has none")
    path = Path(where).expanduser().absolute()
    try:
        return LOADERS[kind](Request(path, split, normalize, image_size, tokenizer, max_length, columns))
    except OSError as error:
        raise DataError(f"{spec}: cannot read {error.filename}: {error.strerror}") from error


def _user_data(spec: str, normalize: Normalize | Normalization, image_size: int | None) -> object:
    if normalize == "imagenet" or image_size is not None:
        raise DataError(f"{spec}: normalise and scale inside the function; that applies to named sets only")
    data = call_function(load_function(spec, error=DataError), spec, DataError)
    try:
        batches(data)
    except DataError as error:
        raise DataError(f"{spec} returned what cannot be used: {error}") from error
    return data


def _without_split(spec: str) -> tuple[str, str | None]:
    base, _, split = spec.rpartition(":")
    if split in ("train", "test") and (base == "digits" or ":" in base):
        return base, split
    return spec, None


def _not_understood(spec: str, kind: str) -> str:
    if fault := without_function(spec):
        return fault
    path = Path(spec).expanduser()
    if spec and path.is_dir():
        return f"{spec} is a folder{looks_like(path)}; {_UNDERSTOOD}"
    if path.suffix == ".npz":
        return f"no data {spec!r}; to read a file of arrays, give npz:{spec}"
    near = difflib.get_close_matches(kind, [*LOADERS, "hf"], 1)
    guess = next((f"; did you mean {form}?" for form in _FORMS if form.partition(":")[0] in near), "")
    return f"no data {spec!r}{guess}; {_UNDERSTOOD}"
