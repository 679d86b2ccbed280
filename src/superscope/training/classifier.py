"""A classifier trained with cross-entropy and Adam, the same bits for the same seed, killed or not."""

from pathlib import Path

import torch
from jaxtyping import Int, Num
from torch import Tensor, nn
from torch.nn import functional

from superscope.core.checkpoint import Checkpoint
from superscope.core.errors import InputError
from superscope.core.progress import progress
from superscope.core.random import generator
from superscope.training.state import identity, restore, training_state


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
        kept = Checkpoint(checkpoint, identity(model, options, inputs, labels))
        if (state := kept.load()) is not None:
            restore(state, model, optimizer)
            draws.set_state(state["draws"])
            done = int(state["done"])
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
                    # the generator before it draws the order of the epoch that goes on
                    ahead = draws.get_state() if done == (epoch + 1) * per_epoch else start
                    counted = {"draws": ahead, "done": torch.tensor(done)}
                    kept.save(training_state(model, optimizer) | counted)
            if not last.isfinite():
                raise InputError(f"the loss is {float(last)} after epoch {epoch + 1}; lower lr, now {lr:g}")
    return model.eval()


@torch.inference_mode()
def accuracy(model: nn.Module, inputs: Num[Tensor, "sample *shape"], labels: Int[Tensor, " sample"]) -> float:
    """Return the share of samples whose largest logit is their label's, in [0, 1]."""
    return float((model(inputs).argmax(1) == labels).double().mean())
