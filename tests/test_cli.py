"""The command line: what cannot be used is one clear line and exit code 2, and nothing half-written."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from superscope import cli
from superscope.cli import main

NETS = """
import time
import torch

def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))

def data():
    return torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2

def none():
    return None

def boom():
    raise OSError("no such\\nthing")

def nan():
    broken = net()
    broken[2].bias.data[1] = float("nan")
    return broken

def slow():
    yield torch.zeros(5, 3)
    open("begun", "w").close()
    while True:
        time.sleep(0.01)
        yield torch.zeros(5, 3)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(NETS)


def measure(model: str = "nets.py:net", data: str = "nets.py:data", *more: str) -> int:
    return main(["measure", model, "--data", data, *more])


def only_error(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("superscope: error: ")
    assert captured.err.count("\n") == 1
    assert captured.err.endswith("\n")
    return captured.err


def files() -> set[str]:
    return {str(path) for path in Path().rglob("*") if path.is_file() and path.suffix != ".pyc"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.py:net"], "nowhere.py does not exist"),
        (["nets.py:nett"], "no function 'nett'; did you mean 'net'?"),
        (["nets.py"], "write FILE.py:FUNCTION (it defines net, data, none"),
        (["nets.py:none"], "nets.py:none returned None; it has to return an nn.Module"),
        (["nets.py:boom"], "OSError: no such thing"),
        (["resnet"], "no model 'resnet'; did you mean resnet50?; give digits-mlp, resnet18"),
        (["nets.py:nan"], "holds NaN or infinite values: 2.bias (1 of 2)"),
        (["nets.py:net", "digit"], "no data 'digit'; did you mean digits?"),
        (["nets.py:net", "images:nowhere"], "nowhere does not exist"),
        (["nets.py:net", "images:empty"], "a folder for each class with image files in it"),
        (["nets.py:net", "cifar10:empty"], "expected data_batch_1.bin or test_batch.bin"),
        (["nets.py:net", "mnist:empty"], "expected train-images-idx3-ubyte"),
        (["nets.py:net", "nets.py:boom"], "OSError: no such thing"),
        (["nets.py:net", "npz:wide.npz"], "the model cannot take a batch of shape [12, 5]: "),
        (["nets.py:net", "nets.py:data", "--layers", "9*"], "no layer matches '9*'; "),
        (["nets.py:net", "nets.py:data", "--device", "gpu"], "device 'gpu' cannot be used here"),
        (["nets.py:net", "nets.py:data", "--weights", "nowhere.pth"], "nowhere.pth does not exist"),
        (
            ["nets.py:net", "nets.py:data", "--weights", "damaged.pth"],
            "damaged.pth: it is damaged or no file",
        ),
        (["nets.py:net", "nets.py:data", "--weights", "damaged.safetensors"], "it is damaged or no file"),
        (["nets.py:net", "nets.py:data", "--weights", "hostile.pth"], "loading that could run code"),
        (["nets.py:net", "nets.py:data", "--weights", "small.safetensors"], "1 of another shape: 0.weight"),
        (["nets.py:net", "nets.py:data", "--weights", "nan.safetensors"], "nan.safetensors holds NaN"),
        (["nets.py:net", "nets.py:data", "--out", "nets.py"], "nets.py is a file; choose another folder"),
        (["nets.py:net", "nets.py:data", "--out", "nets.py/out"], "nets.py is a file; choose another folder"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    weights = {"0.weight": torch.zeros(4, 3), "0.bias": torch.zeros(4), "2.weight": torch.zeros(2, 4)}
    weights["2.bias"] = torch.zeros(2)
    Path("empty").mkdir()
    np.savez("wide.npz", np.zeros((12, 5), np.float32))
    for name in ("damaged.pth", "damaged.safetensors"):
        Path(name).write_bytes(b"not weights")
    torch.save({"a": subprocess.Popen}, "hostile.pth")
    save_file(weights | {"0.weight": torch.zeros(4, 2)}, "small.safetensors")
    save_file(weights | {"2.bias": torch.full((2,), torch.nan)}, "nan.safetensors")
    before = files()
    assert measure(*arguments) == 2
    assert said in only_error(capsys)
    assert files() == before


def test_an_unknown_layer_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    weights = Path("w.safetensors")
    from superscope.models import DigitsMLP

    save_file(DigitsMLP().state_dict(), weights)
    assert measure("digits-mlp", "digits", "--weights", str(weights), "--layers", "cf1") == 2
    assert "no layer matches 'cf1'; did you mean fc1" in only_error(capsys)


def test_all_faults_of_a_config_are_named_before_any_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert measure("nowhere", "nowhere", "--samples", "0", "--batch-size", "0", "--seed", "-1") == 2
    error = only_error(capsys)
    for field in ("samples", "batch_size", "seed"):
        assert f"{field}: input should be greater" in error


def test_a_folder_with_another_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert measure("nets.py:net", "nets.py:data", "--out", "out") == 0
    capsys.readouterr()
    before = {name: Path(name).read_bytes() for name in files()}
    assert measure("nets.py:net", "nets.py:data", "--out", "out", "--seed", "1") == 2
    assert "out holds a run of another config" in only_error(capsys)
    assert {name: Path(name).read_bytes() for name in files()} == before


def test_a_place_that_may_not_be_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert measure("nets.py:net", "nets.py:data", "--out", "closed/out") == 2
    assert "permission denied; choose another folder with --out" in only_error(capsys)


def test_a_full_disk_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert measure("nets.py:net", "nets.py:data", "--out", "out") == 2
    assert "cannot write out/config.json: No space left on device; free the space" in only_error(capsys)
    assert files() <= {"nets.py", "out/.lock"}


def test_measure_prints_a_table_and_writes_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert measure("nets.py:net", "nets.py:data", "--layers", "0,2", "--samples", "20", "--out", "out") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert lines[0].split()[:3] == ["layer", "kind", "width"]
    assert [line.split()[:3] for line in lines[1:3]] == [["0", "Linear", "4"], ["2", "Linear", "2"]]
    assert "samples 20" in captured.out
    assert lines[-1] == "report: out/report.html"
    assert Path("out/report.html").read_text().rstrip().endswith("</html>")
    assert files() == {
        "nets.py",
        *(f"out/{name}" for name in ("config.json", "environment.json", "metrics.jsonl", "report.html")),
        *(f"out/{name}" for name in ("tensors.safetensors", "tables/layers.csv", "tables/ranks.csv")),
        "out/figures/ranks.svg",
    }


def test_notes_and_layers_left_out_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("few.npz", np.ones((3, 3), np.float32))
    assert measure("nets.py:net", "npz:few.npz") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "note: 0: 3 rows for 4 units, so no rank can exceed 2" in lines
    assert "note: 2: no standard errors from fewer than 8 samples" in lines


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ([], ["tour", "measure", "recipes", "run"]),
        (["tour"], ["--seeds", "--steps", "--restarts", "--out"]),
        (
            ["measure"],
            [
                *("MODEL", "--data", "--weights", "--layers", "--samples", "--normalize", "--image-size"),
                *("--batch-size", "--seed", "--device", "--out"),
            ],
        ),
        (["recipes"], []),
        (["run"], ["toy-face", "toy-pentagon", "toy-demonstration"]),
        (["run", "toy-pentagon"], ["--preset", "--seeds", "--out"]),
    ],
)
def test_help_names_every_flag(
    capsys: pytest.CaptureFixture[str], command: list[str], flags: list[str]
) -> None:
    assert main([*command, "--help"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    for flag in ("usage: superscope", "--help", *flags):
        assert flag in captured.out


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "usage: superscope" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"superscope {version('superscope')}\n"


@pytest.mark.parametrize(
    "arguments",
    [["mesure"], ["measure"], ["measure", "x", "--data", "digits", "--sample", "3"], ["run", "toy-faces"],
     ["measure", "x", "--data", "digits", "--samples", "many"]],
)  # fmt: skip
def test_arguments_that_cannot_be_read_are_explained(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "superscope" in captured.err


def test_recipes_are_listed_with_their_claims(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    out = capsys.readouterr().out
    for text in ("toy-face: ", "toy-pentagon: ", "toy-demonstration: ", "T1", "T2", "T3"):
        assert text in out


def test_a_recipe_judges_its_claims(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "toy-face", "--preset", "smoke", "--out", "face"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "+ T1" in captured.out
    assert " 0 not reproduced" in captured.out
    assert captured.out.endswith("report: face/report.html\n")
    assert {"face/claims.json", "face/report.html"} <= files()


def raising(error: BaseException) -> Callable[[list[str]], int]:
    def run(_: list[str]) -> int:
        raise error

    return run


def test_ctrl_c_is_one_line_and_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_run", raising(KeyboardInterrupt()))
    assert main(["tour"]) == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_run", raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["tour"])


def test_ctrl_c_in_the_pass_leaves_nothing() -> None:
    # a shell without job control starts its background jobs, this test run perhaps, with SIGINT ignored
    heed = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    start = f"{heed}from superscope.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", start, "measure", "nets.py:net", "--data", "nets.py:slow"]
    with subprocess.Popen([*command, "--out", "out"], stderr=subprocess.PIPE, text=True) as process:
        try:
            while not Path("begun").exists():
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert error.startswith("superscope: interrupted")
    assert error.count("\n") == 1
    assert not Path("out").exists()


def test_a_reader_that_has_gone_is_no_error() -> None:
    command = f"{sys.executable} -m superscope recipes | head -c 1"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert len(done.stdout) == 1
    assert done.stderr == ""
