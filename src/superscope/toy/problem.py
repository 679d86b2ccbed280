"""What is to be trained, and what every way of training it offers."""

import abc
import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from superscope.core import generator
from superscope.toy.model import Activation, ToyConfig

Schedule = Literal["constant", "cosine"]


@dataclass(frozen=True)
class Problem:
    """A sweep to train: models, data and optimizer, all checked."""

    config: ToyConfig
    density: Float[Tensor, "instance feature"]
    importance: Float[Tensor, "instance feature"]
    restarts: int
    """Copies of each instance, from different starts; copy = instance · restarts + restart."""
    steps: int
    batch_size: int
    lr: float
    weight_decay: float
    schedule: Schedule
    seed: int
    activation: Activation | None = None
    """A function of the caller's in place of the config's output."""

    def rates(self, start: int, stop: int) -> list[float]:
        """Return the learning rate of each step from ``start`` up to ``stop``, the first step being 0."""
        if self.schedule == "constant":
            return [self.lr] * (stop - start)
        return [self.lr * (1 + math.cos(math.pi * t / self.steps)) / 2 for t in range(start, stop)]


@dataclass(frozen=True)
class Weights:
    """The weights of all copies."""

    W: Float[Tensor, "*copy hidden feature"]
    b: Float[Tensor, "*copy feature"]
    W_out: Float[Tensor, "*copy hidden feature"] | None
    """None in a tied model."""

    def tensors(self) -> dict[str, Tensor]:
        """Return them by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


class Trainer(abc.ABC):
    """One way to train a problem. It keeps the weights and the optimizer's state of every copy."""

    @abc.abstractmethod
    def advance(self, start: int, stop: int) -> Float[Tensor, " copy"]:
        """Train from step ``start`` up to ``stop`` and return each copy's mean training loss over them."""

    @abc.abstractmethod
    def weights(self) -> Weights:
        """Return the present weights, as copies."""

    @abc.abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Return all that ``restore`` needs to go on to the same bits."""

    @abc.abstractmethod
    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to a state."""


def initial_weights(
    config: ToyConfig, instances: int, restarts: int, seed: int, name: str = "init"
) -> Float[Tensor, "{instances} {restarts} hidden feature"]:
    """Draw W ~ N(0, 2/(m + n)) for each restart of each instance: Xavier's normal start of one matrix.

    Each comes from its own stream of ``seed``, so it does not depend on how many are drawn beside it.
    (Xavier's start of a 3-D tensor, as in the public notebooks, counts the instances in the fan.)
    """
    shape = config.n_hidden, config.n_features
    scale = math.sqrt(2 / sum(shape))
    draws = [
        torch.randn(shape, generator=generator(seed, name, i, r))
        for i in range(instances)
        for r in range(restarts)
    ]
    return scale * torch.stack(draws).view(instances, restarts, *shape)


def start_weights(
    problem: Problem, initial: Float[Tensor, "instance hidden feature"] | None, gain: float = 1.0
) -> Weights:
    """Return the weights that training starts from: ``gain`` times a draw, or ``initial`` for all; b = 0."""
    config, instances = problem.config, len(problem.density)
    copies = instances * problem.restarts
    W = (
        gain * initial_weights(config, instances, problem.restarts, problem.seed).flatten(0, 1)
        if initial is None
        else initial.float().cpu().repeat_interleave(problem.restarts, 0)
    )
    W_out = None
    if not config.tied:
        drawn = initial_weights(config, instances, problem.restarts, problem.seed, "init-out")
        W_out = gain * drawn.flatten(0, 1)
    return Weights(W, torch.zeros(copies, config.n_features), W_out)
