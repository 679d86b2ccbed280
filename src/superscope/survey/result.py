"""What a survey found, as a table, figures, tensors and a page."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from superscope.core import InputError, artifacts
from superscope.core.runtime import environment
from superscope.measures import Embedding, embed
from superscope.plots import plot_rank_per_layer
from superscope.report import Facts, Page, Section, render
from superscope.survey.layer import RANK_COLUMNS, LayerRow, rank_rows
from superscope.survey.page import DRAWN, layer_sections

_SUMMARY = (
    ("rank 99%", "energy_rank", "{:.0f}"),
    ("/ width", "energy_rank_ratio", "{:.2f}"),
    ("/ cap", "energy_rank_cap_ratio", "{:.2f}"),
    ("participation (se)", "participation_ratio", "{:.2f}"),
    ("cosine", "cosine_mean", "{:.2f}"),
    ("active", "activation_frequency", "{:.0%}"),
    ("dead", "dead_fraction", "{:.0%}"),
    ("kurtosis", "kurtosis", "{:.1f}"),
    ("silhouette (se)", "silhouette", "{:.2f}"),
    ("weights' rank", "weight_energy_rank", "{:.0f}"),
)
"""Columns of the summary: their title, the measure, how it is written."""
_WITH_ERROR = ("participation_ratio", "silhouette")


@dataclass(frozen=True)
class Survey:
    """Every layer measured in one pass."""

    rows: list[LayerRow]
    left_out: dict[str, str]
    """Layers that matched and were not measured, with the reason."""
    model: str
    data: str
    samples: int
    accuracy: float
    """Share of labelled samples that the model classified rightly; NaN where there is nothing to compare."""
    seconds: float
    """The pass and the measures, without loading."""
    classes: tuple[str, ...] | None = None
    """The names of the labels, where the data has them."""
    notes: tuple[str, ...] = ()
    """What has to be said of the data."""

    @property
    def table(self) -> pd.DataFrame:
        """One row per layer, in the order in which the layers put out.

        ``name``, ``kind``, ``width`` (units), ``cap`` (the most dimensions that the architecture allows),
        ``samples``, ``rows`` (samples times positions), every measure, its standard error as ``<measure>_se``
        (NaN where there is none), and ``warnings``.
        """
        return pd.DataFrame(
            [
                {
                    "name": row.name,
                    "kind": row.kind,
                    "width": row.width,
                    "cap": row.cap,
                    "samples": row.samples,
                    "rows": row.rows,
                }
                | row.measures
                | {f"{name}_se": error for name, error in row.errors.items()}
                | {"warnings": "; ".join(row.warnings)}
                for row in self.rows
            ]
        )

    @property
    def ranks(self) -> pd.DataFrame:
        """Every rank of every layer, centred and not, of activations and of weights.

        ``name``, ``of`` (``activations`` or ``weights``), ``centred``, ``rank`` (its name), ``value``,
        ``standard_error`` (NaN but for centred activations), ``ratio`` to the width, and ``cap_ratio`` to the
        most dimensions that the architecture allows.
        """
        return pd.DataFrame(
            [found for row in self.rows for found in rank_rows(row)], columns=pd.Index(RANK_COLUMNS)
        )

    @property
    def spectra(self) -> dict[str, Tensor]:
        """The singular values of each layer's centred activations."""
        return {row.name: row.spectrum for row in self.rows if len(row.spectrum)}

    @property
    def histograms(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Counts and edges of each layer's activations, from an even sample of them."""
        found = {}
        for row in self.rows:
            values = row.values[torch.isfinite(row.values)].double()
            if len(values):
                counts, edges = torch.histogram(values, 60)
                found[row.name] = counts, edges
        return found

    def tensors(self) -> dict[str, Tensor]:
        """Return what is kept in ``tensors.safetensors``: ``singular_values/LAYER``."""
        return {f"singular_values/{name}": values for name, values in self.spectra.items()}

    def figure(self) -> Figure:
        """Draw the ranks layer by layer, in dimensions and against the width."""
        return plot_rank_per_layer(pd.DataFrame(self.table[self.table["energy_rank"].notna()]), DRAWN)

    def embedding(self, layer: str, method: Literal["pca", "tsne"] = "pca", *, seed: int = 0) -> Embedding:
        """Return a point in the plane for each kept sample of a layer (:func:`superscope.measures.embed`).

        Raises:
            InputError: when there is no such layer, or too few of its samples.
        """
        kept = next((row.kept for row in self.rows if row.name == layer), None)
        if kept is None:
            names = ", ".join(row.name for row in self.rows if row.kept is not None) or "none"
            raise InputError(f"no samples of a layer {layer!r} were kept; choose from {names}")
        return embed(kept.values, method, seed=seed)

    def sections(self, picture: str | None = None) -> list[Section]:
        """Return the report's sections, for a page of one's own.

        Args:
            picture: the layer whose samples are drawn in the plane; none where None.
        """
        return layer_sections(self, picture)

    def facts(self) -> dict[str, object]:
        """Return what was measured on what, by name."""
        return {
            "model": self.model,
            "data": self.data,
            "samples": f"{self.samples:,}",
            "layers": len(self.rows),
            **({} if math.isnan(self.accuracy) else {"accuracy": f"{self.accuracy:.2%}"}),
            "time": f"{self.seconds:.1f} s",
            **({"notes": "; ".join(self.notes)} if self.notes else {}),
        }

    def page(self, picture: str | None = None) -> str:
        """Return one self-contained HTML page; ``picture`` as in :meth:`sections`."""
        about = Section("What was measured", [Facts(self.facts()), Facts(environment())])
        subtitle = f"{len(self.rows)} layers on {self.samples:,} samples of {self.data}"
        return render(
            Page(f"Superposition survey of {self.model}", subtitle, [*self.sections(picture), about])
        )

    def report(self, path: str | Path, picture: str | None = None) -> Path:
        """Write :meth:`page` to ``path``.

        Raises:
            ArtifactError: when it cannot be written.
        """
        return artifacts.write_text(Path(path), self.page(picture))

    def summary(self) -> str:
        """Return the table's main columns as text, for a terminal."""
        table = self.table
        shown = pd.DataFrame({"layer": table["name"], "kind": table["kind"], "width": table["width"]})
        for title, column, pattern in _SUMMARY:
            if column in table and bool(table[column].notna().any()):
                shown[title] = table[column].map(lambda value, pattern=pattern: _cell(value, pattern))
                if f"{column}_se" in table and column in _WITH_ERROR:
                    shown[title] += table[f"{column}_se"].map(
                        lambda error: "" if math.isnan(error) else f" ({error:.2f})"
                    )
        return shown.to_string(index=False)


def _cell(value: float, pattern: str) -> str:
    return "" if math.isnan(value) else pattern.format(value)
