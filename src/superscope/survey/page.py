"""What a report says of a network's layers, and how to read it."""

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from superscope.plots import (
    explore_embedding,
    explore_ranks,
    explore_spectra,
    plot_activation_histograms,
    plot_cosine_histograms,
    plot_embedding,
)
from superscope.report import Block, DataTable, Interactive, Picture, Prose, Section

if TYPE_CHECKING:
    from superscope.survey.result import Survey

DRAWN = ("energy_rank", "entropy_rank", "spectral_entropy_rank", "participation_ratio", "stable_rank")
"""The ranks that figures show; ``count_below`` would only repeat ``energy_rank`` one lower."""
_RATIO, _ONE, _SHARE = "{:.3f}", "{:.1f}", "{:.1%}"
_FORMATS = {
    "energy_rank": "{:.0f}",
    "count_below": "{:.0f}",
    "entropy_rank": _ONE,
    "spectral_entropy_rank": _ONE,
    "stable_rank": "{:.2f}",
    "participation_ratio": "{:.2f}",
    "cosine_mean": _RATIO,
    "cosine_std": _RATIO,
    "dead_fraction": _SHARE,
    "activation_frequency": _SHARE,
    "kurtosis": "{:.2f}",
    "uncentred_energy_rank": "{:.0f}",
    "weight_energy_rank": "{:.0f}",
    "rankme": _ONE,
    "alpha": "{:.2f}",
    "unit_cosine_mean": _RATIO,
    "unit_cosine_std": _RATIO,
    "silhouette": _RATIO,
    "davies_bouldin": "{:.2f}",
    "class_overlap": _SHARE,
    "class_selectivity": _RATIO,
    "weight_stable_rank": "{:.2f}",
    "width": "{:,}",
    "cap": "{:,}",
    "samples": "{:,}",
    "rows": "{:,}",
}
_DESCRIPTIONS = {
    "kind": "the module's class",
    "width": "units: channels of a conv map, features of a linear layer",
    "cap": "the most dimensions that the architecture allows: a linear map's inputs, where they are fewer",
    "rows": "samples times positions, padding aside",
    "energy_rank": "the fewest directions that hold 99 % of the variance",
    "count_below": "cumulative energy fractions below 99 %, which notebooks print as the effective rank: "
    "one less",
    "entropy_rank": "exp of the entropy of s/Σs (Roy and Vetterli)",
    "spectral_entropy_rank": "exp of the entropy of s²/Σs²",
    "stable_rank": "Σs² / largest s²",
    "participation_ratio": "(Σλ)² / Σλ² of the covariance's eigenvalues",
    "cosine_mean": "mean cosine between different samples, each averaged over its positions",
    "cosine_std": "spread of those cosines",
    "dead_fraction": "units above zero on no row",
    "activation_frequency": "share of rows on which a unit is above zero, over all units",
    "energy_rank_cap_ratio": "energy_rank over the cap",
    "uncentred_energy_rank": "energy_rank of the activations as they are, the mean among their directions",
    "rankme": "exp of the entropy of s/Σs of the uncentred activations (Garrido et al. 2023)",
    "alpha": "exponent of the power law that the variances fall by (Stringer et al. 2019)",
    "unit_cosine_mean": "mean cosine between different units over all rows",
    "unit_cosine_std": "spread of those cosines",
    "silhouette": "how much nearer samples lie to their own class than to the next, in activations averaged "
    "over positions; from up to 1,024 samples",
    "davies_bouldin": "width of classes over their distance, the worst neighbour of each, in the same space "
    "and samples; lower is better separated",
    "class_overlap": "share of samples nearer to another class's centroid than to their own, in the same "
    "space and samples, averaged over classes",
    "class_selectivity": "mean over units of (μ_max − μ_rest)/(μ_max + μ_rest) of class means, where none "
    "is negative (Morcos et al. 2018)",
    "weight_energy_rank": "energy_rank of the layer's weights, not centred",
    "weight_stable_rank": "stable rank of the layer's weights, not centred",
    "kurtosis": "fourth standardised moment across the units of a row: 3 for a Gaussian, more where the axes "
    "are privileged",
}
_ON_RANKS = """A layer of width m cannot use more than m dimensions, but it can hold more features than that.
Each line counts the dimensions in use in its own way, from the fewest (stable rank) to the most (entropy
rank). Where a line falls far below the width, the layer's activations lie near a smaller space."""
_RANKS_CAPTION = """Ranks of the centred activations, layer by layer. Bars are 95 % intervals over samples
(jackknife). Rest the pointer on a point for its numbers; click a name below to hide a line."""
_SPECTRA_CAPTION = """Singular values of each layer's centred activations. A line that falls late is a layer
that spreads its variance over its whole width; a cliff is a layer with unused dimensions."""
_VALUES_CAPTION = """How often each activation value occurs, from an even sample of single values. A spike at
zero is a ReLU at rest."""
_MOST_HISTOGRAMS = 6
_COSINE_CAPTIONS = {
    "samples": "Cosines between pairs of samples, each averaged over its positions; of up to 1,024 samples.",
    "units": "Cosines between pairs of units, each the vector of its activations on all rows.",
}
_PLANE_CAPTION = (
    """The samples' activations, averaged over positions, along their two principal components."""
)
_TSNE_CAPTION = """The same samples by t-SNE: near points are near samples; distances between groups and their
sizes mean nothing. Rest the pointer on a point for its number and class."""
_ALL_RANKS_CAPTION = """Every rank of activations and of weights, centred (less the mean row) and not: as it
is, over the width, and over the most dimensions that the architecture allows."""
_HOW_TO_READ = """None of these measures counts features by itself. A rank says how many dimensions are in
use, not how many features share them; whether a lower or a higher rank, or a higher cosine, goes with more
superposition is claimed in both directions and has to be settled on networks whose features are known.
Compare layers of one network, or one layer across networks, on the same data, and read the standard errors
first.

Ranks rest on centred activations. A conv map counts each position of each image as a row and its channels as
units."""


def layer_sections(survey: "Survey", picture: str | None) -> list[Section]:
    """Return the sections on a survey: from the ranks to every number and how to read them."""
    table = survey.table
    sections: list[Section] = []
    ranked = pd.DataFrame(table[table["energy_rank"].notna()]) if survey.spectra else pd.DataFrame()
    if len(ranked):
        sections += [
            Section(
                "How many dimensions each layer uses",
                [Prose(_ON_RANKS), Interactive(explore_ranks(ranked, DRAWN), _RANKS_CAPTION)],
            ),
            Section("Singular values", [Interactive(explore_spectra(survey.spectra), _SPECTRA_CAPTION)]),
        ]
    if survey.histograms:
        drawn = plot_activation_histograms(survey.histograms)
        alt = "Histograms of each layer's activations, counts on a log axis."
        sections.append(Section("Activations", [Picture(drawn, _VALUES_CAPTION, alt)]))
    sections += _similarity(survey)
    sections += _plane(survey, picture)
    ranks = survey.ranks
    numbers = [_numbers(table)]
    if len(ranks):
        numbers.append(DataTable(ranks, _ALL_RANKS_CAPTION, {"value": "{:.4g}", "standard_error": "{:.2g}"}))
    sections += [Section("Every number", numbers), Section("How to read this", [Prose(_HOW_TO_READ)])]
    if survey.left_out:
        reasons = list(dict.fromkeys(survey.left_out.values()))
        names = [
            ", ".join(name for name, why in survey.left_out.items() if why == reason) for reason in reasons
        ]
        listed = pd.DataFrame({"reason": reasons, "layers": names})
        sections.append(
            Section("Layers left out", [DataTable(listed, "These match the pattern and were not measured.")])
        )
    return sections


def _similarity(survey: "Survey") -> list[Section]:
    rows = [row for row in survey.rows if row.cosines]
    if not rows:
        return []
    chosen = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, _MOST_HISTOGRAMS).round().astype(int))]
    pictures = [
        Picture(
            plot_cosine_histograms({row.name: row.cosines[between] for row in chosen}),
            f"{caption} {len(chosen)} of {len(rows)} layers.",
            f"Histograms of the cosines between {between}, a line for each layer.",
        )
        for between, caption in _COSINE_CAPTIONS.items()
    ]
    return [Section("Similarity", pictures)]


def _plane(survey: "Survey", layer: str | None) -> list[Section]:
    row = next((row for row in survey.rows if row.name == layer and row.kept is not None), None)
    if row is None or row.kept is None:
        return []
    finite = int(row.kept.values.isfinite().all(1).sum())
    blocks: list[Block] = []
    methods: tuple[tuple[Literal["pca", "tsne"], int], ...] = (("pca", 3), ("tsne", 12))
    for method, least in methods:
        if finite < least or row.width < 2:
            continue
        found = survey.embedding(row.name, method)
        labels = None if row.kept.labels is None else row.kept.labels[found.kept]
        classes = survey.classes
        if labels is not None and classes is not None and len(classes) <= int(labels.max()):
            classes = None
        if method == "pca":
            drawn = plot_embedding(found.points, labels, classes, axes=found.axes)
            blocks.append(Picture(drawn, _PLANE_CAPTION, "Samples as points in the plane."))
        else:
            texts = [f"sample {place:,}" for place in row.kept.indices[found.kept].tolist()]
            points = explore_embedding(found.points, labels, classes, texts, axes=found.axes)
            blocks.append(Interactive(points, f"{_TSNE_CAPTION} {found.detail}"))
    return [Section(f"Samples in {row.name}", blocks)] if blocks else []


def _numbers(table: pd.DataFrame) -> DataTable:
    formats = dict(_FORMATS)
    for column in table.columns:
        if column.endswith("_ratio"):
            formats.setdefault(column, _RATIO)
        elif column.endswith("_se"):
            formats[column] = "{:.2g}"
    main = [column for column in table.columns if not column.endswith("_se")]
    errors = [column for column in table.columns if column.endswith("_se")]
    caption = "A column that ends in _ratio is divided by the width, one in _se is a standard error."
    return DataTable(pd.DataFrame(table[[*main, *errors]]), caption, formats, _DESCRIPTIONS)
