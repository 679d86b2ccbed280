"""Which runs are seeds of one group, what groups are called, and what cannot be grouped."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from superscope.core import ConfigError
from superscope.survey.grouping import read_groups
from superscope.survey.runs import read_run

Write = Callable[..., str]


def sources(arguments: list[str], names: tuple[str, ...] = ()) -> dict[str, list[str]]:
    groups, _ = read_groups(arguments, names)
    return {name: [part.source for part in parts] for name, parts in groups.items()}


def test_configs_that_differ_in_seed_alone_are_one_group_named_by_what_differs(run: Write) -> None:
    for seed in range(2):
        run(f"a{seed}", seed=seed, data="digits")
        run(f"b{seed}", seed=seed, data="cifar10:some/where/cifar10:train", out=f"b{seed}")
    found = {"digits": ["a0", "a1"], "cifar10:train": ["b0", "b1"]}
    assert sources(["a0", "b0", "a1", "b1"]) == found
    assert list(sources(["b1", "a0"])) == ["cifar10:train", "digits"]
    assert list(sources(["a0", "b0", "a1"], ("x", "y")).items()) == [("x", ["a0", "a1"]), ("y", ["b0"])]


def test_files_of_weights_are_seeds_and_no_weights_are_another_group(run: Write) -> None:
    run("none")
    for number in range(2):
        run(f"w{number}", weights=f"nets/w{number}.pth")
    assert sources(["none", "w0", "w1"]) == {"no weights": ["none"], "2 files of weights": ["w0", "w1"]}


def test_weights_alone_divide_what_would_be_a_single_group(run: Write) -> None:
    for number in range(2):
        run(f"w{number}", weights=f"nets/w{number}.pth")
    groups, notes = read_groups(["w0", "w1"])
    assert list(groups) == ["w0.pth", "w1.pth"]
    assert "NAME=RUN" in notes[0]


def test_groups_by_hand_go_before_configs(run: Write) -> None:
    for number in range(3):
        run(f"r{number}", seed=number)
    assert sources(["a=r0,r2", "b=r1"]) == {"a": ["r0", "r2"], "b": ["r1"]}
    assert sources(["a=r0", "b=r1", "a=r2"]) == {"a": ["r0", "r2"], "b": ["r1"]}
    assert list(sources(["a=r0", "r1", "r2"]).values()) == [["r0"], ["r1", "r2"]]
    run("odd=name,run", seed=5)
    assert sources(["a=r0", "b=odd=name,run"])["b"] == ["odd=name,run"]


def test_a_recipes_table_is_divided_by_group_and_seed(run: Write) -> None:
    table = "name,width,model,seed,rank\n" + "".join(
        f"fc,4,{model},{seed},{seed}.5\n" for model in ("mlp", "cnn") for seed in range(3)
    )
    run("recipe", table=table, config={"epochs": 3})
    groups, _ = read_groups(["recipe"])
    assert {name: [part.seed for part in parts] for name, parts in groups.items()} == {
        "mlp": ["0", "1", "2"],
        "cnn": ["0", "1", "2"],
    }
    assert groups["mlp"][1].measures == ["rank"]


def test_every_run_that_cannot_be_used_is_named_at_once(run: Write) -> None:
    run("good")
    run("unfinished", report=False)
    run("cut", table="name,width,rank\nfc1,4,2.5\nfc2,4")
    run("word", table="name,width,rank\nfc1,4,2.5\nfc2,4,x\n")
    run("twice", table="name,width,rank\nfc1,4,2.5\nfc1,4,3\n")
    run("short", table="name,width,rank\nfc1,4,2.5\n", layers=2)
    run("plain", table="name,kind\nfc1,Linear\n")
    run("nameless", table="width,rank\n4,2\n")
    Path("plainfile").write_text("")
    Path("folder").mkdir()
    run("tableless", table=None)
    run("broken")
    Path("broken/config.json").write_text("{")
    names = [
        "good", "unfinished", "cut", "word", "twice", "short", "plain", "nameless", "plainfile", "folder",
        "tableless", "broken", "nowhere", "good",
    ]  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        read_groups(names)
    said = dict(zip(names[1:], caught.value.faults, strict=True))
    for name, part in {
        "unfinished": "is not finished (no report.html)",
        "cut": "row 3 has not 3 cells",
        "word": "'x' in column rank is no number",
        "twice": "has layer 'fc1' twice",
        "short": "has 1 rows and the run measured 2 layers",
        "plain": "no column of numbers",
        "nameless": "it needs a name",
        "plainfile": "is a file",
        "folder": "holds no run",
        "tableless": "measured no layers",
        "broken": "is damaged",
        "nowhere": "does not exist",
        "good": "given twice",
    }.items():
        assert part in said[name]


@pytest.mark.parametrize(
    ("arguments", "names", "said"),
    [
        ([], (), "no run and nothing to compare"),
        (["r0"], (), "one run and nothing to compare"),
        (["r0", "r1"], (), "2 seeds of one group"),
        (["a=r0,r1"], (), "2 seeds of one group (a)"),
        (["a=r0", "b=r1"], ("x",), "1 names (x) for 2 groups (a, b)"),
        (["a=r0", "b=r1"], ("x", "x"), "each a name of its own"),
    ],
)
def test_groups_that_cannot_be_compared_are_refused(
    run: Write, arguments: list[str], names: tuple[str, ...], said: str
) -> None:
    for number in range(2):
        run(f"r{number}", seed=number)
    with pytest.raises(ConfigError) as caught:
        read_groups(arguments, names)
    assert said in str(caught.value)


def test_numbers_keep_their_bits_and_names_their_letters(run: Write) -> None:
    run("r", table=f"name,width,rank,rank_se\nNA,4,{0.1 + 0.2!r},\nnan,4,inf,1\n")
    [part] = read_run(Path("r"))
    assert list(part.table["name"]) == ["NA", "nan"]
    assert part.table["rank"][0] == 0.1 + 0.2
    assert part.table["rank_se"].isna().tolist() == [True, False]


def test_what_a_run_measured_comes_with_it(run: Write) -> None:
    run("r", seed=3, weights="w.pth")
    Path("r/metrics.jsonl").write_text(
        json.dumps({"data": "digits", "samples": "50", "layers": 1}) + "\n{}\n"
    )
    [part] = read_run(Path("r"))
    assert part.facts == {"data": "digits", "samples": "50"}
    assert part.seed == "3 w.pth"
