"""Sparse kernels: everything behind the encoder's product touches the active latents only."""

import torch

from superscope.core import InputError
from superscope.dictionary.sparse.cpu import CPUEngine as CPUEngine
from superscope.dictionary.sparse.engine import Codes as Codes
from superscope.dictionary.sparse.engine import DenseEngine as DenseEngine
from superscope.dictionary.sparse.engine import Engine as Engine
from superscope.dictionary.sparse.engine import Fit as Fit
from superscope.dictionary.sparse.held import step_held_ as step_held_
from superscope.dictionary.sparse.triton import declines
from superscope.dictionary.sparse.triton_engine import TritonEngine as TritonEngine


def make_engine(backend: str, device: torch.device, product: str = "float32") -> Engine | None:
    """Return the engine of a backend on a device; None for ``reference``, which needs none.

    ``auto`` is ``sparse`` where there is a sparse engine for the device, else ``dense``. ``product`` names
    the kind of numbers of the encoder's product.

    Raises:
        InputError: when there is no such backend, or none for the device and the product.
    """
    sparse_on_cuda = backend in ("auto", "sparse") and device.type == "cuda" and declines() is None
    if product != "float32" and not sparse_on_cuda:
        raise InputError(f"{product} products need the sparse backend on a CUDA device; take float32")
    if backend == "reference":
        return None
    if backend not in ("auto", "sparse", "dense"):
        raise InputError(f"no backend {backend!r}; choose auto, sparse, dense or reference")
    if backend != "dense" and device.type == "cpu":
        return CPUEngine()
    reason = declines() if device.type == "cuda" else f"there are no kernels for {device.type}"
    if backend != "dense" and reason is None:
        return TritonEngine(product=getattr(torch, product))
    if backend == "sparse":
        raise InputError(f"the sparse backend cannot run on {device}: {reason}; choose auto or dense")
    return DenseEngine()
