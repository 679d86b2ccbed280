"""The command's run directory: every file there, the same bits twice, nothing when it fails."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from superscope.core import ConfigError, InputError, LayerError, artifacts, from_json
from superscope.survey import MeasureConfig, run_measure


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def net():\n"
        "    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())\n"
        "def data():\n"
        "    return torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 4\n"
    )


def settings(**fields: object) -> MeasureConfig:
    return MeasureConfig("mine.py:net", "mine.py:data", **fields)  # pyright: ignore[reportArgumentType]


def test_the_run_directory_holds_what_the_survey_found() -> None:
    config = settings(samples=30, out=Path("out"))
    survey, report = run_measure(config)
    assert report == Path("out/report.html")
    assert report.read_text() == survey.page(survey.rows[-1].name)
    assert from_json(MeasureConfig, Path("out/config.json").read_text()) == config
    assert len(pd.read_csv("out/tables/layers.csv")) == 2
    assert Path("out/figures/ranks.svg").read_text().rstrip().endswith("</svg>")
    stored = artifacts.read_tensors(Path("out/tensors.safetensors"))
    assert artifacts.tensor_hashes(stored) == artifacts.tensor_hashes(survey.tensors())
    facts, hashes = map(json.loads, Path("out/metrics.jsonl").read_text().splitlines())
    assert facts["samples"] == "30"
    assert hashes["tensor_hashes"] == artifacts.tensor_hashes(survey.tensors())


def test_the_same_config_twice_gives_two_folders_and_the_same_bits() -> None:
    one, other = (run_measure(settings())[1].parent for _ in range(2))
    assert one != other
    for name in ("tensors.safetensors", "tables/layers.csv", "figures/ranks.svg", "config.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"samples": 0, "batch_size": 0}, ConfigError),
        ({"layers": "nothing"}, LayerError),
        ({"layers": "0", "picture": "1"}, InputError),
    ],
)
def test_a_failure_comes_before_the_work_and_makes_no_folder(
    fields: dict[str, object], error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("superscope.survey.command.measure", lambda *_, **__: pytest.fail("it went to work"))
    with pytest.raises(error):
        run_measure(settings(**fields))
    assert {path.name for path in Path().iterdir()} - {"__pycache__"} == {"mine.py"}
