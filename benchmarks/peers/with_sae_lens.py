"""SAELens: ``SAETrainer.fit``, the loop under its language-model and synthetic runners, with its defaults.

Each step also counts how often each latent fires, for the metrics that it would log. No logging, no
checkpoints and no evaluation: those are off by default but for the language-model runner.
"""

import warnings
from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.peers.trainers import Task, prefixes

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import sae_lens as sl
    from sae_lens.config import SAETrainerConfig

ARCHITECTURES = ("topk", "batchtopk", "matryoshka", "standard", "gated", "jumprelu")


class SaeLens:
    """One autoencoder and its trainer."""

    def __init__(self, task: Task) -> None:
        torch.manual_seed(task.seed)
        sae = make(task)
        config = SAETrainerConfig(
            total_training_samples=task.steps * task.batch_size,
            train_batch_size_samples=task.batch_size,
            device=task.device,
        )
        config.lr_end = config.lr / 10  # what its runner sets; a constant schedule does not use it
        self.trainer = sl.SAETrainer(config, sae, _none())

    def run(self, rows: Tensor) -> None:
        trainer = self.trainer
        trainer.data_provider = iter(rows.split(trainer.cfg.train_batch_size_samples))
        trainer.cfg.total_training_samples = trainer.n_training_samples + len(rows)
        trainer.fit()

    def decoder(self) -> Tensor:
        return self.trainer.sae.W_dec.detach()

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        sae = self.trainer.sae.eval()
        if not hasattr(sae, "topk_threshold"):
            return sae.encode(x)
        _, pre = sae.encode_with_hidden_pre(x)  # saved as a JumpReLU with the threshold it learned
        return pre.relu() * (pre > sae.topk_threshold)


def make(task: Task) -> sl.TrainingSAE:
    """Return the untrained autoencoder."""
    sizes = {"d_in": task.width, "d_sae": task.n_latents, "device": task.device}
    weight = {} if task.coefficient is None else {"l1_coefficient": task.coefficient}
    match task.architecture:
        case "topk":
            return sl.TopKTrainingSAE(sl.TopKTrainingSAEConfig(**sizes, k=task.k))
        case "batchtopk":
            return sl.BatchTopKTrainingSAE(sl.BatchTopKTrainingSAEConfig(**sizes, k=task.k))
        case "matryoshka":
            widths = prefixes(task.n_latents)
            config = sl.MatryoshkaBatchTopKTrainingSAEConfig(**sizes, k=task.k, matryoshka_widths=widths)
            return sl.MatryoshkaBatchTopKTrainingSAE(config)
        case "standard":
            return sl.StandardTrainingSAE(sl.StandardTrainingSAEConfig(**sizes, **weight))
        case "gated":
            return sl.GatedTrainingSAE(sl.GatedTrainingSAEConfig(**sizes, **weight))
        case "jumprelu":
            weight = {} if task.coefficient is None else {"l0_coefficient": task.coefficient}
            return sl.JumpReLUTrainingSAE(sl.JumpReLUTrainingSAEConfig(**sizes, **weight))
    raise ValueError(f"SAELens has no {task.architecture}")


def _none() -> Iterator[Tensor]:
    yield from ()


TRAINER = SaeLens
