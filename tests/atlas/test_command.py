"""The command's run directory: every file there, resumed after a stop, nothing when it fails."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from superscope.atlas import ResolveConfig, run_resolve
from superscope.cli import main
from superscope.core import ConfigError, InputError, LayerError, artifacts, from_json
from superscope.dictionary import read_dictionary

COMMAND = sys.modules["superscope.atlas.command"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def net():\n"
        "    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))\n"
        "def data():\n"
        "    return torch.randn(90, 3, generator=torch.Generator().manual_seed(0)), torch.arange(90) % 2\n"
    )


def settings(**fields: object) -> ResolveConfig:
    given = {"layer": "0", "latents": 16, "k": 2, "rows_per_step": 32, "steps": 30} | fields
    return ResolveConfig("mine.py:net", "mine.py:data", **given)  # pyright: ignore[reportArgumentType]


def test_the_run_directory_holds_what_was_found() -> None:
    config = settings(out=Path("out"))
    atlas, report = run_resolve(config)
    assert report == Path("out/report.html")
    assert report.read_text() == atlas.page()[0]
    assert from_json(ResolveConfig, Path("out/config.json").read_text()) == config
    table = pd.read_csv("out/tables/latents.csv")
    assert table["active"].tolist() == atlas.collected.active.tolist()
    assert {path.name for path in Path("out/figures").iterdir()} == {
        "frequencies.svg",
        "training.svg",
        "values.svg",
    }
    stored = artifacts.read_tensors(Path("out/tensors.safetensors"))
    assert artifacts.tensor_hashes(stored) == artifacts.tensor_hashes(atlas.tensors())
    kept = read_dictionary(Path("out/dictionary"))
    torch.testing.assert_close(kept.W_dec, atlas.dictionary.W_dec)
    facts = json.loads(Path("out/metrics.jsonl").read_text().splitlines()[0])
    assert facts["L0"] == f"{table['active'].sum() / 90:.2f}"
    assert 1.5 < float(facts["L0"]) <= 2.0  # k of them, where so many are positive
    assert not Path("out/stages").exists()


def test_a_stopped_run_goes_on_and_ends_with_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = run_resolve(settings(out=Path("whole")))
    trained: list[int] = []
    train_on: Callable[..., object] = COMMAND.train_on

    def counted(*arguments: object) -> object:
        trained.append(1)
        return train_on(*arguments)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(COMMAND, "train_on", counted)
    with monkeypatch.context() as patch:
        patch.setattr(COMMAND, "chart", stop)
        with pytest.raises(KeyboardInterrupt):
            run_resolve(settings(out=Path("stopped")))
    assert not Path("stopped/report.html").exists()
    again, _ = run_resolve(settings(out=Path("stopped")))
    assert len(trained) == 1  # the second time from the disk
    assert artifacts.tensor_hashes(again.tensors()) == artifacts.tensor_hashes(whole.tensors())
    assert again.dictionary.history == whole.dictionary.history


def test_a_page_in_a_folder_has_its_files_beside_it() -> None:
    atlas, report = run_resolve(settings(folder=True, out=Path("out")))
    assert sorted(path.name for path in Path("out/atlas").iterdir()) == ["chunk-0.js"]
    assert report.read_text() == atlas.page("atlas")[0]


def test_a_dictionary_that_is_there_is_used() -> None:
    run_resolve(settings(out=Path("out")))
    given = {"latents": None, "k": None, "rows_per_step": None, "steps": None}
    atlas, _ = run_resolve(settings(dictionary=Path("out/dictionary"), out=Path("again"), **given))
    assert atlas.dictionary.n_latents == 16
    with pytest.raises(InputError, match="leave out --latents, --k, --steps, --rows-per-step"):
        run_resolve(settings(dictionary=Path("out/dictionary")))
    with pytest.raises(InputError, match="layer 2 is 2 wide and the dictionary reads 4"):
        run_resolve(settings(layer="2", dictionary=Path("out/dictionary"), **given))


def test_activations_that_are_too_large_are_written_and_dropped_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("superscope.atlas.subject.LayerReader.__call__", too_large(COMMAND))
    atlas, _ = run_resolve(settings(memory=1, out=Path("out")))
    assert atlas.collected.rows == 90
    assert not Path("out/stages").exists()


def too_large(_: object) -> object:
    """Return a reader that takes more memory than there is, once; the store has one of its own."""
    from superscope.activations.rows import LayerReader

    call = LayerReader.__call__

    def read(self: LayerReader, batch: object) -> object:
        rows = call(self, batch)  # pyright: ignore[reportArgumentType]
        if sys._getframe(1).f_code.co_name == "rows_in_memory":
            return {name: each._replace(values=each.values.repeat(3000, 1)) for name, each in rows.items()}
        return rows

    return read


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"latents": 4, "k": 5}, ConfigError),
        ({"samples": 0, "batch_size": 0}, ConfigError),
        ({"layer": "nothing"}, LayerError),
        ({"layer": "*"}, LayerError),
        ({"latents": None, "k": 999}, ConfigError),
        ({"sparsity": 0.1}, ConfigError),
    ],
)
def test_a_failure_comes_before_the_work_and_makes_no_folder(
    fields: dict[str, object], error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(COMMAND, "train_on", lambda *_: pytest.fail("it went to work"))
    with pytest.raises(error):
        run_resolve(settings(**fields))
    assert {path.name for path in Path().iterdir()} - {"__pycache__"} == {"mine.py"}


def test_the_command_line_prints_the_facts_or_one_line_of_error(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["resolve", "mine.py:net", "--data", "mine.py:data", "--layer", "0", "--steps", "20"]
    assert main([*arguments, "--latents", "8", "--k", "2", "--out", "out"]) == 0
    said = capsys.readouterr().out
    assert "loss recovered: " in said
    assert "note: Trained in batches of 32" in said
    assert said.rstrip().endswith("report: out/report.html")
    assert main([*arguments, "--latents", "8", "--k", "9"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "9 of 8 latents cannot be active" in error
