"""One step of a training after the other, and all that they hand on."""

import math

import torch
from torch import Tensor

from superscope.core import InputError
from superscope.dictionary.config import DictionaryConfig
from superscope.dictionary.dictionary import Conditions, Dictionary, Losses
from superscope.dictionary.history import History
from superscope.dictionary.schedules import Steering, k_at, rate_at
from superscope.dictionary.sparse import Engine, step_held_
from superscope.training.state import restore, training_state

_RECORDS = 200
_LOOKED = 8
"""Steps from one look at the dead latents to the next, and on a GPU at the loss: each look waits for it."""


class Trainer:
    """A dictionary with its optimizer, its schedules, and what it remembers of earlier steps.

    Args:
        dictionary: trained in place, on normalized activations.
        config: its own.
        steps: how many there will be.
        engine: what takes the gradients; autograd where None.
    """

    def __init__(
        self, dictionary: Dictionary, config: DictionaryConfig, steps: int, engine: Engine | None
    ) -> None:
        self.dictionary, self.config, self.steps, self.engine = dictionary, config, steps, engine
        self.optimizer = torch.optim.Adam(dictionary.parameters(), fused=True)
        self.steering = Steering.start(config)
        self.step = 0
        self.history = History()
        share = max(10, steps // 400) * config.batch_size
        self._dead_after = share if config.dead_after is None else config.dead_after
        device = dictionary.W_dec.device
        self._silent = torch.zeros(config.n_latents, dtype=torch.int64, device=device)
        self._dead = torch.zeros(config.n_latents, dtype=torch.bool, device=device)
        self._some_dead = False
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)
        self._looked = 1 if device.type == "cpu" else _LOOKED
        self._records = {steps * k // min(steps, _RECORDS) for k in range(1, min(steps, _RECORDS) + 1)}

    def advance(self, x: Tensor, y: Tensor) -> Losses:
        """Take one step on normalized inputs and targets.

        Raises:
            InputError: when the loss or its gradient is not finite; on a GPU some steps later.
        """
        config, dictionary = self.config, self.dictionary
        wanted = k_at(config, self.step, self.steps)
        dead = self._dead if self._some_dead and config.auxiliary > 0 else None
        at = Conditions(wanted, self.steering.weight, dead, config.auxiliary)
        if self.engine is None:
            self.optimizer.zero_grad(set_to_none=True)
            losses = dictionary.losses(x, y, at)
            losses.total.backward()
        else:
            losses = dictionary.gradients(self.engine, x, y, at)
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(config, self.step, self.steps)
        limit = math.inf if config.clip is None else config.clip
        held = step_held_ if self.engine is None else self.engine.step_held_
        norm = held(self.optimizer, dictionary.W_dec, self.step + 1, limit)
        self.step += 1
        self._remember(losses, norm, y)
        if self.steering.steers(config):
            self.steering.advance(float(losses.l0), wanted)
        return losses

    @torch.no_grad()
    def _remember(self, losses: Losses, norm: Tensor, y: Tensor) -> None:
        variance = y.square().mean().clamp(min=1e-12)
        # what is not finite in the loss or the gradient stays so in the sum
        fvu = losses.reconstruction / variance + 0 * (losses.total + norm)
        self._sums += torch.stack([fvu, losses.l0, torch.ones_like(fvu)])
        self._silent = torch.where(losses.fired, 0, self._silent + len(y))
        if self.step % _LOOKED == 0:
            self._dead = self._silent >= self._dead_after
            self._some_dead = bool(self._dead.any())
        recorded = self.step in self._records
        if not (recorded or self.step % self._looked == 0):
            return
        fvu, l0, count = self._sums.tolist()
        if not math.isfinite(fvu):
            raise InputError(
                f"the loss or its gradient is not finite at step {self.step} of {self.steps}; lower lr, or "
                "look at the largest entries of the activations"
            )
        if recorded:
            self._sums.zero_()
            self.history.add(self.step, fvu / count, l0 / count, int(self._dead.sum()))

    def state(self) -> dict[str, Tensor]:
        """Return all that later steps depend on."""
        selected = math.inf if self.engine is None else self.engine.selected
        numbers = [self.step, self.steering.weight, self.steering.log_l0, selected, self.history.left_out]
        return {
            **training_state(self.dictionary, self.optimizer),
            "silent": self._silent,
            "dead": self._dead,
            "sums": self._sums,
            "numbers": torch.tensor(numbers, dtype=torch.float64),
            "history": self.history.tensor(),
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to where :meth:`state` was taken."""
        device = self.dictionary.W_dec.device
        restore(state, self.dictionary, self.optimizer)
        self._silent, self._sums = state["silent"].to(device), state["sums"].to(device)
        self._dead = state["dead"].to(device)
        self._some_dead = bool(self._dead.any())
        step, weight, log_l0, selected, left_out = state["numbers"].tolist()
        self.step, self.steering = int(step), Steering(weight, log_l0)
        self.history = History.of(state["history"], int(left_out))
        if self.engine is not None:
            self.engine.selected = selected
