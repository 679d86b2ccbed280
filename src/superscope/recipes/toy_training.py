"""What the recipes on toy models share: how they train over seeds, and the words they use for a geometry.

The thresholds behind the words were fixed before any run: a feature is *embedded* when ‖W_i‖ > 0.5; two
embedded features are *orthogonal* when |cos| < 0.05 and *antipodal* when cos < −0.95.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from pydantic import AfterValidator, Field
from scipy import stats
from torch import Tensor

from superscope.core import Run, config
from superscope.core.runtime import threads
from superscope.measures import (
    dimensions_per_feature,
    feature_dimensionality,
    feature_norms,
    features_represented,
    interference,
)
from superscope.toy import Schedule, ToyConfig, train

EMBEDDED, ORTHOGONAL, ANTIPODAL = 0.5, 0.05, -0.95
Count = Annotated[int, Field(ge=1)]
_KEPT = ("W", "b", "W_out", "loss", "history", "W_history", "steps")


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed that comes twice is no further evidence")  # pydantic makes it a ConfigError
    return seeds


Seeds = Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(_distinct)]


@config
class ToyTraining:
    """How the toy models of a recipe are trained."""

    seeds: Seeds = (0, 1, 2, 3, 4)
    """One training for each; the claims are judged over them."""
    steps: Count = 10_000
    """Optimizer steps."""
    batch_size: Count = 1024
    """Samples a step."""
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    """AdamW's learning rate."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    """AdamW's weight decay."""
    restarts: Count = 10
    """Starts of each model, the best of which is kept."""
    gain: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Deviation of the start over that of Xavier's normal one."""
    schedule: Schedule = "constant"
    """Learning rate: constant, or cosine from lr down to 0."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""
    threads: Count | None = None
    """Of a CPU; all where None."""


@dataclass(frozen=True)
class Sweep:
    """Toy models of several densities, trained with each seed."""

    W: Float[Tensor, "seed instance hidden feature"]
    b: Float[Tensor, "seed instance feature"]
    loss: Float[Tensor, "seed instance"]
    history: Float[Tensor, "seed record instance"]
    steps: Int[Tensor, " record"]
    W_out: Float[Tensor, "seed instance hidden feature"] | None = None
    """Output weights of an untied model."""
    W_history: Float[Tensor, "seed record instance hidden feature"] | None = None
    """W at each record, where snapshots were asked for."""

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Return what is kept of the sweep, under ``name``; not the snapshots, which are large."""
        values = {key: getattr(self, key) for key in _KEPT if key != "W_history"}
        return {f"{name}/{key}": value for key, value in values.items() if value is not None}

    def table(self, labels: Sequence[str], density: Sequence[float], seeds: Sequence[int]) -> pd.DataFrame:
        """Return one row for each instance and seed."""
        D, shared = feature_dimensionality(self.W), interference(self.W)
        columns = {
            "loss": self.loss,
            "features represented": features_represented(self.W, EMBEDDED),
            "squared norm": squared_norm(self.W),
            "dimensions per feature": dimensions_per_feature(self.W),
            "lowest dimensionality": D.amin(-1),
            "highest dimensionality": D.amax(-1),
            "highest interference": shared.amax(-1),
        }
        return pd.DataFrame(
            [
                {"model": labels[i], "density": density[i], "seed": seed}
                | {name: values[s, i].item() for name, values in columns.items()}
                for i in range(len(labels))
                for s, seed in enumerate(seeds)
            ]
        )


def train_seeds(
    run: Run,
    name: str,
    options: ToyTraining,
    model: ToyConfig,
    density: Sequence[float] | Float[Tensor, "instance feature"],
    importance: Float[Tensor, "instance feature"] | None = None,
    *,
    initial: Float[Tensor, "instance hidden feature"] | None = None,
    snapshots: bool = False,
) -> Sweep:
    """Train a sweep with each seed, every seed a stage of the run that goes on where it was killed."""

    def work(seed: int, stage: str) -> dict[str, Tensor]:
        with threads(options.threads):
            result = train(
                model,
                density,
                importance,
                steps=options.steps,
                batch_size=options.batch_size,
                lr=options.lr,
                weight_decay=options.weight_decay,
                schedule=options.schedule,
                gain=options.gain,
                restarts=options.restarts,
                seed=seed,
                device=options.device,
                initial=initial,
                snapshots=snapshots,
                checkpoint=run.checkpoint(stage),
            )
        values = {key: getattr(result, key) for key in _KEPT}
        return {key: value for key, value in values.items() if value is not None}

    stages = [f"{name}-seed-{seed}" for seed in options.seeds]
    # each seed is finished, and safe from a kill, before the next one starts
    parts = [
        run.stage(stage, lambda seed=seed, stage=stage: work(seed, stage))
        for seed, stage in zip(options.seeds, stages, strict=True)
    ]
    told = torch.as_tensor(density).tolist()
    for seed, part in zip(options.seeds, parts, strict=True):
        run.metric(part=name, seed=seed, density=told, loss=part["loss"].tolist())
    stacked = {key: torch.stack([part[key] for part in parts]) for key in parts[0] if key != "steps"}
    return Sweep(**stacked, steps=parts[0]["steps"])


def squared_norm(W: Float[Tensor, "*batch hidden feature"]) -> Float[Tensor, "*batch"]:
    """Return ‖W‖²_F."""
    return W.square().sum((-2, -1))


def embedded(W: Float[Tensor, "hidden feature"]) -> Bool[Tensor, " feature"]:
    """Tell which features are embedded."""
    return feature_norms(W) > EMBEDDED


def cosines(W: Float[Tensor, "hidden feature"]) -> Float[Tensor, "k k"]:
    """Return the cosines between the embedded features, with 0 for a feature and itself."""
    directions = torch.nn.functional.normalize(W[:, embedded(W)], dim=0)
    return (directions.mT @ directions).fill_diagonal_(0)


def only_the_top(W: Float[Tensor, "hidden feature"], count: int) -> bool:
    """Tell whether the first ``count`` features and no others are embedded, orthogonal to each other."""
    top = torch.arange(W.shape[1]) < count
    return bool(torch.equal(embedded(W), top) and (cosines(W).abs() < ORTHOGONAL).all())


def antipodal_pairs(W: Float[Tensor, "hidden feature"]) -> int:
    """Count the antipodal pairs among the embedded features."""
    return int((cosines(W) < ANTIPODAL).sum()) // 2


def rank_correlation(a: Float[Tensor, " point"], b: Float[Tensor, " point"]) -> float:
    """Return Spearman's rank correlation of two quantities; 0 where one of them does not change."""
    if len(a.unique()) == 1 or len(b.unique()) == 1:
        return 0.0
    ranks = [stats.rankdata(values.double().numpy()) for values in (a, b)]
    return round(float(np.corrcoef(*ranks)[0, 1]), 12)  # so that 9/10 is not below 0.9
