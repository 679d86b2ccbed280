"""The networks by name: the embedded one is trained well, and once is as good as twice."""

from pathlib import Path

import pytest
import torch

from superscope.core import ModelError
from superscope.core.artifacts import tensor_hashes, write_tensors
from superscope.data import batches, load_data
from superscope.models import DigitsMLP
from superscope.training import accuracy, digits_mlp, load_model


def test_the_embedded_network_reads_digits_and_is_the_same_twice(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = digits_mlp()
    (test,) = batches(load_data("digits"), batch_size=1000)
    assert isinstance(test.inputs, torch.Tensor)
    assert test.labels is not None
    assert accuracy(first, test.inputs, test.labels) > 0.93
    torch.manual_seed(2)
    again = load_model("digits-mlp")
    hashes = tensor_hashes(first.state_dict())
    assert tensor_hashes(again.state_dict()) == hashes
    stored = write_tensors(tmp_path / "w.safetensors", first.state_dict())
    loaded = load_model("digits-mlp", stored, seed=5)  # nothing is trained where there are weights
    assert tensor_hashes(loaded.state_dict()) == hashes


def test_a_persons_own_network_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("from superscope.models import DigitsMLP\ndef make():\n    return DigitsMLP()\n")
    network = load_model(f"{file}:make")
    assert isinstance(network, DigitsMLP)
    assert not network.training


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no model 'digits-mpl'; did you mean digits-mlp"):
        load_model("digits-mpl")
