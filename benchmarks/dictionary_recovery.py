"""What share of known features dictionaries find: every trainer with its own defaults, on the same samples.

World 1: 256 random directions in 64 dimensions, each active with probability 4/256; 256 latents, k = 4; 4,000
steps of 1,024. World 2: 512 directions in 256 dimensions, five active on average, the rare ones a hundred and
sixty times as rarely as the common ones; 512 latents, k = 5; 2,000 steps of 1,024. One thread each.

Everything but sizes, steps and L0 is the library's default. Where L0 follows from the weight of a penalty,
that weight is found first, on a world of its own, so that L0 comes within 5 % of k.

    python -m benchmarks.dictionary_recovery --seeds 5 --trainers superscope SAELens --worlds 1

runs a part. What was run is kept in ``out/dictionary_recovery.json`` and not run again, but for trainers
that ``--again`` names; several may run at once. The tables are of all that is in the file.
"""

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from filelock import FileLock
from torch import Tensor

from benchmarks.peers.client import LIBRARIES, Peer, Rows, peers
from benchmarks.peers.trainers import Task
from benchmarks.timing import header, row
from superscope.core import generator
from superscope.core.runtime import threads
from superscope.dictionary import Architecture, DictionaryConfig, train
from superscope.measures import match_features, mcc, recovered_share
from superscope.toy import World, decaying_world, even_world

OUT = Path("out/dictionary_recovery.json")
ARCHITECTURES = ("topk", "batchtopk", "matryoshka", "standard", "gated", "jumprelu")
BATCH, PROBE = 1_024, 16_384
OURS = "superscope"
FIRST_WEIGHT = {"SAELens": 1.0, "dictionary_learning": 0.3, "overcomplete": 3e-6}
"""Where the search for the weight of a penalty begins."""
AIMED = {("dictionary_learning", "jumprelu")}
"""Penalties that are told L0 itself, by an option."""
SEARCHED, CLOSE = 8, 0.05


@dataclass(frozen=True)
class Setting:
    """A world, and the sizes of the dictionaries for it."""

    make: Callable[[torch.Generator], World]
    n_latents: int
    k: int
    steps: int
    asked: dict[str, float]


SETTINGS = {
    "1": Setting(even_world, 256, 4, 4_000, {"topk": 0.995, "batchtopk": 0.99}),
    "2": Setting(decaying_world, 512, 5, 2_000, {"topk": 0.90, "batchtopk": 0.88}),
}


@dataclass(frozen=True)
class Sample:
    """A world, and what every trainer reads of it."""

    world: World
    rows: Rows
    probe: Rows
    folder: Path


class Results:
    """Records of trainings in a JSON file, which several processes may add to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(f"{path}.lock")

    def read(self) -> list[dict[str, Any]]:
        with self.lock:
            return json.loads(self.path.read_text()) if self.path.exists() else []

    def find(self, **key: object) -> dict[str, Any] | None:
        return next((each for each in self.read() if all(each.get(k) == v for k, v in key.items())), None)

    def add(self, record: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            self._write([*self.read(), record])
        return record

    def forget(self, trainers: Sequence[str]) -> None:
        """Drop what trainers had, but not the weights of their penalties."""
        with self.lock:
            kept = [
                each for each in self.read()
                if each["seed"] == "weight" or each["trainer"].partition(",")[0] not in trainers
            ]  # fmt: skip
            self._write(kept)

    def _write(self, records: list[dict[str, Any]]) -> None:
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(records, indent=1))
        temporary.replace(self.path)


def main(quick: bool) -> None:
    """Run all of it, or one seed with a tenth of the steps."""
    if quick:
        with tempfile.TemporaryDirectory() as folder:
            run(Results(Path(folder, "results.json")), [0], list(SETTINGS), shrink=10)
    else:
        run(Results(OUT), range(5), list(SETTINGS))


def run(
    results: Results,
    seeds: Sequence[int],
    worlds: Sequence[str],
    only: Sequence[str] | None = None,
    architectures: Sequence[str] = ARCHITECTURES,
    shrink: int = 1,
) -> None:
    """Run what is not in the results yet, and print the tables."""
    with ExitStack() as stack:
        stack.enter_context(threads(1))
        wanted = [each for each in LIBRARIES if only is None or LIBRARIES[each] in only]
        found = stack.enter_context(peers(*wanted)) if wanted else {}
        for world in worlds:
            setting = SETTINGS[world]
            setting = Setting(
                setting.make, setting.n_latents, setting.k, setting.steps // shrink, setting.asked
            )
            pairs = [
                (peer, each)
                for peer in found.values()
                for each in peer.architectures
                if each in architectures
            ]
            for peer, architecture in pairs:
                if weighed(peer, architecture):
                    weight(results, world, setting, peer, architecture)
            ours = architectures if only is None or OURS in only else ()
            for each in ours:  # loads compiled code, or compiles it
                train(torch.eye(8).repeat(8, 1), config_of(each, 16, 2, 16), show_progress=False)
            for seed in seeds:
                run_seed(results, world, setting, seed, pairs, ours)
    for world in worlds:
        table(results, world)


def run_seed(
    results: Results, world: str, setting: Setting, seed: int, pairs: Sequence[tuple[Peer, str]],
    ours: Sequence[str],
) -> None:  # fmt: skip
    """Train everything on one sample, which is drawn only if anything is left to train."""
    jobs: list[tuple[str, str, Callable[[Sample], dict[str, Any]]]] = []
    jobs += [(OURS, each, partial(train_ours, setting, each, seed)) for each in ours]
    for peer, each in pairs:
        coefficient = known_weight(results, world, peer, each)
        jobs += [
            (name, each, partial(train_peer, setting, peer, each, seed, optimizer, coefficient))
            for name, optimizer in optimizers(peer)
        ]
    left = [
        job for job in jobs
        if results.find(world=world, seed=seed, trainer=job[0], architecture=job[1]) is None
    ]  # fmt: skip
    if not left:
        return
    with drawn(world, setting, seed) as sample:
        for name, architecture, job in left:
            key = {"world": world, "seed": seed, "trainer": name, "architecture": architecture}
            record = results.add(key | job(sample))
            shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in record.items()}
            print(*(f"{k} {v}" for k, v in shown.items()), sep=", ", flush=True)


@contextmanager
def drawn(world: str, setting: Setting, seed: int | str) -> Iterator[Sample]:
    """Draw a world and its samples into files that are gone afterwards."""
    made = setting.make(generator(0, "dictionary-recovery", world, str(seed), "directions"))
    draws = generator(0, "dictionary-recovery", world, str(seed), "samples")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows = Rows.write(folder / "rows", made.stream(setting.steps * BATCH, draws))
        yield Sample(made, rows, Rows.write(folder / "probe", made.stream(PROBE, draws)), folder)


def train_ours(setting: Setting, architecture: str, seed: int, sample: Sample) -> dict[str, Any]:
    config = config_of(architecture, setting.n_latents, setting.k, BATCH)
    start = time.perf_counter()
    made = train(sample.rows.read(), config, seed=seed, device="cpu", show_progress=False)
    seconds = time.perf_counter() - start
    with torch.no_grad():
        l0 = float((made.encode(sample.probe.read()) > 0).sum(1).float().mean())
    return scores(made.W_dec.detach(), sample, l0, seconds)


def config_of(architecture: str, n_latents: int, k: int, batch_size: int) -> DictionaryConfig:
    return DictionaryConfig(cast("Architecture", architecture), n_latents, k, batch_size=batch_size)


def train_peer(
    setting: Setting, peer: Peer, architecture: str, seed: int, optimizer: str | None,
    coefficient: float | None, sample: Sample,
) -> dict[str, Any]:  # fmt: skip
    width = sample.rows.width
    task = Task(
        architecture, width, setting.n_latents, setting.k, BATCH, setting.steps, seed, coefficient, optimizer
    )
    peer.make("", task)
    seconds = peer.run("", sample.rows)
    W, l0 = peer.result("", sample.probe, sample.folder / "decoder")
    return scores(W, sample, l0, seconds) | ({} if coefficient is None else {"coefficient": coefficient})


def scores(W: Tensor, sample: Sample, l0: float, seconds: float) -> dict[str, Any]:
    matching = match_features(W, sample.world.directions)
    return {"mcc": mcc(matching), "found": recovered_share(matching), "l0": l0, "seconds": seconds}


def optimizers(peer: Peer) -> list[tuple[str, str | None]]:
    """Return a library's trainers by name: sparsify has two optimizers, and signum is its default."""
    if peer.package == "sparsify":
        return [("sparsify", "signum"), ("sparsify, Adam", "adam")]
    return [(peer.package, None)]


def weighed(peer: Peer, architecture: str) -> bool:
    """Tell whether L0 follows from the weight of a penalty."""
    return architecture in ("standard", "gated", "jumprelu") and (peer.package, architecture) not in AIMED


def known_weight(results: Results, world: str, peer: Peer, architecture: str) -> float | None:
    """Return the weight whose L0 came nearest to k, None where there is none to choose."""
    tried = trials(results, world, peer, architecture)
    return min(tried, key=lambda each: each["miss"])["coefficient"] if tried else None


def trials(results: Results, world: str, peer: Peer, architecture: str) -> list[dict[str, Any]]:
    key = {"world": world, "seed": "weight", "trainer": peer.package, "architecture": architecture}
    return [each for each in results.read() if all(each[name] == value for name, value in key.items())]


def weight(results: Results, world: str, setting: Setting, peer: Peer, architecture: str) -> None:
    """Find the weight of a penalty for L0 = k, going by those tried so far."""
    tried = trials(results, world, peer, architecture)
    if len(tried) >= SEARCHED or any(each["miss"] < CLOSE for each in tried):
        return
    with drawn(world, setting, "weight") as sample:
        for _ in range(SEARCHED - len(tried)):
            coefficient = next_weight(tried, setting.k, FIRST_WEIGHT[peer.package])
            record = train_peer(setting, peer, architecture, 0, None, coefficient, sample)
            key = {"world": world, "seed": "weight", "trainer": peer.package, "architecture": architecture}
            miss = abs(math.log(max(record["l0"], 1e-3) / setting.k))
            tried.append(results.add(key | record | {"miss": miss}))
            what = f"world {world}, {peer.package} {architecture}"
            print(f"{what}: {coefficient:.4g} gives L0 {record['l0']:.2f}", flush=True)
            if miss < CLOSE:
                return


def next_weight(tried: Sequence[dict[str, Any]], k: int, first: float) -> float:
    """Return what to try next: L0 falls as the weight grows, nearly as a power of it between two weights.

    >>> next_weight([], 4, 0.3)
    0.3
    >>> round(next_weight([{"coefficient": 0.3, "l0": 9.0}], 4, 0.3), 3)
    0.9
    >>> round(next_weight([{"coefficient": 0.3, "l0": 9.0}, {"coefficient": 1.2, "l0": 2.0}], 4, 0.3), 3)
    0.633
    """
    if not tried:
        return first
    over = max((each["coefficient"] for each in tried if each["l0"] > k), default=None)
    under = min((each["coefficient"] for each in tried if each["l0"] <= k), default=None)
    if over is None or under is None:
        return over * 3 if over is not None else (under or first) / 3
    above, below = (
        next(math.log(max(each["l0"], 0.1)) for each in tried if each["coefficient"] == end)
        for end in (over, under)
    )
    way = min(0.9, max(0.1, (above - math.log(k)) / (above - below)))
    return over * (under / over) ** way


def table(results: Results, world: str) -> None:
    """Print the means over the seeds, and say where ours is not ahead."""
    records = [each for each in results.read() if each["world"] == world and each["seed"] != "weight"]
    asked = SETTINGS[world].asked
    print(f"\nWorld {world}, {len({each['seed'] for each in records})} seeds\n")
    header(
        "architecture", "trainer", "MCC, mean (range)", "asked", "features found (cosine over 0.9)", "L0",
        "seconds (median)",
    )  # fmt: skip
    for architecture in ARCHITECTURES:
        of = [each for each in records if each["architecture"] == architecture]
        names = sorted({each["trainer"] for each in of}, key=lambda name: (name == OURS, name))
        best = max((mean(of, name, "mcc") for name in names if name != OURS), default=0.0)
        for name in names:
            values = sorted(each["mcc"] for each in of if each["trainer"] == name)
            limit = asked.get(architecture)
            wanted = f"≥ {limit}" if limit is not None else f"> {best:.3f}" if best else ""
            seconds = statistics.median(each["seconds"] for each in of if each["trainer"] == name)
            row(
                architecture,
                name,
                f"{mean(of, name, 'mcc'):.4f} ({values[0]:.4f} to {values[-1]:.4f})",
                wanted if name == OURS else "",
                f"{mean(of, name, 'found'):.3f}",
                f"{mean(of, name, 'l0'):.2f}",
                f"{seconds:.0f}",
            )


def mean(records: Sequence[dict[str, Any]], trainer: str, field: str) -> float:
    return statistics.fmean(each[field] for each in records if each["trainer"] == trainer)


def command(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dictionary_recovery")
    names = [OURS, *LIBRARIES.values()]
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--worlds", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--trainers", nargs="+", choices=names, default=names)
    parser.add_argument("--architectures", nargs="+", choices=ARCHITECTURES, default=ARCHITECTURES)
    parser.add_argument("--again", nargs="+", choices=names, default=[], help="forget what these had")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args(arguments)
    results = Results(given.out)
    if given.again:
        results.forget(given.again)
    run(results, range(given.seeds), given.worlds, given.trainers, given.architectures)


if __name__ == "__main__":
    command()
