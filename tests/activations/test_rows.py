"""Rows of layers: every position once, with its sample and place, and no padding."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from superscope.activations.rows import LayerReader, one_layer, token_mask
from superscope.core import LayerError, ModelError
from superscope.data import Batch

CPU = torch.device("cpu")


class Tokens(nn.Module):
    """Embeds tokens, then puts out whatever a function makes of them."""

    def __init__(self, make: Callable[[Tensor], Any] = lambda x: x) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 4)
        self.layer = Calls(make)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Any:  # noqa: ARG002
        return self.layer(self.embed(input_ids))


class Calls(nn.Module):
    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.make = make
        self.count = 0

    def forward(self, x: Tensor) -> Any:
        self.count += 1
        return self.make(x)


def texts() -> Batch:
    ids = torch.tensor([[5, 6, 7], [8, 9, 0], [1, 0, 0]])
    return Batch({"input_ids": ids, "attention_mask": (ids > 0).long()}, indices=torch.tensor([30, 10, 20]))


SAMPLES, POSITIONS, IDS = [30, 30, 30, 10, 10, 20], [0, 1, 2, 0, 1, 0], [5, 6, 7, 8, 9, 1]


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x,
        lambda x: x.transpose(0, 1),  # tokens before samples: 3 of each, told by no shape
        lambda x: x.reshape(-1, 4),
    ],
)
def test_real_tokens_come_with_their_places(make: Callable[[Tensor], Tensor]) -> None:
    batch, model = texts(), Tokens(make)
    if make(torch.zeros(3, 2, 4)).shape[0] == 2:  # so as many texts as tokens would be
        cut = {name: each[:2] for name, each in batch.inputs.items()}
        batch = Batch(cut, indices=torch.tensor([30, 10]))
    rows = LayerReader(model, ["layer"], CPU)(batch)["layer"]
    count = int(batch.mask.sum())
    assert rows.sample.tolist() == SAMPLES[:count]
    assert rows.position.tolist() == POSITIONS[:count]
    assert rows.sample.dtype == rows.position.dtype == torch.int32
    assert rows.tokens
    assert torch.equal(rows.values, model.embed.weight[IDS[:count]])


def test_the_first_tokens_of_texts_are_skipped_on_either_side_of_the_padding() -> None:
    rows = LayerReader(Tokens(), ["layer"], CPU, skip_tokens=1)(texts())["layer"]
    assert rows.sample.tolist() == [30, 30, 10]
    assert rows.position.tolist() == [1, 2, 1]
    left = Batch({"attention_mask": torch.tensor([[0, 1, 1], [1, 1, 1]])})
    assert token_mask(left, 1).tolist() == [[False, False, True], [False, True, True]]
    with pytest.raises(LayerError, match="first tokens of a text cannot be told"):
        LayerReader(Tokens(lambda x: x.mean(1)), ["layer"], CPU, skip_tokens=1)(texts())


def test_token_numbers_without_a_mask_are_all_real() -> None:
    rows = LayerReader(Tokens(), ["layer"], CPU, skip_tokens=2)(Batch(torch.tensor([[5, 6, 7], [8, 9, 3]])))
    assert rows["layer"].sample.tolist() == [0, 1]
    assert rows["layer"].position.tolist() == [2, 2]
    assert token_mask(Batch(torch.zeros(2, 3))) is None
    assert token_mask(Batch(torch.zeros(2, 3, dtype=torch.bool))) is None


def test_maps_have_a_row_for_each_place() -> None:
    model, x = nn.Sequential(nn.Conv2d(1, 2, 1)), torch.randn(2, 1, 2, 3)
    rows = LayerReader(model, ["0"], CPU)(Batch(x, indices=torch.tensor([7, 4])))["0"]
    maps = model(x)
    assert not rows.tokens
    assert rows.sample.tolist() == [7] * 6 + [4] * 6
    assert rows.position.tolist() == [0, 1, 2, 3, 4, 5] * 2
    for values, sample, position in zip(rows.values, rows.sample, rows.position, strict=True):
        assert torch.equal(values, maps[[7, 4].index(sample), :, position // 3, position % 3])


def test_vectors_and_what_is_no_part_of_a_sample() -> None:
    rows = LayerReader(nn.Linear(3, 2), ["(model)"], CPU)(Batch(torch.randn(4, 3)))["(model)"]
    assert (rows.sample.tolist(), rows.position.tolist()) == ([0, 1, 2, 3], [0, 0, 0, 0])
    places = Tokens(lambda x: x[:1] * 2)
    rows = LayerReader(places, ["layer"], CPU)(texts())["layer"]
    assert rows.sample.tolist() == [-1, -1, -1]
    assert rows.position.tolist() == [0, 1, 2]


def test_rows_are_what_the_layer_put_out_though_the_next_works_in_place() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True))
    x = torch.randn(20, 3)
    rows = LayerReader(model, ["0", "1:input"], CPU)(Batch(x))
    assert torch.equal(rows["0"].values, model[0](x))
    assert torch.equal(rows["0"].values, rows["1:input"].values)
    assert not rows["0"].values.requires_grad


def test_the_pass_ends_behind_the_last_layer_from_the_second_batch_on() -> None:
    model = nn.Sequential(nn.Linear(3, 4), Calls(torch.relu), Calls(torch.sigmoid))
    read = LayerReader(model, ["0", "1"], CPU)
    first, second = read(Batch(torch.ones(2, 3))), read(Batch(torch.ones(2, 3)))
    assert torch.equal(first["1"].values, second["1"].values)
    assert (model[1].count, model[2].count) == (2, 1)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_layer_called_several_times_gives_all_its_rows() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.layer(x))

    model, x = Twice(), torch.randn(2, 3)
    read = LayerReader(model, ["layer"], CPU)
    for _ in range(2):
        rows = read(Batch(x))["layer"]
        assert torch.equal(rows.values, torch.cat([model.layer(x), model(x)]))
        assert rows.sample.tolist() == [0, 1, 0, 1]


def test_layers_that_give_nothing_and_models_that_fail() -> None:
    model = nn.ModuleDict({"used": nn.Linear(3, 3), "unused": nn.Linear(3, 3)})
    model.forward = model["used"].__call__
    assert list(LayerReader(model, ["used", "unused"], CPU)(Batch(torch.zeros(1, 3)))) == ["used"]
    with pytest.raises(ModelError, match=r"cannot take a batch of shape \[1, 2\]"):
        LayerReader(nn.Linear(3, 3), ["(model)"], CPU)(Batch(torch.zeros(1, 2)))
    with pytest.raises(LayerError, match="matches 2 layers"):
        one_layer(model, "*")
    assert one_layer(model, "us*") == "used"
