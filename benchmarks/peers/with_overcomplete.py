"""overcomplete: ``train_sae`` with Adam at 5e-4 and the mean squared error, as in its README.

Monitoring is off, so no step is logged; each step notes which latents fired. Its JumpReLU has no penalty of
its own, and its trainer no recipe for one: not measured.
"""

from functools import partial

import torch
from torch import Tensor

from benchmarks.peers.bare import bare
from benchmarks.peers.trainers import Task

bare("overcomplete")
from overcomplete import sae as oc  # noqa: E402

ARCHITECTURES = ("topk", "batchtopk", "standard")


class Overcomplete:
    """One autoencoder with its optimizer."""

    def __init__(self, task: Task) -> None:
        torch.manual_seed(task.seed)
        sizes = {"nb_concepts": task.n_latents, "device": task.device}
        match task.architecture:
            case "topk":
                self.sae = oc.TopKSAE(task.width, top_k=task.k, **sizes)
            case "batchtopk":  # its top_k is of the whole batch
                self.sae = oc.BatchTopKSAE(task.width, top_k=task.k * task.batch_size, **sizes)
            case "standard":
                self.sae = oc.SAE(task.width, **sizes)
            case other:
                raise ValueError(f"overcomplete has no {other}")
        penalty = 1.0 if task.coefficient is None else task.coefficient
        self.criterion = (
            partial(oc.mse_l1, penalty=penalty) if task.architecture == "standard" else mean_squared_error
        )
        self.optimizer = torch.optim.Adam(self.sae.parameters(), lr=5e-4)
        self.task = task

    def run(self, rows: Tensor) -> None:
        batches = rows.split(self.task.batch_size)
        device = self.task.device
        oc.train_sae(
            self.sae, batches, self.criterion, self.optimizer, nb_epochs=1, monitoring=0, device=device
        )

    def decoder(self) -> Tensor:
        return self.sae.train().get_dictionary().detach()

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        return self.sae.eval().encode(x.to(self.task.device))[1]


def mean_squared_error(
    x: Tensor, x_hat: Tensor, pre_codes: Tensor, codes: Tensor, dictionary: Tensor
) -> Tensor:
    """Return the criterion of the README."""
    del pre_codes, codes, dictionary
    return (x - x_hat).square().mean()


TRAINER = Overcomplete
