"""Run directories: resumed after any end, held by one process, and never half-written."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from superscope.core import ArtifactError, Run, artifacts, config, open_run

KILLS = 50


@config
class Settings:
    """What a run of these tests is made of."""

    seed: int = 0


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def draw(seed: int) -> dict[str, torch.Tensor]:
    return {"x": torch.rand(5, generator=torch.Generator().manual_seed(seed))}


def never() -> dict[str, torch.Tensor]:
    raise AssertionError("this stage was finished")


def complete(run: Run, seed: int = 0) -> Path:
    found = run.stage("one", lambda: draw(seed))
    run.tensors(found)
    run.table("values", pd.DataFrame({"x": found["x"].numpy()}))
    run.figure("values", Figure(figsize=(1, 1)))
    run.metric(loss=float("nan"), step=1)
    run.metric(loss=0.5)
    run.claims([{"id": "T1", "measured": float("inf")}])
    return run.finish("<!doctype html><p>done</p></html>")


def contents(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def check_readable(folder: Path) -> None:
    """Read every file that is there under its own name."""
    for path in folder.rglob("*"):
        if path.is_dir() or path.name.startswith("."):
            continue
        match path.suffix:
            case ".json":
                json.loads(path.read_bytes())
            case ".jsonl":
                assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1]
            case ".safetensors":
                assert artifacts.read_tensors(path).keys() == {"x"}
            case ".csv":
                assert len(pd.read_csv(path)) == 20_000
            case ".html":
                assert path.read_text().endswith("</html>")
            case ".svg":
                assert path.read_text().rstrip().endswith("</svg>")
            case other:
                raise AssertionError(f"unexpected file {path.name} ({other})")


def test_nothing_is_made_before_the_first_write() -> None:
    run = open_run("test", Settings())
    run.metric(loss=1.0)
    assert not run.unfinished
    assert list(Path().iterdir()) == []


def test_a_finished_run_holds_what_was_given_to_it() -> None:
    report = complete(open_run("test", Settings()))
    folder = report.parent
    assert folder.parent == Path("runs/test")
    assert contents(folder) == {
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "tables/values.csv",
        "figures/values.svg",
        "tensors.safetensors",
        "claims.json",
        "report.html",
    }
    assert json.loads((folder / "config.json").read_text()) == {"seed": 0}
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert metrics == [{"loss": None, "step": 1}, {"loss": 0.5}]
    assert json.loads((folder / "claims.json").read_text()) == [{"id": "T1", "measured": None}]
    assert torch.equal(artifacts.read_tensors(folder / "tensors.safetensors")["x"], draw(0)["x"])


def test_a_new_run_gets_a_folder_of_its_own_and_the_same_tensors() -> None:
    one, other = (complete(open_run("test", Settings())).parent for _ in range(2))
    assert one != other
    assert one.name.split("-")[-1] == other.name.split("-")[-1]
    assert (one / "tensors.safetensors").read_bytes() == (other / "tensors.safetensors").read_bytes()


def test_a_run_that_failed_goes_on_behind_its_last_stage() -> None:
    run = open_run("test", Settings())
    run.stage("one", lambda: draw(1))

    def fail() -> dict[str, torch.Tensor]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.stage("two", fail)
    assert open_run("test", Settings(seed=9)).path != run.path
    again = open_run("test", Settings())
    assert again.path == run.path
    assert again.unfinished
    found = again.stage("one", never) | {"y": again.stage("two", lambda: draw(2))["x"]}
    assert torch.equal(found["x"], draw(1)["x"])
    assert torch.equal(found["y"], draw(2)["x"])
    report = again.finish("</html>")
    assert not again.unfinished
    assert contents(report.parent) == {"config.json", "environment.json", "metrics.jsonl", "report.html"}
    assert open_run("test", Settings()).path != run.path


def test_a_stage_that_was_damaged_meanwhile_is_not_used() -> None:
    run = open_run("test", Settings())
    run.stage("one", lambda: draw(1))
    (run.path / "stages" / "one.safetensors").write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match=r"one\.safetensors.*remove it and run again"):
        run.stage("one", never)


def test_the_folder_asked_for_is_taken_again_by_the_same_config_only() -> None:
    out = Path("out")
    complete(open_run("test", Settings(), out))
    before = (out / "tensors.safetensors").read_bytes()
    with pytest.raises(ArtifactError, match="holds a run of another config"):
        open_run("test", Settings(seed=1), out)
    run = open_run("test", Settings(), out)
    assert (out / "report.html").exists()
    complete(run)
    assert (out / "tensors.safetensors").read_bytes() == before


def test_a_run_of_another_config_that_came_in_between_is_left_alone() -> None:
    out = Path("out")
    late = open_run("test", Settings(seed=1), out)
    complete(open_run("test", Settings(), out))
    with pytest.raises(ArtifactError, match="holds a run of another config"):
        late.stage("one", never)
    assert json.loads((out / "config.json").read_text()) == {"seed": 0}


def test_a_file_in_the_way_is_refused_before_any_work() -> None:
    Path("taken").touch()
    for out in (Path("taken"), Path("taken/below/it")):
        with pytest.raises(ArtifactError, match=r"taken is a file; choose another folder with --out"):
            open_run("test", Settings(), out)
    Path("runs").touch()
    with pytest.raises(ArtifactError, match="runs is a file"):
        open_run("test", Settings())


def test_a_place_that_may_not_be_written_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ArtifactError, match="permission denied; choose another folder with --out"):
        open_run("test", Settings(), Path("out/below"))
    assert list(Path().iterdir()) == []


def test_a_parent_that_may_not_be_searched_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.exists

    def exists(path: Path) -> bool:
        if "closed" in path.parts[:-1]:
            raise PermissionError
        return real(path)

    Path("closed").mkdir()
    monkeypatch.setattr(Path, "exists", exists)
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name != "closed")
    with pytest.raises(ArtifactError, match=r"cannot write to .*closed: permission denied"):
        open_run("test", Settings(), Path("closed/out"))


def test_a_failure_at_the_first_write_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run("test", Settings(), Path("out"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match="No space left on device"):
        run.tensors(draw(0))
    assert contents(Path("out")) <= {".lock"}
    monkeypatch.undo()
    complete(run)
    assert (Path("out") / "config.json").exists()


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[str]]:
    """A second process that has finished the first stage of a run and sits in its second."""
    code = """
        import sys, time
        sys.path.insert(0, sys.argv[1])
        from pathlib import Path
        from test_runs import Settings, draw, open_run
        run = open_run("test", Settings(), Path("out"))
        run.stage("one", lambda: draw(1))
        def sit():
            print("sitting", flush=True)
            time.sleep(600)
        run.stage("two", sit)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_folder_is_held_by_one_process_until_that_is_killed(holder: subprocess.Popen[str]) -> None:
    assert holder.stdout is not None
    assert holder.stdout.readline() == "sitting\n"
    before = contents(Path("out"))
    run = open_run("test", Settings(), Path("out"))
    with pytest.raises(ArtifactError, match="another process is writing to out; wait for it, or choose"):
        run.tensors(draw(0))
    assert contents(Path("out")) == before
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert torch.equal(run.stage("one", never)["x"], draw(1)["x"])
    run.stage("two", lambda: draw(2))
    run.finish("</html>")
    assert ".lock" not in contents(Path("out"))


def test_fifty_kills_at_random_leave_only_files_that_can_be_read() -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import test_runs; test_runs.kill_many()"
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    interrupted, leftovers = map(int, done.stdout.split())
    assert interrupted > KILLS // 4  # meet a run in the middle of its writing
    assert leftovers > 0  # and some a file
    assert contents(Path("out")) == {
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "tables/values.csv",
        "figures/values.svg",
        "tensors.safetensors",
        "report.html",
    }


def kill_many() -> None:
    """Kill a process that writes a run over and over; it forks, so call it in a fresh process."""
    torch.set_num_threads(1)
    out, chance = Path("out"), random.Random(0)
    table = pd.DataFrame({"x": range(20_000)})
    tensors = {"x": torch.rand(500_000)}
    page = "<p>" + "report " * 500_000 + "</p></html>"

    def write() -> None:
        run = open_run("test", Settings(), out)
        run.stage("one", lambda: tensors)
        run.tensors(tensors)
        run.table("values", table)
        run.figure("values", Figure(figsize=(1, 1)))
        run.metric(step=1)
        run.finish(page)

    write()
    interrupted = leftovers = 0
    for _ in range(KILLS):
        child = os.fork()
        if child == 0:
            while True:
                write()
        time.sleep(chance.uniform(0, 0.2))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        check_readable(out)
        interrupted += not (out / "report.html").exists()
        leftovers += any(out.rglob(".superscope-*.tmp"))
    write()
    check_readable(out)
    sys.stdout.write(f"{interrupted} {leftovers}")
