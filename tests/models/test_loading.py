import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from superscope.core.errors import ModelError, WeightsError
from superscope.models import DigitsMLP, load_model

RESNET20 = f"{Path(__file__).parents[2] / 'examples' / 'resnet20.py'}:resnet20"


@pytest.fixture
def user_file(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(
        "from torch import nn\nimport torch\n"
        "class Net(nn.Linear):\n    def __init__(self):\n        super().__init__(2, 1)\n"
        "def build():\n    return nn.Sequential(nn.Linear(2, 2), nn.Dropout())\n"
        "def nothing():\n    pass\n"
        "def text():\n    return 'net'\n"
        "def kind():\n    return Net\n"
        "def broken():\n    net = Net()\n    net.weight.data[0, 1] = float('nan')\n    return net\n"
    )
    return path


def test_a_users_model_comes_in_eval_mode(user_file):
    model = load_model(f"{user_file}:build")
    assert isinstance(model, nn.Sequential)
    assert not any(module.training for module in model.modules())
    assert isinstance(load_model(f"{user_file}:Net"), nn.Linear)


@pytest.mark.parametrize(("function", "said"), [
    ("nothing", "returned None"), ("text", "of type str"), ("kind", "the class Net itself"),
    ("bild", "did you mean 'build'?"),
])  # fmt: skip
def test_what_is_no_model_is_named(user_file, function, said):
    with pytest.raises(ModelError, match=said.replace("?", r"\?")):
        load_model(f"{user_file}:{function}")


def test_a_model_with_nan_is_refused(user_file):
    with pytest.raises(WeightsError, match=r"Net holds NaN or infinite values: weight \(1 of 2\)"):
        load_model(f"{user_file}:broken")


def test_an_unknown_name_lists_what_is_understood(user_file):
    with pytest.raises(ModelError, match=r"'digit-mlp'; did you mean digits-mlp\?; .*FILE.py:FUNCTION"):
        load_model("digit-mlp")
    with pytest.raises(
        ModelError, match=r"no model 'gpt'; give digits-mlp, resnet18, .*hf:NAME, .*FILE.py:FUNCTION"
    ):
        load_model("gpt")
    with pytest.raises(ModelError, match=r"no function in it.*defines Net, build, nothing"):
        load_model(str(user_file))
    with pytest.raises(ModelError, match="does not exist"):
        load_model(f"{user_file.parent}/other.py:build")


def test_digits_mlp_needs_weights(tmp_path):
    trained = DigitsMLP()
    save_file(trained.state_dict(), tmp_path / "w.safetensors")
    model = load_model("digits-mlp", tmp_path / "w.safetensors")
    assert torch.equal(model.state_dict()["fc2.weight"], trained.fc2.weight)
    with pytest.raises(ModelError, match="trained first"):
        load_model("digits-mlp")


def test_the_example_has_the_published_shape():
    model = load_model(RESNET20)
    assert sum(p.numel() for p in model.parameters()) == 269_722  # He et al. 2015, table 6: 0.27 million
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.data
def test_resnet20_with_its_published_weights():
    from superscope.data import batches, load_data

    root = Path(os.environ["SUPERSCOPE_DATA"])
    model = load_model(RESNET20, root / "weights" / "resnet20-12fca82f.th")
    data = load_data(f"cifar10:{root / 'cifar10'}", normalize="imagenet")
    right = total = 0
    with torch.inference_mode():
        for batch in batches(data, samples=500):
            right += int((model(batch.inputs).argmax(1) == batch.labels).sum())
            total += len(batch)
    assert total == 500
    assert 0.88 < right / total < 0.955  # 91.7 % on the whole test set
