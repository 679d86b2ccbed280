"""Texts as a model's own tokenizer makes them: token numbers with a mask, in batches of like length."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from superscope.core.errors import DataError, InputError
from superscope.core.random import generator
from superscope.data.samples import Samples
from superscope.data.text_files import Texts

_WINDOW = 4096
"""Texts that are tokenised together, and sorted by length."""
_WIDEST_BATCH = 8
"""How many times ``batch_size`` a batch of short texts may be."""
_UNLIMITED = 1_000_000  # a tokenizer that knows no limit says 10^30


class TextSamples(Samples):
    """Texts, tokenised when they are asked for, by the tokenizer of the model that is to read them.

    Args:
        texts: the texts, and their labels or none.
        tokenizer: a Hugging Face tokenizer, or what is called like one: a list of texts, ``truncation=True``
            and ``max_length`` give a mapping with ``input_ids`` (and ``attention_mask``,
            ``token_type_ids``, …), a list for each text.
        split: which part of a set this is, or None.
        max_length: longer texts are cut to so many tokens, special ones included; None for as many as the
            tokenizer says that the model takes.

    Raises:
        DataError: without a tokenizer.
        InputError: for a ``max_length`` below 1.

    Attributes:
        max_length: the number of tokens that texts are cut to; None for no limit.
        tokenizer: the one that was given.
    """

    shape = ()

    def __init__(
        self, texts: Texts, tokenizer: Any, *, split: str | None = None, max_length: int | None = None
    ) -> None:
        if tokenizer is None:
            raise DataError(
                f"{texts.name}: text needs a model with a tokenizer, and this one has none; take hf:NAME, "
                "or give load_data(..., tokenizer=...)"
            )
        if max_length is not None and max_length < 1:
            raise InputError(f"max_length is {max_length}; give 1 token or more")
        own = getattr(tokenizer, "model_max_length", None)
        own = own if isinstance(own, int) and own < _UNLIMITED else None
        self.name, self.split, self.classes = texts.name, split, texts.classes
        self.max_length = max_length if max_length is not None else own
        self._texts, self.tokenizer = texts, tokenizer
        self._padding = {"token_type_ids": 0, "attention_mask": 0, "input_ids": _pad_id(tokenizer)}
        self._truncated: set[int] = set()

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def truncated(self) -> int:
        """How many of the texts taken so far were longer than ``max_length``, and cut."""
        return len(self._truncated)

    def take(self, indices: Sequence[int]) -> tuple[dict[str, Tensor], Tensor | None]:
        """Return the tokens of the texts at ``indices``, padded on the right to the longest of them.

        ``input_ids`` and ``attention_mask`` (and what else the tokenizer gives), int64 [text, token].
        """
        return self._collate(self._encode(indices), np.arange(len(indices)))

    def _encode(self, indices: Sequence[int]) -> "_Encoded":
        """Tokenise the texts at ``indices`` in one call, without padding."""
        size = len(self)
        rows = [index + size if index < 0 else index for index in indices]
        texts, labels = self._texts.read(rows)
        limit = {} if self.max_length is None else {"truncation": True, "max_length": self.max_length}
        try:
            found = self.tokenizer(texts, **limit)
            fields = {
                name: [np.asarray(each, np.int64) for each in found[name]]
                for name in found
                if len(found[name]) == len(texts) and np.ndim(found[name][0]) == 1
            }
            ids = fields["input_ids"]
        except Exception as error:  # a tokenizer may be a person's own
            raise DataError(
                f"{self.name}: the tokenizer ({type(self.tokenizer).__name__}) failed: "
                f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            ) from error
        fields.setdefault("attention_mask", [np.ones(len(each), np.int64) for each in ids])
        self._truncated.update(rows[place] for place in self._cut(texts, found, ids))
        return _Encoded(fields, np.array([len(each) for each in ids]), labels)

    def _cut(self, texts: list[str], found: Any, ids: list[np.ndarray]) -> Iterator[int]:
        """Yield the places of the texts that were cut."""
        full = [place for place, each in enumerate(ids) if len(each) == self.max_length]
        parts = getattr(found, "encodings", None)  # a fast tokenizer keeps what it cut off
        if parts:
            yield from (place for place in full if parts[place].overflowing)
        elif full:
            whole = self.tokenizer([texts[place] for place in full])["input_ids"]
            yield from (place for place, each in zip(full, whole, strict=True) if len(each) > len(ids[place]))

    def _collate(self, encoded: "_Encoded", places: np.ndarray) -> tuple[dict[str, Tensor], Tensor | None]:
        lengths = encoded.lengths[places]
        width = max(1, int(lengths.max(initial=0)))
        real = np.arange(width) < lengths[:, None]
        inputs = {}
        for name, values in encoded.fields.items():
            padded = np.full(real.shape, self._padding.get(name, 0), np.int64)
            padded[real] = np.concatenate([values[place] for place in places] or [np.empty(0, np.int64)])
            inputs[name] = torch.from_numpy(padded)
        labels = None if encoded.labels is None else torch.from_numpy(encoded.labels[places])
        return inputs, labels

    def batches(
        self, order: Sequence[int], batch_size: int, seed: int
    ) -> Iterator[tuple[dict[str, Tensor], Tensor | None, Tensor]]:
        """Yield the texts at ``order`` in batches of like length, in a random order that ``seed`` fixes.

        The third part of a batch is where its texts stand in the set, int64 [text].
        See :func:`like_lengths`. 4,096 texts are tokenised at a time, so that a batch comes soon and memory
        does not grow with the set.
        """
        rng = generator(seed, "data", "lengths")
        for start in range(0, len(order), _WINDOW):
            window = np.asarray(order[start : start + _WINDOW])
            encoded = self._encode(window.tolist())
            groups = like_lengths(encoded.lengths, batch_size)
            for group in torch.randperm(len(groups), generator=rng).tolist():
                places = groups[group]
                yield *self._collate(encoded, places), torch.from_numpy(window[places])


class _Encoded(NamedTuple):
    fields: dict[str, list[np.ndarray]]
    lengths: np.ndarray
    labels: np.ndarray | None


def like_lengths(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Return the places of ``lengths`` in batches of like length that cost about the same.

    Sorted by length, the texts are cut so that a batch has, padding included, at most ``batch_size`` times
    the median length tokens: more than ``batch_size`` short texts (at most eight times as many), or fewer
    long ones (at least one).

    >>> [batch.tolist() for batch in like_lengths(np.array([9, 2, 3, 3, 2, 3]), 2)]
    [[1, 4], [2, 3], [5], [0]]
    """
    order = np.argsort(lengths, kind="stable")
    budget = batch_size * max(1, int(np.median(lengths)))
    groups, start = [], 0
    for stop in range(1, len(order) + 1):
        count = stop - start
        longest = lengths[order[stop]] if stop < len(order) else 0
        full = (count + 1) * longest > budget or count >= _WIDEST_BATCH * batch_size
        if stop == len(order) or full:
            groups.append(order[start:stop])
            start = stop
    return groups


def _pad_id(tokenizer: Any) -> int:
    """Return the token that fills up; where there is none, another, since the mask hides it."""
    for name in ("pad_token_id", "eos_token_id"):
        if isinstance(number := getattr(tokenizer, name, None), int):
            return number
    return 0
