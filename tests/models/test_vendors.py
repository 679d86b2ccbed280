import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from superscope.core.errors import ModelError
from superscope.models import Preparation, load_model, load_preparation


@pytest.mark.parametrize("vendor", ["timm", "torchvision"])
def test_a_library_that_cannot_be_imported_is_told_with_the_reason(monkeypatch, vendor):
    monkeypatch.setitem(sys.modules, vendor, None)
    with pytest.raises(
        ModelError, match=rf"{vendor}:resnet18 needs the package {vendor}, .*\(ModuleNotFoundError: "
    ):
        load_model(f"{vendor}:resnet18")


def test_an_import_that_fails_in_another_way_is_told_too(monkeypatch, tmp_path):
    (tmp_path / "timm.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(ModelError, match=r"\(RuntimeError: operator torchvision::nms does not exist\)"):
        load_model("timm:resnet18")


@pytest.fixture
def timm(monkeypatch):
    """A timm of one model; its weights cannot be fetched for a second name."""

    def create_model(name, pretrained):
        if name == "other":
            raise OSError("no network")
        net = nn.Linear(2, 1)
        nn.init.constant_(net.weight, float(pretrained))
        return net

    module = ModuleType("timm")
    scale = SimpleNamespace(mean=(0.5,), std=(0.25,), input_size=(1, 24, 24))
    vars(module).update(get_pretrained_cfg={"net": scale}.__getitem__)
    vars(module).update(create_model=create_model, list_models=lambda: ["net", "other"])
    monkeypatch.setitem(sys.modules, "timm", module)


@pytest.mark.usefixtures("timm")
def test_a_model_of_timm_comes_with_its_weights_or_with_ours(tmp_path):
    model = load_model("timm:net.in1k")
    assert float(model.weight.detach()[0, 0]) == 1.0
    assert not model.training
    torch.save({"weight": torch.full((1, 2), 7.0), "bias": torch.zeros(1)}, tmp_path / "w.pth")
    assert float(load_model("timm:net", tmp_path / "w.pth").weight.detach()[0, 0]) == 7.0
    with pytest.raises(ModelError, match=r"timm has no model 'nett'; did you mean net\?"):
        load_model("timm:nett")
    with pytest.raises(
        ModelError, match=r"timm:other cannot be built: OSError: no network; .* --weights FILE"
    ):
        load_model("timm:other")


def test_a_model_of_torchvision_comes_with_its_default_weights(monkeypatch):
    asked = []
    library = ModuleType("torchvision")
    vars(library).update(
        models=SimpleNamespace(
            list_models=lambda: ["net"],
            get_model=lambda name, weights: asked.append((name, weights)) or nn.Linear(1, 1),
        )
    )
    monkeypatch.setitem(sys.modules, "torchvision", library)
    assert isinstance(load_model("torchvision:net"), nn.Linear)
    assert asked == [("net", "DEFAULT")]


@pytest.mark.usefixtures("timm")
def test_what_images_a_model_of_timm_takes():
    assert load_preparation("timm:net") == Preparation(mean=(0.5,), std=(0.25,), image_size=24)
    with pytest.raises(ModelError, match="timm does not say what images 'nett' takes"):
        load_preparation("timm:nett")
