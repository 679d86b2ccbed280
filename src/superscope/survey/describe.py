"""A network's architecture: each module by the name that ``--layers`` takes, its output and parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from tyro.conf import Positional, arg

import superscope.models as models
from superscope.activations import EVERYTHING, select_layers
from superscope.activations.inputs import load_inputs, placed, refusal
from superscope.activations.layers import INPUT
from superscope.core import artifacts, checked, config, open_run
from superscope.core.errors import InputError, LayerError, ModelError
from superscope.core.random import generator
from superscope.data import batches
from superscope.data.samples import Inputs
from superscope.report import DataTable, Drawing, Facts, Page, Prose, Section, render
from superscope.survey.architecture_picture import draw

_TEXT = "a short text, to see the shapes"
_DESCRIPTIONS = {
    "layer": "its name, as --layers takes it",
    "kind": "the module's class",
    "output": "the shape of what it puts out for one sample",
    "parameters": "its own, without those of the modules inside it",
    "trainable": "whether gradients reach them: yes, no, or partly",
    "default": "whether --layers '*', the default, measures it, or what goes into it",
    "note": "where it is not an ordinary module",
}


@config
class DescribeConfig:
    """Describe the architecture of a network.

    Prints a table of its layers, and writes it with a picture and a report to a run directory. For example:

    superscope describe resnet50

    superscope describe net.py:make --input-size 3,32,32
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    """As superscope measure takes it; resnet18, resnet50 and digits-mlp need no weights here."""
    weights: str | None = None
    """A .safetensors, .pth, .pt or .th file to load into the model, or hf:REPO[/FILE]."""
    data: str | None = None
    """Data whose first sample shows the shapes, as superscope measure takes it."""
    input_size: Annotated[str, Field(pattern=r"^\d+(,\d+)*$")] | None = None
    """The shape of one sample (3,32,32), in place of data."""
    out: Path | None = None
    """The run directory to write; runs/describe/STAMP-HASH by default."""


@dataclass(frozen=True)
class Description:
    """The architecture of a network."""

    model: str
    table: pd.DataFrame
    """A row for each module, in the model's order: ``layer``, ``kind``, ``output`` (of one sample; empty
    where no input is known or the forward pass leaves it out), ``parameters`` (its own, without those of
    modules inside it), ``trainable``, ``default`` (what ``*`` measures) and ``note``."""
    parameters: int
    """Each counted once, shared ones too."""
    trainable: int
    measured: tuple[str, ...]
    """What ``--layers '*'`` measures."""
    sample: str
    """The shape of the sample that was sent through, or why there was none."""
    network: nn.Module = field(repr=False)
    inputs: Inputs | None = field(repr=False)

    def facts(self) -> dict[str, object]:
        """Return what was described, by name."""
        return {
            "model": self.model,
            "parameters": f"{self.parameters:,}",
            "trainable": f"{self.trainable:,}",
            "sample": self.sample,
            "modules": len(self.table),
            "measured by default": len(self.measured),
        }

    def summary(self) -> str:
        """Return the table and the totals as text, for a terminal."""
        empty = [name for name in ("output", "note") if not any(self.table[name])]
        shown = self.table.drop(columns=empty)
        shown = shown.assign(parameters=shown["parameters"].map(lambda count: f"{count:,}" if count else ""))
        left = ("layer", "kind", "output", "trainable", "default", "note")
        widths = {name: max(len(name), *shown[name].map(len)) for name in shown}
        lines = [
            "  ".join(
                str(value).ljust(widths[name]) if name in left else str(value).rjust(widths[name])
                for name, value in row.items()
            ).rstrip()
            for row in [{name: name for name in shown}, *shown.to_dict("records")]
        ]
        frozen = self.parameters - self.trainable
        total = f"total: {self.parameters:,} parameters" + (f", {frozen:,} of them frozen" if frozen else "")
        chosen = self.measured
        few = [*chosen[:4], "...", chosen[-1]] if len(chosen) > 5 else chosen
        return "\n".join(
            [
                *lines,
                "",
                total,
                f"sample: {self.sample}",
                f"--layers '*' measures {len(chosen)}: {', '.join(few)}",
            ]
        )

    def picture(self) -> str:
        """Return the graph of the forward pass as SVG.

        Raises:
            ModelError: when Graphviz's ``dot``, torchview or an input is missing, or torchview cannot follow
                the model; it says which.
        """
        if self.inputs is None:
            raise ModelError(f"no picture: {self.sample}")
        return draw(self.network, self.inputs)

    def page(self, picture: str | None = None) -> str:
        """Return one self-contained HTML page, with ``picture`` or else :meth:`picture`."""
        shown: Drawing | Prose
        try:
            caption = "Data flows from top to bottom; a node has a module's name, its class and its output."
            alt = f"The forward pass of {self.model} as a graph of its modules."
            shown = Drawing(picture or self.picture(), caption, alt)
        except ModelError as error:
            shown = Prose(str(error))
        table = DataTable(self.table, "", {"parameters": "{:,}"}, _DESCRIPTIONS)
        return render(
            Page(
                f"Architecture of {self.model}",
                f"{self.parameters:,} parameters in {len(self.table)} modules",
                [
                    Section("Layers", [Facts(self.facts()), table]),
                    Section("Picture", [shown]),
                ],
            )
        )

    def report(self, path: str | Path) -> Path:
        """Write :meth:`page` to ``path``.

        Raises:
            ArtifactError: when it cannot be written.
        """
        return artifacts.write_text(Path(path), self.page())


def describe(
    model: nn.Module | str,
    data: object = None,
    *,
    weights: str | Path | None = None,
    input_size: Sequence[int] | None = None,
) -> Description:
    """Describe the architecture of ``model``: its modules, their outputs for one sample, their parameters.

    The sample is the first of ``data``; or zeros of ``input_size``; or what the model says of itself: a short
    text for its tokenizer, zeros of its image size. Without any of these the outputs stay empty. The model is
    given back in the mode it came in.

    Args:
        model: a module, or a name as :func:`superscope.measure` takes it.
        data: anything that :func:`superscope.measure` takes.
        weights: a file to load into a model given by name.
        input_size: the shape of one sample.

    Raises:
        ModelError: when the model cannot be built, or cannot take the sample.
        DataError: when the data cannot be found or read.
        InputError: when both data and an input size are given, or the size holds a zero; and for weights of a
            model that is not given by name.
    """
    if weights is not None and isinstance(model, nn.Module):
        raise InputError(
            "weights go with a model given by name; load them into the module before describing it"
        )
    if data is not None and input_size is not None:
        raise InputError("data and an input size both came; give one of them")
    if input_size is not None and (not input_size or min(input_size) < 1):
        raise InputError(f"input size {list(input_size)}; give the shape of one sample, as 3,32,32")
    network = model if isinstance(model, nn.Module) else _load(model, weights)
    name = model if isinstance(model, str) else type(model).__name__
    inputs, sample = _sample(network, name, data, input_size)
    if inputs is not None:
        home = next((value.device for value in network.parameters()), torch.device("cpu"))
        inputs = placed(network, inputs, home)
    outputs = {} if inputs is None else _outputs(network, inputs)
    measured = _measured(network)
    own = list({id(value): value for value in network.parameters() if not is_lazy(value)}.values())
    return Description(
        model=name,
        table=_table(network, outputs, measured, ran=inputs is not None),
        measured=measured,
        parameters=sum(value.numel() for value in own),
        trainable=sum(value.numel() for value in own if value.requires_grad),
        sample=sample,
        network=network,
        inputs=inputs,
    )


def run_describe(settings: DescribeConfig) -> tuple[Description, Path, str | None]:
    """Describe as the config says, write the run directory; return also the report, and why no picture.

    Raises:
        SuperscopeError: as :func:`describe` and :func:`superscope.core.open_run` do; nothing is written then.
    """
    settings = checked(settings)
    run = open_run("describe", settings, settings.out)
    size = None if settings.input_size is None else [int(part) for part in settings.input_size.split(",")]
    found = describe(settings.model, settings.data, weights=settings.weights, input_size=size)
    picture = missing = None
    try:
        picture = found.picture()
    except ModelError as error:
        missing = str(error)
    page = found.page(picture)  # whatever fails in it, before a file is written
    run.table("architecture", found.table)
    if picture is not None:
        artifacts.write_text(run.path / "figures" / "architecture.svg", picture)
    run.metric(**found.facts())
    return found, run.finish(page), missing


def _load(name: str, weights: str | Path | None) -> nn.Module:
    """Load a model; those of ours need no weights to be described."""
    bare = {
        "digits-mlp": models.DigitsMLP,
        "resnet18": lambda draw: models.resnet18(generator=draw),
        "resnet50": lambda draw: models.resnet50(generator=draw),
        "resnet18:cifar": lambda draw: models.resnet18(cifar_stem=True, generator=draw),
        "resnet50:cifar": lambda draw: models.resnet50(cifar_stem=True, generator=draw),
    }
    if weights is None and name in bare:
        return bare[name](generator(0, name))
    return models.load_model(name, weights)


def _sample(
    network: nn.Module, name: str, data: object, size: Sequence[int] | None
) -> tuple[Inputs | None, str]:
    """Return a batch of one sample, and what it is."""
    if data is not None:
        source = load_inputs(data, name) if isinstance(data, str) else data
        batch = next(iter(batches(source, batch_size=1, samples=1)))
        inputs = batch.inputs
        first = (
            inputs[:1] if isinstance(inputs, Tensor) else {key: value[:1] for key, value in inputs.items()}
        )
        return first, f"{_shapes(first)} of {data if isinstance(data, str) else type(data).__name__}"
    preparation = models.load_preparation(name) if ":" in name else models.Preparation()
    if size is None and preparation.tokenizer is not None:
        tokenizer: Any = preparation.tokenizer
        made: Inputs = dict(tokenizer(_TEXT, return_tensors="pt"))
        return made, f"{_shapes(made)}, a text of {made['input_ids'].shape[1]} tokens"
    size = size or _own_size(network, preparation)
    if size is None:
        return None, "no input is known; give --data or --input-size for the outputs"
    made = torch.zeros(1, *size)
    return made, f"{_shapes(made)}, zeros"


def _own_size(network: nn.Module, preparation: models.Preparation) -> Sequence[int] | None:
    if isinstance(network, models.DigitsMLP):
        return 1, 8, 8
    if isinstance(network, models.ResNet):
        return (3, 32, 32) if network.conv1.kernel_size == (3, 3) else (3, 224, 224)
    edge = preparation.image_size
    channels = getattr(getattr(network, "config", None), "num_channels", 3)
    return None if edge is None else (channels, edge, edge)


def _outputs(network: nn.Module, inputs: Inputs) -> dict[int, str]:
    """Return the shape of each module's first output, by its id, from torchinfo's pass."""
    import torchinfo

    modes = {module: module.training for module in network.modules()}
    first = inputs if isinstance(inputs, Tensor) else next(iter(inputs.values()))
    try:
        found = torchinfo.summary(
            network, input_data=inputs, depth=1000, verbose=0, mode="eval", device=first.device
        )
    except Exception as error:  # a person's own model can raise anything
        reason = refusal(network, inputs, error)
        raise ModelError(
            f"the model cannot take a sample of shape {_shapes(inputs)}: {reason}; give --data or "
            f"--input-size that it was made for"
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode
    shapes: dict[int, str] = {}
    for layer in found.summary_list:
        if layer.executed or layer.output_size:
            shapes.setdefault(layer.layer_id, " × ".join(str(length) for length in layer.output_size[1:]))
    return shapes


def _measured(network: nn.Module) -> tuple[str, ...]:
    try:
        return tuple(select_layers(network, EVERYTHING))
    except LayerError:  # a model of containers alone
        return ()


def _table(
    network: nn.Module, outputs: Mapping[int, str], measured: Sequence[str], *, ran: bool
) -> pd.DataFrame:
    named = {name: module for name, module in network.named_modules() if name} or {"(model)": network}
    owner: dict[int, str] = {}
    rows = []
    for name, module in named.items():
        own = [value for value in module.parameters(recurse=False) if not is_lazy(value)]
        notes = [f"shares {owner[id(value)]}" for value in own if id(value) in owner]
        for parameter, value in module.named_parameters(recurse=False):
            owner.setdefault(id(value), f"{name}.{parameter}")
        if ran and id(module) not in outputs and not isinstance(module, nn.ModuleList | nn.ModuleDict):
            notes.append("not called")
        rows.append(
            {
                "layer": name,
                "kind": type(module).__name__,
                "output": outputs.get(id(module), ""),
                "parameters": sum(value.numel() for value in own),
                "trainable": _trainable(own),
                "default": ", ".join(
                    said
                    for said, ending in (("yes", ""), ("its input", INPUT))
                    if f"{name}{ending}" in measured
                ),
                "note": ", ".join(notes),
            }
        )
    return pd.DataFrame(rows)


def _trainable(own: Sequence[Tensor]) -> str:
    if not own:
        return ""
    kinds = {value.requires_grad for value in own}
    return "partly" if len(kinds) > 1 else "yes" if kinds.pop() else "no"


def _shapes(inputs: Inputs) -> str:
    if isinstance(inputs, Tensor):
        return " × ".join(str(length) for length in inputs.shape[1:])
    return ", ".join(f"{name} {_shapes(value)}" for name, value in inputs.items())
