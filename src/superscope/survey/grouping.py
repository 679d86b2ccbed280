"""Which runs are seeds of one thing, and what to call it."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from superscope.core.errors import ArtifactError, ConfigError
from superscope.survey.runs import SeedTable, read_run

SEED_FIELDS = ("seed", "weights", "out", "device")
"""Fields of a config that may differ within a group."""

Groups = dict[str, list[SeedTable]]


def named_arguments(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Split ``NAME=RUN,RUN`` into (name, run) pairs; the name is empty where none is given.

    An argument that exists as a path is that path, whatever signs are in it.

    >>> named_arguments(["a=runs/1,runs/2", "runs/3"])
    [('a', 'runs/1'), ('a', 'runs/2'), ('', 'runs/3')]
    """
    found: list[tuple[str, str]] = []
    for argument in arguments:
        name, equals, rest = argument.partition("=")
        if Path(argument).exists() or not equals or not name.strip():
            found.append(("", argument))
        else:
            found += [(name.strip(), run) for run in ([rest] if Path(rest).exists() else rest.split(","))]
    return found


def read_groups(arguments: Sequence[str], names: Sequence[str] = ()) -> tuple[Groups, list[str]]:
    """Read runs and put the seeds of one thing into one group.

    Runs given as ``NAME=RUN`` are the group NAME. The others are grouped by their configs: equal but for
    seed, weights, out and device (and the part of the run, where one measured several models) is one group;
    with weights and without are two. A single such group whose weights differ is divided by its weights.

    Args:
        arguments: paths of runs, or ``NAME=RUN,RUN``.
        names: of the groups, in the order in which they come; made from what differs where empty.

    Returns:
        The groups, and what a reader has to be told of how they were made.

    Raises:
        ConfigError: with every run that cannot be used, and what is wrong with the groups.
    """
    faults: list[str] = []
    by_hand: Groups = {}
    automatic: dict[str, list[SeedTable]] = {}
    order: list[tuple[bool, str]] = []
    seen: dict[Path, str] = {}
    for name, argument in named_arguments(arguments):
        path = Path(argument).expanduser()
        if path.resolve() in seen:
            faults.append(f"{argument} is given twice; a run counts once")
            continue
        seen[path.resolve()] = name
        try:
            tables = read_run(path)
        except ArtifactError as error:
            faults.append(str(error))
            continue
        for table in tables:
            key = f"{name}: {table.part}" if name and table.part else name or _key(table)
            (by_hand if name else automatic).setdefault(key, []).append(table)
            if (bool(name), key) not in order:
                order.append((bool(name), key))
    if faults:
        raise ConfigError("compare", faults)
    notes: list[str] = []
    if not by_hand and len(automatic) == 1:
        automatic, notes = _by_weights(next(iter(automatic.values())))
        order = [(False, key) for key in automatic]
    called = dict(zip(automatic, _names(automatic), strict=True))
    groups: Groups = {}
    for hand, key in order:
        label, tables = (key, by_hand[key]) if hand else (called[key], automatic[key])
        while label in groups:
            label += "′"
        groups[label] = tables
    return _renamed(groups, names), notes


def _renamed(groups: Groups, names: Sequence[str]) -> Groups:
    if len(groups) < 2:
        name, tables = next(iter(groups.items()), ("", []))
        many = f"{len(tables)} seeds of one group ({name})"
        runs = many if len(tables) > 1 else ("no run", "one run")[len(tables)]
        raise ConfigError(
            "compare",
            [f"{runs} and nothing to compare with; give runs of another config, or NAME=RUN,RUN NAME=RUN"],
        )
    if names and (len(names) != len(groups) or len(set(names)) < len(names)):
        fault = f"{len(names)} names ({', '.join(names)}) for {len(groups)} groups ({', '.join(groups)})"
        raise ConfigError("compare", [f"{fault}; give each a name of its own"])
    return dict(zip(names or groups, groups.values(), strict=True))


def _key(table: SeedTable) -> str:
    return json.dumps(_what(table), sort_keys=True)


def _what(table: SeedTable) -> dict[str, object]:
    config = {name: value for name, value in table.config.items() if name not in SEED_FIELDS}
    if "weights" in table.config:
        config["weights"] = "given" if table.config["weights"] is not None else None
    return config | ({"part": table.part} if table.part else {})


def _by_weights(tables: list[SeedTable]) -> tuple[Groups, list[str]]:
    groups: Groups = {}
    for table in tables:
        groups.setdefault(str(table.config.get("weights")), []).append(table)
    if len(groups) == 1:
        return groups, []
    note = (
        "the runs differ in weights and seed alone, so each file of weights was taken as a group; to make "
        "seeds of them, name the groups: NAME=RUN,RUN"
    )
    return groups, [note]


def _names(groups: Mapping[str, Sequence[SeedTable]]) -> list[str]:
    """Name groups by the fields in which they differ."""
    whats = [_what(tables[0]) | {"weights": _weights(tables)} for tables in groups.values()]
    fields = list(dict.fromkeys(name for what in whats for name in what))
    differ = [name for name in fields if len({json.dumps(what.get(name)) for what in whats}) > 1]
    found: list[str] = []
    for what, tables in zip(whats, groups.values(), strict=True):
        said = [_said(name, what[name]) for name in differ if name in what]
        name = ", ".join(said[:4]) or Path(tables[0].source).name
        number = sum(other == name or other.startswith(f"{name} #") for other in found)
        found.append(f"{name} #{number + 1}" if number else name)
    return found


def _weights(tables: Sequence[SeedTable]) -> str | None:
    files = {str(table.config["weights"]) for table in tables if table.config.get("weights") is not None}
    return None if not files else files.pop() if len(files) == 1 else f"{len(files)} files of weights"


def _said(field: str, value: object) -> str:
    """Say a field's value in few letters, without the folders of a path.

    >>> _said("data", "cifar10:/data/cifar10:train"), _said("samples", 500), _said("weights", None)
    ('cifar10:train', 'samples 500', 'no weights')
    """
    if value is None:
        return f"no {field}"
    if isinstance(value, str):
        short = re.sub(r"[^:=\s]*[/\\]", "", value)
        kind, _, rest = short.partition(":")
        return rest if rest.partition(":")[0] == kind else short
    return f"{field} {json.dumps(value)}"
