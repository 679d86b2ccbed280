"""A classifier trained with cross-entropy and Adam, the same bits for the same seed, killed or not."""

import hashlib
from pathlib import Path

import torch
from jaxtyping import Int, Num
from torch import Tensor, nn
from torch.nn import functional

from superscope.core.checkpoint import Checkpoint
from superscope.core.errors import InputError
from superscope.core.progress import progress
from superscope.core.random import generator


def train_classifier(
    model: nn.Module,
    inputs: Num[Tensor, "sample *shape"],
    labels: Int[Tensor, " sample"],
    *,
    epochs: int = 30,
    batch_size: int = 64,
    lr: float = 1e-3,
    seed: int = 0,
    checkpoint: Path | None = None,
) -> nn.Module:
    """Train ``model`` in place on data that lies in memory, and return it in eval mode.

    Each epoch goes once through a fresh permutation, drawn from ``seed``.

    Args:
        model: gives logits [sample, class]. One that draws while it trains (dropout) draws from torch's
            global generator, which is neither seeded nor kept here.
        inputs: one sample a row.
        labels: the class of each.
        epochs: passes over the samples.
        batch_size: samples a step.
        lr: Adam's learning rate.
        seed: of the order of the samples.
        checkpoint: a file that the state is kept in every ten seconds and that training goes on from, to the
            same bits. It stays when training ends.

    Raises:
        InputError: when the loss at the end of an epoch is not finite.
        ArtifactError: when the checkpoint cannot be written, is damaged or belongs to another training.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr)
    draws = generator(seed, "classifier", "order")
    kept, done = None, 0
    if checkpoint is not None:
        options = (epochs, batch_size, lr, seed)
        kept = Checkpoint(checkpoint, _identity(model, inputs, labels, options))
        if (state := kept.load()) is not None:
            done = _restore(state, model, optimizer, draws)
    per_epoch = -(-len(inputs) // batch_size)
    model.train()
    with progress((), "training", epochs * per_epoch, "step") as bar:
        bar.update(done)
        for epoch in range(done // per_epoch, epochs):
            start = draws.get_state()
            order = torch.randperm(len(inputs), generator=draws).split(batch_size)
            last = torch.zeros(())
            for rows in order[done - epoch * per_epoch :]:
                optimizer.zero_grad()
                loss = functional.cross_entropy(model(inputs[rows]), labels[rows])
                loss.backward()
                optimizer.step()
                done += 1
                last = loss.detach()
                bar.update()
                if kept is not None and kept.due:
                    whole = done == (epoch + 1) * per_epoch
                    kept.save(_state(model, optimizer, draws.get_state() if whole else start, done))
            if not last.isfinite():
                raise InputError(f"the loss is {float(last)} after epoch {epoch + 1}; lower lr, now {lr:g}")
    return model.eval()


@torch.inference_mode()
def accuracy(model: nn.Module, inputs: Num[Tensor, "sample *shape"], labels: Int[Tensor, " sample"]) -> float:
    """Return the share of samples whose largest logit is their label's, in [0, 1]."""
    return float((model(inputs).argmax(1) == labels).double().mean())


def _state(
    model: nn.Module, optimizer: torch.optim.Optimizer, epoch_start: Tensor, done: int
) -> dict[str, Tensor]:
    """Return all that the steps behind ``done`` depend on.

    ``epoch_start`` is the state of the generator before it draws the order of the epoch that goes on.
    """
    moments = {
        f"adam/{index}/{name}": value
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
    weights = {f"model/{name}": value for name, value in model.state_dict().items()}
    return {**weights, **moments, "draws": epoch_start, "done": torch.tensor(done)}


def _restore(
    state: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer, draws: torch.Generator
) -> int:
    """Put everything where it was, and return how many steps were done."""
    model.load_state_dict(
        {name.removeprefix("model/"): value for name, value in state.items() if name.startswith("model/")}
    )
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        if name.startswith("adam/"):
            _, index, key = name.split("/")
            moments.setdefault(int(index), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    draws.set_state(state["draws"])
    return int(state["done"])


def _identity(model: nn.Module, inputs: Tensor, labels: Tensor, options: tuple[int, int, float, int]) -> str:
    """Tell one training from another by all that decides its bits."""
    digest = hashlib.sha256(f"{model!r} {options}".encode())
    for tensor in (*model.state_dict().values(), inputs, labels):
        digest.update(f"{tensor.dtype} {list(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)  # no copy of the data
    return digest.hexdigest()
