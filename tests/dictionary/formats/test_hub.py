import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from superscope.core import ModelError, WeightsError
from superscope.dictionary import DictionaryConfig, make_dictionary
from superscope.dictionary.formats import from_hub, read_dictionary, to_hub

huggingface_hub = pytest.importorskip("huggingface_hub")
PUBLISHED = Path(__file__).parent / "published"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that is a folder: repositories by name, what was asked in `asked`, and an empty cache."""
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked = []
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))

    def create_repo(self, repo, private, exist_ok):
        asked.append(("create", repo, private, exist_ok))
        (tmp_path / repo).mkdir(parents=True, exist_ok=exist_ok)

    def upload_folder(self, repo_id, folder_path, path_in_repo, commit_message):
        asked.append(("upload", repo_id, path_in_repo, commit_message))
        shutil.copytree(folder_path, tmp_path / repo_id / (path_in_repo or ""), dirs_exist_ok=True)
        return SimpleNamespace(commit_url=f"the commit of {repo_id}")

    def snapshot_download(repo, revision=None, local_files_only=False, allow_patterns=None):
        if local_files_only:
            raise LocalEntryNotFoundError("nothing cached")
        asked.append(("download", repo, revision, tuple(allow_patterns)))
        return str(tmp_path / repo)

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload_folder)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return SimpleNamespace(root=tmp_path, asked=asked)


@pytest.fixture
def dictionary():
    config = DictionaryConfig("batchtopk", n_latents=12, k=3)
    return make_dictionary(config, 6, generator=torch.Generator().manual_seed(0)).eval()


@pytest.mark.parametrize("folder", ["", "blocks.0"])
def test_what_is_uploaded_comes_back(hub, dictionary, folder):
    assert to_hub(dictionary, "me/mine", folder, private=True) == "the commit of me/mine"
    assert hub.asked[:2] == [
        ("create", "me/mine", True, True),
        ("upload", "me/mine", folder or None, "Upload a batchtopk dictionary"),
    ]
    back = from_hub("me/mine", folder, revision="main")
    assert back.config == dictionary.config
    assert torch.equal(back.W_dec, dictionary.W_dec)
    prefix = f"{folder}/" if folder else ""
    names = ("cfg.json", "sae_weights.safetensors", "sae.safetensors")
    assert hub.asked[2] == ("download", "me/mine", "main", tuple(prefix + name for name in names))


def test_a_repository_without_a_dictionary(hub):
    (hub.root / "me/other" / "layer.3").mkdir(parents=True)
    with pytest.raises(WeightsError, match="me/other has no dictionary in its root; give the folder of one"):
        from_hub("me/other")
    with pytest.raises(WeightsError, match=r"me/other has no dictionary in its folder layer\.4"):
        from_hub("me/other", "layer.4")


def test_the_cache_is_enough(monkeypatch, tmp_path):
    shutil.copytree(PUBLISHED / "sparsify", tmp_path / "layers.3")

    def snapshot_download(repo, revision=None, local_files_only=False, allow_patterns=None):
        assert local_files_only
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    read, own = from_hub("someone/saes", "layers.3"), read_dictionary(PUBLISHED / "sparsify")
    assert torch.equal(read.W_enc, own.W_enc)


def test_without_a_network_it_says_so_in_a_line(monkeypatch, tmp_path, dictionary):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said = r"^the hub cannot be reached for me/mine \(HF_HUB_OFFLINE is set\); "
    with pytest.raises(ModelError, match=said + f"it is not in the cache {tmp_path}$"):
        from_hub("me/mine")
    with pytest.raises(ModelError, match=said + "nothing was uploaded$"):
        to_hub(dictionary, "me/mine")


@pytest.mark.parametrize("name", ["not a name", "a/b/c"])
def test_a_name_that_cannot_be(name, dictionary):
    with pytest.raises(ModelError, match=r"is no repository's name: .*; write OWNER/NAME"):
        from_hub(name)
    with pytest.raises(ModelError, match=r"is no repository's name: .*; write OWNER/NAME"):
        to_hub(dictionary, name)


def test_without_the_package_it_says_what_to_install(monkeypatch, dictionary):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: from_hub("me/mine"), lambda: to_hub(dictionary, "me/mine")):
        with pytest.raises(
            ModelError, match=r"me/mine on the hub needs the package huggingface_hub .*superscope\[hf\]"
        ):
            call()
