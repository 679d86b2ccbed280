import pytest
import torch

from superscope.core import ArtifactError
from superscope.core.checkpoint import Checkpoint

STATE = {"weights": torch.arange(6.0).view(2, 3), "draws": torch.tensor([1, 2], dtype=torch.uint8)}


def test_what_is_saved_is_read_back(tmp_path):
    checkpoint = Checkpoint(tmp_path / "deep" / "state.safetensors", "work 1")
    assert checkpoint.load() is None
    checkpoint.save(STATE)
    checkpoint.save({**STATE, "weights": STATE["weights"] + 1})
    state = Checkpoint(tmp_path / "deep" / "state.safetensors", "work 1").load()
    assert set(state) == set(STATE)
    assert torch.equal(state["weights"], STATE["weights"] + 1)
    assert torch.equal(state["draws"], STATE["draws"])


def test_it_is_due_after_its_seconds_and_not_right_after_a_save(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("superscope.core.checkpoint.time.monotonic", lambda: now[0])
    checkpoint = Checkpoint(tmp_path / "state", "work", seconds=5.0)
    assert not checkpoint.due
    now[0] += 5
    assert checkpoint.due
    checkpoint.save(STATE)
    assert not checkpoint.due


def test_the_state_of_other_work_and_a_damaged_file_are_refused(tmp_path):
    path = tmp_path / "state"
    Checkpoint(path, "work 1").save(STATE)
    with pytest.raises(ArtifactError, match="holds the state of other work; remove it"):
        Checkpoint(path, "work 2").load()
    with pytest.raises(ArtifactError, match="holds the state of other work"):
        Checkpoint(path, "work 11").load()
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"cannot read .*state"):
        Checkpoint(path, "work 1").load()
