"""One pass over the data with a hook on every layer; memory does not grow with the number of samples."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from superscope.activations import capture, select_layers, unit_axis
from superscope.core.errors import InputError, LayerError, ModelError, SuperscopeError
from superscope.core.progress import progress
from superscope.core.runtime import resolve_device
from superscope.data import Batch, batches, load_data
from superscope.measures.statistics import WIDEST_GROUPED, LayerStatistics
from superscope.models import check_finite
from superscope.survey.result import LayerRow, Survey
from superscope.training import load_model

WIDEST = 16_384
"""A wider layer's Gram matrix would take more than 2 GiB; it is left out, and the survey says so."""


def measure(
    model: nn.Module | str,
    data: object,
    layers: str | Sequence[str] = "*",
    samples: int | None = None,
    *,
    weights: str | Path | None = None,
    batch_size: int = 128,
    seed: int = 0,
    device: str = "auto",
) -> Survey:
    """Measure every layer of ``model`` that ``layers`` names in one pass over ``data``.

    Args:
        model: a module, or the name of one as the command line takes it (``digits-mlp``,
            ``FILE.py:FUNCTION``). It runs in eval mode and is given back in the mode it came in.
        data: a loader or any iterable of batches, a tensor, a dataset (:func:`superscope.data.batches`), or a
            name as the command line takes it (``digits``, ``cifar10:DIR``, ...). Batches may be inputs or
            (inputs, labels).
        layers: a glob over module names, or several.
        samples: how many samples to look at; all of them by default.
        weights: a file to load into a model given by name.
        batch_size: samples a forward pass, where the data does not come in batches already.
        seed: of the subset of samples, and of the training of ``digits-mlp``.
        device: ``auto``, ``cpu``, ``cuda``, ...

    Raises:
        ModelError: when the model cannot be built, holds NaN weights, or cannot take the data.
        DataError: when the data cannot be found or read.
        LayerError: when no layer matches; it suggests the nearest names.
        InputError: when an argument is out of range.
    """
    if weights is not None and isinstance(model, nn.Module):
        raise InputError(
            "weights go with a model given by name; load them into the module before measuring it"
        )
    network = (
        model
        if isinstance(model, nn.Module)
        else load_model(model, None if weights is None else Path(weights), seed=seed)
    )
    check_finite(network)
    chosen = select_layers(network, layers)
    stream = batches(
        load_data(data) if isinstance(data, str) else data, batch_size=batch_size, samples=samples, seed=seed
    )
    where = resolve_device(device)
    states, left_out, calls, sink = _states(chosen, where)
    tally = _Tally()
    was_training = network.training
    started = time.perf_counter()
    network.to(where).eval()
    try:
        with (
            torch.inference_mode(),
            capture(network, list(chosen), sink=sink),
            progress((), "measuring", stream.total, "sample") as bar,
        ):
            for batch in stream:
                tally.add(batch, _forward(network, batch, where))
                bar.update(len(batch))
    finally:
        network.train(was_training)
    if not states and not left_out:
        raise ModelError(
            f"the forward pass called none of the layers {', '.join(list(chosen)[:5])}; choose others with --layers"
        )
    left_out |= {
        name: "never called in the forward pass"
        for name in chosen
        if name not in calls and name not in left_out
    }
    rows = [
        _row(name, chosen[name], states[name], calls[name] / tally.batches)
        for name in chosen
        if name in states
    ]
    return Survey(
        rows=rows,
        left_out=left_out,
        model=model if isinstance(model, str) else type(model).__name__,
        data=data if isinstance(data, str) else getattr(data, "name", type(data).__name__),
        samples=tally.samples,
        accuracy=tally.accuracy(),
        seconds=time.perf_counter() - started,
    )


class _Tally:
    """Counts samples, and right answers where there are labels and one logit a class."""

    def __init__(self) -> None:
        self.samples = self.batches = self.right = self.labelled = 0

    def add(self, batch: Batch, output: object) -> None:
        self.samples += len(batch)
        self.batches += 1
        if batch.labels is None or not isinstance(output, Tensor) or output.ndim != 2:
            return
        if output.shape[0] == len(batch.labels) and int(batch.labels.max()) < output.shape[1]:
            self.right += int((output.argmax(1).cpu() == batch.labels.cpu()).sum())
            self.labelled += len(batch)

    def accuracy(self) -> float:
        return self.right / self.labelled if self.labelled else math.nan


def _states(
    chosen: Mapping[str, nn.Module], device: torch.device
) -> tuple[
    dict[str, LayerStatistics], dict[str, str], dict[str, int], Callable[[str, nn.Module, Tensor], None]
]:
    """Return the layers' states, those left out with the reason, how often each was called, and the sink that
    fills them."""
    states: dict[str, LayerStatistics] = {}
    left_out: dict[str, str] = {}
    calls: dict[str, int] = {}

    def sink(name: str, module: nn.Module, output: Tensor) -> None:
        calls[name] = calls.get(name, 0) + 1
        axis = unit_axis(module, output)
        width = output.shape[axis]
        if name in left_out:
            return
        if width > WIDEST:
            left_out[name] = f"{width:,} units wide, more than {WIDEST:,}"
            return
        if name not in states:
            states[name] = LayerStatistics(width, device=device)
        elif states[name].width != width:
            raise LayerError(
                f"layer {name} put out {states[name].width} units, then {width}; leave it out with --layers"
            )
        states[name].update(output, unit_axis=axis)

    return states, left_out, calls, sink


def _forward(model: nn.Module, batch: Batch, device: torch.device) -> object:
    inputs = batch.inputs
    try:
        if isinstance(inputs, Tensor):
            return model(inputs.to(device))
        return model(**{name: value.to(device) for name, value in inputs.items()})
    except SuperscopeError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        shapes = (
            tuple(inputs.shape)
            if isinstance(inputs, Tensor)
            else {name: tuple(value.shape) for name, value in inputs.items()}
        )
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"the model cannot take a batch of shape {shapes}: {reason}; give it data of the size that it was made for"
        ) from error


def _row(name: str, module: nn.Module, state: LayerStatistics, calls: float) -> LayerRow:
    measures, errors = state.measures(), state.standard_errors()
    notes = []
    if state.nonfinite:
        notes.append(f"{state.nonfinite:,} values not finite, their rows kept out")
    if calls > 1:
        notes.append(f"called {calls:g} times a pass")
    spectrum = state.moments().singular_values() if state.rows else torch.empty(0, dtype=torch.float64)
    if state.rows == 0:
        notes.append("no finite row")
    elif state.rows <= state.width:
        notes.append(f"{state.rows} rows for {state.width} units, so no rank can exceed {state.rows - 1}")
    elif not float(spectrum[0]) > 0:
        notes.append("no unit varies")
    if state.width > WIDEST_GROUPED:
        notes.append(f"no standard errors beyond width {WIDEST_GROUPED}")
    elif state.samples < state.groups:
        notes.append(f"no standard errors from fewer than {state.groups} samples")
    return LayerRow(
        name,
        type(module).__name__,
        state.width,
        state.samples,
        state.rows,
        measures,
        errors,
        tuple(notes),
        spectrum,
        state.values(),
    )
