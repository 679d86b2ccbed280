"""What a report says of a network's layers, and how to read it."""

from collections.abc import Mapping

import pandas as pd
from torch import Tensor

from superscope.plots import explore_ranks, explore_spectra, plot_activation_histograms
from superscope.report import DataTable, Interactive, Picture, Prose, Section

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
    "width": "{:,}",
    "samples": "{:,}",
    "rows": "{:,}",
}
_DESCRIPTIONS = {
    "kind": "the module's class",
    "width": "units: channels of a conv map, features of a linear layer",
    "rows": "samples times positions: what the ranks rest on",
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
_HOW_TO_READ = """None of these measures counts features by itself. A rank says how many dimensions are in
use, not how many features share them; whether a lower or a higher rank, or a higher cosine, goes with more
superposition is claimed in both directions and has to be settled on networks whose features are known.
Compare layers of one network, or one layer across networks, on the same data, and read the standard errors
first.

Ranks rest on centred activations. A conv map counts each position of each image as a row and its channels as
units."""


def layer_sections(
    table: pd.DataFrame,
    spectra: Mapping[str, Tensor],
    histograms: Mapping[str, tuple[Tensor, Tensor]],
    left_out: Mapping[str, str],
) -> list[Section]:
    """Return the sections on a survey: ranks, spectra, activations, every number, and how to read them.

    Args:
        table: as :attr:`superscope.survey.Survey.table`.
        spectra: singular values by layer.
        histograms: counts and edges by layer.
        left_out: layers that were not measured, with the reason.
    """
    sections = [
        Section("Every number", [_numbers(table)]),
        Section("How to read this", [Prose(_HOW_TO_READ)]),
    ]
    ranks = pd.DataFrame(table[table["energy_rank"].notna()])
    if len(ranks) and spectra and histograms:
        values = plot_activation_histograms(histograms)
        sections = [
            Section(
                "How many dimensions each layer uses",
                [Prose(_ON_RANKS), Interactive(explore_ranks(ranks, DRAWN), _RANKS_CAPTION)],
            ),
            Section("Singular values", [Interactive(explore_spectra(spectra), _SPECTRA_CAPTION)]),
            Section(
                "Activations",
                [
                    Picture(
                        values,
                        _VALUES_CAPTION,
                        "Histograms of each layer's activations, counts on a log axis.",
                    )
                ],
            ),
            *sections,
        ]
    if left_out:
        reasons = list(dict.fromkeys(left_out.values()))
        names = [", ".join(name for name, why in left_out.items() if why == reason) for reason in reasons]
        listed = pd.DataFrame({"reason": reasons, "layers": names})
        sections.append(
            Section("Layers left out", [DataTable(listed, "These match the pattern and were not measured.")])
        )
    return sections


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
