"""What a report says of groups beside each other: what differs, how surely, and what not to read into it."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from superscope.report import Block, DataTable, Facts, Page, Picture, Prose, Section
from superscope.survey.differences import RATE
from superscope.survey.runs import SeedTable

if TYPE_CHECKING:
    from superscope.survey.comparison import Comparison

MAIN = ("energy_rank_ratio", "participation_ratio", "cosine_mean", "silhouette")
"""The measures that figures show, where they are there; else the first ones that are."""
_SHOWN = 4
_INTRODUCTION = """Every layer of each group beside the same layer of the first group, {reference}. A
difference is the mean over a group's seeds less the mean over the seeds of {reference}: above zero, the group
has more. An interval covers 95 %; where it holds zero, the seeds do not tell the two apart."""
_ON_INTERVALS = """From five seeds a side on, the interval is a bootstrap over seeds whose percentiles are
widened for few seeds; below that it is Student's (Welch's where the seeds are not the same). Groups that ran
the same seeds are compared seed by seed (paired). With one seed a side nothing is known of other seeds: the
interval then comes from the standard errors over samples, taken as independent; both sides may have seen the
same samples, which makes it too wide as a rule, and it says nothing of another training run.

One interval in twenty misses by chance alone, and a table of many layers and measures has many. A row stands
out when its p value, adjusted over all rows of its group by Benjamini and Hochberg's rule, is at most
{rate:g}. The p value is that of Student's test, also beside a bootstrap. Many rows are near copies of each
other (neighbouring layers, one rank and its ratio): count them as hints, not as separate findings.

A difference that stands out is not thereby a large one, nor does it say which of the groups holds more
superposition."""
_DESCRIPTIONS = {
    "mean": "mean over the group's seeds",
    "reference_mean": "mean over the seeds of the first group",
    "difference": "mean − reference_mean, over the pairs where paired",
    "low": "lower end of the 95 % interval",
    "high": "upper end",
    "seeds": "finite values used",
    "left_out": "values missing or not finite, kept out of both means",
    "p": "two-sided, Student's test",
    "p_adjusted": "Benjamini–Hochberg, over all rows of the group",
    "width": "units of the layer in the group",
}


def page(comparison: "Comparison") -> Page:
    """Return the whole page."""
    reference, *others = comparison.groups
    subtitle = f"{', '.join(others)} against {reference}, layer by layer"
    return Page("Comparison: " + " · ".join(comparison.groups), subtitle, sections(comparison))


def sections(comparison: "Comparison") -> list[Section]:
    """Return the sections: what differs, a picture of each main measure, every number, the runs."""
    reference = next(iter(comparison.groups))
    first: list[Block] = [Prose(_INTRODUCTION.format(reference=reference))]
    if comparison.notes:
        first.append(Prose("\n\n".join(f"Note: {note}." for note in comparison.notes)))
    first.append(
        DataTable(
            overview(comparison.table), "At how many layers each measure differs, and where it does most."
        )
    )
    found = [Section("What differs", first)]
    found += [_drawn(comparison, measure) for measure in main_measures(comparison.measures)]
    columns = [name for name in comparison.table if name not in ("reference", "reference_width")]
    found.append(
        Section(
            "Every difference",
            [
                DataTable(
                    pd.DataFrame(comparison.table[columns]),
                    f"Against {reference}. The same table is in tables/differences.csv.",
                    dict.fromkeys(("mean", "reference_mean", "difference", "low", "high"), "{:.4g}")
                    | {"p": "{:.2g}", "p_adjusted": "{:.2g}", "width": "{:.0f}"},
                    _DESCRIPTIONS,
                )
            ],
        )
    )
    if len(comparison.unmatched):
        found.append(
            Section("Not comparable", [DataTable(comparison.unmatched, "What not every group has.")])
        )
    found.append(Section("How to read this", [Prose(_ON_INTERVALS.format(rate=RATE))]))
    found.append(Section("What was compared", _runs(comparison.groups)))
    return found


def _drawn(comparison: "Comparison", measure: str) -> Section:
    """Return one measure's pictures: the groups over each other, and each group's differences."""
    reference = next(iter(comparison.groups))
    words = measure.replace("_", " ").replace("rank ratio", "rank / width")
    blocks: list[Block] = [
        Picture(
            comparison.runs_figure(measure),
            f"{words} layer by layer: means over seeds, from the lowest to the highest seed in the band. The "
            "band of a single seed is a 95 % interval over samples.",
            f"A line a group: {words} against the layer.",
        )
    ]
    blocks += [
        Picture(
            comparison.figure(measure, group),
            f"{group} less {reference}, with 95 % intervals where there are any.",
            f"The difference of {words} at each layer, with its interval and a line at zero.",
        )
        for group in comparison.compared(measure)
    ]
    return Section(words[0].upper() + words[1:], blocks)


def main_measures(measures: Sequence[str]) -> list[str]:
    """Return the measures to draw."""
    return [name for name in MAIN if name in measures] or list(measures[:_SHOWN])


def overview(table: pd.DataFrame) -> pd.DataFrame:
    """Count, for each group and measure, the layers at which it differs, and name the one where it does most.

    "Most" is the largest distance to zero among the differences that stand out; a dash where none does.
    """
    rows: list[dict[str, object]] = []
    for key, part in table.groupby(["group", "measure"], sort=False):
        group, measure = key if isinstance(key, tuple) else (key, "")
        low, high, differences = (part[name].to_numpy(float) for name in ("low", "high", "difference"))
        out = part["stands_out"].to_numpy(bool)
        most = int(np.where(out, np.abs(differences), -1).argmax())
        rows.append(
            {
                "group": group,
                "measure": measure,
                "layers": len(part),
                "with an interval": int(np.isfinite(low).sum()),
                "zero outside": int(((low > 0) | (high < 0)).sum()),
                "stand out": int(out.sum()),
                "most": f"{differences[most]:+.3g} at {part['layer'].iloc[most]}" if out.any() else "–",
            }
        )
    return pd.DataFrame(rows)


def summary(comparison: "Comparison") -> str:
    """Return the seeds of each group, the overview and the notes as text."""
    counts = {name: len(parts) for name, parts in comparison.groups.items()}
    reference = next(iter(counts))
    seeds = ", ".join(f"{name} ({count} seed{'s' * (count != 1)})" for name, count in counts.items())
    lines = [f"{seeds}; differences to {reference}", "", overview(comparison.table).to_string(index=False)]
    return "\n".join([*lines, "", *(f"note: {note}" for note in comparison.notes)]).rstrip()


def notes(
    given: Mapping[str, Sequence[SeedTable]],
    groups: Mapping[str, Sequence[SeedTable]],
    table: pd.DataFrame,
    data: Mapping[str, str],
) -> list[str]:
    """Say what makes the numbers mean less than they seem to.

    Args:
        given: the groups as they came.
        groups: the groups without the seeds that only repeat another.
        table: of all differences.
        data: what each group was measured on.
    """
    found: list[str] = []
    if len(set(filter(None, data.values()))) > 1:
        said = "; ".join(f"{name} on {what}" for name, what in data.items() if what)
        found.append(
            f"measured on different data: {said}; a difference may be the data's and not the model's"
        )
    for name, parts in given.items():
        if len(parts) > len(groups[name]):
            found.append(
                f"{len(parts)} runs of {name} hold {len(groups[name])} different tables: their seed changes "
                "nothing, and what repeats counts once"
            )
    same = [
        name
        for name, parts in groups.items()
        if len(parts) > 1 and len({_trained(part) for part in parts}) == 1 and _trained(parts[0])
    ]
    if same:
        found.append(
            f"the seeds of {', '.join(same)} name the same model and weights and differ in the samples they "
            "drew: such intervals say nothing of other trainings"
        )
    differ = table[(table["width"] != table["reference_width"]) & table["width"].notna()]
    if len(differ):
        layers = list(dict.fromkeys(differ["layer"]))
        more = f" and {len(layers) - 3} more" * (len(layers) > 3)
        found.append(
            f"widths differ at {', '.join(layers[:3])}{more}: compare ratios there; no rank exceeds its width"
        )
    if lost := int(table["left_out"].to_numpy(int).sum()):
        found.append(f"{lost:,} values were missing or not finite and are in no mean (column left_out)")
    return found


def _trained(part: SeedTable) -> str:
    """Return what fixes the model of a measured run whatever its seed is; empty where the seed decides it."""
    model, weights = str(part.config.get("model") or ""), part.config.get("weights")
    if not model or (model == "digits-mlp" and weights is None):
        return ""
    return f"{model} {weights}"


def _runs(groups: Mapping[str, Sequence[SeedTable]]) -> list[Block]:
    """Return a table of every seed, and the configs of each group's first."""
    rows = [
        {
            "group": name,
            "seed": part.seed or str(number),
            "run": part.source,
        }
        | dict(part.facts)
        for name, parts in groups.items()
        for number, part in enumerate(parts)
    ]
    blocks: list[Block] = [DataTable(pd.DataFrame(rows), "Every seed.")]
    configs = {name: parts[0].config for name, parts in groups.items() if parts[0].config}
    if configs:
        blocks.append(
            Facts({name: json.loads(json.dumps(config, default=str)) for name, config in configs.items()})
        )
    return blocks
