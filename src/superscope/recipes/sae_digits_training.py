"""What the recipe on digits trains and measures: a classifier, dictionaries of its hidden layer, controls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from superscope.activations import capture
from superscope.atlas.recovery import Recovery, loss_recovered
from superscope.core import ConfigError, Run, config, generator
from superscope.core.runtime import threads
from superscope.data import Samples, load_data
from superscope.dictionary import Dictionary, DictionaryConfig, make_dictionary, train
from superscope.measures import ClassSums, activation_frequency, class_selectivity
from superscope.models import DigitsMLP
from superscope.recipes.toy_training import Count, Seeds
from superscope.training import digits_mlp

CLASSES = 10
NUMBERS = tuple(field.name for field in fields(Recovery) if field.type is float)


@config
class SaeDigitsConfig:
    """Dictionaries of a hidden layer of the embedded classifier of digits."""

    seeds: Seeds = (0, 1, 2, 3, 4)
    """A classifier and its dictionaries for each; the claims are judged over them."""
    layer: Literal["relu1", "relu2"] = "relu1"
    """The hidden layer: 64 neurons behind the first ReLU, or 32 behind the second."""
    n_latents: Annotated[int, Field(ge=CLASSES)] = 128
    """Of each dictionary."""
    k: Count = 8
    """Active latents of an image, of the dictionary that is looked at closely; one of ``ks``."""
    ks: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 2, 4, 8, 16)
    """A dictionary for each."""
    steps: Count = 1_000
    """Optimizer steps."""
    batch_size: Annotated[int, Field(ge=1, le=1_000)] = 256
    """Images a step."""


@dataclass(frozen=True)
class Digits:
    """The embedded images and their labels."""

    train: Float[Tensor, "image 1 8 8"]
    test: Float[Tensor, "test 1 8 8"]
    labels: Int[Tensor, " test"]


@dataclass(frozen=True)
class Fitted:
    """A dictionary and how well the classifier does with it on the test images."""

    dictionary: Dictionary
    numbers: Mapping[str, float]
    fvu_train: float


@dataclass(frozen=True)
class Subject:
    """A classifier and its dictionaries, of one seed."""

    seed: int
    model: DigitsMLP
    train: Float[Tensor, "image neuron"]
    """The hidden layer on the training images."""
    test: Float[Tensor, "test neuron"]
    fitted: Mapping[int, Fitted]
    """By k."""
    untrained: Dictionary
    """Random directions in place of learned ones, the k of the closer look."""


@dataclass(frozen=True)
class Units:
    """What a set of units, neurons or latents, tells of the classes of the test images."""

    means: Float[Tensor, "class unit"]
    frequency: Float[Tensor, " unit"]
    selectivity: Float[Tensor, " unit"]
    """NaN for a unit that never fires."""
    shuffled: Float[Tensor, " unit"]
    """The same with the labels in a random order: what few firings alone give."""
    unexplained: float
    """FVU of the layer on the test images by the best linear readout of the units in training."""

    @property
    def mean(self) -> float:
        """Mean selectivity of the units that fire."""
        return float(self.selectivity.nanmean())

    @property
    def purity(self) -> Float[Tensor, " unit"]:
        """The largest share of a unit's activation, classes of equal weight, that is of one class."""
        return self.means.amax(0) / self.means.sum(0)

    @property
    def best(self) -> Int[Tensor, " unit"]:
        """The class that a unit is strongest for."""
        return self.means.argmax(0)


def load_digits() -> Digits:
    """Return scikit-learn's digits, 80 % to train on."""
    parts = []
    for split in ("train", "test"):
        samples = load_data(f"digits:{split}")
        assert isinstance(samples, Samples)
        parts.append(samples.take(range(len(samples))))
    (images, _), (test, labels) = parts
    return Digits(images, test, labels)


def train_subjects(run: Run, options: SaeDigitsConfig, digits: Digits) -> list[Subject]:
    """Train a classifier and its dictionaries with each seed, each a stage of the run."""
    if options.k not in options.ks:
        raise ConfigError("SaeDigitsConfig", [f"k: {options.k} is none of ks, {options.ks}; add it there"])
    subjects = []
    with threads(1):  # so small a product is slower on two
        for seed in options.seeds:
            state = run.stage(f"digits-seed-{seed}", lambda seed=seed: _train(options, digits, seed))
            subject = _restored(options, digits, seed, state)
            run.metric(seed=seed, **subject.fitted[options.k].numbers)
            subjects.append(subject)
    return subjects


def _settings(options: SaeDigitsConfig, k: int) -> DictionaryConfig:
    return DictionaryConfig("topk", n_latents=options.n_latents, k=k, batch_size=options.batch_size)


def _train(options: SaeDigitsConfig, digits: Digits, seed: int) -> dict[str, Tensor]:
    model = digits_mlp(seed)
    hidden = activations(model, digits.train, options.layer)
    found = {f"model/{name}": value for name, value in model.state_dict().items()}
    for k in options.ks:
        made = train(hidden, _settings(options, k), steps=options.steps, seed=seed, device="cpu")
        recovery = loss_recovered(
            model,
            (digits.test, digits.labels),
            options.layer,
            made,
            batch_size=len(digits.test),
            device="cpu",
        )
        found |= {f"{k}/{name}": value for name, value in made.state_dict().items()}
        found[f"numbers/{k}"] = torch.tensor(
            [getattr(recovery, name) for name in NUMBERS], dtype=torch.float64
        )
    return found


def _restored(options: SaeDigitsConfig, digits: Digits, seed: int, state: Mapping[str, Tensor]) -> Subject:
    model = DigitsMLP(torch.Generator()).eval()
    model.load_state_dict(_within(state, "model"))
    hidden = activations(model, digits.train, options.layer)
    fitted = {}
    for k in options.ks:
        made = make_dictionary(_settings(options, k), hidden.shape[1], generator=torch.Generator())
        made.load_state_dict(_within(state, str(k)))
        made.requires_grad_(requires_grad=False).eval()
        numbers = dict(zip(NUMBERS, state[f"numbers/{k}"].tolist(), strict=True))
        fitted[k] = Fitted(made, numbers, unexplained(hidden, made(hidden)))
    untrained = make_dictionary(
        _settings(options, options.k), hidden.shape[1], generator=generator(seed, "sae-digits", "untrained")
    ).requires_grad_(requires_grad=False)
    untrained.b_enc.copy_(-hidden.mean(0) @ untrained.W_enc)
    test = activations(model, digits.test, options.layer)
    return Subject(seed, model, hidden, test, fitted, untrained.eval())


def _within(state: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name[len(part) + 1 :]: value for name, value in state.items() if name.startswith(f"{part}/")}


@torch.no_grad()
def activations(model: nn.Module, images: Tensor, layer: str) -> Float[Tensor, "image neuron"]:
    """Return what a layer puts out."""
    with capture(model, layer) as captured:
        model(images)
    return captured[layer]


def unexplained(x: Float[Tensor, "row unit"], found: Float[Tensor, "row unit"]) -> float:
    """Return Σ‖x − x̂‖² / Σ‖x − x̄‖²."""
    return float((x - found).square().sum() / (x - x.mean(0)).square().sum())


def principal(subject: Subject, count: int) -> float:
    """Return what ``count`` principal components of the training images leave unexplained of the test's."""
    mean = subject.train.mean(0)
    directions = torch.linalg.svd((subject.train - mean).double(), full_matrices=False).Vh[:count].float()
    centred = subject.test - mean
    return unexplained(subject.test, mean + centred @ directions.T @ directions)


def unit_sets(subject: Subject, labels: Int[Tensor, " test"], k: int) -> dict[str, Units]:
    """Return neurons, latents, and what else is as sparse as the latents: random directions, few neurons."""
    latents = subject.fitted[k].dictionary
    codes: dict[str, Callable[[Tensor], Tensor]] = {
        "neurons": lambda x: x,
        f"the {k} strongest neurons": lambda x: _strongest(x, k),
        "random directions": subject.untrained.encode,
        "latents": latents.encode,
    }
    order = torch.randperm(len(labels), generator=generator(subject.seed, "sae-digits", "labels"))
    return {name: _units(subject, encode, labels, labels[order]) for name, encode in codes.items()}


def _strongest(x: Float[Tensor, "row unit"], k: int) -> Float[Tensor, "row unit"]:
    found = x.topk(k, dim=1)
    return torch.zeros_like(x).scatter(1, found.indices, found.values)


def _units(subject: Subject, encode: Callable[[Tensor], Tensor], labels: Tensor, shuffled: Tensor) -> Units:
    f = encode(subject.test)
    means, mixed = (ClassSums(f.shape[1]).update(f, each).means for each in (labels, shuffled))
    found = read_out(encode(subject.train), subject.train, f)
    return Units(
        means,
        activation_frequency(f),
        class_selectivity(means),
        class_selectivity(mixed),
        unexplained(subject.test, found),
    )


def read_out(
    f: Float[Tensor, "row unit"], x: Float[Tensor, "row neuron"], test: Float[Tensor, "test unit"]
) -> Float[Tensor, "test neuron"]:
    """Return what the linear map with a constant that best gives x from f makes of other rows of f.

    In the least squares, with a ridge of 10⁻³ of the codes' mean square, since units may never fire.
    """
    F, centre, mean = f.double(), f.double().mean(0), x.double().mean(0)
    gram = (F - centre).T @ (F - centre)
    gram.diagonal().add_(1e-3 * F.square().mean() * len(F))
    weights = torch.linalg.solve(gram, (F - centre).T @ (x.double() - mean))
    return (mean + (test.double() - centre) @ weights).float()


def covered(units: Units, least: float) -> Sequence[int]:
    """Return the classes that have a unit of their own: ``least`` of its activation is of that class."""
    own = units.best[units.purity >= least]
    return sorted(set(own.tolist()))
