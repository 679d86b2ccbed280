"""One pass over the data with a hook on every layer; memory does not grow with the number of samples."""

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn

from superscope.activations import EVERYTHING, RESCALES, capture, select_layers, transformer_layers, widening
from superscope.activations.inputs import called, evaluating, forward, load_inputs
from superscope.core.errors import InputError, ModelError
from superscope.core.progress import progress
from superscope.core.runtime import kept_memory, resolve_device, threads
from superscope.data import Batch, batches
from superscope.measures.statistics import Family
from superscope.models import check_finite
from superscope.survey.layer import MEASURED, LayerRow, Measured, layer_row
from superscope.survey.recorder import Recorder
from superscope.survey.result import Survey
from superscope.training import load_model

_RESCALED = "a batch norm only rescales the layer before it; name it to measure it (*,*bn*)"


def measure(
    model: nn.Module | str,
    data: object,
    layers: str | Sequence[str] = EVERYTHING,
    samples: int | None = None,
    *,
    measures: Sequence[Measured] = MEASURED,
    errors: bool = True,
    weights: str | Path | None = None,
    batch_size: int = 128,
    seed: int = 0,
    device: str = "auto",
) -> Survey:
    """Measure every layer of ``model`` that ``layers`` names in one pass over ``data``.

    Args:
        model: a module, or the name of one as the command line takes it (``digits-mlp``, ``resnet18``,
            ``hf:NAME``, ``FILE.py:FUNCTION``, ...). It runs in eval mode, takes floating inputs in the type
            of its parameters, and is given back in the mode and on the device it came in.
        data: a loader or any iterable of batches, a tensor, a dataset (:func:`superscope.data.batches`), or a
            name as the command line takes it (``digits``, ``cifar10:DIR``, ``text:FILE``, ...), which is then
            prepared as the named model wants it. Batches may be inputs or (inputs, labels). Where inputs are
            a mapping with an ``attention_mask``, masked tokens count for nothing.
        layers: a glob over module names, or several; ``NAME:input`` is what goes into a module. See
            :func:`superscope.activations.select_layers` for the default.
        samples: how many samples to look at; all of them by default.
        measures: which families of measures to take: ``ranks`` of activations, ``similarity`` between samples
            and between units, ``sparsity``, ``separation`` of classes where there are labels, ranks of
            ``weights``.
        errors: whether to take standard errors, which need eight times the memory for second moments.
        weights: a file to load into a model given by name.
        batch_size: samples a forward pass, where the data does not come in batches already.
        seed: of the subset of samples, of the order of texts, and of the training of ``digits-mlp``.
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
    if unknown := [name for name in measures if name not in MEASURED]:
        raise InputError(f"no measures {', '.join(unknown)}; choose from {', '.join(get_args(Measured))}")
    where = resolve_device(device)
    network = model if isinstance(model, nn.Module) else _load(model, weights, seed)
    check_finite(network)
    chosen = select_layers(network, layers)
    source = load_inputs(data, model if isinstance(model, str) else None) if isinstance(data, str) else data
    stream = batches(source, batch_size=batch_size, samples=samples, seed=seed)
    recorder = Recorder(
        where,
        _families(measures),
        errors=errors,
        total=stream.total,
        maps={name: map_ for name, module in chosen.items() if (map_ := widening(module))},
    )
    tally = _Tally()
    started = time.perf_counter()
    with (
        evaluating(network, where),
        kept_memory(),
        torch.inference_mode(),
        capture(network, list(chosen), source_sink=recorder),
        progress((), "measuring", stream.total, "sample") as bar,
    ):
        for batch in stream:
            recorder.expect(batch)
            tally.add(batch, forward(network, batch, where, lambda: recorder.busy))
            bar.update(len(batch))
    rows = _summed_up(recorder, chosen, tally.batches, measures)
    left_out = recorder.left_out | {
        name: "never called in the forward pass" for name in chosen if name not in recorder.calls
    }
    if layers == EVERYTHING and not transformer_layers(network):
        norms = [name for name, module in network.named_modules() if isinstance(module, RESCALES)]
        left_out |= {name: _RESCALED for name in norms if name not in chosen}
    if not rows:
        listed = ", ".join(f"{name} ({reason})" for name, reason in list(left_out.items())[:5])
        raise ModelError(f"no layer could be measured: {listed}; choose others with --layers")
    return Survey(
        rows=rows,
        left_out=left_out,
        model=model if isinstance(model, str) else type(model).__name__,
        data=data if isinstance(data, str) else called(data),
        samples=tally.samples,
        accuracy=tally.accuracy(),
        seconds=time.perf_counter() - started,
        classes=_classes(source),
        notes=_notes(source, tally.nameless if "separation" in measures else 0),
    )


def _summed_up(
    recorder: Recorder, chosen: Mapping[str, nn.Module], passes: int, measures: Sequence[Measured]
) -> list[LayerRow]:
    """Return the rows of all layers: each on one thread, as many beside each other as there are threads."""

    def row(name: str) -> LayerRow:
        state = recorder.states.pop(name)  # its memory goes with it
        return layer_row(name, chosen[name], state, recorder.calls[name] / passes, measures)

    names = list(recorder.states)
    for state in recorder.states.values():
        state.finish()
    workers = torch.get_num_threads()
    with threads(1), ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(progress(pool.map(row, names), "summing up", len(names), "layer"))


def _families(measures: Sequence[Measured]) -> list[Family]:
    """Return what the states have to take: separation needs the samples that similarity keeps."""
    wanted: dict[Family, bool] = {
        "ranks": "ranks" in measures,
        "similarity": "similarity" in measures or "separation" in measures,
        "sparsity": "sparsity" in measures,
    }
    return [family for family, yes in wanted.items() if yes]


def _classes(source: object) -> tuple[str, ...] | None:
    names = getattr(source, "classes", None)  # of a person's own data set, it may be anything
    return tuple(map(str, names)) if isinstance(names, list | tuple) else None


def _notes(source: object, nameless: int) -> tuple[str, ...]:
    notes = []
    cut = getattr(source, "truncated", 0)
    if isinstance(cut, int) and cut:
        notes.append(f"{cut:,} texts cut to {getattr(source, 'max_length', None)} tokens")
    if nameless:
        notes.append(f"labels below 0, of no class: {nameless:,}; so classes are not compared")
    return tuple(notes)


class _Tally:
    """Counts samples, and right answers where there are labels and one logit a class."""

    def __init__(self) -> None:
        self.samples = self.batches = self.right = self.labelled = 0
        self.nameless = 0
        """Samples with a label below 0, which names no class."""
        self._alike = True
        """Whether every label so far was one of the logits'."""

    def add(self, batch: Batch, output: object) -> None:
        self.samples += len(batch)
        self.batches += 1
        if batch.labels is None:
            return
        known = int((batch.labels >= 0).sum())
        self.nameless += len(batch) - known
        logits = output if isinstance(output, Tensor) else getattr(output, "logits", None)
        if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] < 2:
            return
        self._alike &= len(logits) == len(batch) and int(batch.labels.max()) < logits.shape[1]
        if self._alike:
            self.right += int((logits.argmax(1).cpu() == batch.labels.cpu()).sum())
            self.labelled += known

    def accuracy(self) -> float:
        return self.right / self.labelled if self.labelled and self._alike else math.nan


def _load(name: str, weights: str | Path | None, seed: int) -> nn.Module:
    return load_model(name, None if weights is None else Path(weights), seed=seed)
