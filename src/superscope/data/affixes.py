"""Words that carry one or two of five affixes, spelt from roots: the features of a word, known by its making.

The five are those of Murphy and Qiao, "Toy Models of Superposition Review", section 2. A word with one affix
is *pure*, a word with two is *dual*.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from superscope.core.errors import InputError

AFFIXES = ("un-", "re-", "-able", "-ful", "-ness")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ROOTS = "affix_roots.txt"
_CHAINS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "verb": (("re-",), ("-able",), ("-able", "re-"), ("-able", "un-")),
    "adjective": (("un-",), ("-ness",), ("un-", "-ness")),
    "noun": (("-ful",), ("-ful", "un-"), ("-ful", "-ness")),
    "container": (("-ful",),),
}
"""What each part of speech takes, in order; -able and -ful make adjectives, which take un- and -ness."""


@dataclass(frozen=True)
class AffixWords:
    """Words, and which affixes each of them carries."""

    words: tuple[str, ...]
    roots: tuple[str, ...]
    """What each word was made from."""
    labels: Bool[Tensor, "word affix"]
    """In the order of :data:`AFFIXES`."""

    def carrying(self, count: int) -> "AffixWords":
        """Return the words that carry ``count`` affixes: 1 for the pure words, 2 for the dual ones.

        >>> shipped_words().carrying(2).words[:3]
        ('readaptable', 'unadaptable', 'readdressable')
        """
        rows = (self.labels.sum(1) == count).nonzero().flatten().tolist()
        return AffixWords(
            tuple(self.words[row] for row in rows), tuple(self.roots[row] for row in rows), self.labels[rows]
        )


def affixed(root: str, affix: str) -> str:
    """Return ``root`` with ``affix``, spelt by the regular rules of English.

    - y after a consonant becomes i before a suffix; not before -ness in a word of one syllable (shyness).
    - Before -able, e falls off, but not behind c or g, which it keeps soft, nor behind e, o or y.
    - Before -able, a word of one syllable that ends in consonant, vowel, consonant doubles the last one;
      w, x and y are never doubled.

    Raises:
        InputError: when the affix is none of :data:`AFFIXES`, or the root is no lower-case word of a to z.

    >>> [affixed(root, "-able") for root in ("use", "trace", "stop", "rely")]
    ['usable', 'traceable', 'stoppable', 'reliable']
    >>> affixed("happy", "-ness"), affixed("beauty", "-ful"), affixed("shy", "-ness"), affixed("use", "re-")
    ('happiness', 'beautiful', 'shyness', 'reuse')
    """
    if affix not in AFFIXES:
        raise InputError(f"there is no affix {affix!r}; give one of {', '.join(AFFIXES)}")
    if not re.fullmatch("[a-z]+", root):
        raise InputError(f"{root!r} is no root; give a word of the letters a to z")
    letters = affix.strip("-")
    if affix.endswith("-"):
        return letters + root
    one_syllable = len(re.findall("[aeiouy]+", root)) == 1
    if re.search("[^aeiou]y$", root) and not (affix == "-ness" and one_syllable):
        root = root[:-1] + "i"
    elif affix == "-able" and re.search("[^cgeoy]e$", root):
        root = root[:-1]
    elif affix == "-able" and one_syllable and re.search("[^aeiou][aeiou][^aeiouwxy]$", root):
        root += root[-1]
    return root + letters


def shipped_words() -> AffixWords:
    """Return the words made from the roots that come with the package, pure and dual, in a fixed order.

    A root gives every word that its part of speech allows, so that the root does not tell the affix. The
    words are well formed and not all in use (unlendable).

    >>> words = shipped_words()
    >>> words.words[:4], words.labels[2].tolist()
    (('readapt', 'adaptable', 'readaptable', 'unadaptable'), [False, True, True, False, False])
    """
    lines = files("superscope.data").joinpath(_ROOTS).read_text(encoding="utf-8").splitlines()
    made = []
    for line in lines:
        if not line or line.startswith("#"):
            continue
        part, _, roots = line.partition(":")
        for root in roots.split():
            for chain in _CHAINS[part]:
                word = root
                for affix in chain:
                    word = affixed(word, affix)
                made.append((word, root, chain))
    return with_labels(made)


def with_labels(made: Sequence[tuple[str, str, Sequence[str]]]) -> AffixWords:
    """Return words from triples of a word, its root and its affixes."""
    labels = torch.tensor(
        [[affix in carried for affix in AFFIXES] for _, _, carried in made], dtype=torch.bool
    )
    words, roots = tuple(word for word, _, _ in made), tuple(root for _, root, _ in made)
    return AffixWords(words, roots, labels.reshape(-1, len(AFFIXES)))


def looks_affixed(word: str) -> set[str]:
    """Return the affixes that a word begins or ends with, whatever it was made from.

    >>> sorted(looks_affixed("readable"))
    ['-able', 're-']
    """
    return {
        affix
        for affix in AFFIXES
        if (word.startswith(affix[:-1]) if affix.endswith("-") else word.endswith(affix[1:]))
    }


def encode(words: Sequence[str]) -> Int[Tensor, "word letter"]:
    """Return words as numbers, 1 for a to 26 for z, each filled up with 0 to the length of the longest.

    Raises:
        InputError: when there is no word, or one has other letters.

    >>> encode(["ab", "z"]).tolist()
    [[1, 2], [26, 0]]
    """
    faults = [word for word in words if not re.fullmatch("[a-z]+", word)]
    if faults or not words:
        raise InputError(f"{faults[0]!r} is not of the letters a to z" if faults else "there are no words")
    longest = max(map(len, words))
    return torch.tensor([[LETTERS.find(letter) + 1 for letter in word.ljust(longest)] for word in words])
