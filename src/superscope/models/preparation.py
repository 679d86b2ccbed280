"""What a model wants its inputs to be like: the tokenizer of a text model, the size and scale of images."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superscope.core.errors import ModelError
from superscope.models.hub import PREFIX, hub_folder
from superscope.models.llama2c import PREFIX as LLAMA2C
from superscope.models.llama2c_tokenizer import load_llama2c_tokenizer
from superscope.models.transformer import quiet, read_config
from superscope.models.vendors import VENDORS, vendor_scale

LONGEST = 512
"""Tokens of a text that are read by default, even where the model takes more."""
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.txt",
    "vocab.json",
)


@dataclass(frozen=True)
class Preparation:
    """How inputs have to be made for a model; all None for a model that says nothing."""

    tokenizer: object | None = None
    """A tokenizer of transformers, which pads on the right."""
    max_length: int | None = None
    """Tokens of a text, at most."""
    mean: tuple[float, ...] | None = None
    """Of each channel, for pixels in [0, 1]."""
    std: tuple[float, ...] | None = None
    image_size: int | None = None
    """Height and width in pixels."""


def load_preparation(spec: str) -> Preparation:
    """Return what the model that ``spec`` names says about its inputs.

    For ``hf:NAME`` its tokenizer, and the scale and size in its ``preprocessor_config.json``; for
    ``llama2c:FILE`` the tokenizer beside the file; for ``resnet18`` and ``resnet50`` ImageNet's scale,
    without a size, since they take any (with ``:cifar`` nothing: the weights decide); for ``timm:NAME`` and
    ``torchvision:NAME`` what those libraries say; nothing for the others. A tokenizer without a padding
    token, as GPT-2's, pads with the end of text; the mask tells them apart.

    Raises:
        ModelError: as :func:`superscope.models.load_model` does, and for a damaged tokenizer.
    """
    kind, _, name = spec.partition(":")
    if f"{kind}:" == PREFIX:
        return _of_hub(name)
    if f"{kind}:" == LLAMA2C:
        tokenizer = _padding(load_llama2c_tokenizer(Path(name).expanduser()))
        return Preparation(tokenizer=tokenizer, max_length=_longest(tokenizer, None))
    if kind in VENDORS:
        mean, std, size = vendor_scale(kind, name)
        return Preparation(mean=mean, std=std, image_size=size)
    if spec in ("resnet18", "resnet50"):
        return Preparation(mean=_IMAGENET[0], std=_IMAGENET[1])
    return Preparation()


def _of_hub(name: str) -> Preparation:
    folder = hub_folder(name)
    config = read_config(folder, name)
    pixels = _pixels(folder, config)
    if not any((folder / file).is_file() for file in _TOKENIZER):
        return Preparation(**pixels)
    try:
        with quiet():
            from transformers import AutoTokenizer

            tokenizer: Any = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            )
    except Exception as error:  # of anything: damaged files, a missing library
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{PREFIX}{name}: transformers cannot load its tokenizer: {reason}") from error
    return Preparation(tokenizer=_padding(tokenizer), max_length=_longest(tokenizer, config), **pixels)


def _padding(tokenizer: Any) -> object:
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.bos_token
    return tokenizer


def _longest(tokenizer: Any, config: Any) -> int:
    # a tokenizer that knows no limit says 1e30
    said = (tokenizer.model_max_length, getattr(config, "max_position_embeddings", None))
    return min([LONGEST, *(length for length in said if isinstance(length, int) and length > 0)])


def _pixels(folder: Path, config: Any) -> dict[str, Any]:
    """Return mean, std and image_size; read from the JSON, as the image processors need torchvision."""
    path = folder / "preprocessor_config.json"
    pixels: dict[str, Any] = {"image_size": _edge(getattr(config, "image_size", None))}
    if not path.is_file():
        return pixels
    try:
        said = json.loads(path.read_text())
        cropped = _edge(said.get("crop_size")) if said.get("do_center_crop") else None
        pixels["image_size"] = cropped or _edge(said.get("size")) or pixels["image_size"]
        if said.get("do_normalize", True) and "image_mean" in said:
            pixels |= {"mean": _numbers(said["image_mean"]), "std": _numbers(said["image_std"])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} cannot be read ({error}); fetch or save it again") from error
    return pixels


def _numbers(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _edge(said: object) -> int | None:
    """Return the height in 224, {"height": 224, "width": 224} or {"shortest_edge": 224}."""
    if isinstance(said, Mapping):
        said = said.get("height", said.get("shortest_edge"))
    return said if isinstance(said, int) else None
