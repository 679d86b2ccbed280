"""A sparse autoencoder of one sentence of GPT-2, as published, and what it takes to have one of use."""

from collections.abc import Mapping, Sequence

import pandas as pd
from torch import Tensor

from superscope.core import Run
from superscope.core.runtime import threads
from superscope.recipes.recipe import Outcome, Recipe
from superscope.recipes.sae_gpt2_claims import CLAIMS, agreement, chance_agreement, judged
from superscope.recipes.sae_gpt2_figures import draw, tabulate_dictionaries, tabulate_sentences
from superscope.recipes.sae_gpt2_published import SENTENCE
from superscope.recipes.sae_gpt2_subject import REHEARSAL, Subject, load_subject
from superscope.recipes.sae_gpt2_training import (
    Measured,
    OneMeasured,
    SaeGpt2Config,
    Sentence,
    middle_of,
    read_sentence,
    train_dictionaries,
    train_sentences,
)
from superscope.report import DataTable, Facts, Picture, Prose, Section

_ON_ONE = """The course takes the last hidden states of one sentence, a vector for each of its tokens, and
trains an autoencoder with 16 latents to reconstruct them. It shows the encoder's weights as features of the
language model and the mean activations as what the sentence is made of.

There are about as many latents as tokens, so the autoencoder may learn the tokens by heart. Three questions
tell whether it found something of the model. Are the codes sparse? Does another start find the same latents?
Does it reconstruct other texts, and does the model still work with the reconstruction in place of its last
hidden state?"""
_ON_MANY = """A dictionary of use is trained on many tokens of many texts and measured on texts that it has
not seen. What counts is what the model does with it. Take the layer away, and the loss rises; put the
reconstruction in its place, and some of the rise is recovered: all of it at 1, none at 0. To take a layer
away means to put zeros in its place, as is usual, or its mean. With zeros a model can be worse off than one
that knows nothing, whose loss is the logarithm of its vocabulary, and of so large a rise much is recovered
easily; so the claims ask for a share against both."""
_COLUMNS = {
    "FVU on the sentence": "share of the variance that is not explained",
    "FVU elsewhere": "the same on the texts held out",
    "recovered elsewhere": "of the loss, in the last hidden state's place, against zeros",
    "active latents": "of a token of the sentence, mean",
    "active at the start": "the same before the first step",
}
_MANY_COLUMNS = {
    "L0": "active latents of a token, mean",
    "FVU": "share of the variance that is not explained",
    "recovered": "share of the loss, against zeros in the layer's place",
    "error": "its standard error over texts",
    "recovered from the mean": "share of the loss, against the layer's mean in its place",
    "clean": "loss of the model as it is, nats a token",
    "spliced": "with the reconstruction in the layer's place",
    "zeros": "with zeros there",
    "mean": "with the layer's mean there",
    "KL": "of the predictions, clean to spliced, nats",
    "accuracy": "next tokens guessed right, clean",
}


def _run(config: SaeGpt2Config, run: Run) -> Outcome:
    subject = load_subject(config.model, config.data, config.length)
    subject.parts(config.held_out, config.text_batch)  # a fault stops the run before there is a directory
    middle, published = middle_of(config, subject), config.sentence == SENTENCE
    with threads(config.threads):
        sentence = read_sentence(subject, config.sentence)
        sentences = train_sentences(run, config, subject, sentence)
        dictionaries = train_dictionaries(run, config, subject)
        pictures = draw(subject, sentence, sentences, dictionaries, middle, config, published=published)
        rows = judged(subject, sentences, dictionaries, middle, published=published)
        alike = _alike(sentences, dictionaries, middle)
    tables = {
        "sentence": tabulate_sentences(sentences),
        "dictionaries": tabulate_dictionaries(dictionaries),
        "agreement": alike,
    }
    return Outcome(
        rows,
        tables,
        pictures,
        _tensors(sentence, sentences, dictionaries),
        _sections(config, subject, sentence, tables, pictures),
    )


def _alike(sentences: Sequence[OneMeasured], dictionaries: Sequence[Measured], middle: str) -> pd.DataFrame:
    """Return how well the starts agree: of one sentence's dictionaries, and of those of many tokens by k."""
    sets: dict[str, list[Tensor]] = {
        "one sentence": [each.trained.network.decoder.weight.T for each in sentences]
    }
    for each in dictionaries:
        if each.layer == middle:
            sets.setdefault(f"many tokens, k = {each.k}", []).append(each.dictionary.W_dec.detach())
    rows = []
    for name, decoders in sets.items():
        if len(decoders) > 1:
            found = agreement(decoders)
            latents, width = decoders[0].shape
            rows.append(
                {"dictionary": name, "latents": latents, "mean cosine": sum(found) / len(found)}
                | {"of random directions": chance_agreement(latents, width)}
            )
    return pd.DataFrame(rows, columns=["dictionary", "latents", "mean cosine", "of random directions"])


def _tensors(
    sentence: Sentence, sentences: Sequence[OneMeasured], dictionaries: Sequence[Measured]
) -> dict[str, Tensor]:
    found = {"sentence/hidden": sentence.hidden}
    for each in sentences:
        state = {**each.trained.network.state_dict(), "history": each.trained.history}
        found |= {f"sentence/seed-{each.elsewhere.seed}/{name}": value for name, value in state.items()}
    first = min(each.seed for each in dictionaries)
    for each in dictionaries:
        if each.seed == first:
            state = each.dictionary.state_dict()
            found |= {f"{each.layer}/k-{each.k}/{name}": value for name, value in state.items()}
    return {name: value.contiguous() for name, value in found.items()}


def _sections(
    config: SaeGpt2Config,
    subject: Subject,
    sentence: Sentence,
    tables: Mapping[str, pd.DataFrame],
    pictures: Mapping[str, Picture],
) -> list[Section]:
    train, test = subject.parts(config.held_out, config.text_batch)
    facts = {
        "model": subject.name,
        "sentence": f"{config.sentence!r}, {len(sentence.tokens)} tokens of {sentence.hidden.shape[1]} units",
        "texts": f"{subject.texts.name}: {len(train.rows):,} to train on, {len(test.rows):,} held out",
        "dictionaries": f"{config.architecture}, {config.n_latents:,} latents, default training",
        "first tokens of a text left alone": config.skip_tokens,
    }
    cosines = {"mean cosine": "{:.3f}", "of random directions": "{:.3f}"}
    return [
        Section(
            "One sentence, as published",
            [
                Prose(_ON_ONE),
                Facts(facts),
                pictures["loss"],
                DataTable(tables["sentence"], "The published training by start.", {}, _COLUMNS),
                pictures["features"],
                pictures["strengths"],
                pictures["sentence"],
            ],
        ),
        Section(
            "Many tokens",
            [
                Prose(_ON_MANY),
                pictures["recovered"],
                *([pictures["blocks"]] if "blocks" in pictures else []),
                DataTable(
                    tables["dictionaries"],
                    "On the texts held out.",
                    _formats(),
                    _MANY_COLUMNS,
                ),
                pictures["latents"],
            ],
        ),
        Section(
            "Do starts agree?",
            [
                Prose(
                    "Latents of two starts, matched one to one so that the cosines of their decoder's "
                    "directions have the largest sum; the mean of these cosines."
                ),
                DataTable(tables["agreement"], "Mean over the pairs of starts.", cosines),
            ],
        ),
    ]


def _formats() -> dict[str, str]:
    shares = dict.fromkeys(("recovered", "error", "recovered from the mean", "FVU"), "{:.4f}")
    losses = dict.fromkeys(("clean", "spliced", "zeros", "mean", "KL"), "{:.3f}")
    return shares | losses | {"accuracy": "{:.1%}", "spliced accuracy": "{:.1%}", "L0": "{:.2f}"}


SAE_GPT2 = Recipe(
    name="sae-gpt2",
    title="A sparse autoencoder of a language model: from one sentence, and from many tokens",
    source="N5: Unravelling Superposition (course), section 5",
    introduction=(
        "The course trains a sparse autoencoder with 16 latents on one sentence of GPT-2 and reads features "
        "of the model from it. Here the same is done over several starts, with the questions that tell "
        "whether something of the model was found; and beside it stand dictionaries of many tokens, judged "
        "by how well the model works with them in a layer's place."
    ),
    config=SaeGpt2Config,
    presets={
        "smoke": SaeGpt2Config(
            model=REHEARSAL, sentence="the red cat saw a small dog .", seeds=(0, 1), length=64, held_out=40,
            n_latents=48, ks=(2, 4), each_block=4, batch_size=128,
        ),
        "quick": SaeGpt2Config(),
        "paper": SaeGpt2Config(
            model="hf:gpt2", seeds=(0, 1, 2, 3, 4), n_latents=8_192, ks=(8, 16, 32, 64), held_out=200,
            text_batch=8, threads=None,
        ),
    },
    claims=CLAIMS,
    run=_run,
)  # fmt: skip
