"""Which layers of a transformer are looked at by default, for the families that people use."""

from typing import Any

import pytest
from torch import nn

from superscope.activations import select_layers, transformer_layers

transformers: Any = pytest.importorskip("transformers", reason="the hf extra is not installed")
_SIZES = {
    "num_hidden_layers": 1,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "vocab_size": 300,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


@pytest.mark.parametrize(
    ("name", "sizes", "expected"),
    [
        (
            "Bert",
            _SIZES,
            [
                "embeddings",
                "encoder.layer.0.attention.output.dense",
                "encoder.layer.0.output.dense:input",
                "encoder.layer.0",
            ],
        ),
        (
            "Llama",
            _SIZES,
            [
                "embed_tokens",
                "layers.0.self_attn.o_proj",
                "layers.0.mlp.down_proj:input",
                "layers.0",
                "norm",
            ],
        ),
        (
            "GPT2",
            {
                "n_layer": 1,
                "n_embd": 16,
                "n_head": 2,
                "vocab_size": 300,
                "bos_token_id": 1,
                "eos_token_id": 2,
            },
            ["wte", "h.0.attn.c_proj", "h.0.mlp.c_proj:input", "h.0", "ln_f"],
        ),
        (
            "ViT",
            _SIZES | {"image_size": 16, "patch_size": 8},
            ["embeddings", "layers.0.attention.o_proj", "layers.0.mlp.fc2:input", "layers.0", "layernorm"],
        ),
    ],
)
def test_the_residual_stream_the_hidden_layer_and_the_attentions_output(
    name: str, sizes: dict[str, Any], expected: list[str]
) -> None:
    config = getattr(transformers, f"{name}Config")(**sizes)
    model = getattr(transformers, f"{name}Model")(config)
    assert transformer_layers(model) == expected
    assert list(select_layers(model)) == expected
    assert len(select_layers(model, "**")) > len(expected)


def test_pytorchs_own_encoder() -> None:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2)
    assert transformer_layers(model) == [
        "layers.0.self_attn",
        "layers.0.linear2:input",
        "layers.0",
        "layers.1.self_attn",
        "layers.1.linear2:input",
        "layers.1",
    ]


def test_other_networks_have_none() -> None:
    assert transformer_layers(nn.Sequential(nn.Linear(3, 3), nn.ModuleList([nn.ReLU()]))) == []
