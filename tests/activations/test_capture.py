"""Hooks come off however the block ends, and what was recorded stays what the layer put out."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from superscope.activations import capture
from superscope.core import LayerError


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


class Calls(nn.Module):
    """A layer that puts out whatever a function makes of its input."""

    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Tensor) -> Any:
        return self.make(x)


def failing(error: type[BaseException]) -> nn.Module:
    def fail(_: Tensor) -> None:
        raise error

    return nn.Sequential(nn.Linear(3, 4), Calls(fail), nn.ReLU())


def test_every_layer_is_recorded_and_the_hooks_come_off() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(5, 3)
    with capture(model) as found:
        out = model(x)
        assert hooks(model) == 3
    assert hooks(model) == 0
    assert list(found) == ["0", "1", "2"]
    assert found.layers["1"] is model[1]
    assert torch.equal(found["0"], model[0](x))
    assert torch.equal(found["2"], out)
    assert not found["2"].requires_grad
    model(x + 1)
    assert torch.equal(found["2"], out)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_the_hooks_come_off_when_the_forward_pass_fails(error: type[BaseException]) -> None:
    model = failing(error)
    with pytest.raises(error), capture(model) as found:
        model(torch.zeros(1, 3))
    assert hooks(model) == 0
    assert list(found) == ["0"]


def test_the_hooks_come_off_when_the_sink_or_the_block_fails() -> None:
    model = nn.Sequential(nn.Linear(3, 4))

    def sink(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), capture(model, sink=sink):
        model(torch.zeros(1, 3))
    with pytest.raises(ZeroDivisionError), capture(model):
        _ = 1 / 0
    assert hooks(model) == 0


def test_the_hooks_come_off_when_putting_them_on_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())

    def refuse(_: object, *, with_kwargs: bool) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(model[1], "register_forward_hook", refuse)
    with pytest.raises(KeyboardInterrupt), capture(model):
        pass
    assert hooks(model) == 0


def test_no_match_puts_nothing_on() -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    with pytest.raises(LayerError), capture(model, "conv*"):
        pass
    assert hooks(model) == 0


def test_other_hooks_stay() -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    model[0].register_forward_hook(lambda *_: None)
    with capture(model), capture(model) as inner:
        model(torch.zeros(1, 3))
    assert inner["0"].shape == (1, 4)
    assert hooks(model) == 1


def test_what_comes_after_in_place_does_not_change_the_record() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True))
    x = torch.randn(20, 3)
    with capture(model) as found:
        out = model(x)
    assert float(found["0"].min()) < 0
    assert torch.equal(found["0"].relu(), out)


def test_tuples_mappings_and_outputs_without_a_float() -> None:
    model = nn.Sequential(
        Calls(lambda x: (x, x.argmax())),
        Calls(lambda pair: {"index": pair[1], "hidden": pair[0] + 1}),
        Calls(lambda made: (made["index"], made["hidden"])),
        Calls(lambda pair: pair[0]),
    )
    x = torch.randn(2, 3)
    with capture(model) as found:
        model(x)
    assert list(found) == ["0", "1", "2"]
    assert torch.equal(found["0"], x)
    assert torch.equal(found["1"], x + 1)


def test_a_layer_called_twice_keeps_the_last_call_and_gives_both_to_a_sink() -> None:
    shared = nn.Linear(3, 3)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = shared
            self.again = shared  # the same module under a second name is one layer

        def forward(self, x: Tensor) -> Tensor:
            return self.again(self.layer(x))

    model, x = Twice(), torch.randn(2, 3)
    with capture(model) as found:
        model(x)
    assert list(found) == ["layer"]
    assert torch.equal(found["layer"], shared(shared(x)))
    seen = []
    with capture(model, sink=lambda name, module, output: seen.append((name, module, output))) as found:
        model(x)
    assert found == {}
    assert [(name, module) for name, module, _ in seen] == [("layer", shared)] * 2
    assert torch.equal(seen[0][2], shared(x))


def test_a_model_without_children() -> None:
    model = nn.Linear(3, 4)
    with capture(model) as found:
        out = model(torch.zeros(1, 3))
    assert torch.equal(found["(model)"], out)


def test_what_goes_into_a_module() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(5, 3)
    with capture(model, "2:input,0") as found:
        model(x)
    assert list(found.layers) == ["0", "2:input"]
    assert torch.equal(found["2:input"], model[0](x).relu())
    assert hooks(model) == sum(len(module._forward_pre_hooks) for module in model.modules()) == 0


def test_the_source_of_a_call_comes_with_it_however_it_is_passed() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.map = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.map(x) + self.map(input=2 * x)

    got = []
    x = torch.randn(5, 3)
    model = Named()
    with capture(model, "map", source_sink=lambda *each: got.append(each)):
        model(x)
    assert [name for name, *_ in got] == ["map", "map"]
    assert torch.equal(got[0][3], x)
    assert torch.equal(got[1][3], 2 * x)
