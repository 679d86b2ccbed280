"""Words with affixes found in two public word lists: all English words, and the frequent ones with counts.

``words_alpha.txt`` (or the ``.zip`` that holds it) from dwyl/english-words has a word on each line;
``en_50k_freq.txt``, which is ``en_50k.txt`` of hermitdave/FrequencyWords, a word and how often it comes.
"""

import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from superscope.core.errors import DataError
from superscope.data.affixes import AFFIXES, AffixWords, affixed, looks_affixed, with_labels

_WORDS, _FREQUENT = "words_alpha.txt", "en_50k_freq.txt"
_SHORTEST = 3
"""Of a root in a candidate; two letters are mostly no root (re-al, un-it)."""
_SHORTEST_KEPT = 4
_FALSE: Mapping[str, tuple[str, ...]] = {
    "another word that begins or ends by chance as if it had the affix": (
        "amenable", "bashful", "habitable", "impassable", "notable", "portable", "probable",
        "realm", "regent", "relay", "relent", "reliab", "relied", "relies", "renoir", "resent", "resid",
        "respite", "restiff", "retail", "retina", "undies", "unless", "untill",
    ),
    "taken over whole from Latin or French: re- does not say 'again', or not of this root": (
        "recant", "recit", "recoil", "recollect", "recommend", "recoup", "recourse", "recover", "redeem",
        "redress", "reflux", "refund", "relapse", "relat", "remain", "remark", "remember", "remind", "remiss",
        "remorse", "remov", "repair", "repetition", "repose", "represent", "repress", "republic", "repulse",
        "research", "resect", "reserve", "resign", "resol", "resort", "resound", "resource", "restore",
        "restrain", "restrict", "retir", "retract", "retreat", "reverses", "review", "revision", "revolt",
    ),
}  # fmt: skip
"""Beginnings of words that pass the other rules and yet do not carry the affix, by the reason."""


@dataclass(frozen=True)
class ListedWords:
    """What the lists gave."""

    words: AffixWords
    candidates: Mapping[str, int]
    """By affix: pairs of a word and a root of three letters or more, both in both lists."""
    dropped: Mapping[str, int]
    """By reason: candidates that were not taken, each under the first rule that it fails."""

    def summary(self) -> str:
        """Return in a sentence each how many pairs were found, dropped and kept."""
        found = ", ".join(f"{affix} {count}" for affix, count in self.candidates.items())
        dropped = ", ".join(f"{count} because {reason}" for reason, count in self.dropped.items())
        pure, dual = (len(self.words.carrying(count).words) for count in (1, 2))
        return (
            f"Pairs of a word and its root in both lists: {found}. Dropped: {dropped}. "
            f"Kept: {pure} words with one affix; from them {dual} words with two."
        )


def load_word_lists(folder: Path) -> ListedWords:
    """Return the words with one and with two affixes in the lists in ``folder``.

    A candidate is a word in both lists that :func:`affixed` spells from a root in both. It is kept as a word
    with one affix when its root has four letters or more and is at least as frequent as the word (a word is
    rarer than what it is made from; probable is not made from probe); when it is not one of a short list
    of false pairs (notable, retail); and when no other affix begins or ends it or its root (unable).

    A word with two affixes is spelt from a kept word and another affix, by the same rules; it has to stand
    among all words, not among the frequent ones, where there are few.

    Raises:
        DataError: when the folder or a list is missing, damaged, or of another format.
    """
    counts = _frequencies(folder)
    every = _words(folder)
    both = every & counts.keys()

    candidates: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    kept: dict[str, tuple[str, tuple[str, ...]]] = {}
    for word, root, affix in _spelt(sorted(both), both):
        candidates[affix] += 1
        if reason := _fault(word, root, counts) or _ambiguity(word, root, {affix}):
            dropped[reason] += 1
        else:
            kept[word] = root, (affix,)
    for word, inner, affix in _spelt(sorted(kept), every):
        root, carried = kept[inner]
        pair = {affix, *carried}
        if len(pair) == 2 and not _fault(word, inner, counts) and looks_affixed(word) <= pair:
            kept.setdefault(word, (root, (*carried, affix)))
    if not any(len(carried) == 2 for _, carried in kept.values()):
        raise DataError(
            f"the lists in {folder} give {len(kept)} words with one affix and none with two; "
            "they should be the whole lists of English words"
        )
    made = [(word, root, carried) for word, (root, carried) in kept.items()]
    return ListedWords(with_labels(made), {affix: candidates[affix] for affix in AFFIXES}, dict(dropped))


def _spelt(roots: Iterable[str], words: set[str]) -> Iterator[tuple[str, str, str]]:
    for root in roots:
        if len(root) >= _SHORTEST:
            for affix in AFFIXES:
                if (word := affixed(root, affix)) in words:
                    yield word, root, affix


def _fault(word: str, root: str, counts: Mapping[str, int]) -> str:
    if len(root) < _SHORTEST_KEPT:
        return f"the root has less than {_SHORTEST_KEPT} letters"
    if counts[root] < counts.get(word, 0):
        return "the root is rarer than the word"
    if any(word.startswith(beginnings) for beginnings in _FALSE.values()):
        return "it is on the list of false pairs"
    return ""


def _ambiguity(word: str, root: str, carried: set[str]) -> str:
    return "" if looks_affixed(word) | looks_affixed(root) == carried else "it shows another affix too"


def _words(folder: Path) -> set[str]:
    packed, plain = (folder / _WORDS).with_suffix(".zip"), folder / _WORDS
    if plain.is_file() or not packed.is_file():
        return {word for word in _read(folder, _WORDS).split() if _plain(word)}
    try:
        with zipfile.ZipFile(packed) as archive:
            return {word for word in archive.read(_WORDS).decode().split() if _plain(word)}
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise DataError(f"cannot read {_WORDS} in {packed}: {error}; fetch it again") from error


def _frequencies(folder: Path) -> dict[str, int]:
    counts = {}
    for number, line in enumerate(_read(folder, _FREQUENT).splitlines(), 1):
        word, _, count = line.rpartition(" ")
        if not word or not count.isdecimal():
            raise DataError(
                f"{folder / _FREQUENT}, line {number}: {line[:40]!r} is no word and count; fetch it again"
            )
        counts[word] = int(count)
    return counts


def _read(folder: Path, name: str) -> str:
    path = folder / name
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        what = "which has no such file" if folder.is_dir() else "which is no folder"
        raise DataError(
            f"no {name} in {folder}, {what}; give a folder with {_WORDS} (or its .zip) and {_FREQUENT}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}; fetch it again") from error


def _plain(word: str) -> bool:
    return word.isascii() and word.isalpha() and word.islower()
