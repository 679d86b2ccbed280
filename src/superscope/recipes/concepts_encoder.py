"""Sentences and words as one vector each: what the recipe on concepts reads off a text model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from superscope.core.errors import DataError, ModelError
from superscope.core.progress import progress
from superscope.core.random import generator
from superscope.data import TextSamples, load_data
from superscope.data.text_files import Texts
from superscope.measures.published import masked_mean, mean_over_padding
from superscope.models import load_model, load_preparation

REHEARSAL = "tiny"
CONCEPTS: dict[str, tuple[str, ...]] = {
    "positive": ("good", "great", "excellent", "wonderful", "fantastic"),
    "negative": ("bad", "terrible", "awful", "horrible", "poor"),
    "neutral": ("okay", "fine", "average", "mediocre", "so-so"),
}
"""The course's lists."""
_NOUNS = ("film", "story", "plot", "cast", "ending", "script", "score", "scene", "pace", "idea")
_TEMPLATES = ("the {0} was {1}", "a {1} {0}", "what a {1} {0} this is", "i found the {0} {1}")
_SHORTEST = 3
_SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}


@dataclass(frozen=True)
class Encoder:
    """A text model, its tokenizer, and what it is."""

    model: nn.Module
    tokenizer: Any
    length: int
    """Tokens that sentences are padded and cut to."""
    width: int
    distilbert: bool
    """Whether it is built as distilbert-base-uncased, which the published numbers are of."""


@dataclass(frozen=True)
class Means:
    """One vector for each sentence, twice."""

    padded: Float[Tensor, "sentence unit"]
    """The mean over all positions, padding included: as published."""
    masked: Float[Tensor, "sentence unit"]
    """The mean over the sentence's own tokens."""
    labels: Int[Tensor, " sentence"]
    lengths: Int[Tensor, " sentence"]
    """Tokens of the sentence, special ones included."""


def load_encoder(spec: str, length: int) -> Encoder:
    """Return the model that ``spec`` names, a folder or ``hf:NAME``, or a tiny one for a rehearsal.

    Raises:
        ModelError: when it cannot be had, or is no text model with a tokenizer.
    """
    if spec == REHEARSAL:
        return _tiny(length)
    spec = spec if spec.startswith("hf:") else f"hf:{spec}"
    model, preparation = load_model(spec), load_preparation(spec)
    settings: Any = getattr(model, "config", None)
    if preparation.tokenizer is None or not hasattr(settings, "hidden_size"):
        raise ModelError(f"{spec} is no text model with a tokenizer; give --model hf:NAME or a folder of one")
    distilbert = (settings.model_type, settings.vocab_size, settings.num_hidden_layers, settings.hidden_size)
    bare = getattr(model, "base_model", model)
    return Encoder(
        bare.eval(),
        preparation.tokenizer,
        min(length, preparation.max_length or length),
        settings.hidden_size,
        distilbert == ("distilbert", 30522, 6, 768),
    )


def load_sentences(spec: str | None, encoder: Encoder) -> TextSamples:
    """Return sentences with labels 0 (negative) and 1 (positive).

    Raises:
        DataError: when no data is named, it cannot be read, or has not these labels.
    """
    if spec is None:
        raise DataError(
            "this recipe needs SST-2's training sentences; give --data text:FILE with a .tsv of label and "
            "sentence (or hf:glue/sst2:train), or --preset smoke for a rehearsal"
        )
    if spec == REHEARSAL:
        return TextSamples(_Embedded(), encoder.tokenizer, max_length=encoder.length)
    found = load_data(spec, tokenizer=encoder.tokenizer, max_length=encoder.length)
    if not isinstance(found, TextSamples):
        raise DataError(f"{spec} is no set of texts; give text:FILE with a column of labels and of sentences")
    first = found.take(range(min(len(found), 200)))[1]
    if first is None or set(first.tolist()) != {0, 1}:
        raise DataError(f"{spec}: its labels have to be 0 (negative) and 1 (positive), as in SST-2")
    return found


@torch.inference_mode()
def sentence_means(
    encoder: Encoder, sentences: TextSamples, rows: Sequence[int], device: torch.device, batch_size: int
) -> Means:
    """Return a vector for each sentence, from a forward pass in which each is padded to the full length."""
    model = encoder.model.to(device).eval()
    parts = []
    for start in progress(range(0, len(rows), batch_size), "encoding", unit="batch"):
        inputs, labels = sentences.take(rows[start : start + batch_size])
        assert labels is not None
        ids, mask = (inputs[name] for name in ("input_ids", "attention_mask"))
        room = (0, encoder.length - ids.shape[1])
        ids = functional.pad(ids, room, value=_padding(encoder.tokenizer))
        mask = functional.pad(mask, room)
        hidden = _hidden(model, ids.to(device), mask.to(device))
        both = mean_over_padding(hidden), masked_mean(hidden, mask.bool().to(device))
        parts.append((*(each.cpu() for each in both), labels, mask.sum(1)))
    return Means(*(torch.cat(each) for each in zip(*parts, strict=True)))


@torch.inference_mode()
def word_vectors(
    encoder: Encoder, words: Sequence[str], device: torch.device, batch_size: int = 256
) -> Float[Tensor, "word unit"]:
    """Return a vector for each word read alone: the mean over its tokens, special ones included."""
    model = encoder.model.to(device).eval()
    parts = []
    for start in range(0, len(words), batch_size):
        inputs = encoder.tokenizer(list(words[start : start + batch_size]), padding=True, return_tensors="pt")
        ids, mask = inputs["input_ids"].to(device), inputs["attention_mask"].to(device)
        parts.append(masked_mean(_hidden(model, ids, mask), mask.bool()).cpu())
    return torch.cat(parts)


def words_in(encoder: Encoder, sentences: TextSamples, rows: Sequence[int]) -> list[str]:
    """Return the words of three letters or more in the sentences, the concepts' own left out, in order."""
    found: set[str] = set()
    for start in range(0, len(rows), 500):
        ids = sentences.take(rows[start : start + 500])[0]["input_ids"]
        for text in encoder.tokenizer.batch_decode(ids, skip_special_tokens=True):
            found.update(word for word in text.lower().split() if len(word) >= _SHORTEST and word.isalpha())
    return sorted(found - {word for words in CONCEPTS.values() for word in words})


def correlations(
    states: Float[Tensor, "sentence unit"], vectors: Float[Tensor, "vector unit"]
) -> Float[Tensor, "sentence vector"]:
    """Return Pearson's correlation over units of each state with each vector, in float64.

    NaN for a state or vector that is constant.
    """
    one, other = (each.double() - each.double().mean(1, keepdim=True) for each in (states, vectors))
    one, other = (each / each.norm(dim=1, keepdim=True) for each in (one, other))
    return one @ other.T


def _hidden(model: nn.Module, ids: Int[Tensor, "text token"], mask: Int[Tensor, "text token"]) -> Tensor:
    output = model(input_ids=ids, attention_mask=mask)
    hidden = getattr(output, "last_hidden_state", None)
    if not isinstance(hidden, Tensor):
        raise ModelError(f"{type(model).__name__} puts out no last_hidden_state; give an encoder")
    return hidden.float()


def _padding(tokenizer: Any) -> int:
    number = getattr(tokenizer, "pad_token_id", None)
    if not isinstance(number, int):
        raise ModelError("the model's tokenizer has no padding token; give an encoder, as DistilBERT")
    return number


def _sentences() -> Iterator[tuple[str, int]]:
    for template, noun in product(_TEMPLATES, _NOUNS):
        for label, concept in enumerate(("negative", "positive")):
            for word in CONCEPTS[concept]:
                yield template.format(noun, word), label


class _Embedded(Texts):
    """Sentences made from templates around the concepts' words, in a fixed random order."""

    name, classes = "embedded sentences", ("negative", "positive")

    def __init__(self) -> None:
        made = list(_sentences())
        order = torch.randperm(len(made), generator=generator(0, "concepts", "embedded")).tolist()
        self._made = [made[place] for place in order]

    def __len__(self) -> int:
        return len(self._made)

    def read(self, rows: Sequence[int]) -> tuple[list[str], np.ndarray]:
        chosen = [self._made[row] for row in rows]
        return [text for text, _ in chosen], np.array([label for _, label in chosen], np.int64)


def _tiny(length: int) -> Encoder:
    """Return a BERT of two layers with random weights and a tokenizer of whole words."""
    try:
        from tokenizers import Tokenizer, models, pre_tokenizers, processors
        from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
    except ImportError as error:
        raise ModelError(f"this recipe needs transformers ({error}); pip install 'superscope[hf]'") from error
    words = {word for text, _ in _sentences() for word in text.split()}
    names = [*_SPECIAL.values(), *sorted(words.union(*CONCEPTS.values()))]
    numbers = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=_SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    first, last = _SPECIAL["cls_token"], _SPECIAL["sep_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(first, numbers[first]), (last, numbers[last])]
    )
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **_SPECIAL)
    settings = BertConfig(
        vocab_size=len(numbers), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=length,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):  # what is drawn here is drawn anew below
        model = BertModel(settings, add_pooling_layer=False)
    draws = generator(0, "concepts", "tiny")
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, 0.0, 0.3, generator=draws)
    return Encoder(model.eval(), wrapped, length, settings.hidden_size, distilbert=False)
