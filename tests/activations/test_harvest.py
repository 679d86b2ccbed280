"""A harvest stores every finite row with its place, and a killed one ends with the same bytes."""

import hashlib
import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from superscope.activations import ActivationStore, capture, harvest
from superscope.core import ArtifactError, DataError, InputError, LayerError, ModelError
from superscope.data import batches

pytestmark = pytest.mark.usefixtures("_no_waiting_for_the_disk")


def files(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def expected(net: nn.Module, data, layer: str) -> tuple[Tensor, Tensor, Tensor]:
    """The rows of a layer, one token after the other."""
    rows, samples, places = [], [], []
    for batch in batches(data):
        with capture(net, layer) as found, torch.no_grad():
            net(**batch.inputs)
        for text in range(len(batch)):
            for token in range(7):
                if batch.mask[text, token]:
                    rows.append(found[layer][text, token])
                    samples.append(int(batch.indices[text]))
                    places.append(token)
    return torch.stack(rows), torch.tensor(samples), torch.tensor(places)


def stored(store: ActivationStore) -> tuple[Tensor, Tensor, Tensor]:
    parts = list(store.in_order(10))
    return tuple(
        torch.cat([getattr(each, name) for each in parts]) for name in ("activations", "sample", "position")
    )


@pytest.mark.parametrize("layer", ["up", "down:input", "embed"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_real_token_is_stored_once_with_its_place(net, texts, tmp_path, layer, dtype) -> None:
    store = harvest(net, texts(), layer, tmp_path, dtype=dtype, shard_rows=30)
    rows, samples, places = expected(net, texts(), layer)
    found = stored(store)
    assert torch.equal(found[0], rows.to(getattr(torch, dtype)).float())
    assert torch.equal(found[1], samples)
    assert torch.equal(found[2], places)
    assert (store.samples, store.width) == (len(rows), rows.shape[1])
    said = manifest(tmp_path)
    assert [shard["rows"] for shard in said["shards"][:-1]] == [30] * (len(said["shards"]) - 1)
    assert said["rows"] == len(rows) == sum(shard["rows"] for shard in said["shards"])
    assert (said["samples"], said["not_finite"], said["work"]["data"]) == (36, 0, "texts")
    assert sorted(files(tmp_path)) == sorted(["manifest.json", *(shard["file"] for shard in said["shards"])])


def test_maps_and_subsets_of_images(tmp_path) -> None:
    conv, x = nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU()), torch.randn(20, 1, 4, 5)
    store = harvest(conv, x, "1", tmp_path, samples=6, seed=3, batch_size=4)
    values, sample, position = stored(store)
    chosen = torch.cat([batch.indices for batch in batches(x, samples=6, seed=3)])
    assert sample[::12].tolist() == chosen.tolist()
    maps = conv(x)
    for row, n, place in zip(values, sample, position, strict=True):
        assert torch.allclose(row, maps[n, :, place // 4, place % 4])


def test_pairs_of_two_layers(net, texts, tmp_path) -> None:
    store = harvest(net, texts(), "up", tmp_path, target="down", shard_rows=50)
    assert (store.width, store.output_width) == (10, 6)
    parts = list(store.in_order())
    assert torch.equal(torch.cat([each.activations for each in parts]), expected(net, texts(), "up")[0])
    assert torch.equal(torch.cat([each.target for each in parts]), expected(net, texts(), "down")[0])
    for x, y in store.batches(16, seed=0):
        assert torch.allclose(y, net.down(x.relu()), atol=1e-5)


def test_the_first_tokens_can_be_left_out(net, texts, tmp_path) -> None:
    values, _, places = expected(net, texts(), "up")
    store = harvest(net, texts(), "up", tmp_path, skip_tokens=2)
    assert torch.equal(stored(store)[0], values[places >= 2])


@pytest.mark.parametrize("stop", [1, 3, 8])
@pytest.mark.parametrize("shard_rows", [3, 40, 1000])
def test_a_killed_harvest_goes_on_to_the_same_bytes(net, texts, tmp_path, stop, shard_rows) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    spoil(net)
    harvest(net, texts(), "up", whole, shard_rows=shard_rows)
    with pytest.raises(KeyboardInterrupt):
        harvest(net, texts(stop=stop), "up", broken, shard_rows=shard_rows)
    if manifest(whole)["shards"][0]["batch"] < stop:
        assert not manifest(broken)["finished"]
        with pytest.raises(ArtifactError, match=r"unfinished, with \d+ rows; run the same harvest again"):
            ActivationStore(broken)
    else:
        assert not broken.exists()  # nothing to go on with, and nothing left behind
    runs = []
    net.up.register_forward_hook(lambda *_: runs.append(1))
    harvest(net, texts(), "up", broken, shard_rows=shard_rows)
    assert files(broken) == files(whole)
    assert len(runs) <= 10 - manifest(whole)["shards"][0]["batch"] * (stop > 1 and shard_rows < 1000)


def spoil(net: nn.Module, token: int = 5) -> None:
    """Make the rows of one token NaN."""
    net.embed.register_forward_hook(
        lambda _, args, out: torch.where(args[0][..., None] == token, torch.nan, out)
    )


def test_rows_with_nan_are_counted_and_left_out(net, texts, tmp_path) -> None:
    clean = expected(net, texts(), "up")
    spoil(net)
    store = harvest(net, texts(), "up", tmp_path, shard_rows=20)
    tokens = torch.cat([each["input_ids"][each["attention_mask"] > 0] for each in texts()])
    assert (tokens == 5).sum() > 0
    assert store.manifest.not_finite == (tokens == 5).sum()
    for found, all_ in zip(stored(store), clean, strict=True):
        assert torch.equal(found, all_[tokens != 5])


def test_nothing_finite(net, texts, tmp_path) -> None:
    net.up.register_forward_hook(lambda *call: call[-1] * torch.inf)
    with pytest.raises(DataError, match=r"none of the .* rows is finite"):
        harvest(net, texts(), "up", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_what_float16_cannot_hold(net, texts, tmp_path) -> None:
    with torch.no_grad():
        net.embed.weight[5, 2] = -70_000
    with pytest.raises(InputError, match="activation of 70,000 is more than float16 holds"):
        harvest(net, texts(), "embed", tmp_path / "half", dtype="float16")
    assert harvest(net, texts(), "embed", tmp_path / "brain", dtype="bfloat16").manifest.not_finite == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layer": "down"}, "layer was 'up' and is 'down'"),
        ({"dtype": "float16"}, "dtype was"),
        ({"shard_rows": 31}, "shard_rows was 30 and is 31"),
        ({"skip_tokens": 1}, "skip_tokens was 0"),
        ({"target": "down"}, "target was None"),
        ({"samples": 20}, "samples was None"),
    ],
)
def test_a_store_of_other_work_is_refused_and_left_alone(net, texts, tmp_path, change, said) -> None:
    work = {"layer": "up", "shard_rows": 30}
    harvest(net, texts(), folder=tmp_path, **work)
    before = files(tmp_path)
    with pytest.raises(ArtifactError, match=f"holds a store of other work .*{said}"):
        harvest(net, texts(), folder=tmp_path, **(work | change))
    assert files(tmp_path) == before


def test_other_weights_and_other_data_are_other_work(net, texts, tmp_path) -> None:
    harvest(net, texts(), "up", tmp_path)
    changed = texts()
    changed.batches[0]["input_ids"][0, 0] = 39
    with pytest.raises(ArtifactError, match="first_batch_sha256 was"):
        harvest(net, changed, "up", tmp_path)
    with torch.no_grad():
        net.down.bias[0] += 1
    with pytest.raises(ArtifactError, match="model_sha256 was"):
        harvest(net, texts(), "up", tmp_path)


def test_a_finished_store_is_opened_as_it_is_and_one_with_a_gap_is_made_whole(net, texts, tmp_path) -> None:
    harvest(net, texts(), "up", tmp_path, shard_rows=20)
    before = files(tmp_path)
    runs = []
    net.up.register_forward_hook(lambda *_: runs.append(1))
    harvest(net, texts(), "up", tmp_path, shard_rows=20)
    assert len(runs) == 1  # the first batch, which tells what the work is
    (tmp_path / "shard-00002.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"shard-00002.safetensors: it is missing; remove it and run"):
        ActivationStore(tmp_path)
    harvest(net, texts(), "up", tmp_path, shard_rows=20)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"layer": "*"}, LayerError, "matches 3 layers"),
        ({"layer": "uo"}, LayerError, "did you mean up"),
        ({"shard_rows": 0}, InputError, "shard_rows is 0"),
        ({"skip_tokens": -1}, InputError, "skip_tokens is -1"),
        ({"weights": "w.pt"}, InputError, "weights go with"),
        ({"data": torch.zeros(2, 3)}, ModelError, "cannot take a batch"),
        ({"data": []}, DataError, "empty"),
        ({"model": "nonsense"}, ModelError, "no model 'nonsense'"),
    ],
)
def test_what_cannot_be_harvested_leaves_nothing_behind(net, texts, tmp_path, change, error, said) -> None:
    out = tmp_path / "store"
    with pytest.raises(error, match=said):
        harvest(**({"model": net, "data": texts(), "layer": "up", "folder": out} | change))
    assert not out.exists()


def test_layers_that_do_not_go_together(tmp_path) -> None:
    class Pools(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head, self.idle = nn.Conv2d(1, 2, 1), nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.conv(x).mean((2, 3)))

    with pytest.raises(LayerError, match="put out 24 and 4 rows of different places"):
        harvest(Pools(), torch.zeros(4, 1, 2, 3), "conv", tmp_path / "a", target="head")
    with pytest.raises(LayerError, match="idle is not called"):
        harvest(Pools(), torch.zeros(4, 1, 2, 3), "idle", tmp_path / "a")


def test_a_place_that_cannot_be_written(net, texts, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"cannot write to .*choose another folder"):
        harvest(net, texts(), "up", tmp_path / "file" / "store")


def test_two_processes_do_not_write_to_one_store(net, texts, tmp_path) -> None:
    from filelock import FileLock

    with FileLock(tmp_path / ".lock"), pytest.raises(ArtifactError, match="another process is writing"):
        harvest(net, texts(), "up", tmp_path)


def test_the_model_is_given_back_as_it_came(net, texts, tmp_path) -> None:
    net.train()
    net.down.eval()
    harvest(net, texts(), "up", tmp_path)
    assert (net.training, net.up.training, net.down.training) == (True, True, False)
    assert not net.up._forward_hooks


@pytest.mark.data
def test_a_real_language_model(real_data: Path, tmp_path: Path) -> None:
    model, data = f"llama2c:{real_data}/weights/stories260K.bin", f"text:{real_data}/text/tinystories_2MB.txt"
    store = harvest(model, data, "model.layers.2", tmp_path, samples=40, dtype="bfloat16")
    assert store.width == 64
    assert store.samples > 4_000
    assert store.manifest.work.model == model
    assert len({int(each) for part in store.in_order() for each in part.sample}) == 40


@pytest.mark.slow
def test_a_process_that_is_killed_goes_on_to_the_same_bytes(net, texts, tmp_path) -> None:
    code = """
        import sys, time
        sys.path.insert(0, sys.argv[1])
        from conftest import Net, Texts
        from superscope.activations import harvest

        class Slow(Texts):
            def __iter__(self):
                for batch in super().__iter__():
                    time.sleep(0.3)
                    yield batch

        harvest(Net(), Slow(60), "up", sys.argv[2], shard_rows=20)
        """
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    arguments = [sys.executable, "-c", textwrap.dedent(code), str(Path(__file__).parent), str(broken)]
    process = subprocess.Popen(arguments)
    while not (broken / "shard-00001.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (broken / ".superscope-999999999-0.tmp").write_bytes(b"left behind")
    harvest(net, texts(60), "up", broken, shard_rows=20)
    harvest(net, texts(60), "up", whole, shard_rows=20)
    assert files(broken) == files(whole)
