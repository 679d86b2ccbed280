"""The way to the logits: found where there is one, and worth what the network itself says."""

import pytest
import torch
from torch import Tensor, nn

from superscope.atlas.effects import Head, Outlook, find_head, logit_effects
from superscope.data import Batch

CPU = torch.device("cpu")


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 5, 3), nn.Linear(5, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.conv(images).mean((2, 3)))


def llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=11, **sizes)).eval()
    model.model.norm.weight.data.uniform_(0.5, 2.0)
    return model


def found(model: nn.Module, layer: str, inputs: object) -> Outlook:
    torch.manual_seed(0)
    return find_head(model, layer, Batch(inputs), CPU)  # pyright: ignore[reportArgumentType]


TOKENS = {"input_ids": torch.arange(6).reshape(2, 3)}


def test_what_goes_into_the_last_map_has_its_weights() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    outlook = found(net, "1", torch.randn(5, 4))
    assert outlook.predicts == "class"
    assert isinstance(outlook.head, Head)
    assert torch.equal(outlook.head.matrix, net[2].weight.detach().T)
    same = found(net, "2:input", torch.randn(5, 4)).head
    assert isinstance(same, Head)
    assert torch.equal(same.matrix, outlook.head.matrix)
    refused = found(net, "0", torch.randn(5, 4))
    assert refused == Outlook("class", "no linear way leads from 0 to the logits")


def test_of_a_map_the_mean_over_places_goes_there() -> None:
    torch.manual_seed(0)
    net = Pooled()
    outlook = found(net, "conv", torch.randn(3, 1, 6, 6))
    assert isinstance(outlook.head, Head)
    torch.testing.assert_close(outlook.head.matrix, net.fc.weight.detach().T / 16)
    assert "16 positions" in outlook.head.way


@pytest.mark.parametrize(
    "layer", ["model.layers.0", "model.layers.1", "model.embed_tokens", "model.layers.1:input"]
)
def test_a_step_in_the_last_stream_moves_the_logits_as_told(layer: str) -> None:
    model = llama()
    outlook = found(model, layer, TOKENS)
    assert outlook.predicts == "token"
    assert isinstance(outlook.head, Head)
    stream = torch.randn(1, 8, generator=torch.Generator().manual_seed(1))
    step = torch.randn(1, 8, generator=torch.Generator().manual_seed(2))
    step -= (
        stream * (stream @ step.T) / stream.square().sum()
    )  # along the stream itself, the norm takes it back
    with torch.no_grad():
        norm = lambda x: model.lm_head(model.model.norm(x))  # noqa: E731
        moved = (norm(stream + 1e-3 * step) - norm(stream)) / 1e-3
    size = stream.square().mean().sqrt()
    torch.testing.assert_close(step @ outlook.head.matrix / size, moved, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize(
    "layer", ["model.layers.0.self_attn.q_proj", "model.layers.0.mlp.down_proj:input", "model.norm:input"]
)
def test_other_layers_of_a_transformer_have_none_or_their_own(layer: str) -> None:
    head = found(llama(), layer, TOKENS).head
    assert isinstance(head, str) == (layer != "model.norm:input")


def test_networks_without_logits_say_so() -> None:
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertModel(BertConfig(vocab_size=11, **sizes)).eval()
    assert found(model, "encoder.layer.0", TOKENS) == Outlook(None, "the network puts out no logits")
    bare = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    assert found(bare, "0", torch.randn(2, 4)).head == "the network does not end in a linear map to logits"
    assert not any(module._forward_hooks for module in model.modules())


def test_effects_are_the_largest_and_smallest_of_the_whole_product() -> None:
    draws = torch.Generator().manual_seed(0)
    decoder, matrix = torch.randn(7, 5, generator=draws), torch.randn(5, 20, generator=draws)
    effects = logit_effects(decoder, Head(matrix, "token", "straight"), 3)
    whole = decoder @ matrix
    whole = whole - whole.mean(1, keepdim=True)
    assert torch.equal(effects.raised, whole.topk(3).indices)
    assert torch.equal(effects.lowered, whole.topk(3, largest=False).indices)
    torch.testing.assert_close(effects.lowered_by, whole.topk(3, largest=False).values)
    torch.testing.assert_close(effects.strength, whole.amax(1))
    assert logit_effects(decoder, Head(matrix[:, :2], "class", "")).raised.shape == (7, 2)
