import json
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from superscope.core import InputError, WeightsError
from superscope.dictionary import DictionaryConfig, make_dictionary
from superscope.dictionary.formats import read_dictionary, write_saelens

PUBLISHED = Path(__file__).parent / "published"
KINDS = {
    "standard": "Standard",
    "standard_input_as_it_is": "Standard",
    "gated": "Gated",
    "topk": "TopK",
    "topk_rescaled": "TopK",
    "jumprelu": "JumpReLU",
    "batchtopk": "JumpReLU",
    "batchtopk_checkpoint": "BatchTopK",
    "matryoshka": "JumpReLU",
    "matryoshka_checkpoint": "Matryoshka",
    "transcoder": "Standard",
    "jumprelu_transcoder": "JumpReLU",
    "old_standard": "Standard",
    "old_topk": "TopK",
}
ARCHITECTURES = ("standard", "gated", "jumprelu", "topk", "batchtopk", "matryoshka")


def made(architecture, width=6, output=None, seed=0):
    """A dictionary whose every parameter takes part in what it does."""
    config = DictionaryConfig(architecture, n_latents=12, k=3, lr=0.01)
    draws = torch.Generator().manual_seed(seed)
    dictionary = make_dictionary(config, width, output, draws).eval()
    with torch.no_grad():
        for value in dictionary.parameters():
            value.copy_(0.6 * torch.randn(value.shape, generator=draws))
        for buffer in dictionary.buffers():
            buffer.fill_(0.4)
    return dictionary


def inputs(dictionary, samples=64):
    return torch.randn(samples, dictionary.width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", KINDS)
def test_what_saelens_saved_computes_what_it_computed_there(name):
    expected = load_file(PUBLISHED / name / "expected.safetensors")
    dictionary = read_dictionary(PUBLISHED / name)
    assert type(dictionary).__name__ == KINDS[name]
    assert 0.1 < (expected["f"] > 0).float().mean() < 0.6
    torch.testing.assert_close(dictionary.encode(expected["x"]), expected["f"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(dictionary(expected["x"]), expected["y"], atol=1e-5, rtol=1e-5)


def test_sizes_that_were_trained_with_are_noted():
    assert read_dictionary(PUBLISHED / "old_topk").config.k == 3
    assert read_dictionary(PUBLISHED / "batchtopk").config.k == 2
    assert read_dictionary(PUBLISHED / "standard").config == DictionaryConfig("standard", 12, 12)
    wide = read_dictionary(PUBLISHED / "transcoder")
    assert (wide.width, wide.output_width, wide.n_latents) == (6, 5, 12)


@pytest.mark.parametrize("output", [None, 4])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_own_dictionaries_come_back_whole(architecture, output, tmp_path):
    dictionary = made(architecture, output=output)
    assert write_saelens(dictionary, tmp_path / "a" / "b") == tmp_path / "a" / "b"
    read = read_dictionary(tmp_path / "a" / "b")
    assert type(read) is type(dictionary)
    assert read.config == dictionary.config
    own, found = dictionary.state_dict(), read.state_dict()
    assert own.keys() == found.keys()
    for name, value in own.items():
        if name == "log_thresholds":  # what is in the file is their exponential
            torch.testing.assert_close(found[name], value, atol=1e-6, rtol=0)
        else:
            assert torch.equal(found[name], value), name
    x = inputs(dictionary)
    torch.testing.assert_close(read(x), dictionary(x), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_files_name_what_saelens_names(architecture, tmp_path):
    write_saelens(
        made(architecture), tmp_path, {"model_name": "gpt2", "hook_name": "blocks.0.hook_resid_post"}
    )
    config = json.loads((tmp_path / "cfg.json").read_text())
    like = "jumprelu" if architecture in ("batchtopk", "matryoshka") else architecture
    theirs = json.loads((PUBLISHED / like / "cfg.json").read_text())
    assert config.keys() == theirs.keys()
    assert config["architecture"] == theirs["architecture"]
    assert config["metadata"]["sae_lens_version"] == theirs["metadata"]["sae_lens_version"]
    assert config["metadata"]["hook_name"] == "blocks.0.hook_resid_post"
    own, published = (
        load_file(folder / "sae_weights.safetensors") for folder in (tmp_path, PUBLISHED / like)
    )
    assert {name: value.shape for name, value in own.items()} == {
        name: value.shape for name, value in published.items()
    }


def test_what_was_changed_since_is_read_as_what_it_is(tmp_path):
    write_saelens(made("batchtopk"), tmp_path)
    weights = load_file(tmp_path / "sae_weights.safetensors")
    weights["threshold"][0] += 1
    save_file(weights, tmp_path / "sae_weights.safetensors")
    read = read_dictionary(tmp_path)
    assert type(read).__name__ == "JumpReLU"
    torch.testing.assert_close(read.thresholds, weights["threshold"])


def test_metadata_that_are_no_json_are_refused(tmp_path):
    with pytest.raises(InputError, match="metadata cannot be written as JSON"):
        write_saelens(made("topk"), tmp_path, {"model": object()})
    assert not list(tmp_path.iterdir())


def edited(tmp_path, name, **fields):
    for file in ("cfg.json", "sae_weights.safetensors"):
        (tmp_path / file).write_bytes((PUBLISHED / name / file).read_bytes())
    config = json.loads((tmp_path / "cfg.json").read_text()) | fields
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    return tmp_path


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"architecture": "temporal"}, "its architecture is 'temporal'; superscope reads standard, gated"),
        ({"normalize_activations": "layer_norm"}, "is 'layer_norm', which is another map for every sample"),
        ({"normalize_activations": "expected_average_only_in"}, "in SAELens, fold it .* and save again"),
        ({"normalize_activations": True}, "in SAELens, fold it .* and save again"),
        ({"finetuning_scaling_factor": True}, "finetuning_scaling_factor is set"),
        ({"activation_fn": "tanh-relu"}, "its activation function is 'tanh-relu'"),
        ({"d_sae": 13}, r"b?W_enc has shape \[6, 12\], and by cfg.json \[width, latent\] is \[6, 13\]"),
        ({"d_in": None}, "does not say d_in"),
        ({"d_in": 6.5}, "d_in is 6.5; expected a whole number of at least 1"),
        ({"d_sae": "many"}, "d_sae is 'many'; expected a whole number"),
        ({"d_sae": float("inf")}, "d_sae is inf; expected a whole number"),
        ({"architecture": "gated"}, "has no tensor b_gate; it has b_enc"),
        ({"architecture": "topk"}, "does not say k"),
        ({"architecture": "topk", "k": 13}, "k is 13, and there are 12 latents"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line(fields, said, tmp_path):
    folder = edited(tmp_path, "standard", **fields)
    with pytest.raises(WeightsError, match=said) as caught:
        read_dictionary(folder)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_scaling_factor_of_one_is_none(tmp_path):
    folder = edited(tmp_path, "old_standard")
    weights = load_file(folder / "sae_weights.safetensors")
    save_file(weights | {"scaling_factor": torch.ones(12)}, folder / "sae_weights.safetensors")
    assert read_dictionary(folder).n_latents == 12
    save_file(weights | {"scaling_factor": torch.full((12,), 2.0)}, folder / "sae_weights.safetensors")
    with pytest.raises(WeightsError, match="its scaling_factor scales codes once more"):
        read_dictionary(folder)


def test_old_jumprelu_checkpoints_hold_logarithms(tmp_path):
    folder = edited(tmp_path, "jumprelu")
    weights = load_file(folder / "sae_weights.safetensors")
    weights["log_threshold"] = weights.pop("threshold").log()
    save_file(weights, folder / "sae_weights.safetensors")
    expected = load_file(PUBLISHED / "jumprelu" / "expected.safetensors")
    torch.testing.assert_close(
        read_dictionary(folder).encode(expected["x"]), expected["f"], atol=1e-5, rtol=0
    )


@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_folding_leaves_what_is_computed(seed, takes_off, rescales):
    from superscope.dictionary.formats.canonical import Parts, config_for

    draws = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (5, 9), "b_enc": (9,), "W_dec": (9, 5), "b_dec": (5,)}
    parts = Parts(
        **{name: torch.randn(s, generator=draws, dtype=torch.float64) for name, s in shapes.items()}
    )
    x = torch.randn(20, 5, generator=draws, dtype=torch.float64)
    norms = parts.W_dec.norm(dim=1)
    pre = (x - parts.b_dec if takes_off else x) @ parts.W_enc + parts.b_enc
    f = (pre * norms if rescales else pre).relu()
    y = (f / norms if rescales else f) @ parts.W_dec + parts.b_dec
    parts = parts.without_input_bias() if takes_off else parts
    parts = parts.with_unit_rows() if rescales else parts
    dictionary = parts.dictionary(config_for("standard", 9, None, "")).double()
    torch.testing.assert_close(dictionary.encode(x), f, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(dictionary(x), y, atol=2e-5, rtol=1e-5)


def saelens_python():
    """The interpreter of an environment with SAELens, this one or the one that `make bench` makes."""
    import os
    import sys

    if find_spec("sae_lens") is not None:
        return sys.executable
    python = Path(os.environ.get("PEERS", ".venv-peers"), "bin", "python")
    return str(python) if python.exists() else None


@pytest.mark.slow
def test_saelens_opens_what_is_written(tmp_path):
    python = saelens_python()
    if python is None:
        pytest.skip("needs SAELens: `make bench` makes an environment with it")
    wide = {f"{kind}_wide": (kind, 4) for kind in ("standard", "jumprelu", "batchtopk", "topk")}
    for name, (architecture, output) in ({kind: (kind, None) for kind in ARCHITECTURES} | wide).items():
        dictionary = made(architecture, output=output)
        write_saelens(dictionary, tmp_path / name)
        x = inputs(dictionary)
        with torch.no_grad():
            expected = {"x": x, "f": dictionary.encode(x), "y": dictionary(x)}
        save_file(expected, tmp_path / name / "expected.safetensors")
    done = subprocess.run(
        [python, "-W", "ignore", "-m", "benchmarks.peers.check_formats", "read", str(tmp_path)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    differences = json.loads(done.stdout)
    assert "topk_transcoder" in differences.pop("topk_wide")  # SAELens has none, and says so
    assert len(differences) == 9
    assert all(difference < 1e-5 for difference in differences.values()), differences
