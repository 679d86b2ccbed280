import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from superscope.core import WeightsError
from superscope.dictionary import DictionaryConfig, make_dictionary
from superscope.dictionary.formats import read_dictionary, write_saelens

PUBLISHED = Path(__file__).parent / "published"


def test_a_folder_that_is_not_there():
    with pytest.raises(
        WeightsError, match=r"^there is no folder .*/nowhere; give one that holds a dictionary$"
    ):
        read_dictionary("nowhere")


def test_a_folder_of_dictionaries_says_which(tmp_path):
    with pytest.raises(
        WeightsError, match=r"has neither sae_weights.safetensors \(SAELens\) nor sae.safetensors"
    ):
        read_dictionary(tmp_path)
    for number in range(7):
        shutil.copytree(PUBLISHED / "topk", tmp_path / f"layer.{number}")
    said = "give one of the folders in it: layer.0, layer.1, layer.2, layer.3, layer.4 and 2 more"
    with pytest.raises(WeightsError, match=re.escape(said)):
        read_dictionary(tmp_path)


def test_a_config_that_is_missing_or_damaged(tmp_path):
    shutil.copytree(PUBLISHED / "topk", tmp_path / "a")
    config = tmp_path / "a" / "cfg.json"
    config.write_text('{"d_in": 6,')
    with pytest.raises(WeightsError, match=f"^cannot read {config}: Expecting .*; save or fetch"):
        read_dictionary(tmp_path / "a")
    config.write_bytes(b"\xff\xfe")
    with pytest.raises(WeightsError, match=f"^cannot read {config}"):
        read_dictionary(tmp_path / "a")
    config.write_text("[1]")
    with pytest.raises(WeightsError, match="holds a list, not the fields of a config"):
        read_dictionary(tmp_path / "a")
    config.unlink()
    with pytest.raises(WeightsError, match=f"^{config} does not exist"):
        read_dictionary(tmp_path / "a")


def test_weights_that_are_damaged(tmp_path):
    dictionary = make_dictionary(DictionaryConfig(n_latents=12, k=3), 6)
    weights = write_saelens(dictionary, tmp_path) / "sae_weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-40])
    with pytest.raises(WeightsError, match=f"^cannot read {weights}: "):
        read_dictionary(tmp_path)
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # nothing but our own hash tells
    with pytest.raises(WeightsError, match="a tensor is not the one written"):
        read_dictionary(tmp_path)
    tensors = load_file(PUBLISHED / "topk" / "sae_weights.safetensors")
    save_file(tensors | {"b_enc": torch.full((12,), torch.nan)}, weights)
    with pytest.raises(WeightsError, match=r"b_enc holds NaN or infinite numbers \(12 of 12\)"):
        read_dictionary(tmp_path)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_other_kinds_of_numbers_are_read_as_float32(kind, tmp_path):
    dictionary = make_dictionary(DictionaryConfig(n_latents=12, k=3), 6)
    read = read_dictionary(write_saelens(dictionary.to(kind), tmp_path))
    assert {value.dtype for value in read.state_dict().values()} == {torch.float32}
    torch.testing.assert_close(read.W_dec, dictionary.W_dec.float())
