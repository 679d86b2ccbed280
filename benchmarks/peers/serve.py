"""``python -m benchmarks.peers.serve LIBRARY``: a library's trainers, told by lines of JSON what to do.

Runs in the peers' environment and knows nothing of superscope. Rows are raw float32 in a file, mapped into
memory, so that every library reads the same ones. A question is one line, and so is its answer:

    {"do": "make", "name": NAME, "task": {...}}          {}
    {"do": "run", "name": NAME, "rows": FILE, "count": N}  {"seconds": ...}
    {"do": "result", "name": NAME, "decoder": FILE, "rows": FILE, "count": N}  {"l0": ...}
    {"do": "drop", "name": NAME}                         {}
"""

import json
import os
import sys
import time
from importlib import import_module
from typing import Any

os.environ |= {"TQDM_DISABLE": "1", "WANDB_MODE": "disabled", "HF_HUB_OFFLINE": "1"}

import torch
from safetensors.torch import save_file

from benchmarks.peers.trainers import Task, Trainer

_CHUNK = 4096


def main(library: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    torch.set_num_threads(1)
    module = import_module(f"benchmarks.peers.with_{library}")
    print(json.dumps({"architectures": module.ARCHITECTURES}), file=answers, flush=True)
    trainers: dict[str, Trainer] = {}
    for line in sys.stdin:
        try:
            answer = act(module, trainers, json.loads(line))
        except Exception as error:  # noqa: BLE001  # the other side says it and stops
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def act(module: Any, trainers: dict[str, Trainer], asked: dict[str, Any]) -> dict[str, float]:
    name = asked["name"]
    match asked["do"]:
        case "make":
            trainers[name] = module.TRAINER(Task(**asked["task"]))
            return {}
        case "run":
            rows = read(asked).to(asked["device"])
            wait(asked["device"])
            start = time.perf_counter()
            trainers[name].run(rows)
            wait(asked["device"])
            return {"seconds": time.perf_counter() - start}
        case "result":
            save_file({"decoder": trainers[name].decoder().cpu().contiguous()}, asked["decoder"])
            rows = read(asked).to(asked["device"])
            active = sum(int((trainers[name].encode(part) > 0).sum()) for part in rows.split(_CHUNK))
            return {"l0": active / len(rows)}
        case "drop":
            del trainers[name]
            return {}
    raise ValueError(f"nothing is known of {asked['do']}")


def read(asked: dict[str, Any]) -> torch.Tensor:
    count, width = asked["count"], asked["width"]
    return torch.from_file(asked["rows"], size=count * width, dtype=torch.float32).view(count, width)


def wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main(sys.argv[1])
