"""Training a dictionary from a store twice as large as its memory, against training from a tensor."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.timing import header, in_turns, ratio, row
from superscope.activations import ActivationStore, harvest
from superscope.activations.shards import StoredAs
from superscope.core import generator
from superscope.core.runtime import threads
from superscope.dictionary import DictionaryConfig, train

WIDTH, LATENTS, K, BATCH = 512, 4096, 32, 2048


def rows_of(batches: int) -> Tensor:
    """Return sparse sums of 4,096 random directions, as a layer might put them out."""
    draws = generator(0, "benchmark", "store")
    directions = nn.functional.normalize(torch.randn(LATENTS, WIDTH, generator=draws), dim=1)
    chosen = torch.randint(LATENTS, (batches * BATCH, 8), generator=draws)
    return torch.rand(chosen.shape, generator=draws)[:, None].bmm(directions[chosen])[:, 0]


def forget(folder: Path) -> None:
    """Drop a store from the system's cache, so that it is read from the disk."""
    for path in folder.glob("*.safetensors"):
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def main(quick: bool) -> None:
    config = DictionaryConfig(n_latents=LATENTS, k=K, k_start=1.0, batch_size=BATCH)  # no slower first half
    activations = rows_of(24 if quick else 40)
    size = activations.numel() * 4
    kinds: tuple[StoredAs, ...] = ("float32", "float16", "bfloat16")
    with threads(1), tempfile.TemporaryDirectory() as folder:
        stores = {kind: Path(folder, kind) for kind in kinds}
        for kind, path in stores.items():
            harvest(nn.Sequential(nn.Identity()), activations, "0", path, dtype=kind, batch_size=4096)

        def from_store(kind: StoredAs, *, cold: bool = False) -> Callable[[], object]:
            def work() -> object:
                if cold:
                    forget(stores[kind])
                return train(opened(stores[kind]), config, show_progress=False)

            return work

        rivals = {
            "a tensor in memory": lambda: train(activations, config, show_progress=False),
            **{f"a store of {kind}": from_store(kind) for kind in kinds},
        }
        if hasattr(os, "posix_fadvise"):
            rivals["a store of float32, not in the system's cache"] = from_store("float32", cold=True)
        times = in_turns(rivals, 1 if quick else 3, warm=True)
        print(f"{len(activations):,} activations of width {WIDTH}, one pass: {size >> 20} MiB in float32\n")
        header("trained from", "activations a second (median)", "of the speed in memory (range)")
        for name, seconds in times.items():
            speed = len(activations) / statistics.median(seconds)
            row(name, f"{speed:,.0f}", ratio(times["a tensor in memory"], seconds))

        print()
        header("store", "MiB on the disk", "MiB allowed", "MiB taken", "read alone, activations a second")
        for kind, path in stores.items():
            code = f"from benchmarks.store import read; read({str(path)!r})"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            store = opened(path)
            taken, speed = done.stdout.split()
            row(kind, on_disk(store) >> 20, store.memory >> 20, taken, f"{float(speed):,.0f}")


def on_disk(store: ActivationStore) -> int:
    return sum(entry.bytes for entry in store.manifest.shards)


def opened(folder: Path) -> ActivationStore:
    """Return a store that is allowed half of what it holds."""
    return ActivationStore(folder, memory=on_disk(ActivationStore(folder)) // 2)


def read(folder: str) -> None:
    """Print the memory that this process takes for a shuffled pass, in MiB, and its speed."""
    torch.set_num_threads(1)
    store = opened(Path(folder))
    next(iter(ActivationStore(folder, memory=1 << 20).batches(16, 1)))  # what reading needs besides: code
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    started = time.perf_counter()
    for _ in store.batches(BATCH, 0):
        pass
    seconds = time.perf_counter() - started
    print(f"{memory('VmHWM') - before:.0f} {store.samples / seconds}")


def memory(what: str) -> float:
    """Return the memory of this process, now or at most, in MiB."""
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index(f"{what}:") + 1]) / 1024
