"""What a dictionary does, in seconds: the hidden layer of a small classifier, resolved."""

from collections.abc import Mapping, Sequence

import pandas as pd
from torch import Tensor

from superscope.core import Run
from superscope.recipes.claims import Claim, Verdict, judge
from superscope.recipes.mnist_figures import over_seeds
from superscope.recipes.recipe import Outcome, Recipe
from superscope.recipes.sae_digits_figures import Sets, draw, tabulate_ks, tabulate_units
from superscope.recipes.sae_digits_training import (
    CLASSES,
    SaeDigitsConfig,
    Subject,
    covered,
    load_digits,
    principal,
    train_subjects,
    unit_sets,
)
from superscope.report import DataTable, Facts, Picture, Prose, Section

# All fixed before the first run.
_K, _RECOVERED, _LOST, _FVU = 8, 0.95, 0.01, 0.1
_MORE_THAN_NEURONS, _MORE_THAN_RANDOM, _OWN = 0.1, 0.05, 0.5
_SETTING = f"digits-mlp, relu1, topk of 128 latents with k = {_K}; 360 test images"
_CLAIMS = (
    Claim(
        "SD-recovered",
        f"With the reconstruction in the layer's place the classifier keeps at least {_RECOVERED:.0%} of the "
        "loss that it loses with zeros there",
        _SETTING,
        "ours",
        "wanted",
    ),
    Claim(
        "SD-accuracy",
        f"Its accuracy falls by no more than {_LOST:g}",
        _SETTING,
        "ours",
        "wanted",
    ),
    Claim(
        "SD-components",
        f"{_K} latents, others for each image, explain more than the {_K} best directions for all images: "
        "the variance unexplained is below that of as many principal components",
        _SETTING,
        "ours",
        "expected if features are sparse",
    ),
    Claim(
        "SD-fits",
        f"The dictionary is one of the layer and not of its training images: on test images no more than "
        f"{_FVU:g} of the variance is left unexplained beyond what is left in training",
        _SETTING,
        "ours",
        "wanted",
    ),
    Claim(
        "SD-selective",
        "Latents prefer one digit to the others more than neurons do: mean class selectivity at least "
        f"{_MORE_THAN_NEURONS:g} higher",
        _SETTING,
        "ours",
        "expected if neurons hold features in superposition",
    ),
    Claim(
        "SD-learned",
        "It is not sparsity alone: the mean class selectivity of the latents is at least "
        f"{_MORE_THAN_RANDOM:g} above that of random directions of the same k, and above that of the {_K} "
        "strongest neurons of each image",
        _SETTING,
        "ours",
        "expected if directions matter",
    ),
    Claim(
        "SD-digits",
        f"Each of the ten digits has a latent of its own, at least {_OWN:.0%} of whose activation is on it "
        "(classes of equal weight)",
        _SETTING,
        "ours",
        "expected of a classifier's hidden layer",
    ),
)
_ON_LOSS = """A dictionary writes what the layer puts out for an image as a sum of a few directions out of
many. Whether these few hold what the classifier needs shows when the sum is put in the layer's place: with
zeros there the loss rises; how much of this rise does the sum recover?

The other measure is the variance that the sum leaves unexplained. Principal components are the best fixed
directions; a dictionary may choose others for each image."""
_ON_UNITS = """A neuron of the layer fires for several digits: it takes part in several features. A latent
fires rarely, and if it is a feature, for one way to write one digit. But whatever fires rarely prefers some
digit, so there are three controls: the same measure with shuffled labels; random directions of the same k in
place of the learned ones; and the neurons, with all but the strongest of each image at 0. What such units are
worth besides shows in how much of the layer can be read from them."""
_ON_EXAMPLES = """What a latent stands for shows in the images that excite it most. No label was used in
training the dictionary."""
_K_COLUMNS = {
    "FVU": "share of the variance that is not explained, test images",
    "FVU of k components": "the same of as many principal components of the training images",
    "recovered": "share of the loss, against zeros in the layer's place",
    "recovered from the mean": "share of the loss, against the layer's mean in its place",
    "spliced accuracy": "with the reconstruction in the layer's place",
}
_UNIT_COLUMNS = {
    "firing": "units that fire on at least one test image",
    "frequency": "share of the test images on which a unit fires, mean",
    "selectivity": "mean class selectivity of the units that fire",
    "labels shuffled": "the same with the labels in a random order",
    "of one class": f"units with at least {_OWN:.0%} of their activation on one digit",
    "FVU": "variance of the layer, on test images, that the best linear readout in training does not explain",
}


def _run(config: SaeDigitsConfig, run: Run) -> Outcome:
    digits = load_digits()
    subjects = train_subjects(run, config, digits)
    sets = [unit_sets(subject, digits.labels, config.k) for subject in subjects]
    tables = {"ks": tabulate_ks(subjects), "units": tabulate_units(subjects, sets, _OWN)}
    pictures = draw(subjects, sets, digits, config.k)
    tensors: dict[str, Tensor] = {}
    for subject in subjects:
        for k, each in subject.fitted.items():
            state = each.dictionary.state_dict()
            tensors |= {f"seed-{subject.seed}/k-{k}/{name}": value for name, value in state.items()}
    return Outcome(
        judged(config, subjects, sets), tables, pictures, tensors, _sections(config, tables, pictures)
    )


def judged(config: SaeDigitsConfig, subjects: Sequence[Subject], sets: Sets) -> list[Verdict]:
    """Judge every claim, where the config is of the setting that they are about."""
    fitted = [subject.fitted[config.k] for subject in subjects]
    lost = [each.numbers["accuracy"] - each.numbers["spliced_accuracy"] for each in fitted]
    components = [principal(subject, config.k) for subject in subjects]
    means = {name: [found[name].mean for found in sets] for name in sets[0]}
    neurons, few, random, latents = means.values()
    own = [covered(found["latents"], _OWN) for found in sets]
    values: dict[str, list[bool]] = {
        "recovered": [each.numbers["recovered"] >= _RECOVERED for each in fitted],
        "accuracy": [value <= _LOST for value in lost],
        "components": [each.numbers["fvu"] < other for each, other in zip(fitted, components, strict=True)],
        "fits": [each.numbers["fvu"] - each.fvu_train <= _FVU for each in fitted],
        "selective": [b - a >= _MORE_THAN_NEURONS for a, b in zip(neurons, latents, strict=True)],
        "learned": [
            c >= b + _MORE_THAN_RANDOM and c > a for a, b, c in zip(few, random, latents, strict=True)
        ],
        "digits": [len(each) == CLASSES for each in own],
    }
    unexplained = _listed([each.numbers["fvu"] for each in fitted])
    evidence = {
        "recovered": f"By seed: {_listed([each.numbers['recovered'] for each in fitted])}.",
        "accuracy": f"Lost by seed: {_listed(lost)}.",
        "components": f"Unexplained by seed: {unexplained}; by components {_listed(components)}.",
        "fits": f"By seed: {unexplained}; in training {_listed([each.fvu_train for each in fitted])}.",
        "selective": f"By seed: latents {_listed(latents)}, neurons {_listed(neurons)}.",
        "learned": (
            f"By seed: latents {_listed(latents)}, random directions {_listed(random)}, strongest neurons "
            f"{_listed(few)}."
        ),
        "digits": f"Digits with a latent of their own, by seed: {', '.join(str(len(each)) for each in own)}.",
    }
    if (config.layer, config.n_latents, config.k) != ("relu1", 128, _K):
        values = {part: [] for part in values}
        said = "The config is of another layer, number of latents or k than the claims."
        evidence = dict.fromkeys(values, said)
    return [judge(claim, values[_part(claim)], evidence[_part(claim)]) for claim in _CLAIMS]


def _part(claim: Claim) -> str:
    return claim.id.removeprefix("SD-")


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _sections(
    config: SaeDigitsConfig, tables: Mapping[str, pd.DataFrame], pictures: Mapping[str, Picture]
) -> list[Section]:
    shares: dict[str, str] = dict.fromkeys(("recovered", "recovered from the mean"), "{:.4f}")
    accuracies: dict[str, str] = dict.fromkeys(("accuracy", "spliced accuracy"), "{:.2%}")
    fvus: dict[str, str] = dict.fromkeys(("FVU", "FVU in training", "FVU of k components"), "{:.3f}")
    units: dict[str, str] = dict.fromkeys(("selectivity", "labels shuffled", "FVU"), "{:.3f}")
    over = f"Mean over {len(config.seeds)} seeds."
    facts = {
        "network": "digits-mlp, 64-64-32-10",
        "layer": config.layer,
        "dictionary": f"topk, {config.n_latents} latents, {config.steps:,} steps of {config.batch_size}",
        "images": "1,437 to train on, 360 to test",
    }
    return [
        Section(
            "Does the classifier work with it?",
            [
                Facts(facts),
                Prose(_ON_LOSS),
                pictures["recovered"],
                DataTable(over_seeds(tables["ks"], ["k"]), over, shares | accuracies | fvus, _K_COLUMNS),
            ],
        ),
        Section(
            "Latents and neurons",
            [
                Prose(_ON_UNITS),
                pictures["selectivity"],
                DataTable(
                    over_seeds(tables["units"], ["units"]),
                    over,
                    units | {"frequency": "{:.1%}"},
                    _UNIT_COLUMNS,
                ),
                pictures["classes"],
            ],
        ),
        Section("What latents stand for", [Prose(_ON_EXAMPLES), pictures["examples"]]),
    ]


SAE_DIGITS = Recipe(
    name="sae-digits",
    title="A dictionary of a classifier's hidden layer: latents beside neurons",
    source="ours; nothing of it is published",
    introduction=(
        "The smallest place to see what a sparse autoencoder does: the hidden layer of a classifier of "
        "handwritten digits that is trained here in a second. Its dictionary is judged by what the "
        "classifier still knows with it in the layer's place, and its latents are compared with the layer's "
        "neurons: which of them stand for one digit?"
    ),
    config=SaeDigitsConfig,
    presets={
        "smoke": SaeDigitsConfig(seeds=(0, 1), ks=(2, _K), steps=300),
        "quick": SaeDigitsConfig(),
        "paper": SaeDigitsConfig(seeds=tuple(range(10))),
    },
    claims=_CLAIMS,
    run=_run,
)
