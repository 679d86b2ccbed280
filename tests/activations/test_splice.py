"""What a splice replaces, what it leaves, and that its hook comes off."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from superscope.activations import capture, splice
from superscope.core import InputError, LayerError


def hooks(model: nn.Module) -> int:
    return sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in model.modules())


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


class Pair(NamedTuple):
    index: Tensor
    hidden: Tensor


class Calls(nn.Module):
    """A layer that puts out whatever a function makes of its input."""

    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Tensor, *, scale: float = 1.0) -> Any:
        return self.make(x * scale)


def test_the_output_is_replaced_in_the_block_alone() -> None:
    model, x = net(), torch.randn(5, 3)
    plain = model(x)
    with splice(model, "0", lambda h: h - 0.5) as spliced:
        found = model(x)
    assert torch.equal(found, model[2]((model[0](x) - 0.5).relu()))
    assert (spliced.name, spliced.calls) == ("0", 1)
    assert torch.equal(model(x), plain)
    assert hooks(model) == 0


def test_the_input_is_replaced_and_the_identity_changes_nothing() -> None:
    model, x = net(), torch.randn(5, 3)
    with splice(model, "2:input", lambda h: 2 * h):
        found = model(x)
    assert torch.equal(found, model[2](2 * model[0](x).relu()))
    for layer in ("0", "1", "2", "2:input"):
        with splice(model, layer, lambda h: h):
            assert torch.equal(model(x), model(x))
    assert hooks(model) == 0


def test_a_keyword_is_replaced_and_the_others_stay() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Calls(lambda x: x)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x=x, scale=3.0)

    model = Outer()
    with splice(model, "inner:input", lambda x: x + 1):
        assert model(torch.zeros(2)).tolist() == [3.0, 3.0]


def test_the_function_sees_what_capture_records() -> None:
    model, x, seen = net(), torch.randn(5, 3), []
    with capture(model, "0,2:input") as recorded:
        model(x)
    for layer in recorded:
        with splice(model, layer, lambda h: seen.append(h) or h):
            model(x)
    assert torch.equal(seen[0], recorded["0"])
    assert torch.equal(seen[1], recorded["2:input"])


@pytest.mark.parametrize(
    "make",
    [
        lambda x: (x.argmax(), x),
        lambda x: [x.argmax(), x],
        lambda x: {"index": x.argmax(), "hidden": x},
        lambda x: Pair(x.argmax(), x),
        lambda x: (None, [x.argmax(), (x,)]),
    ],
)
def test_containers_keep_their_type_and_the_rest_of_their_parts(make: Callable[[Tensor], Any]) -> None:
    model, x = Calls(make), torch.randn(2, 3)
    expected = repr(make(x)).replace(repr(x), repr(torch.zeros(2, 3)))
    with splice(model, "(model)", torch.zeros_like):
        assert repr(model(x)) == expected
    assert repr(model(x)) == repr(make(x))


def test_outputs_of_transformers_keep_attributes_and_keys() -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs")
    made = outputs.CausalLMOutput(logits=torch.ones(2, 3), hidden_states=(torch.ones(1),))
    model = Calls(lambda _: made)
    with splice(model, "(model)", torch.zeros_like):
        found = model(torch.zeros(1))
    assert type(found) is type(made)
    assert found.logits is found["logits"] is found[0]
    assert not found.logits.any()
    assert found.hidden_states is made.hidden_states
    assert made.logits.all()  # what the module made is left as it was


def test_half_precision_and_gradients() -> None:
    model = net().to(torch.bfloat16)
    shift = torch.ones(4, requires_grad=True)
    with splice(model, "1", lambda h: h.float() + shift):
        out = model(torch.ones(5, 3, dtype=torch.bfloat16))
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert torch.allclose(shift.grad, 5 * model[2].weight.float().sum(0), rtol=2**-7)


@pytest.mark.parametrize("result", [torch.zeros(5, 3), torch.zeros(1, 4), None, 3.0])
def test_a_function_that_does_not_keep_the_shape(result: object) -> None:
    model = net()
    match = r"layer 0 returned .* given shape \[5, 4\] and has to keep it"
    with pytest.raises(InputError, match=match), splice(model, "0", lambda _: result):
        model(torch.zeros(5, 3))
    assert hooks(model) == 0


def test_layers_that_cannot_be_spliced() -> None:
    model = net()
    for layer, match in [("0,2", "matches 2 layers"), ("9", "no layer matches")]:
        with pytest.raises(LayerError, match=match), splice(model, layer, torch.zeros_like):
            pass
    whole = Calls(lambda x: x.argmax())
    with pytest.raises(LayerError, match="no floating tensor"), splice(whole, "(model)", torch.zeros_like):
        whole(torch.zeros(3))
    assert hooks(model) == hooks(whole) == 0


def fail(error: type[BaseException]) -> Callable[[Tensor], Any]:
    def make(_: Tensor) -> None:
        raise error

    return make


@pytest.mark.parametrize("layer", ["0", "1:input"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_hook_comes_off_when_the_model_fails(layer: str, error: type[BaseException]) -> None:
    model = nn.Sequential(nn.Linear(3, 4), Calls(fail(error)))
    with pytest.raises(error), splice(model, layer, torch.zeros_like):
        model(torch.zeros(1, 3))
    assert hooks(model) == 0
