"""``superscope resolve``: the atlas of a layer from the shell, and its run directory."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from tyro.conf import Positional, arg

from superscope.activations.inputs import load_inputs
from superscope.atlas.collecting import check_width
from superscope.atlas.resolve import (
    MEMORY,
    activations,
    chart,
    default_config,
    fitting_config,
    small_batches,
    train_on,
)
from superscope.atlas.result import FOLDER, Atlas
from superscope.atlas.subject import Subject, look
from superscope.core import InputError, Run, checked, config, open_run
from superscope.dictionary import (
    Architecture,
    Dictionary,
    DictionaryConfig,
    History,
    make_dictionary,
    read_dictionary,
    write_saelens,
)
from superscope.dictionary.config import checked_config
from superscope.training import load_model

_TRAINING = ("architecture", "latents", "k", "sparsity", "steps", "rows_per_step", "lr")


@config
class ResolveConfig:
    """Resolve the features of a layer: train a sparse autoencoder on it, and look at each of its latents.

    Prints how good the dictionary is, and writes an atlas of its latents (examples, frequencies, effects on
    the logits) as one page to a run directory, with the dictionary in SAELens' layout. For example:

    superscope resolve digits-mlp --data digits:train --layer relu2

    superscope resolve hf:gpt2 --data text:stories.txt --layer transformer.h.6 --latents 16384 --samples 5000

    superscope resolve hf:gpt2 --data text:stories.txt --layer transformer.h.6 --dictionary FOLDER
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
    weights: str | None = None
    """A .safetensors, .pth, .pt or .th file to load into the model, or hf:REPOSITORY[/FILE]."""
    dictionary: Path | None = None
    """A folder with a dictionary of this layer, in SAELens' layout or sparsify's, to look at in place of
    training one."""
    architecture: Architecture | None = None
    """topk where not given; batchtopk, matryoshka (nested batchtopk), jumprelu, gated, or standard (ReLU and
    L1)."""
    latents: Annotated[int, Field(ge=1)] | None = None
    """How many features there is room for; 16 for each unit of the layer by default."""
    k: Annotated[int, Field(ge=1)] | None = None
    """How many of them are active at a position (L0); a quarter of the width by default, from 4 to 32."""
    sparsity: Annotated[float, Field(gt=0)] | None = None
    """A fixed weight of the penalty in place of a k to steer to; standard, gated and jumprelu only."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Steps of the training; one pass over the activations by default, and at least 2,000."""
    rows_per_step: Annotated[int, Field(ge=1)] | None = None
    """Activations a step; 1,024 by default."""
    lr: Annotated[float, Field(gt=0)] | None = None
    """Learning rate; by the number of latents by default."""
    samples: Annotated[int, Field(ge=1)] | None = None
    """How many samples to look at, drawn at random; all by default."""
    skip_tokens: Annotated[int, Field(ge=0)] | None = None
    """Tokens to leave out at the start of each text; 1 by default where the model predicts tokens, since its
    first ones are like no others."""
    examples: Annotated[int, Field(ge=1, le=100)] = 12
    """Strongest examples of each latent; two thirds as many are drawn at random."""
    recovery_samples: Annotated[int, Field(ge=1)] = 256
    """Samples that the loss is measured on with the dictionary in the layer's place."""
    folder: bool = False
    """Put the page's data into a folder beside it, as is done anyway where it would have more than 32 MB."""
    memory: Annotated[int, Field(ge=1)] = MEMORY >> 20
    """MiB that activations may take; more are written to the run directory while it trains."""
    normalize: Literal["auto", "none", "imagenet"] = "auto"
    """Of pixels: auto takes the set's own mean and deviation, imagenet ImageNet's, none scales to [0, 1]."""
    image_size: Annotated[int, Field(ge=1)] | None = None
    """For images:DIR and hf:DATASET: resize the shorter side to this, and crop the centre."""
    max_length: Annotated[int, Field(ge=1)] | None = None
    """For texts: cut longer ones to so many tokens; by default what the model takes, and at most 512."""
    text_column: str | None = None
    """For tables of texts and hf:DATASET: the column, where its name does not say so."""
    image_column: str | None = None
    """Likewise, the column of images."""
    label_column: str | None = None
    """Likewise, the column of labels."""
    batch_size: Annotated[int, Field(ge=1)] = 64
    """Samples a forward pass."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the subset of samples, of the training, and of the examples that are drawn."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, ..."""
    out: Path | None = None
    """The run directory to write; runs/resolve/STAMP-HASH by default. An unfinished run of the same config is
    resumed."""


def run_resolve(config: ResolveConfig) -> tuple[Atlas, Path]:
    """Resolve as the config says, write the run directory, and return the atlas and the report's path.

    Raises:
        SuperscopeError: as :func:`superscope.resolve` and :func:`superscope.core.open_run` do; nothing is
            written when the fault is found before the training.
    """
    config = checked(config)
    run = open_run("resolve", config, config.out)
    given = _given(config)
    if given is None and config.latents is not None:
        checked_config(_of(config, default_config(config.latents)))  # before the network is loaded
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
    network = load_model(config.model, config.weights, seed=config.seed)
    subject = look(
        network,
        data,
        config.layer,
        samples=config.samples,
        skip_tokens=config.skip_tokens,
        batch_size=config.batch_size,
        seed=config.seed,
        device=config.device,
    )
    subject = dataclasses.replace(subject, model=config.model, data=config.data)
    notes: tuple[str, ...] = ()
    if given is None:
        wanted = checked_config(_of(config, default_config(subject.width)))
        kept = run.stage("dictionary", lambda: _trained(run, subject, wanted, config))
        given = _dictionary(wanted, subject.width, kept)
        notes = small_batches(wanted, given.config)
    else:
        check_width(subject.layer, subject.width, given)
    atlas = chart(subject, given, examples=config.examples, recovery_samples=config.recovery_samples)
    atlas = dataclasses.replace(atlas, notes=(*notes, *atlas.notes))
    return atlas, _written(run, atlas, FOLDER if config.folder else None)


def _given(config: ResolveConfig) -> Dictionary | None:
    if config.dictionary is None:
        return None
    if named := [name for name in _TRAINING if getattr(config, name) is not None]:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in named)
        raise InputError(f"--dictionary gives one that is trained already; leave out {flags}")
    return read_dictionary(config.dictionary)


def _of(config: ResolveConfig, default: DictionaryConfig) -> DictionaryConfig:
    """Return the default with what the command line says in its place."""
    said = {
        "architecture": config.architecture,
        "n_latents": config.latents,
        "k": config.k,
        "sparsity": config.sparsity,
        "batch_size": config.rows_per_step,
        "lr": config.lr,
    }
    return dataclasses.replace(default, **{name: value for name, value in said.items() if value is not None})


def _trained(
    run: Run, subject: Subject, wanted: DictionaryConfig, config: ResolveConfig
) -> dict[str, Tensor]:
    """Train a dictionary and return all of it that a stage keeps."""
    checkpoint = run.checkpoint("dictionary")
    rows = activations(subject, config.memory << 20, run.path / "stages" / "activations")
    fitted = fitting_config(wanted, rows)
    found = train_on(rows, fitted, config.steps, config.seed, config.device, checkpoint)
    history = found.history or History()
    curve = [history.steps, history.fvu, history.l0, history.dead]
    return {
        **{f"state/{name}": value for name, value in found.state_dict().items()},
        "history": torch.tensor(curve, dtype=torch.float64),
        "batch_size": torch.tensor(fitted.batch_size),
    }


def _dictionary(config: DictionaryConfig, width: int, kept: dict[str, Tensor]) -> Dictionary:
    made = make_dictionary(dataclasses.replace(config, batch_size=int(kept["batch_size"])), width)
    made.load_state_dict(
        {name.removeprefix("state/"): value for name, value in kept.items() if name.startswith("state/")}
    )
    steps, fvu, l0, dead = kept["history"].tolist()
    made.history = History([int(step) for step in steps], fvu, l0, [int(each) for each in dead])
    return made.eval()


def _written(run: Run, atlas: Atlas, folder: str | None) -> Path:
    """Write everything that was found, and the page last."""
    page, files = atlas.page(folder)  # whatever fails in it, before a file is written
    hashes = run.tensors(atlas.tensors())
    run.table("latents", atlas.table)
    for name, figure in atlas.figures().items():
        run.figure(name, figure)
    write_saelens(atlas.dictionary, run.path / "dictionary")
    for name, data in files.items():
        run.file(name, data)
    run.metric(**atlas.facts())
    run.metric(tensor_hashes=hashes)
    return run.finish(page)
