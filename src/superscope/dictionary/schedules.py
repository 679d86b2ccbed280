"""What changes over a training: the learning rate, k, and the weight of the penalty that holds L0 to k."""

import math
from dataclasses import dataclass

from superscope.dictionary.config import COUNTED, DictionaryConfig, first_k, learning_rate


def rate_at(config: DictionaryConfig, step: int, steps: int) -> float:
    """Return the learning rate of a step: a line up, a plateau, a line down to 0 behind the last step.

    >>> config = DictionaryConfig(lr=1.0, warmup=0.2, decay=0.4)
    >>> [round(rate_at(config, step, 10), 2) for step in range(10)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    up = config.warmup * steps
    down = config.decay * steps
    rising = (step + 1) / up if up > 0 else 1.0
    falling = (steps - step) / down if down > 0 else 1.0
    return learning_rate(config) * min(1.0, rising, falling)


def k_at(config: DictionaryConfig, step: int, steps: int) -> float:
    """Return the L0 that is aimed at in a step: a line from ``k_start`` · k down to k, then k.

    >>> config = DictionaryConfig(k=10, n_latents=40, k_start=3.0, k_anneal=0.5)
    >>> [k_at(config, step, 8) for step in range(6)]
    [30.0, 25.0, 20.0, 15.0, 10.0, 10.0]
    """
    fallen = min(1.0, step / (config.k_anneal * steps)) if config.k_anneal * steps > 0 else 1.0
    return config.k + (first_k(config) - config.k) * (1 - fallen)


@dataclass
class Steering:
    """Holds L0 to k by the weight of the penalty: where there are too many active latents, it grows."""

    weight: float
    """Of the penalty, now."""
    log_l0: float
    """A running mean of log L0."""

    @classmethod
    def start(cls, config: DictionaryConfig) -> "Steering":
        """Return the state before the first step."""
        return cls(config.sparsity if config.sparsity is not None else _FIRST, math.log(config.n_latents / 2))

    @staticmethod
    def steers(config: DictionaryConfig) -> bool:
        """Whether L0 is steered: it follows from a penalty, and its weight is not fixed."""
        return config.architecture not in COUNTED and config.sparsity is None

    def advance(self, l0: float, wanted: float) -> None:
        """Move the weight after a step that had ``l0`` active latents where ``wanted`` are wanted."""
        before = self.log_l0
        now = math.log(max(l0, 1e-3))
        self.log_l0 += _MEMORY * (now - before)
        gap = max(-1.0, min(1.0, self.log_l0 - math.log(wanted)))
        self.weight *= math.exp(_PULL * gap + _DAMPING * (self.log_l0 - before))


_FIRST = 0.03
_MEMORY = 0.1
_PULL = 0.01
_DAMPING = 1.0
