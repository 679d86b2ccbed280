"""dictionary_learning: the ``update`` of its trainers, which is all that its ``trainSAE`` does in a step.

No logging; resampling is off by default. Its warm-ups of the learning rate and of the penalty, 1,000 and
2,000 steps, have to end before the training does: in a shorter training they take half of it.
"""

from itertools import pairwise

import torch
from torch import Tensor

from benchmarks.peers.bare import bare
from benchmarks.peers.trainers import Task, prefixes

bare("dictionary_learning")
from dictionary_learning import trainers as dl  # noqa: E402
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer  # noqa: E402

ARCHITECTURES = ("topk", "batchtopk", "matryoshka", "standard", "gated", "jumprelu")
_WARM_UP, _PENALTY_WARM_UP = 1_000, 2_000


class DictionaryLearning:
    """One autoencoder and its trainer."""

    def __init__(self, task: Task) -> None:
        torch.manual_seed(task.seed)  # not every trainer hands its seed on
        self.trainer = make(task)
        self.task = task
        self.step = 0

    def run(self, rows: Tensor) -> None:
        for batch in rows.split(self.task.batch_size):
            self.trainer.update(self.step, batch)
            self.step += 1

    def decoder(self) -> Tensor:
        autoencoder = self.trainer.ae
        rows = autoencoder.W_dec if hasattr(autoencoder, "W_dec") else autoencoder.decoder.weight.T
        return rows.detach()

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        return self.trainer.ae.encode(x.to(self.task.device))


def make(task: Task) -> dl.StandardTrainer:
    """Return the trainer of an untrained autoencoder."""
    given = {
        "steps": task.steps, "activation_dim": task.width, "dict_size": task.n_latents, "seed": task.seed,
        "device": task.device, "layer": 0, "lm_name": "none",
    }  # fmt: skip
    if task.steps <= _WARM_UP:
        given["warmup_steps"] = task.steps // 2
    penalized = dict(given)
    if task.steps <= _PENALTY_WARM_UP:
        penalized["sparsity_warmup_steps"] = task.steps // 2
    weight = {} if task.coefficient is None else {"l1_penalty": task.coefficient}
    match task.architecture:
        case "topk":
            return dl.TopKTrainer(**given, k=task.k)
        case "batchtopk":
            return dl.BatchTopKTrainer(**given, k=task.k)
        case "matryoshka":
            widths = [0, *prefixes(task.n_latents)]
            shares = [(b - a) / task.n_latents for a, b in pairwise(widths)]
            return MatryoshkaBatchTopKTrainer(**given, k=task.k, group_fractions=shares)
        case "standard":
            return dl.StandardTrainer(**penalized, **weight)
        case "gated":
            return dl.GatedSAETrainer(**penalized, **weight)
        case "jumprelu":
            weight = {} if task.coefficient is None else {"sparsity_penalty": task.coefficient}
            return dl.JumpReluTrainer(**penalized, **weight, target_l0=float(task.k))
    raise ValueError(f"dictionary_learning has no {task.architecture}")


TRAINER = DictionaryLearning
