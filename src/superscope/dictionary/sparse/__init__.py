"""Sparse kernels: everything behind the encoder's product touches the active latents only."""

import torch

from superscope.core import InputError
from superscope.dictionary.sparse.cpu import CPUEngine as CPUEngine
from superscope.dictionary.sparse.engine import Codes as Codes
from superscope.dictionary.sparse.engine import DenseEngine as DenseEngine
from superscope.dictionary.sparse.engine import Engine as Engine
from superscope.dictionary.sparse.engine import Fit as Fit


def make_engine(backend: str, device: torch.device) -> Engine | None:
    """Return the engine of a backend on a device; None for ``reference``, which needs none.

    Raises:
        InputError: when there is no such backend.
    """
    if backend == "reference":
        return None
    if backend == "dense" or (backend in ("auto", "sparse") and device.type != "cpu"):
        return DenseEngine()
    if backend in ("auto", "sparse"):
        return CPUEngine()
    raise InputError(f"no backend {backend!r}; choose auto, sparse, dense or reference")
