import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from superscope.core import WeightsError
from superscope.dictionary.formats import read_dictionary

PUBLISHED = Path(__file__).parent / "published"


@pytest.mark.parametrize("name", ["sparsify", "sparsify_transcoder"])
def test_what_sparsify_saved_computes_what_it_computed_there(name):
    expected = load_file(PUBLISHED / name / "expected.safetensors")
    dictionary = read_dictionary(PUBLISHED / name)
    assert (type(dictionary).__name__, dictionary.config.k, dictionary.n_latents) == ("TopK", 3, 12)
    torch.testing.assert_close(dictionary.encode(expected["x"]), expected["f"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(dictionary(expected["x"]), expected["y"], atol=1e-5, rtol=1e-5)


def edited(tmp_path, **fields):
    for file in ("cfg.json", "sae.safetensors"):
        (tmp_path / file).write_bytes((PUBLISHED / "sparsify" / file).read_bytes())
    config = json.loads((tmp_path / "cfg.json").read_text()) | fields
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    return tmp_path


def test_the_number_of_latents_may_come_from_the_expansion(tmp_path):
    assert read_dictionary(edited(tmp_path, num_latents=0, expansion_factor=2)).n_latents == 12


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"skip_connection": True}, "skip_connection is set: it has a linear path beside its latents"),
        ({"signed": True}, "signed is set"),
        ({"activation": "groupmax"}, "its activation is 'groupmax'"),
        (
            {"num_latents": 14},
            r"encoder.weight has shape \[12, 6\], and by cfg.json \[latent, width\] is \[14, 6\]",
        ),
        ({"k": 13}, "k is 13, and there are 12 latents"),
        ({"k": 0}, "k is 0; expected a whole number of at least 1"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line(fields, said, tmp_path):
    with pytest.raises(WeightsError, match=said):
        read_dictionary(edited(tmp_path, **fields))


def test_a_path_that_the_config_does_not_tell_of_is_not_dropped(tmp_path):
    folder = edited(tmp_path)
    weights = load_file(folder / "sae.safetensors")
    save_file(weights | {"W_skip": torch.ones(6, 6)}, folder / "sae.safetensors")
    with pytest.raises(WeightsError, match="tensors that this architecture has not: W_skip"):
        read_dictionary(folder)
