"""How the recipe on affixes trains its networks and what it measures on each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from pydantic import AfterValidator, Field
from torch import Tensor
from torch.nn import functional

from superscope.core import Run, config, generator
from superscope.core.runtime import threads
from superscope.data import AFFIXES, AffixWords, encode
from superscope.models import AffixNetwork
from superscope.training import accuracy, train_classifier

Count = Annotated[int, Field(ge=1)]


def _distinct(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) < len(values):
        raise ValueError("a number that comes twice is no further evidence")
    return values


@config
class AffixConfig:
    """Networks of several hidden widths, trained on words with one affix."""

    seeds: Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(_distinct)] = (0, 1, 2, 3, 4)
    """A split of the words and a training for each; the claims are judged over them."""
    widths: Annotated[tuple[Count, ...], Field(min_length=1), AfterValidator(_distinct)] = (2, 3, 4, 5, 8)
    """Hidden neurons; the claims are about 2 and 5, and 8 is a control with room to spare."""
    words: Path | None = None
    """Folder with words_alpha.txt (or its .zip) and en_50k_freq.txt, for the large run."""
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Of the words with one affix, how many are held out."""
    epochs: Count = 50
    """Passes over the training words."""
    batch_size: Count = 64
    """Words a step."""
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5e-3
    """Adam's learning rate."""
    restarts: Count = 6
    """Starts of each network, of which the one with the lowest training loss is kept: a hidden neuron that
    is never positive learns nothing."""
    threads: Count = 1
    """Of the CPU."""


@dataclass(frozen=True)
class Networks:
    """Trained networks of several widths with each seed; the hidden axis is filled up with zeros."""

    widths: tuple[int, ...]
    seeds: tuple[int, ...]
    test: Float[Tensor, "seed width"]
    """Accuracy on held-out words with one affix."""
    dual: Float[Tensor, "seed width"]
    """Accuracy on words with two affixes, either of which is right."""
    joined: Float[Tensor, "seed width"]
    """Accuracy on pairs of held-out words, each read right alone, after joining their pooled features."""
    loss: Float[Tensor, "seed width"]
    """Cross-entropy on the training words, in nats."""
    W: Float[Tensor, "seed width hidden class"]
    """Read-outs: the output layer's weights."""
    b: Float[Tensor, "seed width class"]
    means: Float[Tensor, "seed width hidden class"]
    """Mean hidden vector of the held-out words of each affix; 0 where there is none."""
    answers: Int[Tensor, "seed width word"]
    """The class that each word with two affixes is read as."""
    hidden: tuple[Float[Tensor, "test neuron"], Int[Tensor, " test"], Float[Tensor, "dual neuron"]]
    """Of the first seed and width: held-out words, their classes, and words with two affixes."""

    def at(self, values: Tensor, width: int) -> Tensor:
        """Return the part of ``values`` [seed, width, ...] that belongs to a width."""
        return values[:, self.widths.index(width)]

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Return all that is kept, under ``name``."""
        kept = ("test", "dual", "joined", "loss", "W", "b", "means", "answers")
        return {f"{name}/{key}": getattr(self, key) for key in kept}


def train_networks(run: Run, name: str, options: AffixConfig, words: AffixWords) -> Networks:
    """Train a network of each width with each seed, each of them a stage of the run."""
    parts = [
        [
            run.stage(
                f"{name}-seed-{seed}-width-{width}", lambda s=seed, w=width: _train(s, w, options, words)
            )
            for width in options.widths
        ]
        for seed in options.seeds
    ]
    for seed, row in zip(options.seeds, parts, strict=True):
        scores = {key: [float(part[key]) for part in row] for key in ("test", "dual", "joined", "loss")}
        run.metric(words=name, seed=seed, widths=list(options.widths), **scores)
    room = max(options.widths)

    def stacked(key: str) -> Tensor:
        return torch.stack([torch.stack([_filled(part[key], key, room) for part in row]) for row in parts])

    first = parts[0][0]
    return Networks(
        widths=options.widths,
        seeds=options.seeds,
        **{key: stacked(key) for key in ("test", "dual", "joined", "loss", "W", "b", "means", "answers")},
        hidden=(first["hidden"], first["classes"], first["dual_hidden"]),
    )


def _filled(value: Tensor, key: str, room: int) -> Tensor:
    if key not in ("W", "means"):
        return value
    return functional.pad(value, (0, 0, 0, room - len(value)))


def _train(seed: int, width: int, options: AffixConfig, words: AffixWords) -> dict[str, Tensor]:
    pure, dual = words.carrying(1), words.carrying(2)
    inputs, classes = encode(pure.words), pure.labels.int().argmax(1)
    order = torch.randperm(len(inputs), generator=generator(seed, "affix", "split"))
    held_out = max(1, round(options.test_share * len(order)))
    test, train = order[:held_out], order[held_out:]
    starts = []
    with threads(options.threads):
        for start in range(options.restarts):
            network = AffixNetwork(
                width, len(AFFIXES), generator=generator(seed, "affix", "start", width, start)
            )
            train_classifier(
                network, inputs[train], classes[train],
                epochs=options.epochs, batch_size=options.batch_size, lr=options.lr, seed=seed,
            )  # fmt: skip
            with torch.no_grad():
                loss = functional.cross_entropy(network(inputs[train]), classes[train])
            starts.append((float(loss), start, network))
        loss, _, network = min(starts, key=lambda each: each[:2])
        return _measured(network, inputs[test], classes[test], encode(dual.words), dual.labels) | {
            "loss": torch.tensor(loss)
        }


@torch.inference_mode()
def _measured(
    network: AffixNetwork,
    test: Int[Tensor, "test letter"],
    classes: Int[Tensor, " test"],
    dual: Int[Tensor, "dual letters"],
    labels: Bool[Tensor, "dual class"],
) -> dict[str, Tensor]:
    pooled, answers = network.pooled(test), network(dual).argmax(1)
    hidden = network.squeezed(pooled)
    members = functional.one_hot(classes, labels.shape[1]).to(hidden.dtype)
    return {
        "test": torch.tensor(accuracy(network, test, classes)),
        "dual": labels[torch.arange(len(dual)), answers].float().mean(),
        "joined": torch.tensor(joined_accuracy(network, pooled, classes)),
        "W": network.output.weight.mT,
        "b": network.output.bias,
        "means": hidden.mT @ members / members.sum(0).clamp(min=1),
        "answers": answers,
        "hidden": hidden,
        "classes": classes,
        "dual_hidden": network.squeezed(network.pooled(dual)),
    }


@torch.inference_mode()
def joined_accuracy(
    network: AffixNetwork, pooled: Float[Tensor, "word channel"], classes: Int[Tensor, " word"]
) -> float:
    """Return how often two words, joined behind the convolution, are read as one of their two classes.

    Each channel takes the larger of the two words' maxima, as over both words side by side, without the new
    letter sequence at the seam. Only words that are read right alone are joined, and only with words of
    another class, so that what goes wrong goes wrong in the hidden layer. 0 where there is no such pair.
    """
    right = network.output(network.squeezed(pooled)).argmax(1) == classes
    pooled, classes = pooled[right], classes[right]
    one, other = torch.triu_indices(len(classes), len(classes), 1)
    mixed = classes[one] != classes[other]
    one, other = one[mixed], other[mixed]
    answers = network.output(network.squeezed(torch.maximum(pooled[one], pooled[other]))).argmax(1)
    hits = (answers == classes[one]) | (answers == classes[other])
    return float(hits.double().sum()) / max(len(hits), 1)


def confusions(
    answers: Int[Tensor, "seed word"], labels: Bool[Tensor, "word class"], names: Sequence[str] = AFFIXES
) -> list[Mapping[str, object]]:
    """Return for each pair of affixes how often it is read right, and the wrong answer that comes most."""
    rows = []
    for pair in torch.unique(labels, dim=0).flip(0):
        mine = answers[:, (labels == pair).all(1)].flatten()
        wrong = mine[~pair[mine]]
        worst = names[int(wrong.mode().values)] if len(wrong) else "none"
        rows.append(
            {
                "affixes": " and ".join(name for name, carried in zip(names, pair, strict=True) if carried),
                "words": int((labels == pair).all(1).sum()),
                "accuracy": float(pair[mine].double().mean()),
                "commonest wrong answer": worst,
            }
        )
    return rows
