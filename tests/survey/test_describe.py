"""The table and the picture: names as --layers takes them, shapes, every parameter counted once."""

import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
import torch
from torch import nn

from superscope.activations import select_layers
from superscope.cli import main
from superscope.core.errors import InputError, ModelError
from superscope.survey.describe import DescribeConfig, describe, run_describe

RESNET20 = f"{Path(__file__).parents[2] / 'examples' / 'resnet20.py'}:resnet20"
DOT = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not there")


class Tied(nn.Module):
    """A frozen layer, one called twice, one never called, and two that share a weight."""

    def __init__(self):
        super().__init__()
        self.enter, self.twice, self.idle = nn.Linear(3, 4), nn.Linear(4, 4, bias=False), nn.Linear(9, 9)
        self.leave = nn.Linear(4, 4, bias=False)
        self.leave.weight = self.twice.weight
        self.enter.requires_grad_(requires_grad=False)

    def forward(self, x):
        return self.leave(self.twice(self.twice(self.enter(x))))


def rows(table: pd.DataFrame) -> dict[str, tuple[object, ...]]:
    return {row[0]: row[1:] for row in table.itertuples(index=False)}


def test_every_module_has_a_row() -> None:
    found = describe(Tied(), torch.zeros(5, 3))
    assert rows(found.table) == {
        "enter": ("Linear", "4", 16, "no", "yes", ""),
        "twice": ("Linear", "4", 16, "yes", "yes", ""),
        "idle": ("Linear", "", 90, "yes", "yes", "not called"),
        "leave": ("Linear", "4", 16, "yes", "yes", "shares twice.weight"),
    }
    assert (found.parameters, found.trainable) == (16 + 16 + 90, 16 + 90)
    assert "total: 122 parameters, 16 of them frozen" in found.summary()


def test_the_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(), nn.BatchNorm1d(3))
    model[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    one, other = (describe(model, input_size=(2,)) for _ in range(2))
    assert [module.training for module in model.modules()] == [True, False, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(state, torch.get_rng_state())
    assert one.summary() == other.summary()


def test_names_are_those_that_layers_takes() -> None:
    found = describe("resnet18:cifar")
    model = found.network
    assert list(found.table["layer"]) == [name for name, _ in model.named_modules() if name]
    assert found.measured == tuple(select_layers(model))
    for name in found.table["layer"]:
        assert list(select_layers(model, name)) == [name]
    named = rows(found.table)
    assert named["conv1"][:3] == ("Conv2d", "64 × 32 × 32", 3 * 64 * 9)
    assert named["layer4.1"][:3] == ("BasicBlock", "512 × 4 × 4", 0)
    assert named["fc"][:3] == ("Linear", "1000", 513_000)
    assert found.table["parameters"].sum() == found.parameters


def test_without_an_input_the_names_and_parameters_remain() -> None:
    found = describe(RESNET20)
    assert found.parameters == 269_722
    assert not found.table["output"].any()
    assert "give --data or --input-size" in found.summary()
    assert "output" not in found.summary().splitlines()[0]
    with pytest.raises(ModelError, match="no picture: no input is known"):
        found.picture()
    assert rows(describe(RESNET20, input_size=(3, 32, 32)).table)["layer3.2.bn2"][1] == "64 × 8 × 8"


def test_a_language_model_reads_a_short_text(tmp_path: Path) -> None:
    import transformers as tr

    config = tr.BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12
    )
    tr.BertModel(config).save_pretrained(tmp_path)
    letters = [*"abcdefghijklmnopqrst", ","]
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]))
    found = describe(f"hf:{tmp_path}")
    named = rows(found.table)
    assert named["encoder.layer.0.intermediate"][1].endswith(" × 12")
    assert named["pooler"][1] == "8"
    assert "tokens" in found.sample
    assert any(default == "its input" for default in found.table["default"])


def test_input_that_cannot_be_used_is_told() -> None:
    with pytest.raises(ModelError, match=r"cannot take a sample of shape 5: .*; give --data or --input-size"):
        describe(Tied(), input_size=(5,))
    with pytest.raises(InputError, match="data and an input size"):
        describe(Tied(), torch.zeros(1, 3), input_size=(3,))
    with pytest.raises(InputError, match=r"input size \[3, 0\]"):
        describe(Tied(), input_size=(3, 0))
    with pytest.raises(InputError, match="weights go with a model given by name"):
        describe(Tied(), weights="tied.pth")


@DOT
def test_a_network_of_other_precision_has_outputs_and_a_picture() -> None:
    found = describe(torch.nn.Sequential(torch.nn.Linear(3, 4)).double(), torch.zeros(1, 3))
    assert rows(found.table)["0"][1] == "4"
    assert "Linear 4" in found.picture()


@DOT
def test_the_picture_has_the_layers_and_their_order() -> None:
    found = describe("digits-mlp")
    svg = found.picture()
    root = ET.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    words = [element.text for element in root.iter(f"{space}text")]
    for text in ("fc1", "Linear 64", "relu2", "fc3", "Linear 10", "input", "1 × 8 × 8"):
        assert text in words
    edges = [title.text for title in root.iter(f"{space}title") if "->" in (title.text or "")]
    assert len(edges) == 7
    assert svg == found.picture()
    assert "<svg" in found.page()


@DOT
def test_a_deep_network_is_drawn_as_far_as_it_can_be_read() -> None:
    svg = describe("resnet18:cifar").picture()
    assert "layer4.1" in svg
    assert svg.count('class="node"') <= 60


def test_what_a_picture_needs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = describe("digits-mlp")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("torchview.draw_graph", lambda *_, **__: pytest.fail("it traced for nothing"))
    with pytest.raises(ModelError, match="Graphviz's dot is not on the PATH"):
        found.picture()
    assert "dot is not on the PATH" in found.page()
    monkeypatch.setitem(sys.modules, "torchview", None)
    with pytest.raises(ModelError, match=r"needs the packages torchview and graphviz .*superscope\[graph\]"):
        found.picture()


def test_the_run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found, report, missing = run_describe(DescribeConfig("digits-mlp", out=tmp_path / "out"))
    assert report == tmp_path / "out" / "report.html"
    assert missing is not None
    assert "dot" in missing
    assert list(pd.read_csv(tmp_path / "out" / "tables" / "architecture.csv")["layer"]) == list(
        found.table["layer"]
    )
    assert not (tmp_path / "out" / "figures").exists()


@DOT
def test_the_run_directory_has_the_picture(tmp_path: Path) -> None:
    found, _, missing = run_describe(DescribeConfig("digits-mlp", input_size="1,8,8", out=tmp_path / "out"))
    assert missing is None
    assert (tmp_path / "out" / "figures" / "architecture.svg").read_text() == found.picture()


def test_the_shell_prints_the_table_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    assert main(["describe", "digits-mlp", "--out", "out"]) == 0
    said = capsys.readouterr().out
    assert "relu1" in said
    assert "note: no picture: Graphviz's dot is not on the PATH" in said
    assert said.rstrip().endswith("report: out/report.html")
    assert main(["describe", "digits-mlp", "--input-size", "3,x"]) == 2
    assert "input_size" in capsys.readouterr().err


@pytest.mark.data
def test_a_real_network_on_real_data(real_data: Path) -> None:
    found = describe(RESNET20, f"cifar10:{real_data / 'cifar10'}")
    assert rows(found.table)["layer2.0"][1] == "32 × 16 × 16"
    llama = describe(f"llama2c:{real_data / 'weights' / 'stories260K.bin'}")
    assert llama.parameters == 260_032
    assert rows(llama.table)["lm_head"][-1] == "shares model.embed_tokens.weight"
