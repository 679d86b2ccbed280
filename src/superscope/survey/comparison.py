"""Groups of seeds beside each other, layer by layer: what differs, how surely, and what cannot be said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from superscope.core import artifacts
from superscope.core.errors import ArtifactError, ConfigError, InputError
from superscope.plots import plot_differences, plot_runs
from superscope.report import Section, render
from superscope.survey import compare_page
from superscope.survey.differences import against, band, data_of, unmatched
from superscope.survey.grouping import Groups, read_groups
from superscope.survey.result import Survey
from superscope.survey.runs import SeedTable, from_survey, read_run


@dataclass(frozen=True, eq=False)
class Comparison:
    """Every group against the first one."""

    groups: Groups
    """The seeds of each group, without those that only repeat another."""
    table: pd.DataFrame
    """A row for each group but the first, layer and measure.

    ``layer``, ``measure``, ``group``, ``reference`` (the first group), ``mean`` and ``reference_mean`` over
    seeds, ``difference`` = mean − reference_mean (over the pairs where paired), ``low`` and ``high`` (95 %),
    ``seeds`` and ``reference_seeds`` (finite values used), ``left_out`` (values missing or not finite),
    ``method``, ``p`` and ``p_adjusted`` (Benjamini–Hochberg over all rows of the group), ``stands_out``
    (p_adjusted ≤ 0.05), ``width`` and ``reference_width``.
    """
    unmatched: pd.DataFrame
    """Layers and measures that not every group has: ``what``, ``name``, ``why``."""
    notes: tuple[str, ...]
    """What a reader has to be told before the numbers."""

    @property
    def values(self) -> pd.DataFrame:
        """Every seed's layers: ``group``, ``seed``, ``source``, and the columns of its table."""
        return pd.concat(
            [
                _about(group, number, part)
                for group, parts in self.groups.items()
                for number, part in enumerate(parts)
            ],
            ignore_index=True,
        )

    def bands(self, measure: str) -> dict[str, pd.DataFrame]:
        """Return one measure of each group, layer by layer: ``name``, the mean over seeds, ``low``, ``high``.

        The band goes from the lowest seed to the highest; for one seed it is 1.96 standard errors over
        samples each way, where there are any.
        """
        return {group: band(parts, measure) for group, parts in self.groups.items()}

    @property
    def measures(self) -> list[str]:
        """What is compared, in the order of the table's columns."""
        return list(dict.fromkeys(self.table["measure"]))

    def compared(self, measure: str) -> list[str]:
        """Return the groups whose ``measure`` is compared with the first group's."""
        return list(dict.fromkeys(self.table["group"][self.table["measure"] == measure]))

    def figure(self, measure: str, group: str | None = None) -> Figure:
        """Draw a measure's differences to the first group, layer by layer, with intervals and a line at zero.

        Args:
            measure: one of :attr:`measures`.
            group: which group's; the first that is compared where None.

        Raises:
            InputError: when the measure or the group is not compared.
        """
        self._check(measure)
        others = self.compared(measure)
        if group is not None and group not in others:
            raise InputError(
                f"no {measure} of group {group!r} is compared; choose one of {', '.join(others)}"
            )
        group = others[0] if group is None else group
        chosen = (self.table["measure"] == measure) & (self.table["group"] == group)
        rows = pd.DataFrame(self.table[chosen]).rename(columns={"layer": "name"})
        words = f"{measure.replace('_', ' ')}: {group} − {next(iter(self.groups))}"
        return plot_differences(rows, measure, value_name=words)

    def runs_figure(self, measure: str) -> Figure:
        """Draw one measure of every group over each other, layer by layer, in the bands of :meth:`bands`.

        Raises:
            InputError: when the measure is not compared.
        """
        self._check(measure)
        return plot_runs(self.bands(measure), measure)

    def overview(self) -> pd.DataFrame:
        """Return, for each group and measure, at how many layers it differs and where most."""
        return compare_page.overview(self.table)

    def sections(self) -> list[Section]:
        """Return the report's sections, for a page of one's own."""
        return compare_page.sections(self)

    def page(self) -> str:
        """Return one self-contained HTML page."""
        return render(compare_page.page(self))

    def report(self, path: str | Path) -> Path:
        """Write :meth:`page` to ``path``.

        Raises:
            ArtifactError: when it cannot be written.
        """
        return artifacts.write_text(Path(path), self.page())

    def summary(self) -> str:
        """Return what differs as text, for a terminal."""
        return compare_page.summary(self)

    def _check(self, measure: str) -> None:
        if measure not in self.measures:
            raise InputError(f"no measure {measure!r} is compared; choose one of {', '.join(self.measures)}")


def compare(
    groups: Mapping[str, "Survey | str | Path | Sequence[Survey | str | Path]"] | Sequence[str | Path],
    *,
    paired: bool | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare groups of surveys or finished runs with the first group, layer by layer.

    Layers are matched by name. The interval of each difference is over the seeds of the groups
    (:func:`superscope.measures.difference_intervals`); with one seed a side it is from the standard errors
    over samples, where there are any.

    Args:
        groups: surveys or paths of runs by the name of their group, several where a group has several seeds;
            or a list of paths of runs, which are grouped by their configs
            (:func:`superscope.survey.grouping.read_groups`).
        paired: whether the seeds of a group go with those of the first in their order; None pairs those of
            runs whose seeds are the same, and no surveys, since a survey does not know its seed.
        seed: of the bootstrap.

    Raises:
        ConfigError: when a run cannot be used, or there are not two groups; every fault at once.
        InputError: when two groups have no layer in common, or are paired and differ in number.

    >>> import superscope as ss
    >>> from superscope.core import generator
    >>> start = [ss.models.DigitsMLP(generator(seed)) for seed in range(3)]
    >>> trained = [ss.training.digits_mlp(seed) for seed in range(3)]
    >>> groups = {"start": start, "trained": trained}
    >>> comparison = ss.compare(
    ...     {name: [ss.measure(net, "digits", "fc1") for net in nets] for name, nets in groups.items()}
    ... )
    >>> row = comparison.table.set_index("measure").loc["participation_ratio"]
    >>> row["method"], bool(row["high"] < 0)
    ('Welch', True)
    """
    notes: list[str] = []
    if isinstance(groups, Mapping):
        read = _from_mapping(groups)
    else:
        read, notes = read_groups([str(path) for path in groups])
    return compare_groups(read, notes, paired=paired, seed=seed)


def compare_groups(
    groups: Groups, notes: Sequence[str] = (), *, paired: bool | None = None, seed: int = 0
) -> Comparison:
    """Compare groups of tables that have been read; ``notes`` go before those that are found here."""
    distinct = {name: _distinct(parts) for name, parts in groups.items()}
    reference, *others = distinct
    rows = pd.concat([against(reference, name, distinct, paired, seed) for name in others], ignore_index=True)
    valueless = [
        measure
        for measure in dict.fromkeys(rows["measure"])
        if not np.isfinite(rows.loc[rows["measure"] == measure, "difference"]).any()
    ]
    rows = pd.DataFrame(rows[~rows["measure"].isin(valueless)]).reset_index(drop=True)
    if rows.empty:
        raise InputError("no measure has a value in two groups at the same layer; compare other runs")
    return Comparison(
        distinct,
        rows,
        unmatched(distinct, valueless),
        (
            *notes,
            *compare_page.notes(
                groups, distinct, rows, {name: data_of(parts) for name, parts in distinct.items()}
            ),
        ),
    )


def _from_mapping(
    groups: Mapping[str, "Survey | str | Path | Sequence[Survey | str | Path]"],
) -> Groups:
    read: Groups = {}
    faults = [] if len(groups) > 1 else [f"{len(groups)} group; give two or more to compare"]
    for name, given in groups.items():
        parts = [given] if isinstance(given, Survey | str | Path) else list(given)
        if not parts:
            faults.append(f"group {name!r} is empty; give it a survey or a run")
        for number, part in enumerate(parts):
            if isinstance(part, Survey):
                read.setdefault(name, []).append(from_survey(part, f"survey {number}"))
                continue
            try:
                read.setdefault(name, []).extend(read_run(Path(part)))
            except ArtifactError as error:
                faults.append(str(error))
    if faults:
        raise ConfigError("compare", faults)
    return read


def _distinct(parts: Sequence[SeedTable]) -> list[SeedTable]:
    """Leave out what repeats another to the last bit: a seed that changes nothing is no further evidence."""
    kept: list[SeedTable] = []
    for part in parts:
        if not any(part.same_as(other) for other in kept):
            kept.append(part)
    return kept


def _about(group: str, number: int, part: SeedTable) -> pd.DataFrame:
    head = pd.DataFrame(
        {"group": group, "seed": part.seed or str(number), "source": part.source}, part.table.index
    )
    return pd.concat([head, part.table], axis=1)
