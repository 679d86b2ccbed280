"""What a survey found, as a table, figures, tensors and a page."""

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from superscope.core import artifacts
from superscope.core.runtime import environment
from superscope.plots import plot_rank_per_layer
from superscope.report import Facts, Page, Section, render
from superscope.survey.page import DRAWN, layer_sections


@dataclass(frozen=True)
class LayerRow:
    """What was found of one layer."""

    name: str
    kind: str
    width: int
    samples: int
    rows: int
    measures: dict[str, float]
    errors: dict[str, float]
    warnings: tuple[str, ...]
    spectrum: Tensor
    """Singular values of the centred [row, unit] matrix, falling."""
    values: Tensor
    """An even sample of single activations."""


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

    @property
    def table(self) -> pd.DataFrame:
        """One row per layer, in the order in which the layers put out.

        ``name``, ``kind``, ``width`` (units), ``samples``, ``rows`` (samples times positions), every measure,
        its standard error as ``<measure>_se`` (NaN where there is none), and ``warnings``.
        """
        return pd.DataFrame(
            [
                {
                    "name": row.name,
                    "kind": row.kind,
                    "width": row.width,
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

    def sections(self) -> list[Section]:
        """Return the report's sections, for a page of one's own."""
        return layer_sections(self.table, self.spectra, self.histograms, self.left_out)

    def facts(self) -> dict[str, object]:
        """Return what was measured on what, by name."""
        return {
            "model": self.model,
            "data": self.data,
            "samples": f"{self.samples:,}",
            "layers": len(self.rows),
            **({} if math.isnan(self.accuracy) else {"accuracy": f"{self.accuracy:.2%}"}),
            "time": f"{self.seconds:.1f} s",
        }

    def page(self) -> str:
        """Return one self-contained HTML page."""
        about = Section("What was measured", [Facts(self.facts()), Facts(environment())])
        subtitle = f"{len(self.rows)} layers on {self.samples:,} samples of {self.data}"
        return render(Page(f"Superposition survey of {self.model}", subtitle, [*self.sections(), about]))

    def report(self, path: str | Path) -> Path:
        """Write :meth:`page` to ``path``.

        Raises:
            ArtifactError: when it cannot be written.
        """
        return artifacts.write_text(Path(path), self.page())

    def summary(self) -> str:
        """Return the table's main columns as text, for a terminal."""
        shown = pd.DataFrame(
            {
                "layer": self.table["name"],
                "kind": self.table["kind"],
                "width": self.table["width"],
                "rank 99%": self.table["energy_rank"].map("{:.0f}".format),
                "/ width": self.table["energy_rank_ratio"].map("{:.2f}".format),
                "participation (se)": [_with_error(row, "participation_ratio") for row in self.rows],
                "cosine mean, std": [
                    f"{row.measures['cosine_mean']:.2f}, {row.measures['cosine_std']:.2f}"
                    for row in self.rows
                ],
                "active": self.table["activation_frequency"].map("{:.0%}".format),
                "dead": self.table["dead_fraction"].map("{:.0%}".format),
                "kurtosis": self.table["kurtosis"].map("{:.1f}".format),
            }
        )
        return shown.to_string(index=False)


def _with_error(row: LayerRow, measure: str) -> str:
    error = row.errors[measure]
    return f"{row.measures[measure]:.2f}" + (f" ({error:.2f})" if error == error else "")
