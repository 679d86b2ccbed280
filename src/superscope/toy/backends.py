"""Which way of training does what is asked, and which is the quickest."""

import torch

from superscope.core import InputError
from superscope.toy.problem import Problem, Trainer, Weights
from superscope.toy.reference import ReferenceTrainer


def make_trainer(
    problem: Problem, start: Weights, device: torch.device, backend: str
) -> tuple[Trainer, torch.device, str]:
    """Return a trainer at its start, the device to evaluate on, and the name of the backend."""
    if backend == "fused":
        raise InputError("not yet")
    return ReferenceTrainer(problem, start, device), device, "reference"
