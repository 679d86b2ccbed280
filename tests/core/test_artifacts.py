"""A file is the old one or the new one: whatever fails, nothing half-written and nothing left over."""

import contextlib
import errno
import io
import json
import math
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from superscope.core import ArtifactError, artifacts


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def temporary(folder: Path, pid: object) -> Path:
    path = folder / f".superscope-{pid}-00ff.tmp"
    path.write_bytes(b"half")
    return path


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def figure() -> Figure:
    drawn = Figure(figsize=(2, 2))
    drawn.subplots().plot([1, 3, 2], label="a <b>")
    return drawn


def test_a_write_makes_the_folder_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    assert artifacts.write_text(path, "old, longer") == path
    artifacts.write_text(path, "new ψ")
    assert path.read_text(encoding="utf-8") == "new ψ"
    assert files(tmp_path) == {"b.txt"}


def test_files_get_the_rights_that_the_user_gives_new_files(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        artifacts.write_text(tmp_path / "private", "")
    finally:
        os.umask(before)
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("broken", "reason"),
    [("fsync", errno.ENOSPC), ("fsync", errno.EIO), ("replace", errno.EACCES), ("replace", errno.EXDEV)],
)
def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, reason: int
) -> None:
    path = artifacts.write_text(tmp_path / "f", "old")

    def fail(*_: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(*((os, "fsync") if broken == "fsync" else (Path, "replace")), fail)
    with pytest.raises(ArtifactError) as caught:
        artifacts.write_text(path, "new")
    monkeypatch.undo()
    message = str(caught.value)
    assert str(path) in message
    assert os.strerror(reason) in message
    assert "--out" in message
    assert "\n" not in message
    assert (path.read_text(), files(tmp_path)) == ("old", {"f"})


def test_a_file_too_large_for_the_system_is_one_error(tmp_path: Path) -> None:
    path = artifacts.write_tensors(tmp_path / "t.safetensors", {"x": torch.zeros(3)})
    with largest_file(10_000), pytest.raises(ArtifactError, match=r"t\.safetensors: File too large"):
        artifacts.write_tensors(path, {"x": torch.ones(100_000)})
    assert files(tmp_path) == {"t.safetensors"}
    assert artifacts.read_tensors(path)["x"].tolist() == [0, 0, 0]


def test_ctrl_c_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        artifacts.write_text(tmp_path / "f", "new")
    assert files(tmp_path) == set()


def test_a_file_where_the_folder_should_be_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(ArtifactError, match="cannot write"):
        artifacts.write_text(tmp_path / "taken" / "f", "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(ArtifactError, match="Permission denied"):
        artifacts.write_text(tmp_path / "closed" / "f", "")


def test_only_temporary_files_of_processes_that_are_gone_are_swept(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    (tmp_path / "stages").mkdir()
    gone = [temporary(tmp_path, process.pid), temporary(tmp_path / "stages", process.pid)]
    kept = [temporary(tmp_path, os.getpid()), temporary(tmp_path, os.getppid()), temporary(tmp_path, "no")]
    artifacts.write_text(tmp_path / "result", "")
    artifacts.sweep(tmp_path)
    assert not any(path.exists() for path in gone)
    assert files(tmp_path) == {"result", *(path.name for path in kept)}


def test_a_process_of_another_user_counts_as_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int, __: int) -> None:
        raise PermissionError

    path = temporary(tmp_path, 1)
    monkeypatch.setattr(os, "kill", refuse)
    artifacts.sweep(tmp_path)
    assert path.exists()


DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool]


@settings(deadline=None, max_examples=25)
@given(shape=st.lists(st.integers(0, 4), max_size=3), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 99))
def test_tensors_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], dtype: torch.dtype, seed: int
) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    tensors = {"b": (10 * values).to(dtype), "a/ψ": torch.tensor([math.nan, math.inf])}
    path = artifacts.write_tensors(tmp_path_factory.mktemp("t") / "t.safetensors", tensors)
    found = artifacts.read_tensors(path)
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, equal_nan=True)


def test_tensors_that_share_memory_or_are_views_are_written(tmp_path: Path) -> None:
    whole = torch.arange(6.0).reshape(2, 3).requires_grad_()
    given_ = {"whole": whole, "again": whole, "turned": whole.T, "row": whole[1]}
    found = artifacts.read_tensors(artifacts.write_tensors(tmp_path / "t.safetensors", given_))
    for name, value in given_.items():
        assert torch.equal(found[name], value.detach())


def test_the_same_tensors_give_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    a, b = torch.arange(3.0), torch.eye(2)
    one = artifacts.write_tensors(tmp_path / "one", {"a": a, "b": b})
    other = artifacts.write_tensors(tmp_path / "other", {"b": b.clone(), "a": a.clone()})
    assert one.read_bytes() == other.read_bytes()


def test_a_hash_tells_kind_shape_and_bytes_apart() -> None:
    variants = [
        torch.zeros(4),
        torch.zeros(2, 2),
        torch.zeros(4, dtype=torch.int32),
        torch.tensor([0.0, 0, 0, -0.0]),
        torch.zeros(3),
    ]
    hashes = [artifacts.tensor_hashes({"x": value})["x"] for value in variants]
    assert len(set(hashes)) == len(variants)
    turned = torch.arange(6.0).reshape(2, 3).T
    assert artifacts.tensor_hashes({"x": turned}) == artifacts.tensor_hashes({"x": turned.contiguous()})


def test_every_damage_of_a_tensor_file_is_seen(tmp_path: Path) -> None:
    path = artifacts.write_tensors(tmp_path / "t", {"x": torch.arange(50.0)})
    whole = path.read_bytes()
    damaged = [b"", whole[:5], whole[: len(whole) // 2], whole[:-1], b"\xff" * 40, whole + b"0"]
    damaged += [  # a flipped bit in the header or in the values
        whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :] for place in range(8, len(whole), 23)
    ]
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(ArtifactError, match="remove it and run again"):
            artifacts.read_tensors(path)
    path.unlink()
    with pytest.raises(ArtifactError):
        artifacts.read_tensors(path)


def test_json_has_null_where_there_is_no_number(tmp_path: Path) -> None:
    value = {"a": math.nan, 1: [math.inf, -math.inf, 1.5, (math.nan,)], "np": np.float64("nan"), "ψ": None}
    path = artifacts.write_json(tmp_path / "v.json", value)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    read = json.loads(path.read_bytes(), parse_constant=refuse)
    assert read == {"a": None, "1": [None, None, 1.5, [None]], "np": None, "ψ": None}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_keep_their_values_and_their_gaps(tmp_path: Path, suffix: str) -> None:
    table = pd.DataFrame({"name": ['a "quoted", name', "b"], "value": [1 / 3, math.nan], "count": [1, 2]})
    path = artifacts.write_table(tmp_path / f"t{suffix}", table)
    read = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    pd.testing.assert_frame_equal(read, table)


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_same_figure_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    one = artifacts.write_figure(tmp_path / f"one.{suffix}", figure()).read_bytes()
    other = artifacts.write_figure(tmp_path / f"other.{suffix}", figure()).read_bytes()
    assert one == other
    assert one.startswith(b"<?xml" if suffix == "svg" else b"\x89PNG")


def test_drawing_leaves_a_figure_that_can_be_drawn_again() -> None:
    drawn = figure()
    assert artifacts.render(drawn) == artifacts.render(drawn)
    drawn.savefig(io.BytesIO())


def test_a_single_element_cut_from_a_larger_tensor(tmp_path):
    cut = torch.arange(6.0).reshape(3, 2)[:1, 0]
    assert cut.stride() == (2,)
    artifacts.write_tensors(tmp_path / "t.safetensors", {"cut": cut})
    assert torch.equal(artifacts.read_tensors(tmp_path / "t.safetensors")["cut"], cut)
    assert artifacts.tensor_hashes({"cut": cut}) == artifacts.tensor_hashes({"cut": cut.clone()})
