"""Training in plain PyTorch: any activation, any device; the yardstick of the fast path."""

import torch
from jaxtyping import Float
from torch import Tensor

from superscope.core import generator
from superscope.toy.data import draw
from superscope.toy.model import activation, loss, reconstruct, target
from superscope.toy.problem import Problem, Trainer, Weights

_BETAS, _EPSILON = (0.9, 0.999), 1e-8


class ReferenceTrainer(Trainer):
    """Autograd and AdamW on all copies in one batch of matrices.

    AdamW works on each weight by itself, so the copies do not touch each other.
    """

    def __init__(self, problem: Problem, weights: Weights, device: torch.device) -> None:
        self._problem = problem
        self._weights = {
            name: value.to(device).clone().requires_grad_() for name, value in weights.tensors().items()
        }
        self._density = problem.density.to(device)
        self._importance = problem.importance.to(device).repeat_interleave(problem.restarts, 0)
        config = problem.config
        self._activation = problem.activation or activation(config.output, config.threshold)
        self._draws = generator(problem.seed, "batches", device=device)
        self._optimizer = torch.optim.AdamW(
            list(self._weights.values()),
            lr=problem.lr,
            betas=_BETAS,
            eps=_EPSILON,
            weight_decay=problem.weight_decay,
            # one call a step for all weights; other devices may lack it
            fused=device.type in ("cpu", "cuda"),
        )

    def advance(self, start: int, stop: int) -> Float[Tensor, " copy"]:
        """Train; see :class:`Trainer`."""
        total = torch.zeros(len(self._weights["W"]), device=self._density.device)
        for rate in self._problem.rates(start, stop):
            self._optimizer.param_groups[0]["lr"] = rate
            losses = self.losses()
            self._optimizer.zero_grad()
            losses.sum().backward()
            self._optimizer.step()
            total += losses.detach()
        return total / (stop - start)

    def losses(self) -> Float[Tensor, " copy"]:
        """Return the loss of each copy on a fresh batch, which the restarts of an instance share."""
        problem, weights = self._problem, self._weights
        x = draw(problem.config, self._density, problem.batch_size, self._draws)
        x = x.repeat_interleave(problem.restarts, 0)
        reconstruction = reconstruct(
            x,
            weights["W"],
            weights["b"],
            self._activation,
            W_out=weights.get("W_out"),
            hidden=problem.config.hidden,
        )
        return loss(target(x, problem.config), reconstruction, self._importance)

    def weights(self) -> Weights:
        """Return the weights; see :class:`Trainer`."""
        now = {name: value.detach().clone() for name, value in self._weights.items()}
        return Weights(now["W"], now["b"], now.get("W_out"))

    def state(self) -> dict[str, Tensor]:
        """Return weights, the optimizer's moments and steps, and the generator's state."""
        state = {"draws": self._draws.get_state()}
        for name, weight in self._weights.items():
            state[name] = weight.detach()
            kept = self._optimizer.state.get(weight, {})
            state |= {f"{name}/{key}": torch.as_tensor(value) for key, value in kept.items()}
        return state

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to a state; see :class:`Trainer`."""
        self._draws.set_state(state["draws"])
        for name, weight in self._weights.items():
            with torch.no_grad():
                weight.copy_(state[name])
            prefix = f"{name}/"
            self._optimizer.state[weight] = {
                key.removeprefix(prefix): value.to(weight.device)
                for key, value in state.items()
                if key.startswith(prefix)
            }
