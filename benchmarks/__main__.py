"""``make bench``, or ``python -m benchmarks NAME ...`` for some of them; ``--quick`` shrinks each."""

import platform
import sys

import torch

from benchmarks import (
    dictionary_cuda,
    dictionary_recovery,
    dictionary_throughput,
    energy_rank,
    networks,
    silhouette,
    store,
    survey,
    toy_cuda,
    toy_sweeps,
    toy_training,
)

BENCHMARKS = {
    "survey": survey.main,
    "energy-rank": energy_rank.main,
    "silhouette": silhouette.main,
    "networks": networks.main,
    "toy-training": toy_training.main,
    "toy-cuda": toy_cuda.main,
    "toy-sweeps": toy_sweeps.main,
    "dictionary-throughput": dictionary_throughput.main,
    "dictionary-cuda": dictionary_cuda.main,
    "dictionary-recovery": dictionary_recovery.main,
    "store": store.main,
}


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments
    names = [name for name in arguments if name != "--quick"] or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        print(f"no benchmark {', '.join(unknown)}; choose from {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    threads = f"{torch.get_num_threads()} threads"
    print(
        platform.machine(),
        threads,
        f"torch {torch.__version__}",
        f"Python {platform.python_version()}",
        sep=", ",
    )
    for name in names:
        print(f"\n## {name}\n", flush=True)
        BENCHMARKS[name](quick)
    return 0


sys.exit(main(sys.argv[1:]))
