"""What a dictionary is and how it is trained: one frozen config, checked as a whole before any work."""

from typing import Annotated, Literal

from pydantic import Field

from superscope.core import checked, config
from superscope.core.errors import ConfigError

Architecture = Literal["standard", "gated", "jumprelu", "topk", "batchtopk", "matryoshka"]

COUNTED = ("topk", "batchtopk", "matryoshka")
"""Architectures whose L0 is k by construction; that of the others is steered to k by a penalty."""

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]


@config
class DictionaryConfig:
    """A sparse autoencoder and its training.

    >>> DictionaryConfig(architecture="batchtopk", n_latents=1024, k=16).k
    16
    """

    architecture: Architecture = "topk"
    """standard (ReLU and L1), gated, jumprelu, topk, batchtopk, or matryoshka (nested batchtopk)."""
    n_latents: Count = 4096
    """How many features the dictionary has room for."""
    k: Count = 32
    """L0, the active latents of a sample: exact (topk), on average (batchtopk, matryoshka), or what the
    penalty is steered to (standard, gated, jumprelu)."""
    sparsity: Positive | None = None
    """A fixed weight of the penalty in place of steering; standard, gated and jumprelu only."""
    groups: tuple[Count, ...] = ()
    """Matryoshka: the sizes of the groups, whose prefixes each reconstruct the input by themselves; 1/16,
    1/16, 1/8, 1/4 and 1/2 of the latents by default."""
    bandwidth: Positive = 1.0
    """Jumprelu: the width of the window around a threshold in which it feels a gradient, in units of the
    input's root mean square."""
    normalize: bool = True
    """Centre the input and scale it to a mean squared entry of 1 while training; what is returned takes the
    input as it comes, since centre and scale are folded into its weights."""
    batch_size: Count = 1024
    """Samples a step."""
    lr: Positive | None = None
    """Adam's learning rate; by the number of latents where None."""
    warmup: Share = 0.02
    """The share of the steps over which the learning rate rises from 0."""
    decay: Share = 0.2
    """The share of the steps at the end over which the learning rate falls to 0."""
    product: Literal["float32", "bfloat16"] = "float32"
    """The kind of numbers that the encoder's product is taken in; bfloat16 on CUDA only."""
    clip: Positive | None = 1.0
    """The largest norm of the whole gradient; None for any."""
    k_start: Annotated[float, Field(ge=1.0)] | None = None
    """What k is multiplied with at the start; by default 1.5 (topk), 3 (standard, gated) or 1 (others)."""
    k_anneal: Share = 0.6
    """The share of the steps over which it falls to k itself."""
    auxiliary: Annotated[float, Field(ge=0.0)] = 0.3
    """The weight of the loss by which dead latents reconstruct what the living ones leave; 0 for none."""
    dead_after: Count | None = None
    """Samples without a firing after which a latent counts as dead; one in 400 of all where None, and at
    least ten batches."""


def checked_config(config: DictionaryConfig) -> DictionaryConfig:
    """Return the config with its fields checked one by one and against each other.

    Raises:
        ConfigError: with every fault.
    """
    faults: list[str] = []
    try:
        config = checked(config)
    except ConfigError as error:
        faults += error.faults
    try:
        faults += _contradictions(config)
    except TypeError:  # a field of the wrong kind, which is reported already
        if not faults:
            raise
    if faults:
        raise ConfigError(type(config).__name__, faults)
    return config


def _contradictions(config: DictionaryConfig) -> list[str]:
    faults = []
    if config.k > config.n_latents:
        faults.append(f"k: {config.k} of {config.n_latents} latents cannot be active; lower k")
    if config.sparsity is not None and config.architecture in COUNTED:
        faults.append(f"sparsity: {config.architecture} has no penalty; set k")
    if config.groups and config.architecture != "matryoshka":
        faults.append(f"groups: {config.architecture} has none; take matryoshka")
    if config.groups and sum(config.groups) != config.n_latents:
        faults.append(f"groups: they hold {sum(config.groups)} latents, and n_latents is {config.n_latents}")
    return faults


def group_sizes(config: DictionaryConfig) -> tuple[int, ...]:
    """Return the sizes of the nested groups of latents.

    >>> group_sizes(DictionaryConfig(architecture="matryoshka", n_latents=64))
    (4, 4, 8, 16, 32)
    """
    if config.groups:
        return config.groups
    first = max(1, config.n_latents // 16)
    sizes = [first]
    while sum(sizes) < config.n_latents:
        sizes.append(min(sum(sizes), config.n_latents - sum(sizes)))
    return tuple(sizes)


def first_k(config: DictionaryConfig) -> float:
    """Return the L0 that is aimed at in the first step, not more than there are latents.

    >>> first_k(DictionaryConfig(k=32))
    48.0
    """
    factor = {"topk": 1.5, "standard": 3.0, "gated": 3.0}.get(config.architecture, 1.0)
    return min(config.n_latents, config.k * (factor if config.k_start is None else config.k_start))


def learning_rate(config: DictionaryConfig) -> float:
    """Return Adam's learning rate: the config's, or 0.14/√latents, at most 1e-2.

    >>> round(learning_rate(DictionaryConfig(n_latents=16384)), 5)
    0.00109
    """
    return config.lr if config.lr is not None else min(1e-2, 0.14 / config.n_latents**0.5)
