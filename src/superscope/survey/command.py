"""``superscope measure``: a survey from the shell, and its run directory."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from tyro.conf import Positional, arg

from superscope.core import checked, config, open_run
from superscope.data import load_data
from superscope.survey.measure import measure
from superscope.survey.result import Survey


@config
class MeasureConfig:
    """Measure every layer of a network in one pass over the data.

    Prints a table, and writes it with figures, tensors and a report to a run directory. For example:

    superscope measure digits-mlp --data digits

    superscope measure net.py:make --weights net.pth --data cifar10:FOLDER --layers "*conv*"
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    """digits-mlp (trained on the spot), or FILE.py:FUNCTION for a function of yours that returns an
    nn.Module."""
    data: Annotated[str, arg(metavar="DATA")]
    """digits, mnist:DIR, cifar10:DIR, cifar100:DIR, images:DIR, npz:FILE, or FILE.py:FUNCTION. The test split
    unless :train is added."""
    weights: Path | None = None
    """A .safetensors, .pth, .pt or .th file to load into the model."""
    layers: str = "*"
    """Which layers: a glob over module names (layer*.conv*), or several separated by commas."""
    samples: Annotated[int, Field(ge=1)] | None = None
    """How many samples to look at, drawn at random; all by default."""
    normalize: Literal["auto", "none", "imagenet"] = "auto"
    """Of pixels: auto takes the set's own mean and deviation, imagenet ImageNet's, none scales to [0, 1]."""
    image_size: Annotated[int, Field(ge=1)] | None = None
    """For images:DIR: resize the shorter side to this, and crop the centre."""
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
    survey = measure(
        config.model,
        load_data(config.data, normalize=config.normalize, image_size=config.image_size),
        config.layers,
        config.samples,
        weights=config.weights,
        batch_size=config.batch_size,
        seed=config.seed,
        device=config.device,
    )
    hashes = run.tensors(survey.tensors())
    run.table("layers", survey.table)
    run.figure("ranks", survey.figure())
    run.metric(**survey.facts())
    run.metric(tensor_hashes=hashes)
    return survey, run.finish(survey.page())
