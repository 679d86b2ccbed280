"""Which layers a pattern means, what to suggest where it means none, and which axis counts units."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from superscope.activations import first_tensor, select_layers, unit_axis
from superscope.core import LayerError


def net() -> nn.Module:
    block = OrderedDict(conv1=nn.Conv2d(1, 2, 3), relu=nn.ReLU(), drop=nn.Dropout2d(), skip=nn.Identity())
    return nn.Sequential(
        OrderedDict(
            layer1=nn.Sequential(block),
            layer2=nn.Sequential(OrderedDict(conv1=nn.Conv2d(2, 2, 3), conv2=nn.Conv2d(2, 2, 1))),
            flatten=nn.Flatten(),
            fc=nn.Linear(2, 2),
        )
    )


EVERY = ["layer1.conv1", "layer1.relu", "layer2.conv1", "layer2.conv2", "fc"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", EVERY),
        ("layer*.conv*", ["layer1.conv1", "layer2.conv1", "layer2.conv2"]),
        ("*.conv1", ["layer1.conv1", "layer2.conv1"]),
        ("fc, layer1.*", ["layer1.conv1", "layer1.relu", "fc"]),
        (["fc", "layer?.conv2"], ["layer2.conv2", "fc"]),
        ("layer[2].conv1", ["layer2.conv1"]),
        ("fc,fc,f*", ["fc"]),
        ("layer1,flatten,layer1.drop,layer1.skip", ["layer1", "layer1.drop", "layer1.skip", "flatten"]),
    ],
)
def test_a_pattern_means_modules_in_the_models_order(pattern: str | list[str], names: list[str]) -> None:
    model = net()
    chosen = select_layers(model, pattern)
    assert list(chosen) == names
    assert all(chosen[name] is model.get_submodule(name) for name in names)


def test_a_model_without_submodules_is_its_own_layer() -> None:
    layer = nn.Linear(2, 2)
    assert select_layers(layer) == {"(model)": layer}


@pytest.mark.parametrize(
    ("pattern", "near"),
    [
        ("layer1.conv", "layer1.conv1"),
        ("f", "fc"),
        ("LAYER2.conv2", "layer2.conv2"),
        ("*relu6*", "layer1.relu"),
    ],
)
def test_an_unknown_pattern_suggests_the_nearest_name(pattern: str, near: str) -> None:
    with pytest.raises(LayerError) as caught:
        select_layers(net(), f"fc,{pattern}")
    guess, _, rest = str(caught.value).partition("? ")
    assert guess.startswith(f"no layer matches {pattern!r}; did you mean ")
    assert near in guess
    assert rest.startswith("The model's layers are layer1, layer1.conv1, ")
    assert rest.endswith("(10 in all)")


@pytest.mark.parametrize("pattern", ["", "zzz", "layer1.*.conv", []])
def test_every_part_of_a_pattern_has_to_match(pattern: str | list[str]) -> None:
    with pytest.raises(LayerError):
        select_layers(net(), pattern)


def test_the_activations_are_the_first_floating_tensor() -> None:
    x, tokens = torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)
    for output in (x, (x, 1), [None, tokens, x], {"ids": tokens, "hidden": x}, (("a", (tokens, x)),)):
        assert first_tensor(output) is x
    for output in (tokens, None, "x", (), {"a": tokens}, torch.tensor(1.0)):
        assert first_tensor(output) is None


@pytest.mark.parametrize(
    ("module", "shape", "axis"),
    [
        (nn.Conv2d(1, 1, 1), (2, 3, 4, 5), 1),
        (nn.Conv1d(1, 1, 1), (2, 3, 4), 1),
        (nn.BatchNorm1d(3), (2, 3, 4), 1),
        (nn.AvgPool1d(2), (2, 3, 4), 1),
        (nn.GroupNorm(1, 3), (2, 3, 4), 1),
        (nn.Linear(4, 4), (2, 3, 4), -1),
        (nn.Linear(5, 5), (2, 3, 4, 5), -1),
        (nn.LayerNorm(5), (2, 3, 4, 5), -1),
        (nn.Embedding(3, 4), (2, 3, 4), -1),
        (nn.ReLU(), (2, 3), -1),
        (nn.ReLU(), (2, 3, 4), -1),
        (nn.ReLU(), (2, 3, 4, 5), 1),
        (nn.ReLU(), (2, 3, 4, 5, 6), 1),
        (nn.BatchNorm1d(3), (2, 3), -1),
        (nn.ReLU(), (2,), -1),
    ],
)
def test_units_lie_where_the_module_puts_them(module: nn.Module, shape: tuple[int, ...], axis: int) -> None:
    assert unit_axis(module, torch.zeros(shape)) == axis
