"""The language model of the recipe on GPT-2, its texts, and a rehearsal of both that needs no file."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from superscope.activations import transformer_layers
from superscope.activations.inputs import load_inputs
from superscope.core import DataError, ModelError, generator
from superscope.data import TextSamples
from superscope.data.text_files import Texts
from superscope.models import load_model, load_preparation
from superscope.recipes.mnist_training import HOME

REHEARSAL = "tiny"
_LLAMA = ("weights/stories260K.bin", "text/tinystories_2MB.txt")
_GPT2 = ("gpt2", 12, 768, 50257)
_WORDS = (
    ("the", "a", "one", "every"),
    ("small", "red", "old", "happy", "quiet"),
    ("cat", "dog", "bird", "girl", "boy", "fox"),
    ("saw", "found", "liked", "lost", "wanted"),
)
_STORIES, _SENTENCES = 240, 4


@dataclass(frozen=True)
class Subject:
    """A causal language model and texts for it."""

    model: nn.Module
    tokenizer: Any
    texts: TextSamples
    name: str
    """What the config calls the model, without the folders of a path."""
    gpt2: bool
    """Whether it is built as GPT-2 with 124 million parameters, which the published numbers are of."""
    blocks: Sequence[str]
    """Its residual stream: the outputs of its blocks, from first to last."""
    last: str
    """The norm behind them, whose output transformers calls the last hidden state."""

    @property
    def rehearsal(self) -> bool:
        """Whether this is the tiny model."""
        return self.name == REHEARSAL

    def parts(self, held_out: int, batch_size: int) -> tuple["Part", "Part"]:
        """Return the texts to train on, and the last ``held_out`` to test on.

        Raises:
            DataError: when nothing is left to train on.
        """
        count = len(self.texts)
        if held_out >= count:
            raise DataError(
                f"{self.texts.name} has {count:,} texts, of which {held_out:,} are held out; lower "
                "--held-out or give more texts"
            )
        return (
            Part(self.texts, range(count - held_out), batch_size),
            Part(self.texts, range(count - held_out, count), batch_size),
        )


@dataclass(frozen=True)
class Part:
    """Some of the texts, in batches and in order, as often as they are asked for."""

    texts: TextSamples
    rows: range
    batch_size: int

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for start in range(0, len(self.rows), self.batch_size):
            yield self.texts.take(self.rows[start : start + self.batch_size])[0]


def load_subject(model: str | None, data: str | None, length: int) -> Subject:
    """Return the model and texts that a config names.

    Args:
        model: as :func:`superscope.models.load_model` takes it; the 260k-parameter Llama in the folder that
            ``SUPERSCOPE_DATA`` names where None; ``tiny`` for a rehearsal, with texts of its own.
        data: texts, as :func:`superscope.data.load_data` takes them; TinyStories in that folder where None.
        length: texts are cut to so many tokens.

    Raises:
        ModelError: when the model cannot be had, or is no causal language model of blocks.
        DataError: when the texts cannot be had.
    """
    if model == REHEARSAL:
        return _rehearsal(length)
    model = model if model is not None else f"llama2c:{_home('--model', _LLAMA[0])}"
    data = data if data is not None else f"text:{_home('--data', _LLAMA[1])}"
    texts = load_inputs(data, model, max_length=min(length, load_preparation(model).max_length or length))
    if not isinstance(texts, TextSamples):
        raise DataError(f"{data} is no set of texts; give text:FILE or hf:DATASET")
    return _subject(load_model(model), load_preparation(model).tokenizer, texts, model)


def _home(option: str, file: str) -> Path:
    home = os.environ.get(HOME)
    if not home:
        raise DataError(
            f"this recipe needs a language model and texts; give {option}, or set {HOME} to a folder that "
            f"holds {file}; --preset smoke is a rehearsal without"
        )
    return Path(home) / file


def _subject(model: nn.Module, tokenizer: Any, texts: TextSamples, name: str) -> Subject:
    layers = transformer_layers(model)
    blocks = [layer for layer in layers if layer.rpartition(".")[2].isdecimal()]
    settings: Any = getattr(model, "config", None)
    if not blocks or tokenizer is None or not hasattr(settings, "vocab_size"):
        raise ModelError(f"{name} is no causal language model of transformers with a tokenizer; give hf:NAME")
    sizes = tuple(
        getattr(settings, key, None)
        for key in ("model_type", "num_hidden_layers", "hidden_size", "vocab_size")
    )
    kind, _, where = name.partition(":")
    called = f"{kind}:{Path(where).name}" if where and Path(where).expanduser().exists() else name
    return Subject(model.eval(), tokenizer, texts, called, sizes == _GPT2, blocks, layers[-1])


class _Stories(Texts):
    """Stories of four sentences from a few words: of each kind one."""

    name = "embedded stories"

    def __init__(self) -> None:
        draws = generator(0, "sae-gpt2", "stories")

        def sentence() -> str:
            article, adjective, noun, verb = (
                [words[int(torch.randint(len(words), (), generator=draws))] for _ in range(2)]
                for words in _WORDS
            )
            subject, other = (f"{article[k]} {adjective[k]} {noun[k]}" for k in range(2))
            return f"{subject} {verb[0]} {other} ."

        self._made = [" ".join(sentence() for _ in range(_SENTENCES)) for _ in range(_STORIES)]

    def __len__(self) -> int:
        return len(self._made)

    def read(self, rows: Sequence[int]) -> tuple[list[str], np.ndarray | None]:
        return [self._made[row] for row in rows], None


def _rehearsal(length: int) -> Subject:
    """Return a Llama of two random blocks whose head knows which word follows which, and its stories."""
    try:
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    except ImportError as error:
        raise ModelError(f"this recipe needs transformers ({error}); pip install 'superscope[hf]'") from error
    words = ["<unk>", "</s>", ".", *(word for kind in _WORDS for word in kind)]
    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token=words[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    wrapped: Any = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=words[0], eos_token=words[1], pad_token=words[1]
    )
    wrapped.padding_side = "right"
    texts = TextSamples(_Stories(), wrapped, max_length=length)
    settings = LlamaConfig(
        vocab_size=len(words), hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=512, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):  # what is drawn here is drawn anew below
        model = LlamaForCausalLM(settings)
    draws = generator(0, "sae-gpt2", "tiny")
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, 0.0, 1.0 if "embed" in name else 0.05, generator=draws)
    _fit_head(model, texts, len(words))
    return _subject(model, wrapped, texts, REHEARSAL)


@torch.no_grad()
def _fit_head(model: Any, texts: TextSamples, size: int) -> None:
    """Give the head the weights by which a token alone predicts the log of how often each other follows.

    A ridge regression from the normalized embedding, which the weak blocks change little. Rounded, so that
    every machine has the same weights to the last bit.
    """
    inputs = texts.take(range(len(texts)))[0]
    ids, real = inputs["input_ids"], inputs["attention_mask"].bool()
    pairs = (ids[:, :-1] * size + ids[:, 1:])[real[:, 1:]]
    counts = torch.bincount(pairs, minlength=size * size).view(size, size).double() + 0.1
    logs = counts.log() - counts.log().mean(1, keepdim=True)
    E = model.model.embed_tokens.weight.double()
    hidden = E / E.square().mean(1, keepdim=True).sqrt()
    gram = hidden.T @ hidden + torch.eye(hidden.shape[1], dtype=torch.float64)
    model.lm_head.weight.copy_(torch.linalg.solve(gram, hidden.T @ logs).T.mul(1e3).round() / 1e3)
