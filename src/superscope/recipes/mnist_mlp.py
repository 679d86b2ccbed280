"""The effective rank of an MNIST network's weights: a sign of superposition, or of how weights start."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from superscope.core import Run
from superscope.measures import count_below, energy_rank, feature_dimensionality
from superscope.recipes.claims import Claim, Verdict, judge
from superscope.recipes.mnist_figures import draw, over_seeds
from superscope.recipes.mnist_ranks import (
    COUNT,
    RANK,
    RATIO,
    START,
    TRAINED,
    UNCENTRED,
    WEIGHTS,
    activation_table,
    by_seed,
    spectrum,
    surveys,
    weight_table,
)
from superscope.recipes.mnist_training import Images, MnistConfig, Network, load_images, train_networks
from superscope.recipes.recipe import Outcome, Recipe
from superscope.report import DataTable, Facts, Picture, Prose, Section
from superscope.toy import regular_polygon

_FC1, _FC1_TEXT, _FC2 = 110.0, 113.0, 54.0
# Fixed before any run: the course's own two runs of fc1 differ by 3; fc2 has half the neurons.
_WITHIN = {"fc1": 3.0, "fc2": 2.0}
_DIGITS = 5e-4  # the ratios are printed to three
_NEURONS = {"fc1": 128, "fc2": 64}
_LEARNED = 0.97
_NETWORK = "784-128-64-10"
_SETTING = f"{_NETWORK}, Adam, batch 64, 5 epochs of MNIST"
_EXPECTED = "expected if the count shows the start of the weights and not features"
_COUNTS = {
    "fc1-output": ("fc1", _FC1, "the printed output"),
    "fc1-text": ("fc1", _FC1_TEXT, "the text"),
    "fc2": ("fc2", _FC2, "output and text"),
}
_RATIOS = {
    "ratio-fc1-output": ("fc1", 0.859, "the printed output"),
    "ratio-fc1-text": ("fc1", 0.883, "the text"),
    "ratio-fc2": ("fc2", 0.844, "output and text"),
}
_ON_WEIGHTS = """The course squares the singular values of a layer's weights, adds them up from the largest
on, and counts the sums that are below 99 % of the whole. The number of directions that hold 99 % (the energy
rank) is one more.

Weights start as random numbers, and a matrix of random numbers prefers no direction: it needs nearly all of
them. So the untrained network has the highest count, and so have the trained weights once their entries are
put in random places. Training adds a change that prefers some directions, and so lowers the count; the
noise of the start fills up the others."""
_ON_TOYS = """In toy models the features are known. A layer with two dimensions can hold two features, each
with a dimension of its own, or five that share them as a pentagon: no superposition, and superposition.
Their ranks are equal, for a rank says how many dimensions are in use, and not by how many features."""
_ON_ACTIVATIONS = """Weights say what a layer could pass on, activations what it does pass on. On the test
images they use fewer directions; of a trained layer the ReLU, which bends the space, makes more again. Where
the mean is left in (not centred), it is one strong direction among the others, and mostly fewer are needed
for 99 %."""
_ON_ATTRIBUTIONS = """A weight does not say which pixels an answer rests on; an attribution does, for one
image and one answer. A row is an image, a tile is one of the ten answers to it."""
_DESCRIPTIONS = {
    COUNT: "the course's effective rank",
    RANK: "the fewest directions that hold 99 % of the energy; one more than the count",
    UNCENTRED: "the same with the mean activation left in",
    "entropy rank": "exp of the entropy of s/Σs (Roy and Vetterli)",
    "stable rank": "Σs² / largest s²",
    "participation ratio": "(Σλ)² / Σλ² of the covariance's eigenvalues",
    "active": "share of the activations above zero",
}
_CLAIMS = (
    *(
        Claim(
            f"N1-{part}",
            f"Effective rank of the weights of {layer}: cumulative energies of the singular values below "
            f"99 %; {where}",
            _SETTING,
            "course",
            published,
            _WITHIN[layer],
        )
        for part, (layer, published, where) in _COUNTS.items()
    ),
    *(
        Claim(
            f"N1-{part}",
            f"The same over the {_NEURONS[layer]} neurons of {layer}; {where}",
            _SETTING,
            "course",
            published,
            round(_WITHIN[layer] / _NEURONS[layer] + _DIGITS, 4),
        )
        for part, (layer, published, where) in _RATIOS.items()
    ),
    Claim(
        "N1-order",
        "The ratio is higher in fc1 than in fc2, which the course reads as a second layer that specialises",
        _SETTING,
        "course",
    ),
    Claim(
        "N1-learned",
        f"The network has learned its task: accuracy on the test images of at least {_LEARNED:g}",
        _SETTING,
        "ours",
        "expected",
    ),
    Claim(
        "N1-start",
        "The untrained network, which has learned no feature, has the higher count in fc1 and in fc2: a high "
        "one is no sign of superposition",
        _NETWORK,
        "ours",
        _EXPECTED,
    ),
    Claim(
        "N1-start-order",
        "The untrained network has the higher ratio in fc1, too: the order is that of the shapes",
        _NETWORK,
        "ours",
        _EXPECTED,
    ),
    Claim(
        "N1-activations",
        "The activations use fewer dimensions than the weights: the energy rank of relu1 is below that of "
        "fc1's weights, and that of relu2 below that of fc2's",
        f"{_SETTING}; test images, centred",
        "ours",
        "expected",
    ),
    Claim(
        "N1-blind",
        "Two orthogonal features in two dimensions and five in superposition, a pentagon, have the same "
        "count and the same energy rank",
        "exact, W written down",
        "ours",
        "expected",
    ),
)


def _run(config: MnistConfig, run: Run) -> Outcome:
    images = load_images(config.data)  # before the run directory is made: a fault stops the run at once
    networks = train_networks(run, config, images)
    found = surveys(networks, images)
    weights = weight_table(networks, config.seeds)
    activations = activation_table(networks, found, images, config.seeds)
    pictures = draw(networks, found, weights, images, (_FC1, _FC2))
    return Outcome(
        _judged(images, networks, weights, activations),
        {"weights": weights, "activations": activations, "toys": _toys()},
        pictures,
        _tensors(networks, config.seeds),
        _sections(config, images, networks, weights, activations, pictures),
    )


def _judged(
    images: Images, networks: Sequence[Network], weights: pd.DataFrame, activations: pd.DataFrame
) -> list[Verdict]:
    def of(name: str, layer: str, measure: str) -> np.ndarray:
        return by_seed(weights, "weights", name, layer, measure)

    def used(layer: str) -> np.ndarray:
        return by_seed(activations, "network", TRAINED, layer, RANK)

    values: dict[str, Sequence[float]] = {"learned": [each.accuracy >= _LEARNED for each in networks]}
    shares = ", ".join(f"{each.accuracy:.4f}" for each in networks)
    evidence = {"learned": f"Accuracy by seed: {shares}."}
    for part, (layer, _, _) in _COUNTS.items():
        values[part] = of(TRAINED, layer, COUNT).tolist()
        evidence[part] = (
            f"By seed: {_listed(of(TRAINED, layer, COUNT))}; the energy rank is one more. Untrained: "
            f"{_listed(of(START, layer, COUNT))}."
        )
    for part, (layer, _, _) in _RATIOS.items():
        values[part] = of(TRAINED, layer, RATIO).tolist()
    for part, name in (("order", TRAINED), ("start-order", START)):
        values[part] = (of(name, "fc1", RATIO) > of(name, "fc2", RATIO)).tolist()
    higher = [of(START, layer, COUNT) > of(TRAINED, layer, COUNT) for layer in _NEURONS]
    values["start"] = np.logical_and(*higher).tolist()
    means = [
        ", ".join(f"{layer} {name} {of(name, layer, COUNT).mean():.1f}" for name in (START, TRAINED))
        for layer in _NEURONS
    ]
    evidence["start"] = f"Means over seeds: {'; '.join(means)}."
    fewer = [used(f"relu{k}") < of(TRAINED, f"fc{k}", RANK) for k in (1, 2)]
    values["activations"] = np.logical_and(*fewer).tolist()
    ranks = [
        f"relu{k} {_listed(used(f'relu{k}'))}, weights of fc{k} {_listed(of(TRAINED, f'fc{k}', RANK))}"
        for k in (1, 2)
    ]
    evidence["activations"] = f"Energy ranks by seed: {'; '.join(ranks)}."
    toys = _toys()
    values["blind"] = [len(toys[[COUNT, RANK]].drop_duplicates()) == 1]
    if not images.published:
        for part in (_part(claim) for claim in _CLAIMS if _NETWORK in claim.setting):
            values[part], evidence[part] = (), f"The config trains on {images.name}; the claim is of MNIST."
    return [judge(claim, values[_part(claim)], evidence.get(_part(claim), "")) for claim in _CLAIMS]


def _part(claim: Claim) -> str:
    return claim.id.removeprefix("N1-")


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{each:.0f}" for each in values)


def _toys() -> pd.DataFrame:
    """Return the ranks of two sets of features in the plane, which differ in all that superposition is."""
    both = {
        "orthogonal": torch.eye(2, 5),
        "pentagon": regular_polygon(5),
    }
    return pd.DataFrame([{"features": name, **_toy(W)} for name, W in both.items()])


def _toy(W: Float[Tensor, "hidden feature"]) -> dict[str, float | int]:
    s = torch.linalg.svdvals(W.double())
    return {
        "embedded of 5": int((W.norm(dim=0) > 0.5).sum()),
        "dimensions each": float(feature_dimensionality(W).amax()),
        COUNT: int(count_below(s)),
        RANK: int(energy_rank(s)),
    }


def _tensors(networks: Sequence[Network], seeds: Sequence[int]) -> dict[str, Tensor]:
    return {
        f"seed {seed}/{key}": value
        for seed, network in zip(seeds, networks, strict=True)
        for key, value in (
            *network.trained.state_dict().items(),
            *((f"{layer}.singular_values", spectrum(network.trained, layer)) for layer in WEIGHTS),
        )
    }


def _sections(
    config: MnistConfig,
    images: Images,
    networks: Sequence[Network],
    weights: pd.DataFrame,
    activations: pd.DataFrame,
    pictures: Mapping[str, Picture],
) -> list[Section]:
    facts = {
        "images": f"{images.name}, {len(images.train):,} to train on and {len(images.test):,} to test",
        "network": f"{images.pixels}-128-64-10, ReLU",
        "accuracy by seed": ", ".join(f"{network.accuracy:.2%}" for network in networks),
    }
    ranks = over_seeds(weights, ["layer", "weights"])
    used = over_seeds(activations, ["layer", "network"])
    seeds = f"Mean over {len(config.seeds)} seeds."
    return [
        Section(
            "Ranks of the weights",
            [
                Facts(facts),
                Prose(_ON_WEIGHTS),
                pictures["counts"],
                DataTable(ranks, seeds, {COUNT: "{:.1f}", RANK: "{:.1f}", RATIO: "{:.3f}"}, _DESCRIPTIONS),
                pictures["spectra"],
                pictures["weights"],
                pictures["weights-untrained"],
            ],
        ),
        Section(
            "What a rank cannot see",
            [
                Prose(_ON_TOYS),
                DataTable(_toys(), "Five features in two dimensions; both W have two equal singular values."),
            ],
        ),
        Section(
            "Activations",
            [
                Prose(_ON_ACTIVATIONS),
                DataTable(
                    used, seeds, {RANK: "{:.1f}", UNCENTRED: "{:.1f}", "active": "{:.0%}"}, _DESCRIPTIONS
                ),
                pictures["activations"],
            ],
        ),
        Section("What the answers rest on", [Prose(_ON_ATTRIBUTIONS), pictures["attributions"]]),
    ]


MNIST_MLP = Recipe(
    name="mnist-mlp",
    title="The effective rank of a network's weights: a sign of superposition?",
    source="N1: Unravelling Superposition, section 2",
    introduction=(
        "The course trains a small classifier of handwritten digits and counts how many directions its "
        "weights use: 110 or 113 of 128 in the first layer, 54 of 64 in the second. It takes a high count "
        "for a high degree of superposition. Here the numbers are measured again, and beside them those of "
        "the same network before its first step, which has learned nothing."
    ),
    config=MnistConfig,
    presets={
        "smoke": MnistConfig(data="digits", seeds=(0, 1), epochs=2),
        "quick": MnistConfig(),
        "paper": MnistConfig(),
    },
    claims=_CLAIMS,
    run=_run,
)
