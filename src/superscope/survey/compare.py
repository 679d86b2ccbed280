"""``superscope compare``: runs or models beside each other from the shell, and their run directory."""

import contextlib
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from tyro.conf import Positional, arg

from superscope.activations import select_layers
from superscope.activations.inputs import load_inputs
from superscope.core import ConfigError, LayerError, SuperscopeError, checked, config, open_run
from superscope.core.runs import CONFIG
from superscope.models import DigitsMLP
from superscope.survey.compare_page import main_measures
from superscope.survey.comparison import Comparison, compare_groups
from superscope.survey.grouping import Groups, named_arguments, read_groups
from superscope.survey.layer import MEASURED, Measured
from superscope.survey.measure import measure
from superscope.survey.runs import SeedTable, from_survey
from superscope.training import load_model

_SEEDED = "digits-mlp"


@config
class CompareConfig:
    """Compare runs or models layer by layer, with intervals over seeds.

    Prints how many layers differ, and writes every difference with figures and a report to a run directory.
    The first group is what the others are compared with. For example:

    superscope compare runs/measure/RUN runs/measure/RUN

    superscope compare before=RUN,RUN,RUN after=RUN,RUN,RUN

    superscope compare digits-mlp net.py:make --data digits --seeds 0 1 2
    """

    runs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN [RUN ...]")]
    """Folders of finished runs that measured layers; runs whose configs differ in seed and weights alone are
    seeds of one group. NAME=RUN,RUN makes a group by hand. With --data: models, as superscope measure takes
    them, or NAME=MODEL."""
    names: tuple[str, ...] = ()
    """What to call the groups, in their order."""
    data: Annotated[str | None, arg(metavar="DATA")] = None
    """Measure the models on this first; as superscope measure takes it."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0,)
    """Of models: digits-mlp is trained once a seed; others are measured once, with the first."""
    weights: tuple[str, ...] = ()
    """Of models: a file for each, in their order; none for a model without."""
    layers: str = "*"
    """Of models: which layers, as superscope measure takes it."""
    measures: Annotated[tuple[Measured, ...], Field(min_length=1)] = MEASURED
    """Of models: which families of measures to take."""
    samples: Annotated[int, Field(ge=1)] | None = None
    """Of models: how many samples to look at, drawn at random; all by default."""
    normalize: Literal["auto", "none", "imagenet"] = "auto"
    """Of pixels, as superscope measure takes it."""
    image_size: Annotated[int, Field(ge=1)] | None = None
    """Of images, as superscope measure takes it."""
    max_length: Annotated[int, Field(ge=1)] | None = None
    """The longest text in tokens, as superscope measure takes it."""
    text_column: str | None = None
    """Of hf:DATASET, as superscope measure takes it; so are the next two."""
    image_column: str | None = None
    label_column: str | None = None
    batch_size: Annotated[int, Field(ge=1)] = 128
    """Samples a forward pass."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, ..."""
    paired: bool | None = None
    """Whether seeds are compared in pairs, in their order; by default where both sides ran the same."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the bootstrap."""
    out: Path | None = None
    """The run directory to write; runs/compare/STAMP-HASH by default."""


def run_compare(config: CompareConfig) -> tuple[Comparison, Path]:
    """Compare as the config says, write the run directory, and return the comparison and the report's path.

    Raises:
        SuperscopeError: as :func:`superscope.survey.compare` and :func:`superscope.survey.measure` do, with
            every fault at once; nothing is written then.
    """
    config = checked(config)
    run = open_run("compare", config, config.out)
    groups, notes = read_groups(config.runs, config.names) if config.data is None else (_measured(config), [])
    comparison = compare_groups(groups, notes, paired=config.paired, seed=config.seed)
    page = comparison.page()
    run.table("differences", comparison.table)
    run.table("values", comparison.values)
    run.table("overview", comparison.overview())
    for name in main_measures(comparison.measures):
        run.figure(f"groups-{name}", comparison.runs_figure(name))
        for number, group in enumerate(comparison.compared(name), 1):
            run.figure(f"differences-{name}-{number}", comparison.figure(name, group))
    run.metric(
        groups={name: [part.source for part in parts] for name, parts in comparison.groups.items()},
        stand_out=int(comparison.table["stands_out"].to_numpy(bool).sum()),
        differences=len(comparison.table),
    )
    return comparison, run.finish(page)


def _measured(config: CompareConfig) -> Groups:
    """Measure the models, after every one of them and the data have been found fit to load."""
    models = named_arguments(config.runs)
    weights: list[str | None] = [None if name == "none" else name for name in config.weights]
    weights = weights or [None] * len(models)
    faults = [
        f"{model} is a run; leave out --data to compare runs, or give models"
        for _, model in models
        if (Path(model) / CONFIG).is_file()
    ]
    if len(models) < 2:
        faults.append(f"{len(models)} model and nothing to compare with; give two or more")
    if len(weights) != len(models):
        faults.append(f"{len(weights)} weights for {len(models)} models; give each its file, or none")
    if len(set(config.seeds)) < len(config.seeds) or not config.seeds:
        faults.append(f"the seeds {list(config.seeds)} are not all different, or none")
    names = list(config.names) or _model_names(models, weights)
    if len(names) != len(models) or len(set(names)) < len(names):
        faults.append(f"{len(names)} names ({', '.join(names)}) for {len(models)} models; give each its own")
    for (_, model), file in zip_longest(models, weights[: len(models)]):
        with _gathered(faults):
            _inputs(config, model)
        with _gathered(faults):
            seeded = model == _SEEDED and file is None  # trained later
            network = DigitsMLP() if seeded else load_model(model, file)
            try:
                select_layers(network, config.layers)
            except LayerError as error:
                faults.append(f"{model}: {error}")
    if faults:
        raise ConfigError("compare", list(dict.fromkeys(faults)))
    return {
        name: [
            _one(config, model, file, seed)
            for seed in (config.seeds if model == _SEEDED and file is None else config.seeds[:1])
        ]
        for name, (_, model), file in zip(names, models, weights, strict=True)
    }


@contextlib.contextmanager
def _gathered(faults: list[str]) -> Iterator[None]:
    try:
        yield
    except SuperscopeError as error:
        faults.append(str(error))


def _one(config: CompareConfig, model: str, weights: str | None, seed: int) -> SeedTable:
    survey = measure(
        model,
        _inputs(config, model),
        config.layers,
        config.samples,
        measures=config.measures,
        weights=weights,
        batch_size=config.batch_size,
        seed=seed,
        device=config.device,
    )
    about = {"model": model, "weights": weights, "normalize": config.normalize, "layers": config.layers}
    return from_survey(survey, model, str(seed), about)


def _inputs(config: CompareConfig, model: str) -> object:
    return load_inputs(
        str(config.data),
        model,
        normalize=config.normalize,
        image_size=config.image_size,
        max_length=config.max_length,
        text_column=config.text_column,
        image_column=config.image_column,
        label_column=config.label_column,
    )


def _model_names(models: list[tuple[str, str]], weights: list[str | None]) -> list[str]:
    """Name models as given, then by their function, and with their weights where that is not enough."""
    plain = [name or model.replace("\\", "/").rpartition("/")[2] for name, model in models]
    if len(set(plain)) == len(plain):
        return plain
    return [
        f"{name}, {'no weights' if file is None else Path(file).name}"
        for name, file in zip(plain, weights, strict=False)
    ]
