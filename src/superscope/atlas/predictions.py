"""What a network answers and what is right: the next token of a language model, the class of a classifier."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from superscope.activations.rows import token_mask
from superscope.core.errors import InputError, ModelError
from superscope.data import Batch

Kind = Literal["next token", "class"]

_CELLS = 1 << 24
"""Probabilities that are held at a time: 64 MiB in float32."""


@dataclass(frozen=True)
class Answers:
    """The logits of a batch that can be judged."""

    kind: Kind
    logits: Float[Tensor, "prediction class"]
    truth: Int[Tensor, " prediction"]
    sample: Int[Tensor, " prediction"]
    """Whose they are, by its place in the batch."""


@dataclass(frozen=True)
class Scores:
    """How good they are, a number for each prediction."""

    loss: Float[Tensor, " prediction"]
    """Cross-entropy, −log p of the truth, in nats."""
    right: Bool[Tensor, " prediction"]
    kl: Float[Tensor, " prediction"]
    """KL(clean ‖ these), in nats; 0 without clean answers."""


def judged_answers(output: object, batch: Batch) -> Answers:
    """Return the answers of a network for a batch whose truth is known.

    Logits [sample, token, vocabulary] predict, at each real token, the next one if that is real too; logits
    [sample, class] predict the label, where it is 0 or more.

    Raises:
        ModelError: when the output has no such logits.
        InputError: when a classifier's batch has no labels, or one that is none of the logits'.
    """
    logits = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if not isinstance(logits, Tensor) or logits.ndim not in (2, 3):
        what = f"shape {list(logits.shape)}" if isinstance(logits, Tensor) else type(output).__name__
        raise ModelError(
            f"the model puts out {what}; a loss needs logits [sample, token, vocabulary] or [sample, class]: "
            "give a language model with its head, or a classifier"
        )
    if logits.ndim == 3:
        return _next_tokens(logits, batch)
    labels = batch.labels
    if labels is None:
        raise InputError(
            f"the data has no labels, and logits of {logits.shape[1]} classes cannot be judged without; "
            "give (inputs, labels)"
        )
    labels = labels.to(logits.device)
    if len(labels) != len(logits) or int(labels.max()) >= logits.shape[1]:
        raise InputError(
            f"labels up to {int(labels.max())} for {len(labels)} samples do not go with logits of shape "
            f"{list(logits.shape)}; give the labels that the classifier was made for"
        )
    known = (labels >= 0).nonzero().flatten()
    return Answers("class", logits[known], labels[known], known)


def _next_tokens(logits: Float[Tensor, "sample token class"], batch: Batch) -> Answers:
    inputs = batch.inputs
    ids, mask = inputs if isinstance(inputs, Tensor) else inputs.get("input_ids"), token_mask(batch)
    if ids is None or mask is None or mask.shape != logits.shape[:2] or ids.shape != logits.shape[:2]:
        raise ModelError(
            f"the model puts out logits of shape {list(logits.shape)} and is given no token numbers "
            "[sample, token] that go with them; give a causal language model and text"
        )
    ids, mask = ids.to(logits.device).long(), mask.to(logits.device)
    places = (mask[:, :-1] & mask[:, 1:]).nonzero()
    sample, token = places.unbind(1)
    return Answers("next token", logits[sample, token], ids[sample, token + 1], sample)


def scores(answers: Answers, clean: Answers | None = None) -> Scores:
    """Return the loss of each prediction, whether it is right, and how far it is from the clean one."""
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for rows in _blocks(answers):
        logp = functional.log_softmax(answers.logits[rows].float(), 1)
        truth = answers.truth[rows]
        loss = -logp.gather(1, truth[:, None])[:, 0]
        kl = torch.zeros_like(loss)
        if clean is not None:
            reference = functional.log_softmax(clean.logits[rows].float(), 1)
            kl = functional.kl_div(logp, reference, reduction="none", log_target=True).sum(1)
        parts.append((loss, logp.argmax(1) == truth, kl))
    if not parts:
        empty = answers.logits.new_zeros(0, dtype=torch.float32)
        return Scores(empty, empty > 0, empty)
    return Scores(*(torch.cat(each) for each in zip(*parts, strict=True)))


def _blocks(answers: Answers) -> Iterator[slice]:
    count, classes = answers.logits.shape
    size = max(1, _CELLS // classes)
    return (slice(start, start + size) for start in range(0, count, size))
