"""The only place for device, dtype, threads and the environment that ``torchrun`` sets."""

import contextlib
import ctypes
import functools
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import torch

from superscope.core.errors import InputError


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``; ``auto`` is CUDA where there is one, else the CPU.

    Raises:
        InputError: when the name is no device, or names one that this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); use auto or cpu"
        ) from error
    return device


@contextlib.contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Run the block with ``count`` threads in torch and Numba (None: as many as there are set)."""
    if count is None:
        yield
        return
    import numba

    before = torch.get_num_threads(), numba.get_num_threads()
    most: int = numba.config.NUMBA_NUM_THREADS  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]
    torch.set_num_threads(count)
    numba.set_num_threads(min(count, most))
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])


@contextlib.contextmanager
def blas_threads() -> Iterator[None]:
    """Hold NumPy's BLAS to as many threads as torch has while the block runs."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(torch.get_num_threads(), user_api="blas"):
        yield


@functools.cache
def numpy_multiplies_faster() -> bool:
    """Whether NumPy's matrix product on one thread is quicker than torch's: on AMD's processors.

    torch brings Intel's MKL, NumPy OpenBLAS, which took 71 ms where MKL took 82. The processor's name tells,
    not a trial, so that a machine always gives the same bits.
    """
    from llvmlite.binding import get_host_cpu_name

    return get_host_cpu_name().startswith("znver")


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Have freed memory kept for the next allocation while the block runs, where the C library is glibc.

    It otherwise gives large blocks back to the system, and the next pass of a network faults the same pages
    in again one by one: with hooks that allocate between the layers, that took a third of a pass. What is
    kept goes back when the block ends.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    trim, mmap, most = -1, -3, 2**31 - 1  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD in malloc.h
    library.mallopt(mmap, most)
    library.mallopt(trim, most)
    try:
        yield
    finally:
        library.mallopt(mmap, 32 * 2**20)  # the most that glibc would come to by itself
        library.mallopt(trim, 64 * 2**20)
        library.malloc_trim(0)


@dataclass(frozen=True)
class Distribution:
    """Where this process stands among those that ``torchrun`` started."""

    rank: int
    """0 for the process that writes files."""
    world_size: int
    """How many processes there are; 1 without ``torchrun``."""
    local_rank: int
    """The device index on this machine."""


def distribution() -> Distribution:
    """Read the environment that ``torchrun`` sets; a process alone is rank 0 of 1."""
    rank, size, local = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
    )
    return Distribution(rank, size, local)


def environment() -> dict[str, object]:
    """Describe the machine and the libraries, for ``environment.json``."""
    return {
        "command": sys.argv,
        "superscope": _version("superscope"),
        "python": platform.python_version(),
        "libraries": {
            name: _version(name)
            for name in ("torch", "numpy", "scipy", "scikit-learn", "numba", "safetensors")
        },
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
