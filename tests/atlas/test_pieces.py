"""Tokens as text: whatever a text is cut into, its pieces put together are the text."""

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from superscope.atlas.pieces import Pieces

TEXT = 'a café — "hello"\n日本 😀'


def by_bytes() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=262, initial_alphabet=alphabet))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def with_byte_fallback() -> PreTrainedTokenizerFast:
    letters = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁abcfhelo"]
    vocabulary = {letter: place for place, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>")


@pytest.mark.parametrize("make", [by_bytes, with_byte_fallback])
def test_pieces_make_up_the_text(make: object) -> None:
    tokenizer = make()  # pyright: ignore[reportCallIssue]
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    texts = Pieces(tokenizer).texts(ids)
    assert len(texts) == len(ids)
    assert "".join(texts) == TEXT
    assert texts[-4:] == ["😀", "", "", ""]  # a character of four tokens stands whole in the first of them


def test_bytes_that_are_no_character_are_told() -> None:
    tokenizer = with_byte_fallback()
    start, tail = tokenizer.convert_tokens_to_ids(["<0xE6>", "<0x97>"])
    pieces = Pieces(tokenizer)
    assert pieces.texts([start, tail]) == [r"\xe6", r"\x97"]
    assert pieces.texts([tail, *tokenizer("a")["input_ids"][-1:]]) == [r"\x97", "a"]
    assert pieces.text(start) == r"\xe6"


def test_words_get_the_space_before_them_and_their_ends_none() -> None:
    vocabulary = {"[UNK]": 0, "[CLS]": 1, "un": 2, "##able": 3, "dog": 4}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", cls_token="[CLS]")
    pieces = Pieces(fast)
    assert pieces.texts([1, 2, 3, 4]) == ["[CLS]", " un", "able", " dog"]
    assert [pieces.special(token) for token in (1, 2)] == [True, False]


def test_a_persons_own_tokenizer_and_none() -> None:
    class Own:
        def decode(self, ids: list[int]) -> str:
            return "<" + chr(97 + ids[0]) + ">"

    assert Pieces(Own()).texts([0, 1]) == ["<a>", "<b>"]
    assert Pieces(object()).texts([0, 12]) == ["0 ", "12 "]
    assert Pieces(None).text(3) == "3 "
