"""Pairs found in word lists: the rules drop what they say they drop."""

import re
import zipfile

import pytest

from superscope.core import DataError
from superscope.data import AFFIXES, load_word_lists

FREQUENT = {
    "kind": 900,
    "unkind": 50,
    "kindness": 60,
    "load": 500,
    "reload": 40,
    "tie": 300,
    "untie": 30,  # a root of three letters
    "note": 80,
    "not": 9000,
    "notable": 20,  # false, though note is a root that spells it
    "tail": 200,
    "retail": 10,  # false
    "able": 700,
    "unable": 90,  # shows -able too
    "comfort": 20,
    "comfortable": 400,  # more frequent than its root
    "straße": 3,
}
ALL = [word for word in FREQUENT if word.isascii()] + ["unkindness", "rekindness", "reloadable", "loadable"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "words_alpha.txt").write_text("\r\n".join(ALL))
    lines = (f"{word} {count}\n" for word, count in FREQUENT.items())
    (tmp_path / "en_50k_freq.txt").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def test_pairs_are_kept_and_dropped_by_the_rules(folder):
    found = load_word_lists(folder)
    carried = {
        word: {affix for affix, label in zip(AFFIXES, labels, strict=True) if label}
        for word, labels in zip(found.words.words, found.words.labels.tolist(), strict=True)
    }
    assert carried == {
        "unkind": {"un-"},
        "kindness": {"-ness"},
        "reload": {"re-"},
        "unkindness": {"un-", "-ness"},
        "rekindness": {"re-", "-ness"},
        "reloadable": {"re-", "-able"},  # loadable is among the rare words, reload among the frequent ones
    }
    assert dict(zip(found.words.words, found.words.roots, strict=True))["unkindness"] == "kind"
    assert found.candidates == {"un-": 3, "re-": 2, "-able": 2, "-ful": 0, "-ness": 1}
    assert found.dropped == {
        "the root has less than 4 letters": 1,
        "it is on the list of false pairs": 2,
        "it shows another affix too": 1,
        "the root is rarer than the word": 1,
    }
    assert sum(found.candidates.values()) - sum(found.dropped.values()) == len(found.words.carrying(1).words)
    assert "Kept: 3 words with one affix; from them 3 words with two." in found.summary()
    assert "1 because the root is rarer than the word" in found.summary()


def test_the_zip_does_as_well(folder):
    plain = load_word_lists(folder)
    with zipfile.ZipFile(folder / "words_alpha.zip", "w") as archive:
        archive.write(folder / "words_alpha.txt", "words_alpha.txt")
    (folder / "words_alpha.txt").unlink()
    assert load_word_lists(folder).words.words == plain.words.words


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "en_50k_freq.txt",
            None,
            "no en_50k_freq.txt in .*which has no such file; give a folder with words_alpha",
        ),
        ("words_alpha.txt", None, "no words_alpha.txt in .*which has no such file"),
        ("en_50k_freq.txt", b"kind 900\nload\n", "line 2: 'load' is no word and count"),
        ("en_50k_freq.txt", b"kind many\n", "line 1: 'kind many' is no word and count"),
        ("en_50k_freq.txt", b"kind \xff\n", "cannot read .*utf-8"),
        ("en_50k_freq.txt", b"kind 900\n", "give 0 words with one affix and none with two"),
        ("words_alpha.txt", b"", "give 0 words with one affix and none with two"),
    ],
)
def test_lists_that_cannot_be_used(folder, name, content, message):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_word_lists(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("inside", [None, "other.txt"])
def test_a_damaged_zip(folder, inside):
    (folder / "words_alpha.txt").unlink()
    packed = folder / "words_alpha.zip"
    if inside is None:
        packed.write_bytes(b"PK not a zip")
    else:
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(inside, "kind")
    with pytest.raises(DataError, match=re.escape(f"cannot read words_alpha.txt in {packed}")):
        load_word_lists(folder)


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match="nowhere, which is no folder; give a folder with words_alpha"):
        load_word_lists(tmp_path / "nowhere")


@pytest.mark.data
def test_the_real_lists(real_data):
    found = load_word_lists(real_data / "words")
    assert {affix: found.candidates[affix] for affix in ("un-", "re-", "-able")} == {
        "un-": 328,
        "re-": 440,
        "-able": 119,
    }
    assert not {"notable", "retail", "unless", "unable", "probable", "until"} & set(found.words.words)
    assert {"unhappy", "rebuild", "sickness"} <= set(found.words.carrying(1).words)
    assert {"unhappiness", "unbreathable", "thoughtfulness"} <= set(found.words.carrying(2).words)
