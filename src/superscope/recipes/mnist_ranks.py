"""The ranks of the MNIST recipe: of weights, of their start and of their shuffled entries, of activations."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from superscope.core import generator
from superscope.core.runtime import threads
from superscope.measures import Moments, count_below, energy_rank, entropy_rank, stable_rank
from superscope.models import MnistMLP
from superscope.recipes.mnist_training import Images, Network
from superscope.survey import Survey, measure

WEIGHTS = ("fc1", "fc2", "fc3")
ACTIVATIONS = ("fc1", "relu1", "fc2", "relu2", "fc3")
TRAINED, START, SHUFFLED, CHANGE = "trained", "untrained", "shuffled", "change"
COUNT, RANK, RATIO = "count below 99 %", "energy rank", "count / neurons"
UNCENTRED = "energy rank, not centred"


def weight(network: MnistMLP, layer: str) -> Float[Tensor, "out in"]:
    """Return the weights of a layer, in float64."""
    return network.get_parameter(f"{layer}.weight").detach().double()


def spectrum(network: MnistMLP, layer: str) -> Float[Tensor, " value"]:
    """Return the singular values of a layer's weights, falling."""
    return torch.linalg.svdvals(weight(network, layer))


def shuffled(W: Float[Tensor, "out in"], seed: int) -> Float[Tensor, "out in"]:
    """Return the same entries in random places: what is left of a rank is due to shape and sizes alone."""
    draws = generator(seed, "mnist", "shuffle", *W.shape)
    return W.flatten()[torch.randperm(W.numel(), generator=draws)].view_as(W)


def weight_table(networks: Sequence[Network], seeds: Sequence[int]) -> pd.DataFrame:
    """Return a row for each seed, layer and matrix: trained, untrained, shuffled, and trained − untrained."""
    return pd.DataFrame(
        [
            {"seed": seed, "weights": name, "layer": layer, **_ranks(W)}
            for seed, network in zip(seeds, networks, strict=True)
            for layer in WEIGHTS
            for name, W in _matrices(network, layer, seed)
        ]
    )


def _matrices(network: Network, layer: str, seed: int) -> Iterator[tuple[str, Float[Tensor, "out in"]]]:
    trained = weight(network.trained, layer)
    start = weight(network.start, layer)
    yield TRAINED, trained
    yield START, start
    yield SHUFFLED, shuffled(trained, seed)
    yield CHANGE, trained - start


def _ranks(W: Float[Tensor, "out in"]) -> dict[str, float | int]:
    s = torch.linalg.svdvals(W)
    count = int(count_below(s))
    return {
        "neurons": len(W),
        COUNT: count,
        RATIO: count / len(W),
        RANK: int(energy_rank(s)),
        "entropy rank": float(entropy_rank(s)),
        "stable rank": float(stable_rank(s)),
    }


def surveys(networks: Sequence[Network], images: Images) -> list[dict[str, Survey]]:
    """Survey each network on the test images, trained and untrained."""
    data = (images.test, images.test_labels)
    with threads(1):
        return [
            {
                name: measure(each, data, ACTIVATIONS, batch_size=1000)
                for name, each in ((TRAINED, network.trained), (START, network.start))
            }
            for network in networks
        ]


def activation_table(
    networks: Sequence[Network], found: Sequence[dict[str, Survey]], images: Images, seeds: Sequence[int]
) -> pd.DataFrame:
    """Return a row for each seed, network (trained, untrained) and layer."""
    return pd.DataFrame(
        [
            {
                "seed": seed,
                "network": name,
                "layer": layer.name,
                "neurons": layer.width,
                RANK: int(layer.measures["energy_rank"]),
                UNCENTRED: uncentred[layer.name],
                "participation ratio": layer.measures["participation_ratio"],
                "active": layer.measures["activation_frequency"],
            }
            for seed, network, pair in zip(seeds, networks, found, strict=True)
            for name, model in ((TRAINED, network.trained), (START, network.start))
            for uncentred in (_uncentred(model, images.test),)
            for layer in pair[name].rows
        ]
    )


def by_seed(
    table: pd.DataFrame, column: str, name: str, layer: str, measure: str
) -> Float[np.ndarray, " seed"]:
    """Return a measure of one layer, seed by seed, of the networks that ``column`` calls ``name``."""
    chosen = (table[column] == name) & (table["layer"] == layer)
    return table.loc[chosen, measure].to_numpy(float)


@torch.inference_mode()
def _uncentred(model: MnistMLP, inputs: Float[Tensor, "image 1 height width"]) -> dict[str, int]:
    """Return the energy rank of each layer's activations as they are, the mean among their directions."""
    ranks, values = {}, inputs
    with threads(1):
        for name, layer in model.named_children():
            values = layer(values)
            if name in ACTIVATIONS:
                moments = Moments(values.shape[1]).update(values)
                ranks[name] = int(energy_rank(moments.singular_values(centred=False)))
    return ranks
