"""Data that a model cannot read is refused in a line that says what would do."""

import pytest
import torch

from superscope.activations.inputs import load_inputs
from superscope.core.errors import DataError, ModelError
from superscope.models import Preparation
from superscope.survey import describe, measure


def test_images_are_refused_where_the_model_reads_text(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Preparation(tokenizer=object())
    monkeypatch.setattr("superscope.activations.inputs.load_preparation", lambda _: said)
    with pytest.raises(DataError, match="hf:reader reads text, and digits:train is a set of images"):
        load_inputs("digits:train", "hf:reader")
    both = Preparation(tokenizer=object(), image_size=8)
    monkeypatch.setattr("superscope.activations.inputs.load_preparation", lambda _: both)
    assert load_inputs("digits:train", "hf:both") is not None


def test_an_encoder_with_a_decoder_says_what_it_wants() -> None:
    from transformers import T5Config, T5Model

    config = T5Config(vocab_size=11, d_model=8, d_kv=4, d_ff=12, num_layers=1, num_heads=2)
    model, ids = T5Model(config), torch.arange(12).reshape(3, 4) % 11
    for refused in (measure, describe):
        with pytest.raises(ModelError, match=r"decoder_input_ids; take .* returns model.get_encoder\(\)"):
            refused(model, {"input_ids": ids})
    assert measure(model, {"input_ids": ids, "decoder_input_ids": ids}).rows
    assert measure(model.get_encoder(), {"input_ids": ids}).rows
