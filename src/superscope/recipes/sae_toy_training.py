"""The worlds that dictionaries are checked on, how they are trained there, and what is found of the truth."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import pandas as pd
import torch
from jaxtyping import Float
from pydantic import AfterValidator, Field
from torch import Tensor

from superscope.core import Run, config, generator, resolve_device
from superscope.core.runtime import threads
from superscope.dictionary import Architecture, Dictionary, DictionaryConfig, train
from superscope.measures import (
    CodeStatistics,
    FiringCounts,
    decoder_cosine,
    match_features,
    mcc,
    mmcs,
    recovered_share,
    uniqueness,
)
from superscope.recipes.toy_training import Count, Seeds
from superscope.toy import (
    World,
    WorldSource,
    correlated_world,
    decaying_world,
    even_world,
    hierarchical_world,
)

WorldName = Literal["even", "decaying", "correlated", "hierarchical"]
Share = Annotated[float, Field(gt=0, le=1)]
_PROBE = 8_192

SCORES = (
    *("MCC", "MMCS", "recovered", "precision", "recall", "F1", "F1 by latent", "uniqueness", "L0", "FVU"),
    *("dead", "decoder cosine", "F", "psi"),
)
"""What is measured of a dictionary; :data:`DESCRIPTIONS` says what each is."""

DESCRIPTIONS = {
    "MCC": "mean |cosine| of latents and features, matched one to one by the Hungarian algorithm",
    "MMCS": "mean over features of the |cosine| with the nearest latent",
    "recovered": "share of the features whose matched latent has a |cosine| above 0.9",
    "precision": "of a matched latent's firings, the share in which its feature fires; mean over features",
    "recall": "of a feature's firings, the share in which its matched latent fires; mean over features",
    "F1": "harmonic mean of the two, mean over features",
    "F1 by latent": "the same for each latent and its nearest feature, mean over latents (SynthSAEBench)",
    "uniqueness": "different features that are some latent's nearest, over latents",
    "L0": "active latents a sample",
    "FVU": "share of the variance that the reconstruction leaves",
    "dead": "latents that fire on no test sample",
    "decoder cosine": "mean over latents of the cosine with the nearest other latent",
    "F": "effective features, exp of the entropy of the latents' shares of all activation",
    "psi": "F over the dimensions",
}


def _several(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("a name comes twice")  # pydantic makes it a ConfigError
    return names


Worlds = Annotated[tuple[WorldName, ...], Field(min_length=1), AfterValidator(_several)]
Architectures = Annotated[tuple[Architecture, ...], Field(min_length=1), AfterValidator(_several)]


@config
class SaeToyConfig:
    """Dictionaries of every architecture on worlds whose features are known."""

    seeds: Seeds = (0, 1, 2, 3, 4)
    """A world, its samples and a training for each; the claims are judged over them."""
    worlds: Worlds = ("even", "decaying", "correlated", "hierarchical")
    """Which of the four."""
    architectures: Architectures = ("topk", "batchtopk", "matryoshka", "standard", "gated", "jumprelu")
    """Which of the six."""
    size: Share = 1.0
    """The share of its features and dimensions that each world has; the L0 of the first two stays."""
    steps: Share = 1.0
    """The share of each world's steps."""
    samples: Count = 32_768
    """Fresh samples that a trained dictionary is judged on."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""
    threads: Count | None = None
    """Of a CPU; all where None."""


@dataclass(frozen=True)
class Setting:
    """A world, how long dictionaries are trained on it, and at which L0."""

    title: str
    make: Callable[[torch.Generator, float], World]
    """From a generator and the config's ``size``."""
    steps: int
    difficulty: str
    ks: tuple[float, ...] = (1.0,)
    """The dictionaries' L0 as shares of the true one."""
    compared: bool = False
    """Whether each dictionary is trained without an annealed k as well."""


def _whole(number: int, size: float) -> int:
    return max(4, round(number * size))


SETTINGS: dict[WorldName, Setting] = {
    "even": Setting(
        "world 1, even",
        lambda g, size: even_world(g, _whole(256, size), _whole(64, size)),
        4_000,
        "more features than dimensions",
    ),
    "decaying": Setting(
        "world 2, decaying",
        lambda g, size: decaying_world(g, _whole(512, size), _whole(256, size)),
        2_000,
        "more features than dimensions; most of them rare, most firings weak",
    ),
    "correlated": Setting(
        "world 3, correlated",
        lambda g, size: correlated_world(g, _whole(50, size), 2 * _whole(50, size)),
        2_000,
        "features that fire together or shun each other",
        (0.5, 1.0, 1.5),
        compared=True,
    ),
    "hierarchical": Setting(
        "world 4, hierarchical",
        lambda g, size: hierarchical_world(g, _whole(20, size), width=5 * _whole(20, size)),
        2_000,
        "children that fire only with their parent",
        (0.5, 1.0, 1.5),
        compared=True,
    ),
}
BATCH = 1_024


@dataclass(frozen=True)
class Training:
    """One dictionary on one world."""

    world: WorldName
    architecture: Architecture
    k: int
    share: float
    """Of the true L0."""
    annealed: bool
    """Whether k falls to its value over the first half, the library's default, or is constant."""
    seed: int


def trainings(given: SaeToyConfig) -> list[Training]:
    """List what a config asks for."""
    found = []
    for name in given.worlds:
        setting = SETTINGS[name]
        for seed in given.seeds:
            l0 = setting.make(generator(seed, name, "world"), given.size).true_l0
            found += [
                Training(name, architecture, max(1, round(share * l0)), share, annealed, seed)
                for architecture in given.architectures
                for share in setting.ks
                for annealed in ((True, False) if setting.compared else (True,))
            ]
    return found


def train_one(given: SaeToyConfig, run: Run, one: Training) -> dict[str, Tensor]:
    """Train a dictionary as a stage of the run; return its decoder ``W`` and its ``scores``."""
    setting = SETTINGS[one.world]
    anneal = "annealed" if one.annealed else "constant"
    stage = f"{one.world}-{one.architecture}-k-{one.k}-{anneal}-seed-{one.seed}"

    def work() -> dict[str, Tensor]:
        device = resolve_device(given.device)
        world = setting.make(generator(one.seed, one.world, "world"), given.size).to(device)
        wanted = DictionaryConfig(
            architecture=one.architecture, n_latents=world.n_features, k=one.k, batch_size=BATCH
        )
        if not one.annealed:
            wanted = dataclasses.replace(wanted, k_start=1.0)
        source = WorldSource(world, max(1, round(setting.steps * given.steps)) * BATCH)
        with threads(given.threads):
            dictionary = train(
                source, wanted, seed=one.seed, device=given.device, checkpoint=run.checkpoint(stage)
            )
            draws = generator(one.seed, one.world, "test", device=device)
            scores = judge_dictionary(dictionary, world, given.samples, draws)
        values = torch.tensor([scores[name] for name in SCORES], dtype=torch.float64)
        return {"W": dictionary.W_dec.detach().cpu(), "scores": values}

    found = run.stage(stage, work)
    run.metric(stage=stage, **dict(zip(SCORES, found["scores"].tolist(), strict=True)))
    return found


@torch.no_grad()
def judge_dictionary(
    dictionary: Dictionary, world: World, samples: int, draws: torch.Generator
) -> dict[str, float]:
    """Return the scores of a dictionary on fresh samples of its world."""
    matching = match_features(dictionary.W_dec, world.directions)
    by_feature, by_latent = FiringCounts(matching), FiringCounts(matching, by="latent")
    device = dictionary.W_dec.device
    codes = CodeStatistics(world.width, dictionary.n_latents, device=device)
    for start in range(0, samples, _PROBE):
        x, s = world.sample(min(_PROBE, samples - start), draws)
        f = dictionary.encode(x)
        by_feature.update(f, s)
        by_latent.update(f, s)
        codes.update(x, f, dictionary.decode(f))
    found = codes.summary()
    precision, recall, f1 = (float(values.mean()) for values in by_feature.scores())
    return {
        "MCC": mcc(matching),
        "MMCS": mmcs(matching),
        "recovered": recovered_share(matching),
        "precision": precision,
        "recall": recall,
        "F1": f1,
        "F1 by latent": float(by_latent.scores().f1.mean()),
        "uniqueness": uniqueness(matching),
        "L0": found.l0,
        "FVU": found.fvu,
        "dead": float(found.dead),
        "decoder cosine": float(decoder_cosine(dictionary.W_dec).nanmean()),
        "F": found.effective_features,
        "psi": found.psi,
    }


def world_table(given: SaeToyConfig) -> pd.DataFrame:
    """Return a row for each world: its sizes, its true L0, and what the dictionaries are trained with."""
    rows = []
    for name in given.worlds:
        setting = SETTINGS[name]
        world = setting.make(generator(given.seeds[0], name, "world"), given.size)
        rows.append(
            {
                "world": setting.title,
                "features": world.n_features,
                "dimensions": world.width,
                "true L0": world.true_l0,
                "k": ", ".join(str(max(1, round(share * world.true_l0))) for share in setting.ks),
                "steps": max(1, round(setting.steps * given.steps)),
                "difficulty": setting.difficulty,
            }
        )
    return pd.DataFrame(rows)


def true_l0(given: SaeToyConfig, name: WorldName) -> float:
    """Return the mean number of features that fire in a sample of a world."""
    return SETTINGS[name].make(generator(given.seeds[0], name, "world"), given.size).true_l0


def score_table(found: Mapping[Training, Mapping[str, Tensor]]) -> pd.DataFrame:
    """Return a row for each training: what it was, and its scores."""
    return pd.DataFrame(
        [
            {
                "world": one.world,
                "architecture": one.architecture,
                "k": one.k,
                "k of true L0": one.share,
                "k annealed": one.annealed,
                "seed": one.seed,
                **dict(zip(SCORES, parts["scores"].tolist(), strict=True)),
            }
            for one, parts in found.items()
        ]
    )


def values_of(
    found: Mapping[Training, Mapping[str, Tensor]], score: str, seeds: Sequence[int], **where: object
) -> list[float]:
    """Return a score by seed, of the trainings whose fields have the values of ``where``."""
    place = SCORES.index(score)
    by_seed = {
        one.seed: float(parts["scores"][place])
        for one, parts in found.items()
        if all(getattr(one, field) == value for field, value in where.items())
    }
    return [by_seed[seed] for seed in seeds]


def cosines(given: SaeToyConfig, one: Training, W: Tensor) -> Float[Tensor, "feature latent"]:
    """Return |cosine| of each feature with each latent, latents in the order of the features they match."""
    world = SETTINGS[one.world].make(generator(one.seed, one.world, "world"), given.size)
    matching = match_features(W, world.directions)
    rows = torch.nn.functional.normalize(W[matching.latent], dim=1)
    return (world.directions[matching.feature] @ rows.T).abs()
