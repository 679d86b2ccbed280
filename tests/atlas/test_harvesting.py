"""superscope harvest: what it prints, what it leaves, and that it goes on."""

from pathlib import Path

import pytest
import torch

from superscope.activations import ActivationStore
from superscope.cli import main

NET = """
import torch
from torch import nn
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 5))
def data():
    return [torch.full((50, 3), float(n)) for n in range(4)]
def stopped():
    for n, batch in enumerate(data()):
        if n == 2:
            raise KeyboardInterrupt
        yield batch
class Again(list):
    def __iter__(self):
        return stopped()
def interrupted():
    return Again(data())
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def command(data: str = "data", *more: str) -> list[str]:
    return ["harvest", "net.py:net", "--data", f"net.py:{data}", "--layer", "1", "--out", "store", *more]


def test_a_store_is_written_and_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command("data", "--dtype", "float16", "--shard-rows", "120")) == 0
    assert capsys.readouterr().out.splitlines() == [
        "200 rows of 8 units: 1 of net.py:net on 200 samples",
        "2 shards of float16, 0.0 MB",
        "store: store",
    ]
    store = ActivationStore("store")
    assert (store.samples, store.width, store.manifest.work.dtype) == (200, 8, "float16")


def test_pairs_and_rows_that_are_left_out(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "net.py").write_text(NET.replace("float(n)", "float(n) if n != 3 else float('nan')"))
    assert main(command("data", "--target", "2")) == 0
    said = capsys.readouterr().out
    assert "150 rows of 8 and 5 units: 1 and 2 of net.py:net on 200 samples" in said
    assert "note: 50 rows with NaN or infinite values were left out" in said


def test_an_interrupted_harvest_says_what_it_keeps_and_goes_on(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command("interrupted", "--shard-rows", "30")) == 130
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "superscope: store keeps the first 90 rows",
        "superscope: interrupted; the same command goes on from what was saved last",
    ]
    (here / "net.py").write_text(NET.replace("if n == 2", "if n == 9"))
    assert main(command("interrupted", "--shard-rows", "30")) == 0
    values = torch.cat([part.activations for part in ActivationStore("store").in_order()])
    assert values.shape == (200, 8)
    assert len(values.unique(dim=0)) == 4


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--layer", "9"], "no layer matches '9'"),
        (["--layer", "*"], "matches 3 layers"),
        (["--data", "nonsense"], "no data 'nonsense'"),
        (["--samples", "0"], "samples"),
        (["--weights", "none.pt"], "none.pt"),
    ],
)
def test_what_cannot_be_harvested(
    here: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert main(command("data", *more)) == 2
    found = capsys.readouterr().err
    assert said in found
    assert not (here / "store").exists()


def test_a_store_of_other_work(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command()) == 0
    assert main(command("data", "--seed", "1")) == 2
    assert (
        "store holds a store of other work (seed was 0 and is 1); choose another" in capsys.readouterr().err
    )
