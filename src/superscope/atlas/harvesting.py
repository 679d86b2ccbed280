"""``superscope harvest``: the activations of a layer to a folder, from the shell."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from tyro.conf import Positional, arg

from superscope.activations import ActivationStore, harvest
from superscope.activations.inputs import load_inputs
from superscope.activations.shards import MANIFEST, StoredAs, read_manifest
from superscope.core import checked, config


@config
class HarvestConfig:
    """Write the activations of a layer to a folder, to train dictionaries on them as often as you like.

    One row for each token, or each place in a map of channels, in safetensors shards with a manifest. Stopped
    at any moment, the same command goes on where it was. For example:

    superscope harvest digits-mlp --data digits:train --layer relu2 --out digits-relu2

    superscope harvest hf:gpt2 --data text:stories.txt --layer transformer.h.6 --dtype float16 --out gpt2-6

    superscope harvest hf:gpt2 --data text:stories.txt --layer transformer.h.6.mlp:input --target
    transformer.h.6.mlp --out gpt2-mlp6
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    """digits-mlp (trained on the spot), resnet18 or resnet50 (with --weights), hf:NAME or hf:FOLDER,
    timm:NAME, torchvision:NAME, llama2c:FILE.bin, or FILE.py:FUNCTION for a function of yours that returns an
    nn.Module."""
    data: Annotated[str, arg(metavar="DATA")]
    """digits, mnist:DIR, cifar10:DIR, cifar100:DIR, images:DIR, text:FILE, hf:DATASET[/CONFIG][:SPLIT],
    npz:FILE, or FILE.py:FUNCTION. The test split unless :train is added."""
    layer: Annotated[str, arg(metavar="NAME")]
    """The layer, as superscope describe names it; NAME:input for what goes into a module."""
    out: Path
    """The folder of the store. An unfinished one of the same work is gone on with, any other is refused."""
    target: Annotated[str | None, arg(metavar="NAME")] = None
    """A second layer, for transcoders: each row is then a pair of the two layers at the same place."""
    dtype: StoredAs = "float32"
    """How activations are stored; the other two take half the space, and bfloat16 holds values of any
    size."""
    weights: str | None = None
    """A .safetensors, .pth, .pt or .th file to load into the model, or hf:REPOSITORY[/FILE]."""
    samples: Annotated[int, Field(ge=1)] | None = None
    """How many samples to read, drawn at random; all by default."""
    skip_tokens: Annotated[int, Field(ge=0)] = 0
    """Tokens to leave out at the start of each text: the first of a text is like no other in language
    models."""
    shard_rows: Annotated[int, Field(ge=1)] | None = None
    """Rows of a shard; as many as take 64 MiB by default."""
    normalize: Literal["auto", "none", "imagenet"] = "auto"
    """Of pixels: auto takes the set's own mean and deviation, imagenet ImageNet's, none scales to [0, 1]."""
    image_size: Annotated[int, Field(ge=1)] | None = None
    """For images:DIR and hf:DATASET: resize the shorter side to this, and crop the centre; the model's own
    size where it has one."""
    max_length: Annotated[int, Field(ge=1)] | None = None
    """For texts: cut longer ones to so many tokens; by default what the model takes, and at most 512."""
    text_column: str | None = None
    """For tables of texts and hf:DATASET: the column, where its name does not say so."""
    image_column: str | None = None
    """Likewise, the column of images."""
    label_column: str | None = None
    """Likewise, the column of labels."""
    batch_size: Annotated[int, Field(ge=1)] = 128
    """Samples a forward pass."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the subset of samples, of the order of texts, and of the training of digits-mlp."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, ..."""


def run_harvest(config: HarvestConfig) -> ActivationStore:
    """Harvest as the config says, and return the store.

    Raises:
        SuperscopeError: as :func:`superscope.activations.harvest` does.
    """
    config = checked(config)
    data = load_inputs(
        config.data,
        config.model,
        normalize=config.normalize,
        image_size=config.image_size,
        max_length=config.max_length,
        text_column=config.text_column,
        image_column=config.image_column,
        label_column=config.label_column,
    )
    return harvest(
        config.model,
        data,
        config.layer,
        config.out,
        target=config.target,
        dtype=config.dtype,
        samples=config.samples,
        skip_tokens=config.skip_tokens,
        shard_rows=config.shard_rows,
        weights=config.weights,
        batch_size=config.batch_size,
        seed=config.seed,
        device=config.device,
    )


def harvested(store: ActivationStore) -> str:
    """Return in a few lines what a store holds."""
    said = store.manifest
    units, layers = f"{said.width:,} units", said.work.layer
    if said.output_width is not None:
        units, layers = f"{said.width:,} and {said.output_width:,} units", f"{layers} and {said.work.target}"
    size = sum(entry.bytes for entry in said.shards) / 1e6
    lines = [
        f"{said.rows:,} rows of {units}: {layers} of {said.work.model} on {said.samples:,} samples",
        f"{len(said.shards):,} shard{'s' * (len(said.shards) > 1)} of {said.work.dtype}, {size:,.1f} MB",
    ]
    if said.not_finite:
        lines.append(f"note: {said.not_finite:,} rows with NaN or infinite values were left out")
    return "\n".join([*lines, f"store: {store.folder}"])


def kept_rows(folder: Path) -> int:
    """Return how many rows an unfinished store keeps; 0 where there is none."""
    return read_manifest(folder).rows if (folder / MANIFEST).exists() else 0
