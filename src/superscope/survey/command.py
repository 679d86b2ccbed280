"""``superscope measure``: a survey from the shell, and its run directory."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from tyro.conf import Positional, arg

from superscope.activations import select_layers
from superscope.activations.inputs import load_inputs
from superscope.core import InputError, checked, config, open_run
from superscope.survey.layer import MEASURED, Measured
from superscope.survey.measure import measure
from superscope.survey.result import Survey
from superscope.training import load_model


@config
class MeasureConfig:
    """Measure every layer of a network in one pass over the data.

    Prints a table, and writes it with figures, tensors and a report to a run directory. For example:

    superscope measure digits-mlp --data digits

    superscope measure net.py:make --weights net.pth --data cifar10:FOLDER --layers "*conv*"

    superscope measure hf:distilbert-base-uncased --data text:sentences.tsv --samples 1000
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    """digits-mlp (trained on the spot), resnet18 or resnet50 (with --weights), hf:NAME or hf:FOLDER,
    timm:NAME, torchvision:NAME, llama2c:FILE.bin, or FILE.py:FUNCTION for a function of yours that returns an
    nn.Module."""
    data: Annotated[str, arg(metavar="DATA")]
    """digits, mnist:DIR, cifar10:DIR, cifar100:DIR, images:DIR, text:FILE, hf:DATASET[/CONFIG][:SPLIT],
    npz:FILE, or FILE.py:FUNCTION. The test split unless :train is added."""
    weights: str | None = None
    """A .safetensors, .pth, .pt or .th file to load into the model, or hf:REPOSITORY[/FILE]."""
    layers: str = "*"
    """Which layers: a glob over module names (layer*.conv*), or several separated by commas; NAME:input for
    what goes into a module. * takes those worth looking at (superscope describe lists them), ** all."""
    measures: Annotated[tuple[Measured, ...], Field(min_length=1)] = MEASURED
    """Which families of measures to take."""
    errors: bool = True
    """Standard errors, which take eight times the memory for second moments."""
    samples: Annotated[int, Field(ge=1)] | None = None
    """How many samples to look at, drawn at random; all by default."""
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
    picture: str = "last"
    """The layer whose samples are drawn in the plane, by PCA and t-SNE: a name, last, or none."""
    batch_size: Annotated[int, Field(ge=1)] = 128
    """Samples a forward pass."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the subset of samples, and of the training of digits-mlp."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, ..."""
    out: Path | None = None
    """The run directory to write; runs/measure/STAMP-HASH by default."""


def run_measure(config: MeasureConfig) -> tuple[Survey, Path]:
    """Measure as the config says, write the run directory, and return the survey and the report's path.

    Raises:
        SuperscopeError: as :func:`measure` and :func:`superscope.core.open_run` do; nothing is written then.
    """
    config = checked(config)
    run = open_run("measure", config, config.out)
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
    chosen = list(select_layers(network, config.layers))
    if config.picture not in ("last", "none", *chosen):
        few = ", ".join([*chosen[:6], *["..."] * (len(chosen) > 6)])
        raise InputError(f"--picture {config.picture}: no such layer is measured; choose {few}, last or none")
    survey = measure(
        network,
        data,
        config.layers,
        config.samples,
        measures=config.measures,
        errors=config.errors,
        batch_size=config.batch_size,
        seed=config.seed,
        device=config.device,
    )
    survey = dataclasses.replace(survey, model=config.model, data=config.data)
    page = survey.page(_drawn(config.picture, survey))  # whatever fails in it, before a file is written
    hashes = run.tensors(survey.tensors())
    run.table("layers", survey.table)
    run.table("ranks", survey.ranks)
    if survey.spectra:
        run.figure("ranks", survey.figure())
    run.metric(**survey.facts())
    run.metric(tensor_hashes=hashes)
    return survey, run.finish(page)


def _drawn(picture: str, survey: Survey) -> str | None:
    """Return the layer to draw samples of; None where it was left out, or no samples were kept."""
    kept = [row.name for row in survey.rows if row.kept is not None]
    return next((name for name in reversed(kept) if picture in ("last", name)), None)
