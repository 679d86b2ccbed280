"""Which way of training does what is asked, and which is the quickest."""

import torch

from superscope.core import InputError
from superscope.toy import fused, fused_cuda
from superscope.toy.problem import Problem, Trainer, Weights
from superscope.toy.reference import ReferenceTrainer


def make_trainer(
    problem: Problem, start: Weights, device: torch.device, backend: str
) -> tuple[Trainer, torch.device, str]:
    """Return a trainer at its start, the device to evaluate on, and the name of the backend.

    Raises:
        InputError: when the fused backend is asked for something that it does not do, with the reason.
    """
    reason = _declines(problem, device)
    if backend == "fused" and reason is not None:
        raise InputError(f"backend 'fused' cannot train this: {reason}; take auto or reference")
    if backend == "reference" or reason is not None:
        return ReferenceTrainer(problem, start, device), device, "reference"
    if device.type == "cuda":
        return fused_cuda.CudaTrainer(problem, start, device), device, "fused"
    return fused.FusedTrainer(problem, start), device, "fused"


def _declines(problem: Problem, device: torch.device) -> str | None:
    """Say why no fast path trains a problem on a device, None where one does."""
    if device.type == "cpu":
        return fused.declines(problem)
    if device.type == "cuda":
        return fused_cuda.declines(problem)
    return f"it is not there for the device {device}"
