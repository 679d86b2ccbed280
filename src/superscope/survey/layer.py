"""From a layer's state at the end of the pass to its row: every measure, its error, its notes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from superscope.activations import INPUT, rank_cap, weight_matrix
from superscope.measures import (
    RANKS,
    class_overlap,
    class_selectivity,
    cosine_histogram,
    davies_bouldin,
    energy_rank,
    power_law_alpha,
    rankme,
    silhouette,
    stable_rank,
)
from superscope.measures.moments import Moments, singular_values
from superscope.measures.samples import SPACE, KeptSamples
from superscope.measures.statistics import WIDEST_GROUPED, LayerStatistics
from superscope.measures.units import unit_cosines

Measured = Literal["ranks", "similarity", "sparsity", "separation", "weights"]
MEASURED: tuple[Measured, ...] = ("ranks", "similarity", "sparsity", "separation", "weights")
_NONE = torch.empty(0, dtype=torch.float64)
_WIDEST_WEIGHTS = 4_096
"""A wider matrix of weights, on its narrower side, would take minutes."""
Histogram = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class LayerRow:
    """What was found of one layer."""

    name: str
    kind: str
    width: int
    cap: int
    """The most dimensions that its architecture allows its outputs."""
    samples: int
    rows: int
    measures: dict[str, float]
    errors: dict[str, float]
    warnings: tuple[str, ...]
    spectrum: Tensor = field(default_factory=lambda: _NONE)
    """Singular values of the centred [row, unit] matrix, falling."""
    uncentred: Tensor = field(default_factory=lambda: _NONE)
    """The same of the matrix as it is."""
    weights: Tensor = field(default_factory=lambda: _NONE)
    """Singular values of the layer's weights."""
    centred_weights: Tensor = field(default_factory=lambda: _NONE)
    """The same less the mean row."""
    values: Tensor = field(default_factory=lambda: _NONE)
    """An even sample of single activations."""
    cosines: dict[str, Histogram] = field(default_factory=dict[str, Histogram])
    """Counts and edges of the cosines between ``samples`` and between ``units``."""
    kept: KeptSamples | None = None


def layer_row(
    name: str, module: nn.Module, state: LayerStatistics, calls: float, measured: Sequence[Measured]
) -> LayerRow:
    """Take every measure of a layer from its state and its weights."""
    values, errors = state.measures_and_errors()
    notes = _notes(state, calls)
    spectra: dict[str, Tensor] = {}
    cosines: dict[str, Histogram] = {}
    cap = state.width if name.endswith(INPUT) else rank_cap(module, state.width)
    finite = state.products.rows > 0
    if "ranks" in measured:
        spectra = {
            "spectrum": state.singular_values() if finite else _NONE,
            "uncentred": state.singular_values(centred=False) if finite else _NONE,
        }
        values |= _more_ranks(values, cap, **spectra)
        if state.products.rows > state.products.width and not float(spectra["spectrum"].amax()) > 0:
            notes.append("no unit varies")
    kept = state.kept()
    if kept is not None and "similarity" in measured:
        found, cosines = _similarity(state, kept)
        values |= found
    if kept is not None and kept.labels is not None and "separation" in measured:
        found, of = _separation(kept, state.class_means())
        values |= found
        errors |= of
    if "weights" in measured and not name.endswith(INPUT):
        spectra |= (more := _weights(module))
        values |= _weight_ranks(more.get("weights", _NONE))
    return LayerRow(
        name,
        type(module).__name__,
        state.width,
        cap,
        state.samples,
        state.rows,
        values,
        errors,
        tuple(notes),
        values=state.values(),
        cosines=cosines,
        kept=kept,
        **spectra,
    )


def _notes(state: LayerStatistics, calls: float) -> list[str]:
    notes = []
    if state.nonfinite:
        notes.append(f"{state.nonfinite:,} values not finite, their rows kept out")
    if calls > 1:
        notes.append(f"called {calls:g} times a pass")
    used = state.products.rows
    if state.rows == 0:
        notes.append("no finite row")
    elif used <= state.products.width:
        notes.append(f"{used} rows for {state.products.width} units, so no rank can exceed {used - 1}")
    if used < state.rows:
        notes.append(f"ranks from {used:,} of {state.rows:,} rows, evenly drawn")
    if state.products.groups == 1 and state.products.width > WIDEST_GROUPED:
        notes.append(f"no standard errors of ranks beyond width {WIDEST_GROUPED}")
    elif state.groups > 1 and state.samples < state.groups:
        notes.append(f"no standard errors from fewer than {state.groups} samples")
    return notes


def _more_ranks(
    values: dict[str, float], cap: int, *, spectrum: Tensor, uncentred: Tensor
) -> dict[str, float]:
    if not len(spectrum):
        return dict.fromkeys(("energy_rank_cap_ratio", "uncentred_energy_rank", "rankme", "alpha"), math.nan)
    return {
        "energy_rank_cap_ratio": values["energy_rank"] / cap,
        "uncentred_energy_rank": float(energy_rank(uncentred)),
        "rankme": float(rankme(uncentred)),
        "alpha": float(power_law_alpha(spectrum)),
    }


def _similarity(state: LayerStatistics, kept: KeptSamples) -> tuple[dict[str, float], dict[str, Histogram]]:
    moments = state.moments()
    between = unit_cosines(_uncentred(moments))
    values = {"unit_cosine_mean": between.mean, "unit_cosine_std": between.std}
    return values, {"samples": cosine_histogram(kept.values), "units": (between.counts, between.edges)}


def _uncentred(moments: Moments) -> Tensor:
    return moments.scatter(centred=False)


def _separation(kept: KeptSamples, means: Tensor | None) -> tuple[dict[str, float], dict[str, float]]:
    assert kept.labels is not None
    found = silhouette(kept.values, kept.labels, most=None, space=SPACE)
    selective = class_selectivity(means) if means is not None and len(means) else _NONE
    values = {
        "silhouette": found.mean,
        "davies_bouldin": davies_bouldin(kept.values, kept.labels),
        "class_overlap": float(class_overlap(kept.values, kept.labels).nanmean()),
        "class_selectivity": float(selective.nanmean()),
    }
    return values, {"silhouette": found.standard_error}


def _weights(module: nn.Module) -> dict[str, Tensor]:
    matrix = weight_matrix(module)
    if matrix is None or min(matrix.shape) > _WIDEST_WEIGHTS or not bool(torch.isfinite(matrix).all()):
        return {}
    return {
        "weights": _singular_values(matrix),
        "centred_weights": _singular_values(matrix - matrix.mean(0)),
    }


def _singular_values(matrix: Tensor) -> Tensor:
    """Return the singular values of a matrix by the eigenvalues of the product of its narrower side."""
    matrix = matrix.double()
    product = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    return singular_values(product, torch.finfo(torch.float64).eps).cpu()


def _weight_ranks(spectrum: Tensor) -> dict[str, float]:
    known = len(spectrum) > 0
    return {
        "weight_energy_rank": float(energy_rank(spectrum)) if known else math.nan,
        "weight_stable_rank": float(stable_rank(spectrum)) if known else math.nan,
    }


RANK_COLUMNS = ["name", "of", "centred", "rank", "value", "standard_error", "ratio", "cap_ratio"]


def rank_rows(row: LayerRow) -> Iterator[tuple[object, ...]]:
    """Yield a line of :data:`RANK_COLUMNS` for each rank of a layer's four spectra."""
    spectra = {
        ("activations", True): row.spectrum,
        ("activations", False): row.uncentred,
        ("weights", True): row.centred_weights,
        ("weights", False): row.weights,
    }
    for (of, centred), spectrum in spectra.items():
        for name, rank in RANKS.items() if len(spectrum) else ():
            value = float(rank(spectrum))
            error = row.errors.get(name, math.nan) if of == "activations" and centred else math.nan
            yield row.name, of, centred, name, value, error, value / row.width, value / row.cap
