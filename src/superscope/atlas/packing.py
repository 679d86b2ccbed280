"""From an atlas to the data of its page: short numbers and names, nothing that a latent does not need."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from superscope.atlas.collecting import BEFORE, Examples
from superscope.atlas.sprites import PER_SHEET, sheets
from superscope.measures.codes import DENSE
from superscope.report import AtlasPage, Sheet, packed

if TYPE_CHECKING:
    from superscope.atlas.result import Atlas

CHUNK = 128
"""Latents whose pages are unpacked together."""
_PADDING = -1
_SEARCHED = 8
"""Tokens of a latent that a search looks at, of each kind."""

_READING = """A dictionary writes each activation of the layer as a sum of few directions out of many. A
latent is one of these directions, and how strongly it is used. If the dictionary is good, a latent stands for
one feature of the input, which its examples have in common.

Examples are the samples in which the latent is strongest, each once. Look at the others too, which were drawn
at random among all in which it is active: the strongest ones alone look more alike than they are. A latent
that is active nearly everywhere (dense) seldom has a meaning of its own; one that never is (dead) has none on
this data.

FVU is the fraction of the variance that the dictionary leaves unexplained. The loss recovered compares the
network's loss with the reconstruction in the layer's place to its loss with nothing useful there: 100 % would
be a dictionary that loses nothing the network uses. All of it is measured on the data that the examples are
from, on which the dictionary was trained too unless it came from elsewhere.

The effect on the logits is that of the latent's decoder row alone, on the direct way from the layer: what
later layers make of it is not in it."""


def pack(atlas: "Atlas") -> AtlasPage:
    """Return the page of an atlas.

    ``index`` holds what the list of latents needs: ``columns`` of numbers, a name and the words to search for
    each latent, what all latents share. A chunk holds, for ``CHUNK`` latents, the histogram, the nearest
    latents, classes, effects, and examples: ``v`` the value, ``s`` the sample, ``c`` its class, ``p`` the
    place of the strongest activation in what is shown; then of text ``t`` tokens (places in ``strings``),
    ``a`` their activations in hundredths of the latent's largest, ``m``, ``x`` the places of special tokens;
    of images ``i``, the picture's place on the sheets; of vectors ``n``, numbers in hundredths of ``e``.
    """
    tiles, pictures = _pictures(atlas)
    kind = atlas.collected.exhibits.kind
    effects = atlas.effects
    index = {
        "count": atlas.dictionary.n_latents,
        "rows": atlas.collected.rows,
        "dense": DENSE,
        "kind": kind,
        "chunk": CHUNK,
        "columns": _columns(atlas),
        "names": atlas.labels,
        "words": list(_words(atlas)),
        "tokens": not isinstance(effects, str) and effects.of == "token",
        "effects": effects if isinstance(effects, str) else f"Per unit of activation; {effects.way}.",
        "classes": [atlas.class_name(number) for number in range(len(atlas.classes or ()))],
        "training": _training(atlas),
        "grid": list(atlas.collected.grid) if kind == "image" and len(atlas.collected.grid) == 2 else [0, 0],
        "field": [_short(each) for each in atlas.field],
        "perSheet": PER_SHEET,
        "tile": _tile(atlas),
    }
    chunks = [packed(each) for each in _chunks(atlas, tiles)]
    searched = {"text": "number or token", "image": "number or class", "vector": "number or class"}[kind]
    return AtlasPage(
        title=f"Atlas of {atlas.layer}",
        subtitle=f"{atlas.dictionary.n_latents:,} latents in {atlas.model}, seen on {atlas.data}",
        facts=atlas.facts(),
        notes=atlas.notes,
        reading=[" ".join(part.split()) for part in _READING.split("\n\n")],
        search=searched,
        index=index,
        chunks=chunks,
        sheets=pictures,
    )


def _columns(atlas: "Atlas") -> dict[str, Sequence[float | int]]:
    none = [0.0] * atlas.dictionary.n_latents
    columns: dict[str, Sequence[float | int]] = {
        "active": atlas.collected.active.tolist(),
        "mean": _rounded(atlas.means),
        "max": _rounded(atlas.maxima),
        "norm": _rounded(atlas.norms),
        "bias": _rounded(atlas.dictionary.b_enc.detach()),
        "cosine": _rounded(atlas.cosines[:, 0]) if atlas.cosines.shape[1] else none,
    }
    if not isinstance(atlas.effects, str):
        columns["effect"] = _rounded(atlas.effects.strength)
    if atlas.top_classes is not None:
        columns["share"] = _rounded(atlas.top_classes[1])
    return columns


def _words(atlas: "Atlas") -> Iterator[str]:
    """Yield, for each latent, what a search looks for it in, in small letters."""
    named = [[label] for label in atlas.labels]
    if atlas.collected.exhibits.kind == "text":
        named = [tokens[:_SEARCHED] for tokens in atlas.strongest_tokens]
    for latent, words in enumerate(named):
        more: list[str] = []
        if not isinstance(atlas.effects, str):
            more = [atlas.logit_name(each) for each in atlas.effects.raised[latent, :_SEARCHED].tolist()]
        yield "\n".join([str(latent), *words, *more]).lower()


def _chunks(atlas: "Atlas", tiles: Mapping[int, int]) -> Iterator[dict[str, object]]:
    for start in range(0, atlas.dictionary.n_latents, CHUNK):
        strings: dict[str, int] = {}
        latents = [
            _latent(atlas, latent, strings, tiles)
            for latent in range(start, min(start + CHUNK, atlas.dictionary.n_latents))
        ]
        yield {"latents": latents, "strings": list(strings)}


def _latent(
    atlas: "Atlas", latent: int, strings: dict[str, int], tiles: Mapping[int, int]
) -> dict[str, object]:
    found, effects = atlas.collected, atlas.effects
    counts = found.histogram.counts[latent]
    used = int(counts.nonzero().max()) + 1 if int(counts.sum()) else 0
    end = float(found.histogram.tops[latent]) * used / len(counts)
    near = zip(atlas.nearest[latent].tolist(), _rounded(atlas.cosines[latent]), strict=True)
    shown: dict[str, object] = {
        "histogram": {"counts": counts[:used].tolist(), "top": _short(end) if used else 0},
        "near": list(map(list, near)),
        "top": list(_examples(atlas, found.top, latent, strings, tiles)),
        "drawn": list(_examples(atlas, found.drawn, latent, strings, tiles)),
    }
    if found.classes is not None and int(found.active[latent]):
        best = found.classes[latent].topk(min(5, found.classes.shape[1]))
        pairs = zip(best.indices.tolist(), _rounded(best.values), strict=True)
        shown["classes"] = [[atlas.class_name(number), value] for number, value in pairs]
    if not isinstance(effects, str):
        for name, numbers, values in (
            ("up", effects.raised, effects.raised_by),
            ("down", effects.lowered, effects.lowered_by),
        ):
            pairs = zip(numbers[latent].tolist(), _rounded(values[latent]), strict=True)
            sign = 1 if name == "up" else -1  # of few classes, the list goes on to the other side
            shown[name] = [[atlas.logit_name(number), value] for number, value in pairs if value * sign > 0]
    return shown


def _examples(
    atlas: "Atlas", examples: Examples, latent: int, strings: dict[str, int], tiles: Mapping[int, int]
) -> Iterator[dict[str, object]]:
    kind = atlas.collected.exhibits.kind
    largest = float(atlas.maxima[latent])
    shares = (examples.windows[latent] / max(largest, 1e-30) * 100).ceil().clamp(0, 100).int().tolist()
    found = (examples.values, examples.samples, examples.positions, examples.labels)
    rows = zip(*(each[latent].tolist() for each in found), shares, strict=True)
    for value, sample, position, label, window in rows:
        if not value > 0:
            return
        shown: dict[str, object] = {"v": _short(value), "s": sample, "p": position}
        if label >= 0:
            shown["c"] = label
        if kind == "text":
            shown |= _window(atlas, sample, position, window, largest, strings)
        elif kind == "image":
            shown["i"] = tiles[sample]
        else:
            numbers = torch.from_numpy(atlas.collected.exhibits.items[sample]).nan_to_num(0.0, 0.0, 0.0)
            extent = max(float(numbers.abs().max()), 1e-30)
            shown |= {"n": (numbers / extent * 100).round().int().tolist(), "e": _short(extent)}
        yield shown


def _window(
    atlas: "Atlas", sample: int, position: int, window: list[int], largest: float, strings: dict[str, int]
) -> dict[str, object]:
    """Return the tokens around a position, without padding, with their shares of the largest activation."""
    tokens = atlas.collected.exhibits.items[sample].tolist()
    first = position - BEFORE
    places = [
        place
        for place in range(max(0, first), min(len(tokens), first + len(window)))
        if tokens[place] != _PADDING
    ]
    numbers = [tokens[place] for place in places]
    texts = atlas.pieces.texts(numbers)
    shares = [window[place - first] for place in places]
    while shares and not shares[-1]:
        shares.pop()
    shown: dict[str, object] = {
        "t": [strings.setdefault(text, len(strings)) for text in texts],
        "a": shares,
        "p": places.index(position),
        "m": _short(largest),
    }
    if special := [at for at, number in enumerate(numbers) if atlas.pieces.special(number)]:
        shown["x"] = special
    return shown


def _pictures(atlas: "Atlas") -> tuple[dict[int, int], list[Sheet]]:
    """Return where each image's picture is, and the sheets."""
    exhibits = atlas.collected.exhibits
    if exhibits.kind != "image":
        return {}, []
    numbers = sorted(exhibits.items)
    places = {number: place for place, number in enumerate(numbers)}
    return places, sheets([exhibits.picture(number) for number in numbers])


def _tile(atlas: "Atlas") -> list[int]:
    """Return the width and height of a picture."""
    exhibits = atlas.collected.exhibits
    item = next(iter(exhibits.items.values()), None)
    return [item.shape[-1], item.shape[-2]] if exhibits.kind == "image" and item is not None else [1, 1]


def _training(atlas: "Atlas") -> dict[str, list[float]]:
    history = atlas.dictionary.history
    if history is None:
        return {"steps": [], "fvu": []}
    return {"steps": [float(step) for step in history.steps], "fvu": [_short(each) for each in history.fvu]}


def _rounded(values: Tensor) -> list[float]:
    return [_short(each) for each in values.tolist()]


def _short(value: float) -> float:
    """Return a number with four digits, which is more than a page shows."""
    return float(f"{value:.4g}")
