"""A store gives back every row, in a seed's order, within its memory, and tells what is damaged."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from superscope.activations import ActivationStore, harvest
from superscope.core import ArtifactError, InputError

pytestmark = pytest.mark.usefixtures("_no_waiting_for_the_disk")

ROWS, WIDTH = 6_000, 64


class Same(nn.Module):
    """Puts out what comes in."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def rows() -> Tensor:
    """Rows whose first entry says which they are, also in half precision: 64 · a + b as two."""
    x = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(0))
    x[:, 0], x[:, 1] = torch.arange(ROWS) // 64, torch.arange(ROWS) % 64
    return x


def which(batch: Tensor) -> Tensor:
    return (64 * batch[:, 0] + batch[:, 1]).int()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """1.5 MB in five shards of 5 or fewer blocks."""
    harvest(Same(), rows(), "layer", tmp_path / "store", shard_rows=1_300)
    return tmp_path / "store"


@pytest.mark.parametrize("memory", [600_000, 1 << 28])
def test_a_pass_gives_each_row_once_and_as_it_was(folder: Path, memory: int) -> None:
    store = ActivationStore(folder, memory=memory)
    found = list(store.batches(64, seed=0))
    assert [len(batch) for batch in found] == [64] * (ROWS // 64)
    order = which(torch.cat(found))
    assert len(set(order.tolist())) == len(order)
    assert torch.equal(torch.cat(found), rows()[order])
    assert found[0].dtype == torch.float32


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_comes_back_as_float32(tmp_path: Path, dtype: str) -> None:
    store = harvest(Same(), rows(), "layer", tmp_path, dtype=dtype)
    for batch in store.batches(500, seed=0):
        assert batch.dtype == torch.float32
        assert torch.equal(batch, rows().to(getattr(torch, dtype))[which(batch)].float())


def test_the_order_is_the_seeds_and_may_begin_anywhere(folder: Path) -> None:
    store = ActivationStore(folder, memory=600_000)
    whole = list(store.batches(64, seed=3))
    assert all(torch.equal(a, b) for a, b in zip(whole, store.batches(64, seed=3), strict=True))
    assert not torch.equal(whole[0], next(store.batches(64, seed=4)))
    for start in (1, 20, len(whole) - 1):
        again = ActivationStore(folder, memory=600_000).batches(64, seed=3, start=start)
        assert all(torch.equal(a, b) for a, b in zip(whole[start:], again, strict=True))
    assert list(store.batches(64, seed=3, start=len(whole))) == []


def test_the_rows_of_a_shard_are_spread_over_the_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("superscope.activations.shards.BLOCK_BYTES", 4_096)  # so that there are 375
    harvest(Same(), rows(), "layer", tmp_path, shard_rows=1_300)
    store = ActivationStore(tmp_path, memory=900_000)  # half the rows beside the batches
    batch_of = torch.zeros(ROWS, dtype=torch.long)
    for number, batch in enumerate(store.batches(50, seed=0)):
        batch_of[which(batch).long()] = number
    for first in range(0, ROWS, 1_300):
        found = batch_of[first : first + 1_300].float()
        assert len(found.unique()) > 110  # of 120
        assert abs(float(found.std()) - 34.6) < 4  # as of an even spread; a shard in one go has 7.5


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="asks Linux for the peak of memory")
def test_a_small_memory_is_held(tmp_path: Path) -> None:
    """What a process that reads 128 MiB with 24 takes beyond what reading a little has taken."""
    code = """
        import sys, torch
        from pathlib import Path
        from superscope.activations import ActivationStore
        torch.set_num_threads(1)
        def memory(what):
            return int(Path("/proc/self/status").read_text().split(what)[1].split()[0]) / 1024
        next(iter(ActivationStore(sys.argv[1], memory=1 << 20).batches(16, 0)))
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = memory("VmRSS:")
        for _ in ActivationStore(sys.argv[1], memory=24 << 20).batches(512, 0):
            pass
        print(memory("VmHWM:") - before)
        """
    x = torch.randn(1 << 17, 256)
    harvest(Same(), x, "layer", tmp_path, batch_size=4096)
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 15 < float(done.stdout) < 25


def test_pairs_stay_pairs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    store = harvest(net, torch.randn(3_000, 8), "1", tmp_path, target="2", dtype="float16")
    assert (store.width, store.output_width) == (16, 4)
    for x, y in store.batches(100, seed=0):
        assert torch.allclose(net[2](x), y, atol=5e-3)


def test_what_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    store = ActivationStore(folder, memory=600_000)
    for arguments, said in [
        ((7_000, 0), "batches of 7000 from 6,000 rows"),
        ((600, 0), "batches of 600 rows do not fit into 0.6 MiB of memory; give at least 0.9 MiB"),
        ((64, 0, -1), "start is -1"),
    ]:
        with pytest.raises(InputError, match=said):
            store.batches(*arguments)
    with pytest.raises(ArtifactError, match=r"is no activation store: it has no manifest.json"):
        ActivationStore(tmp_path)
    with pytest.raises(ArtifactError, match="is no activation store"):
        ActivationStore(folder / "manifest.json")


def damage(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.unlink(), "it is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "it has 34.,... bytes of 34.,..."),
        (lambda path: path.write_bytes(b""), "it has 0 bytes of"),
        (lambda path: damage(path, 0, b"\xff" * 8), "its header is damaged"),
        (lambda path: damage(path, 8, b"[1]"), "its header is damaged"),
        (lambda path: damage(path, 8, b" "), "its header is damaged"),
        (
            lambda path: path.write_bytes(path.with_name("shard-00001.safetensors").read_bytes()),
            "of another store",
        ),
    ],
)
def test_a_shard_that_is_missing_or_damaged_is_told_at_the_start(folder: Path, change, said: str) -> None:
    change(folder / "shard-00002.safetensors")
    with pytest.raises(ArtifactError, match=rf"cannot read .*shard-00002.safetensors: .*{said}") as caught:
        ActivationStore(folder)
    assert str(caught.value).endswith("remove it and run the same harvest again, to make it anew")


def test_a_damaged_row_is_told_when_it_is_first_read(folder: Path) -> None:
    whole = (folder / "shard-00002.safetensors").read_bytes()
    row = rows()[2 * 1_300 + 1_100].numpy().tobytes()
    damage(folder / "shard-00002.safetensors", whole.index(row), b"\x55")
    store = ActivationStore(folder)
    said = r"shard-00002.safetensors: rows 1,024 to 1,299 are not the ones written"
    with pytest.raises(ArtifactError, match=said):
        list(store.batches(64, seed=0))
    with pytest.raises(ArtifactError, match=said):
        list(store.in_order())


def test_a_damaged_place_is_told_where_places_are_read(folder: Path) -> None:
    shard = folder / "shard-00000.safetensors"
    damage(shard, shard.read_bytes().index(np.arange(1_300, dtype=np.int32).tobytes()), b"\x07")
    store = ActivationStore(folder)
    assert len(list(store.batches(64, seed=0))) == ROWS // 64
    with pytest.raises(ArtifactError, match="rows 0 to 1,023 are not the ones written"):
        list(store.in_order())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version: input should be 1, got 2"),
        ({"surplus": 1}, "surplus is not a field"),
        ({"rows": "many"}, "rows: "),
        ({"shards": [{"file": "../other.safetensors"}]}, "shards.0.file: "),
    ],
)
def test_a_manifest_of_another_kind(folder: Path, change: dict[str, object], said: str) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ArtifactError, match=rf"cannot read .*manifest.json: .*{said}"):
        ActivationStore(folder)
    path.write_text("{")
    with pytest.raises(ArtifactError, match="this is not JSON"):
        ActivationStore(folder)


def test_other_tools_read_the_shards(folder: Path) -> None:
    from safetensors.torch import load_file

    found = load_file(folder / "shard-00001.safetensors")
    assert torch.equal(found["activations"], rows()[1_300:2_600])
    assert found["sample"].tolist() == list(range(1_300, 2_600))
    assert not found["position"].any()


def test_leaving_a_pass_ends_its_thread(folder: Path) -> None:
    import threading

    before = threading.active_count()
    batches = ActivationStore(folder).batches(64, seed=0)
    next(batches)
    batches.close()
    assert threading.active_count() == before
