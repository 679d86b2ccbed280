"""sparsify: its own ``Trainer.fit``, on a model whose one layer gives out the activations.

Its trainer hooks a language model. The one here is an embedding whose table is the activations, and whose
tokens are the numbers of the rows, so that its forward pass is one look-up. Checkpoints, which it writes at
the end of ``fit``, and logging to wandb are off.
"""

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import torch
from torch import Tensor, nn

from benchmarks.peers.trainers import Task

with redirect_stdout(StringIO()):  # it says that Triton is not there
    import sparsify

ARCHITECTURES = ("topk",)


class Rows:
    """A data set of ``count`` sequences, each the numbers of a batch's rows."""

    def __init__(self, batch_size: int, count: int) -> None:
        self.batch_size, self.count = batch_size, count
        self.batches = 1

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < self.count:
            raise IndexError(index)
        first = index % self.batches * self.batch_size
        return {"input_ids": torch.arange(first, first + self.batch_size)}

    def select(self, indices: range) -> "Rows":
        chosen = Rows(self.batch_size, len(indices))
        chosen.batches = self.batches
        return chosen


class Table(nn.Module):
    """As much of a language model as the trainer asks for."""

    def __init__(self, width: int, device: str) -> None:
        super().__init__()
        self.layer = nn.Embedding(1, width, device=device)
        self.device = torch.device(device)
        self.dummy_inputs = {"input_ids": torch.zeros(1, 1, dtype=torch.long, device=device)}

    @property
    def base_model(self) -> "Table":
        return self

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.layer(input_ids)


class Sparsify:
    """One autoencoder and its trainer."""

    def __init__(self, task: Task) -> None:
        if task.architecture not in ARCHITECTURES:
            raise ValueError(f"sparsify has no {task.architecture}")
        config = sparsify.TrainConfig(
            sparsify.SaeConfig(num_latents=task.n_latents, k=task.k),
            batch_size=1,
            hookpoints=["layer"],
            init_seeds=[task.seed],
            optimizer=task.optimizer or "signum",
            log_to_wandb=False,
        )
        self.model = Table(task.width, task.device)
        self.rows = Rows(task.batch_size, task.steps)
        with redirect_stdout(StringIO()):
            self.trainer = sparsify.Trainer(config, self.rows, self.model)  # pyright: ignore[reportArgumentType]
        self.trainer.save = lambda: None

    def run(self, rows: Tensor) -> None:
        self.model.layer.weight = nn.Parameter(rows, requires_grad=False)
        steps = len(rows) // self.rows.batch_size
        self.rows.batches, self.rows.count = steps, self.trainer.global_step + steps
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # its bar cannot be turned off
            self.trainer.fit()

    def _coder(self) -> "sparsify.SparseCoder":
        for optimizer in self.trainer.optimizers:
            if hasattr(optimizer, "eval"):  # a schedule-free optimizer keeps averaged weights beside
                optimizer.eval()
        return self.trainer.saes["layer"]

    def decoder(self) -> Tensor:
        coder = self._coder()
        assert coder.W_dec is not None
        return coder.W_dec.detach()

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        coder = self._coder()
        acts, indices, pre = coder.encode(x)
        return torch.zeros_like(pre).scatter_(-1, indices, acts)


TRAINER = Sparsify
