"""What the recipe on GPT-2 trains and measures: dictionaries of one sentence, and of many tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from superscope.activations import capture, harvest
from superscope.activations.rows import one_layer
from superscope.atlas.recovery import Recovery, loss_recovered
from superscope.core import ModelError, Run, config
from superscope.dictionary import Architecture, Dictionary, DictionaryConfig, make_dictionary, train
from superscope.dictionary.standard import Standard
from superscope.recipes.sae_gpt2_published import (
    LATENTS,
    SENTENCE,
    OneSentence,
    Trained,
    from_tensors,
    to_tensors,
    train_published,
)
from superscope.recipes.sae_gpt2_subject import Subject
from superscope.recipes.toy_training import Count, Seeds

NUMBERS = tuple(field.name for field in fields(Recovery) if field.type is float)
"""What is kept of a :class:`superscope.atlas.Recovery`, each with its standard error."""


@config
class SaeGpt2Config:
    """A sparse autoencoder of one sentence, as published, and dictionaries of many tokens."""

    model: str | None = None
    """A causal language model: hf:NAME, llama2c:FILE, ...; without, the 260k-parameter Llama in the folder
    that SUPERSCOPE_DATA names. tiny is for a rehearsal, with texts of its own."""
    data: str | None = None
    """Its texts: text:FILE, hf:DATASET:SPLIT; without, TinyStories in that folder."""
    sentence: Annotated[str, Field(min_length=1)] = SENTENCE
    """What the published autoencoder is trained on."""
    seeds: Seeds = (0, 1, 2)
    """Starts; the claims are judged over them."""
    length: Annotated[int, Field(ge=8)] = 512
    """Tokens that texts are cut to, unless the model takes fewer."""
    held_out: Count = 100
    """Texts at the end that no dictionary is trained on, for measuring."""
    skip_tokens: Annotated[int, Field(ge=0)] = 1
    """Tokens at the start of a text that are neither trained on nor replaced: the first ones of a text draw
    attention from all others and are like no other."""
    layer: str | None = None
    """Where dictionaries of several k are trained; the middle block without."""
    architecture: Architecture = "topk"
    """Of the dictionaries."""
    n_latents: Count = 1024
    """Of each."""
    ks: Annotated[tuple[Count, ...], Field(min_length=1)] = (4, 8, 16, 32)
    """Active latents of a token, a dictionary for each."""
    each_block: Annotated[int, Field(ge=0)] = 16
    """Active latents of one more dictionary for every block, of the first seed; 0 for none."""
    batch_size: Count = 1024
    """Tokens a step; each dictionary sees the training texts once."""
    text_batch: Count = 16
    """Texts a forward pass."""
    threads: Count | None = 1
    """Of the CPU, all where None; small models are faster on one."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""


@dataclass(frozen=True)
class Measured:
    """A dictionary and what the model does with it in a layer's place, on the texts held out."""

    layer: str
    k: int
    seed: int
    dictionary: Dictionary
    numbers: Mapping[str, float]
    errors: Mapping[str, float]


@dataclass(frozen=True)
class Sentence:
    """The tokens of the sentence and their hidden states."""

    tokens: Sequence[str]
    hidden: Float[Tensor, "token unit"]


@dataclass(frozen=True)
class OneMeasured:
    """A published training, and what is known of it."""

    trained: Trained
    fvu: float
    """On the sentence itself."""
    l0: float
    """Active latents of a token of it."""
    l0_start: float
    """The same before the first step."""
    elsewhere: Measured
    """In the last hidden state's place, on the texts held out."""


def read_sentence(subject: Subject, sentence: str) -> Sentence:
    """Return the last hidden states of a sentence, as the course takes them, and its tokens.

    Raises:
        ModelError: when they are not what the model's last norm puts out, so that they cannot be spliced.
    """
    inputs = subject.tokenizer([sentence], return_tensors="pt")
    with torch.no_grad(), capture(subject.model, subject.last) as captured:
        output = subject.model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], output_hidden_states=True
        )
    hidden = output.hidden_states[-1][0].float()
    if not torch.equal(captured[subject.last][0].float(), hidden):
        raise ModelError(f"{subject.last} of {subject.name} does not put out the last hidden state")
    return Sentence(spelled(subject, inputs["input_ids"][0]), hidden)


def spelled(subject: Subject, ids: Int[Tensor, " token"]) -> list[str]:
    """Return tokens as text, with a stroke for the space in front of a word."""
    named = subject.tokenizer.convert_ids_to_tokens(ids.tolist())
    return [str(name).replace("▁", "_").replace("Ġ", "_").replace("<0x0A>", "↵") for name in named]


def train_sentences(
    run: Run, options: SaeGpt2Config, subject: Subject, sentence: Sentence
) -> list[OneMeasured]:
    """Train the published autoencoder with each seed and measure it on the sentence and elsewhere."""
    _, test = subject.parts(options.held_out, options.text_batch)
    x, spread = sentence.hidden, (sentence.hidden - sentence.hidden.mean(0)).square().sum()
    found = []
    for seed in options.seeds:

        def work(seed: int = seed) -> dict[str, Tensor]:
            trained = train_published(x, seed)
            recovery = loss_recovered(
                subject.model, test, subject.last, as_dictionary(trained.network),
                skip_tokens=options.skip_tokens, device=options.device,
            )  # fmt: skip
            return to_tensors(trained) | _kept(recovery)

        state = run.stage(f"sentence-seed-{seed}", work)
        numbers, errors = _read(state)
        trained = from_tensors(state, seed)
        f, reconstruction = trained.network(x)
        started = trained.start(x)[0]
        each = OneMeasured(
            trained,
            float((x - reconstruction).square().sum() / spread),
            float((f > 0).sum() / len(x)),
            float((started > 0).sum() / len(x)),
            Measured(subject.last, LATENTS, seed, as_dictionary(trained.network), numbers, errors),
        )
        run.metric(sentence=seed, loss=trained.printed(), fvu=each.fvu, elsewhere=numbers["fvu"])
        found.append(each)
    return found


def as_dictionary(network: OneSentence) -> Dictionary:
    """Return the published network as a dictionary of ours, which a layer's place can be taken with."""
    width, latents = network.encoder.in_features, network.encoder.out_features
    made = Standard(DictionaryConfig("standard", n_latents=latents, k=1), width, None, torch.Generator())
    with torch.no_grad():
        made.encoder.copy_(network.encoder.weight)
        made.b_enc.copy_(network.encoder.bias)
        made.W_dec.copy_(network.decoder.weight.T)
        made.b_dec.copy_(network.decoder.bias)
    return made.eval()


def middle_of(options: SaeGpt2Config, subject: Subject) -> str:
    """Return the layer that the dictionaries of several k are of.

    Raises:
        LayerError: when the config's matches none, or several.
    """
    if options.layer is not None:
        return one_layer(subject.model, options.layer)
    return subject.blocks[(len(subject.blocks) - 1) // 2]


def plan(options: SaeGpt2Config, subject: Subject) -> list[tuple[str, int, int]]:
    """Return layer, k and seed of each dictionary of many tokens."""
    middle = middle_of(options, subject)
    planned = [(middle, k, seed) for k in options.ks for seed in options.seeds]
    if options.each_block:
        planned += [(block, options.each_block, options.seeds[0]) for block in subject.blocks]
    return list(dict.fromkeys(planned))


def train_dictionaries(run: Run, options: SaeGpt2Config, subject: Subject) -> list[Measured]:
    """Train the planned dictionaries on the training texts and measure each on those held out."""
    train_texts, test = subject.parts(options.held_out, options.text_batch)
    stores = run.checkpoint("rows").parent / "rows"  # goes with the stages when the run is finished
    found = []
    for layer, k, seed in plan(options, subject):
        settings = DictionaryConfig(
            options.architecture, n_latents=options.n_latents, k=k, batch_size=options.batch_size
        )
        stage = f"{layer.replace(':', '-')}-k{k}-seed{seed}"

        def work(
            layer: str = layer, seed: int = seed, settings: DictionaryConfig = settings, stage: str = stage
        ) -> dict[str, Tensor]:
            rows = harvest(
                subject.model, train_texts, layer, _folder(stores, layer),
                skip_tokens=options.skip_tokens, device=options.device,
            )  # fmt: skip
            made = train(rows, settings, seed=seed, device=options.device, checkpoint=run.checkpoint(stage))
            recovery = loss_recovered(
                subject.model, test, layer, made, skip_tokens=options.skip_tokens, device=options.device
            )
            return {f"state/{name}": value for name, value in made.state_dict().items()} | _kept(recovery)

        state = run.stage(stage, work)
        weights = {name[6:]: value for name, value in state.items() if name.startswith("state/")}
        made = make_dictionary(settings, weights["encoder"].shape[1], generator=torch.Generator())
        made.load_state_dict(weights)
        numbers, errors = _read(state)
        run.metric(layer=layer, k=k, seed=seed, **numbers)
        found.append(Measured(layer, k, seed, made.eval(), numbers, errors))
    return found


@torch.no_grad()
def codes_of_text(
    subject: Subject, each: Measured, options: SaeGpt2Config, count: int
) -> tuple[list[str], Float[Tensor, "token latent"]]:
    """Return the first tokens of the first text held out, behind those left alone, and their codes."""
    text, skip = len(subject.texts) - options.held_out, options.skip_tokens
    inputs = {name: value[:, : skip + count] for name, value in subject.texts.take([text])[0].items()}
    with capture(subject.model, each.layer) as captured:
        subject.model(**inputs)
    states = captured[each.layer][0, skip:].float()
    return spelled(subject, inputs["input_ids"][0, skip:]), each.dictionary.encode(states)


def _folder(stores: Path, layer: str) -> Path:
    return stores / layer.replace(":", "-").replace("/", "-")


def _kept(recovery: Recovery) -> dict[str, Tensor]:
    return {
        "numbers": torch.tensor([getattr(recovery, name) for name in NUMBERS], dtype=torch.float64),
        "errors": torch.tensor([recovery.errors[name] for name in NUMBERS], dtype=torch.float64),
    }


def _read(state: Mapping[str, Tensor]) -> tuple[dict[str, float], dict[str, float]]:
    values, errors = (dict(zip(NUMBERS, state[part].tolist(), strict=True)) for part in ("numbers", "errors"))
    return values, errors
