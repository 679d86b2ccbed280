"""``superscope compare``: every file of the run, the same bits twice, one line for what is wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from superscope.cli import main
from superscope.core import ConfigError, from_json
from superscope.survey import CompareConfig, run_compare

Write = Callable[..., str]

NETS = """
import torch

def net(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))

def other():
    return net(1)

def data():
    return torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
"""


def files() -> set[str]:
    return {str(path) for path in Path().rglob("*") if path.is_file() and path.suffix != ".pyc"}


def two(run: Write) -> CompareConfig:
    for seed in range(3):
        for name, value in (("a", 1.0), ("b", 3.0)):
            ratio = value + seed / 10
            table = (
                f"name,width,energy_rank_ratio,cosine_mean\nfc,4,{ratio},{ratio**2}\nout,4,1,{ratio / 3}\n"
            )
            run(f"{name}{seed}", seed=seed, model=name, table=table)
    return CompareConfig(tuple(f"{name}{seed}" for name in "ab" for seed in range(3)), out=Path("out"))


def test_the_run_directory_holds_the_comparison(run: Write) -> None:
    config = two(run)
    comparison, report = run_compare(config)
    assert report == Path("out/report.html")
    assert report.read_text() == comparison.page()
    assert from_json(CompareConfig, Path("out/config.json").read_text()) == config
    stored = pd.read_csv("out/tables/differences.csv")
    pd.testing.assert_frame_equal(stored, comparison.table, check_dtype=False)
    assert len(pd.read_csv("out/tables/values.csv")) == 12
    drawn = {path.stem for path in Path("out/figures").iterdir()}
    assert drawn == {
        f"{what}-{measure}{number}"
        for measure in ("energy_rank_ratio", "cosine_mean")
        for what, number in (("groups", ""), ("differences", "-1"))
    }
    line = json.loads(Path("out/metrics.jsonl").read_text())
    assert line["groups"] == {"a": ["a0", "a1", "a2"], "b": ["b0", "b1", "b2"]}
    assert line["differences"] == 4


def test_the_same_comparison_twice_has_the_same_bytes(run: Write) -> None:
    config = two(run)
    run_compare(config)
    first = {name: Path(name).read_bytes() for name in files() if name.startswith("out/")}
    run_compare(config)
    assert {name: Path(name).read_bytes() for name in first} == first
    assert {Path(name).name for name in first} >= {"report.html", "differences.csv", "values.csv"}


def test_the_shell_tells_what_differs(run: Write, capsys: pytest.CaptureFixture[str]) -> None:
    config = two(run)
    assert main(["compare", *config.runs, "--names", "before", "after", "--out", "out"]) == 0
    said = capsys.readouterr().out
    assert "before (3 seeds), after (3 seeds); differences to before" in said
    assert "+8.4" in said
    assert said.rstrip().endswith("report: out/report.html")


def test_models_are_measured_first(
    run: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("nets.py").write_text(NETS)
    torch.manual_seed(0)
    weights = {"0.weight": torch.randn(4, 3), "0.bias": torch.zeros(4), "2.weight": torch.randn(2, 4)}
    save_file(weights | {"2.bias": torch.zeros(2)}, "w.safetensors")
    command = ["compare", "nets.py:net", "nets.py:other", "own=nets.py:net", "--data", "nets.py:data"]
    assert main([*command, "--weights", "none", "none", "w.safetensors", "--out", "out"]) == 0
    said = capsys.readouterr().out
    assert "nets.py:net (1 seed), nets.py:other (1 seed), own (1 seed)" in said
    table = pd.read_csv("out/tables/differences.csv", dtype={"layer": str})
    assert set(table["group"]) == {"nets.py:other", "own"}
    assert set(table["layer"]) == {"0", "1", "2"}
    assert table["method"].str.startswith("standard errors over samples").any()


def test_the_embedded_network_is_trained_once_a_seed(run: Write) -> None:
    from superscope.models import DigitsMLP

    save_file(DigitsMLP(torch.Generator().manual_seed(0)).state_dict(), "start.safetensors")
    comparison, _ = run_compare(
        CompareConfig(
            ("trained=digits-mlp", "start=digits-mlp"),
            data="digits",
            seeds=(0, 1),
            weights=("none", "start.safetensors"),
            layers="fc*",
            measures=("ranks",),
            out=Path("out"),
        )
    )
    assert {name: [part.seed for part in parts] for name, parts in comparison.groups.items()} == {
        "trained": ["0", "1"],
        "start": ["0"],
    }
    rows = comparison.table.set_index(["layer", "measure"])
    assert rows.loc[("fc1", "participation_ratio"), "difference"] > 1  # pyright: ignore[reportOperatorIssue]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], ["no run and nothing to compare with"]),
        (["a0"], ["one run and nothing to compare with"]),
        (["a0", "nowhere", "half"], ["nowhere does not exist", "the run in half is not finished"]),
        (["a0", "b0", "--seed", "-1"], ["seed: input should be greater"]),
        (["a0", "far"], ["have no layer of the same name"]),
        (["nets.py:net", "--data", "nets.py:data"], ["1 model and nothing to compare with"]),
        (
            [
                "nets.py:net",
                "nets.py:nett",
                "a0",
                "--data",
                "nets.py:dat",
                "--weights",
                "none",
                "--seeds",
                "1",
                "1",
            ],
            [
                "a0 is a run; leave out --data",
                "1 weights for 3 models",
                "the seeds [1, 1] are not all different",
                "no function 'nett'",
                "no function 'dat'",
            ],
        ),
        (["nets.py:net", "nets.py:net", "--data", "nets.py:data"], ["2 names (nets.py:net, no weights"]),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_writes_nothing(
    run: Write, capsys: pytest.CaptureFixture[str], arguments: list[str], said: list[str]
) -> None:
    Path("nets.py").write_text(NETS)
    two(run)
    run("half", report=False)
    run("far", model="far", table="name,width,energy_rank_ratio\nelsewhere,4,2\n")
    before = files()
    assert main(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    for part in said:
        assert part in captured.err
    assert files() == before


def test_layers_that_a_model_lacks_are_told_with_the_other_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(NETS)
    config = CompareConfig(("digits-mlp", "nets.py:net"), data="digits", layers="fc*", out=Path("out"))
    with pytest.raises(ConfigError, match=r"compare: nets.py:net: no layer matches 'fc\*'"):
        run_compare(config)
    assert files() == {"nets.py"}


def test_faults_of_the_config_come_before_any_run_is_read() -> None:
    with pytest.raises(ConfigError, match="batch_size"):
        run_compare(CompareConfig(("nowhere",), batch_size=0))
