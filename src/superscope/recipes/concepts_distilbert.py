"""Three concepts in the hidden states of a text model: do sentences correlate with them, and with which."""

from collections.abc import Sequence
from typing import Annotated

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from superscope.core import DataError, Run, config, generator, resolve_device
from superscope.recipes.concepts_claims import CLAIMS, READINGS, Draw, compare, judged
from superscope.recipes.concepts_encoder import (
    CONCEPTS,
    REHEARSAL,
    Encoder,
    Means,
    load_encoder,
    load_sentences,
    sentence_means,
    word_vectors,
    words_in,
)
from superscope.recipes.concepts_figures import (
    BY_DRAW,
    CAPTION,
    COLUMNS,
    DRAW_COLUMNS,
    DRAW_FORMATS,
    FORMATS,
    draw_pictures,
    tabulate_concepts,
    tabulate_draws,
)
from superscope.recipes.recipe import Outcome, Recipe
from superscope.report import DataTable, Facts, Prose, Section

_LIST = 5
_WORDS_FROM = 5_000
"""Sentences that the words of the random lists come from, at most."""

Count = Annotated[int, Field(ge=1)]


@config
class ConceptsConfig:
    """Hidden states of a text model on sentences, and three lists of words as concepts."""

    model: str = "hf:distilbert-base-uncased"
    """hf:NAME, or a folder with a text model and its tokenizer."""
    data: str | None = None
    """SST-2's training sentences: text:FILE, a .tsv with label and sentence; or hf:glue/sst2:train."""
    sentences: Annotated[int, Field(ge=10)] = 1_000
    """In each draw; the published ones are the first."""
    draws: Annotated[int, Field(ge=0)] = 5
    """Disjoint random draws from the other sentences, which the claims are judged over beside the first."""
    length: Annotated[int, Field(ge=8)] = 512
    """Tokens that each sentence is padded to, unless the model takes fewer."""
    lists: Annotated[int, Field(ge=20)] = 400
    """Lists of five random words from the sentences, as a control."""
    batch_size: Count = 32
    """Sentences a forward pass."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the draws and of the random words."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""


def _run(config: ConceptsConfig, run: Run) -> Outcome:
    encoder = load_encoder(config.model, config.length)
    device = resolve_device(config.device)
    sentences = load_sentences(config.data, encoder)
    rows = _rows(len(sentences), config)

    def words() -> dict[str, Tensor]:
        shown = words_in(encoder, sentences, torch.cat(rows)[:_WORDS_FROM].tolist())
        vocabulary, lists = _random_lists(shown, config)
        named = [word for listed in CONCEPTS.values() for word in listed]
        own, others = word_vectors(encoder, named, device), word_vectors(encoder, vocabulary, device)
        return {"concepts": own.reshape(len(CONCEPTS), _LIST, -1).mean(1), "lists": others[lists].mean(1)}

    vectors = run.stage("words", words)
    draws = []
    for number, chosen in enumerate(rows):
        means = run.stage(
            f"draw-{number}",
            lambda chosen=chosen: dict(
                vars(sentence_means(encoder, sentences, chosen.tolist(), device, config.batch_size))
            ),
        )
        draw = compare(Means(**means), vectors["concepts"], vectors["lists"])
        both = {key: draw.with_concepts(key).mean(0).tolist() for key in READINGS}
        run.metric(draw=number, concepts=list(CONCEPTS), **both)
        draws.append(draw)

    concepts, by_draw = tabulate_concepts(draws), tabulate_draws(draws)
    pictures = draw_pictures(draws, vectors["concepts"], vectors["lists"])
    sections = [
        Section(
            "Sentences and concepts",
            [
                Prose(_READINGS),
                Facts(_facts(config, encoder, draws[0])),
                pictures["concepts"],
                DataTable(concepts, CAPTION, FORMATS, COLUMNS),
            ],
        ),
        Section(
            "Does a sentence lean to its own concept?",
            [Prose(_OWN), pictures["vectors"], DataTable(by_draw, BY_DRAW, DRAW_FORMATS, DRAW_COLUMNS)],
        ),
        Section(
            "Sentences in the plane",
            [Prose(_PLANE), pictures["pca-published"], pictures["pca-masked"]],
        ),
    ]
    tensors = {f"vectors/{name}": value for name, value in vectors.items()}
    for number, draw in enumerate(draws):
        tensors |= {
            f"draw-{number}/padded": draw.padded,
            f"draw-{number}/masked": draw.masked,
            f"draw-{number}/labels": draw.means.labels,
        }
    tables = {"concepts": concepts, "draws": by_draw}
    return Outcome(judged(config.model, encoder, draws), tables, pictures, tensors, sections)


def _rows(count: int, config: ConceptsConfig) -> list[Int[Tensor, " sentence"]]:
    """Return the first sentences, and the disjoint draws from the others."""
    size, needed = config.sentences, config.sentences * (1 + config.draws)
    if count < needed:
        raise DataError(
            f"{config.data} has {count:,} sentences; {1 + config.draws} draws of {size:,} need {needed:,}; "
            "lower --draws or --sentences"
        )
    others = torch.randperm(count - size, generator=generator(config.seed, "concepts", "draws"))
    return [torch.arange(size), *(others[: config.draws * size] + size).reshape(-1, size)]


def _random_lists(words: Sequence[str], config: ConceptsConfig) -> tuple[list[str], Int[Tensor, "list 5"]]:
    """Return words, and lists of five different ones of them by place."""
    if len(words) < _LIST:
        raise DataError(f"{config.data} has {len(words)} words of three letters or more; give more sentences")
    draws = generator(config.seed, "concepts", "words")
    lists = [torch.randperm(len(words), generator=draws)[:_LIST] for _ in range(config.lists)]
    used, places = torch.cat(lists).unique(return_inverse=True)
    return [str(words[place]) for place in used.tolist()], places.reshape(-1, _LIST)


def _facts(config: ConceptsConfig, encoder: Encoder, first: Draw) -> dict[str, object]:
    tokens = first.means.lengths.double()
    return {
        "model": config.model,
        "units": encoder.width,
        "sentences in the first draw": {
            "all": len(tokens),
            "positive": int((first.means.labels == 1).sum()),
            "negative": int((first.means.labels == 0).sum()),
        },
        "tokens of a sentence, mean": f"{float(tokens.mean()):.1f} of {encoder.length} positions",
        "share of padding in the published mean": f"{1 - float(tokens.mean()) / encoder.length:.0%}",
    }


_READINGS = """The course pads every sentence to 512 tokens, takes the mean of the last hidden states over all
512 positions as the sentence's state, and correlates it, unit by unit, with each concept: the mean over five
words of the mean over their own tokens. A sentence of a dozen tokens leaves that mean to positions that hold
padding, nearly all of it. Beside it stands the masked mean, over the sentence's own tokens.

A high correlation by itself says little: the vectors of such a model share a large common part, so that any
two of them correlate. The control is random words: lists of five, drawn from the sentences, treated as the
concepts are."""
_OWN = """If a sentence's state holds the concept of its sentiment, a positive sentence should correlate more
with the positive words, less with the negative ones, than a negative sentence does. The lean is the
correlation with the positive concept less that with the negative one; whatever all vectors share is in both
and drops out."""
_PLANE = """The course sees clusters of different colours in the plane of the first two principal components.
The silhouette tells how far that goes: 1 for clusters far apart, 0 where the sentiments touch or mix."""

CONCEPTS_DISTILBERT = Recipe(
    name="concepts-distilbert",
    title="Three concepts in a text model: do hidden states correlate with what a sentence says?",
    source="N4: Unravelling Superposition (course), section 4.0.2",
    introduction=(
        "The course takes the mean hidden state of each of 1,000 film reviews and correlates it with mean "
        "embeddings of positive, negative and neutral words. All three correlate at about 0.35, so it "
        "concludes that the model holds several concepts in the same units. Here the same is done and "
        "judged, beside a mean that leaves padding out, random words as a control, and the question whether "
        "a sentence leans to its own concept."
    ),
    config=ConceptsConfig,
    presets={
        "smoke": ConceptsConfig(model=REHEARSAL, data=REHEARSAL, sentences=80, draws=3, length=32, lists=40),
        "quick": ConceptsConfig(),
        "paper": ConceptsConfig(lists=2_000),
    },
    claims=CLAIMS,
    run=_run,
)
