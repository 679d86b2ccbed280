import re
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from superscope.core.errors import ModelError, WeightsError
from superscope.models import load_model, load_preparation, resnet18
from superscope.models.hub import hub_file, hub_folder


def test_a_cache_laid_out_as_the_hubs_is_enough(checkpoints, hub_cache):
    cache = hub_cache(checkpoints / "bert", "someone/tiny-bert")
    assert hub_folder("someone/tiny-bert").parent.parent == cache / "models--someone--tiny-bert"
    own = load_model(f"hf:{checkpoints / 'bert'}").state_dict()
    cached = load_model("hf:someone/tiny-bert").state_dict()
    assert own.keys() == cached.keys()
    assert all(torch.equal(own[name], value) for name, value in cached.items())
    assert load_preparation("hf:someone/tiny-bert").tokenizer("the cats").input_ids == [2, 5, 6, 8, 3]


@pytest.mark.slow
def test_hf_hub_cache_and_offline_are_heeded(checkpoints, hub_cache):
    cache = hub_cache(checkpoints / "gpt2", "tiny-gpt2")
    code = "from superscope.models import load_model; print(type(load_model('hf:tiny-gpt2')).__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("GPT2LMHeadModel\n", "", 0)


def test_what_is_nowhere_is_told_in_a_line(hub_cache, checkpoints):
    cache = hub_cache(checkpoints / "gpt2", "tiny-gpt2")
    said = re.escape(
        f"hf:nobody/nothing is neither a folder nor in the hub's cache {cache}, and the hub cannot be "
        "reached (HF_HUB_OFFLINE is set); download it where there is a network and give hf:FOLDER, or point "
        "HF_HUB_CACHE at a cache that has it"
    )
    with pytest.raises(ModelError, match=f"^{said}$"):
        load_model("hf:nobody/nothing")
    with pytest.raises(ModelError, match=f"^{said}$"):
        load_preparation("hf:nobody/nothing")
    with pytest.raises(WeightsError, match=f"^{said}$"):
        load_model("resnet18", "hf:nobody/nothing")


def test_a_network_that_fails_is_asked_once(monkeypatch, tmp_path):
    import huggingface_hub
    from huggingface_hub import constants

    asked = []

    def model_info(self, repo, timeout):
        asked.append((repo, timeout))
        raise OSError("[Errno -2] Name or service not known")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    with pytest.raises(
        ModelError, match=r"cannot be reached \(OSError: \[Errno -2\] Name or service not known\)"
    ):
        hub_folder("nobody/nothing")
    assert asked == [("nobody/nothing", 10.0)]


def test_what_the_hub_has_is_fetched_without_the_rest(monkeypatch, tmp_path, checkpoints):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def snapshot_download(repo, *, local_files_only=False, allow_patterns=None):
        if local_files_only:
            raise LocalEntryNotFoundError("not there")
        wanted.append((repo, allow_patterns))
        return str(checkpoints / "bert")

    names = [
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
        "onnx/model.onnx",
        "vocab.txt",
        "README.md",
    ]
    info = type("Info", (), {"siblings": [type("File", (), {"rfilename": name}) for name in names]})
    wanted = []
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert hub_folder("some/bert") == checkpoints / "bert"
    assert wanted == [("some/bert", ["config.json", "model.safetensors", "vocab.txt"])]
    with pytest.raises(WeightsError, match=r"has no other.pth; it has model.safetensors, pytorch_model.bin"):
        hub_file("some/bert/other.pth")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "names nothing"),
        ("./nets/mine", "there is no folder .*nets/mine"),
        ("a/b/c", "there is no folder"),
        ("not a name", "the hub has no such model"),
    ],
)
def test_names_that_cannot_be_are_told(hub_cache, name, said):
    with pytest.raises(ModelError, match=said):
        hub_folder(name)


def test_incomplete_folders_are_told(tmp_path):
    with pytest.raises(ModelError, match=r"has no config.json"):
        hub_folder(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"has no model.safetensors or pytorch_model.bin"):
        hub_folder(str(tmp_path))


def test_weights_of_the_hub_for_a_model_of_ours(tmp_path, hub_cache):
    made = resnet18(5, generator=torch.Generator().manual_seed(0))
    (tmp_path / "made").mkdir()
    save_file(made.state_dict(), tmp_path / "made" / "model.safetensors")
    hub_cache(tmp_path / "made", "timm/resnet18.tv_in1k")
    names = (
        "hf:timm/resnet18.tv_in1k",
        "hf:timm/resnet18.tv_in1k/model.safetensors",
        f"hf:{tmp_path / 'made'}",
    )
    for name in names:
        assert torch.equal(load_model("resnet18", name).fc.weight, made.fc.weight)
    with pytest.raises(WeightsError, match=r"the folder \S+made has no other.pth"):
        hub_file(f"{tmp_path / 'made'}/other.pth")
