"""One pass over the data with a hook on every layer; memory does not grow with the number of samples."""

import contextlib
import itertools
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from superscope.activations import EVERYTHING, RESCALES, capture, select_layers, unit_axis
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

_RESCALED = "a batch norm only rescales the layer before it; name it to measure it (*,*bn*)"


def measure(
    model: nn.Module | str,
    data: object,
    layers: str | Sequence[str] = EVERYTHING,
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
            ``FILE.py:FUNCTION``). It runs in eval mode, takes floating inputs in the type of its parameters,
            and is given back in the mode and on the device it came in.
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
    where = resolve_device(device)
    network = model if isinstance(model, nn.Module) else _load(model, weights, seed)
    check_finite(network)
    chosen = select_layers(network, layers)
    source = load_data(data) if isinstance(data, str) else data
    stream = batches(source, batch_size=batch_size, samples=samples, seed=seed)
    recorder, tally = _Recorder(where), _Tally()
    started = time.perf_counter()
    with (
        _evaluating(network, where),
        torch.inference_mode(),
        capture(network, list(chosen), sink=recorder),
        progress((), "measuring", stream.total, "sample") as bar,
    ):
        for batch in stream:
            tally.add(batch, _forward(network, batch, where, recorder))
            bar.update(len(batch))
    rows = [
        _row(name, chosen[name], state, recorder.calls[name] / tally.batches)
        for name, state in recorder.states.items()
    ]
    left_out = recorder.left_out | {
        name: "never called in the forward pass" for name in chosen if name not in recorder.calls
    }
    if layers == EVERYTHING:
        norms = [name for name, module in network.named_modules() if isinstance(module, RESCALES)]
        left_out |= {name: _RESCALED for name in norms if name not in chosen}
    if not rows:
        listed = ", ".join(f"{name} ({reason})" for name, reason in list(left_out.items())[:5])
        raise ModelError(f"no layer could be measured: {listed}; choose others with --layers")
    return Survey(
        rows=rows,
        left_out=left_out,
        model=model if isinstance(model, str) else type(model).__name__,
        data=data if isinstance(data, str) else _called(data),
        samples=tally.samples,
        accuracy=tally.accuracy(),
        seconds=time.perf_counter() - started,
    )


def _called(data: object) -> str:
    name = getattr(data, "name", None)  # a tensor has one too: None
    return name if isinstance(name, str) else type(data).__name__


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


class _Recorder:
    """The sink of the hooks: a state for each layer that is called, made at the first call."""

    def __init__(self, device: torch.device) -> None:
        self.states: dict[str, LayerStatistics] = {}
        self.left_out: dict[str, str] = {}
        self.calls: Counter[str] = Counter()
        self.busy = False
        """Whether a call is under way, or failed: the fault is then not the model's."""
        self._device = device

    def __call__(self, name: str, module: nn.Module, output: Tensor) -> None:
        self.busy = True
        self._record(name, module, output)
        self.busy = False

    def _record(self, name: str, module: nn.Module, output: Tensor) -> None:
        self.calls[name] += 1
        axis = unit_axis(module, output)
        width = output.shape[axis]
        if width > WIDEST:
            self.left_out[name] = f"{width:,} units wide, more than {WIDEST:,}"
            return
        state = self.states.get(name)
        if state is None:
            state = self.states[name] = LayerStatistics(width, device=self._device)
        if state.width != width:
            raise LayerError(
                f"layer {name} put out {state.width} units, then {width}; leave it out with --layers"
            )
        state.update(output, unit_axis=axis)


def _load(name: str, weights: str | Path | None, seed: int) -> nn.Module:
    return load_model(name, None if weights is None else Path(weights), seed=seed)


@contextlib.contextmanager
def _evaluating(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Have ``model`` on ``device`` in eval mode, then every module in its own mode and where it was."""
    modes = {module: module.training for module in model.modules()}
    home = next((tensor.device for tensor in itertools.chain(model.parameters(), model.buffers())), device)
    model.to(device).eval()
    try:
        yield
    finally:
        model.to(home)
        for module, mode in modes.items():
            module.training = mode


def _forward(model: nn.Module, batch: Batch, device: torch.device, recorder: _Recorder) -> object:
    kind = next((value.dtype for value in model.parameters() if value.is_floating_point()), None)

    def moved(value: Tensor) -> Tensor:
        return value.to(device, kind if value.is_floating_point() else None)

    inputs = batch.inputs
    try:
        if isinstance(inputs, Tensor):
            return model(moved(inputs))
        return model(**{name: moved(value) for name, value in inputs.items()})
    except Exception as error:  # the model is a person's own and can raise anything
        if recorder.busy or isinstance(error, SuperscopeError):
            raise
        tensors = {"": inputs} if isinstance(inputs, Tensor) else inputs
        shapes = ", ".join(f"{name} {list(value.shape)}".strip() for name, value in tensors.items())
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(
            f"the model cannot take a batch of shape {shapes}: {reason}; give it data that it was made for"
        ) from error


def _row(name: str, module: nn.Module, state: LayerStatistics, calls: float) -> LayerRow:
    measures, errors = state.measures_and_errors()
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
