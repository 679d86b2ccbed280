"""Words with affixes: spelt as English spells them, and labelled by what they show."""

import re

import pytest
import torch

from superscope.core import InputError
from superscope.data import AFFIXES, encode, shipped_words
from superscope.data.affixes import affixed, looks_affixed, with_labels


@pytest.mark.parametrize(
    ("root", "affix", "word"),
    [
        ("do", "un-", "undo"),
        ("use", "re-", "reuse"),
        ("use", "-able", "usable"),
        ("love", "-able", "lovable"),
        ("notice", "-able", "noticeable"),  # c and g stay soft
        ("change", "-able", "changeable"),
        ("agree", "-able", "agreeable"),
        ("rely", "-able", "reliable"),
        ("pay", "-able", "payable"),  # y after a vowel stays
        ("stop", "-able", "stoppable"),
        ("quiz", "-able", "quizable"),  # two vowels before the last letter: nothing is doubled
        ("fix", "-able", "fixable"),
        ("draw", "-able", "drawable"),
        ("visit", "-able", "visitable"),  # two syllables
        ("beauty", "-ful", "beautiful"),
        ("joy", "-ful", "joyful"),
        ("hope", "-ful", "hopeful"),
        ("happy", "-ness", "happiness"),
        ("shy", "-ness", "shyness"),
        ("polite", "-ness", "politeness"),
        ("even", "-ness", "evenness"),
    ],
)
def test_spelling(root, affix, word):
    assert affixed(root, affix) == word


@pytest.mark.parametrize(
    ("root", "affix", "message"),
    [
        ("use", "-ing", "there is no affix '-ing'; give one of un-, re-, -able, -ful, -ness"),
        ("Use", "re-", "'Use' is no root"),
        ("", "re-", "'' is no root"),
        ("co-op", "re-", "'co-op' is no root"),
    ],
)
def test_what_cannot_be_spelt(root, affix, message):
    with pytest.raises(InputError, match=re.escape(message)):
        affixed(root, affix)


def test_shipped_words_are_distinct_and_show_what_they_are_labelled_with():
    words = shipped_words()
    assert len(set(words.words)) == len(words.words) == len(words.roots) == len(words.labels)
    assert 300 < len(set(words.roots)) < 700
    for word, root, labels in zip(words.words, words.roots, words.labels.tolist(), strict=True):
        carried = {affix for affix, label in zip(AFFIXES, labels, strict=True) if label}
        assert not looks_affixed(root), root
        # behind -ness, -ful is no longer at the end
        assert looks_affixed(word) == (carried - {"-ful"} if carried == {"-ful", "-ness"} else carried), word
        assert "ful" in word or "-ful" not in carried


def test_pure_and_dual_words_share_all_words_and_every_affix_has_many():
    words = shipped_words()
    pure, dual = words.carrying(1), words.carrying(2)
    assert sorted(pure.words + dual.words) == sorted(words.words)
    assert set(pure.labels.sum(1).tolist()) == {1}
    assert set(dual.labels.sum(1).tolist()) == {2}
    assert pure.labels.sum(0).min() > 100
    assert pure.labels.sum(0).max() < 3 * pure.labels.sum(0).min()
    assert dual.labels.sum(0).min() > 100
    assert set(dual.roots) <= set(pure.roots)
    assert words.carrying(3).words == ()


def test_labels_follow_the_order_of_the_affixes():
    words = with_labels([("unhappiness", "happy", ("-ness", "un-")), ("useful", "use", ("-ful",))])
    assert words.labels.tolist() == [[True, False, False, False, True], [False, False, False, True, False]]


def test_letters_are_numbered_from_1_and_filled_up_with_0():
    letters = encode(["abz", "y"])
    assert letters.tolist() == [[1, 2, 26], [25, 0, 0]]
    assert torch.equal(encode(["y", "abz"]), letters.flip(0))


@pytest.mark.parametrize(("words", "message"), [([], "no words"), (["ok", "naïve"], "'naïve'"), ([""], "''")])
def test_what_cannot_be_encoded(words, message):
    with pytest.raises(InputError, match=message):
        encode(words)
