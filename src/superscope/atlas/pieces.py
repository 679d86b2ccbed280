"""Tokens as text: the spaces in pieces, and characters that are spread over several byte tokens."""

import json
from collections.abc import Sequence
from typing import Any

_SPACE = "▁"
_CONTINUES = "##"


class Pieces:
    """The text of each token of a tokenizer.

    Args:
        tokenizer: a tokenizer of transformers; anything with ``decode``; or None, and tokens are numbers.
    """

    def __init__(self, tokenizer: Any | None) -> None:
        self._tokenizer = tokenizer
        self._kind = _decoder(tokenizer)
        self._special = set(getattr(tokenizer, "all_special_ids", ()) or ())
        self._bytes: dict[int, bytes] = {}
        self._texts: dict[int, str | None] = {}
        self._alphabet = _byte_alphabet() if self._kind == "ByteLevel" else {}

    def special(self, token: int) -> bool:
        """Whether a token stands for no text, such as the start of one."""
        return token in self._special

    def text(self, token: int) -> str:
        r"""Return the text of a token by itself; a byte that is no character as ``\xe2``."""
        return self._raw(token).decode(errors="backslashreplace")

    def texts(self, tokens: Sequence[int]) -> list[str]:
        """Return what each of a run of tokens adds to the text.

        A character of several byte tokens is given to the one with its first byte.

        >>> Pieces(None).texts([5, 7])
        ['5 ', '7 ']
        """
        whole = [self._whole(token) for token in tokens]
        known = [text for text in whole if text is not None]
        return known if len(known) == len(whole) else _divided([self._raw(token) for token in tokens])

    def _whole(self, token: int) -> str | None:
        """Return the text of a token; None where it begins or ends within a character."""
        if token not in self._texts:
            try:
                self._texts[token] = self._raw(token).decode()
            except UnicodeDecodeError:
                self._texts[token] = None
        return self._texts[token]

    def _raw(self, token: int) -> bytes:
        if token not in self._bytes:
            self._bytes[token] = self._bytes_of(token)
        return self._bytes[token]

    def _bytes_of(self, token: int) -> bytes:
        convert = getattr(self._tokenizer, "convert_ids_to_tokens", None)
        if self._tokenizer is None:
            return f"{token} ".encode()
        if convert is None or not self._kind:
            decode = getattr(self._tokenizer, "decode", None)
            return str(decode([token])).encode() if decode is not None else f"{token} ".encode()
        piece = str(convert(token))
        if token in self._special:
            return piece.encode()
        if self._kind == "ByteLevel":
            return b"".join(self._alphabet.get(letter) or letter.encode() for letter in piece)
        if self._kind == "WordPiece":
            return (
                piece.removeprefix(_CONTINUES).encode()
                if piece.startswith(_CONTINUES)
                else f" {piece}".encode()
            )
        if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
            return bytes([int(piece[3:5], 16)])
        return piece.replace(_SPACE, " ").encode()


def _decoder(tokenizer: Any) -> str:
    """Return what kind of pieces a fast tokenizer has: by bytes, by words, SentencePiece's; "" if unknown."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return ""
    decoder = json.loads(backend.to_str()).get("decoder") or {}
    kinds = [decoder.get("type"), *(each.get("type") for each in decoder.get("decoders", ()))]
    for kind in ("ByteLevel", "WordPiece"):
        if kind in kinds:
            return kind
    return "SentencePiece" if {"Metaspace", "ByteFallback", "Replace"} & set(kinds) else ""


def _byte_alphabet() -> dict[str, bytes]:
    """Return the letters that GPT-2's byte-level pieces are written in, and the bytes that they stand for."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {chr(byte): bytes([byte]) for byte in plain}
    return letters | {chr(256 + place): bytes([byte]) for place, byte in enumerate(others)}


def _divided(raw: Sequence[bytes]) -> list[str]:
    """Return each token's characters: those whose first byte it has."""
    joined, found, place, end = b"".join(raw), [""] * len(raw), 0, 0
    for owner, own in enumerate(raw):
        end += len(own)
        while place < end:
            letter, length = _letter(joined[place : place + 4])
            found[owner] += letter
            place += length
    return found


def _letter(raw: bytes) -> tuple[str, int]:
    """Return the first character of up to four bytes, and how many it takes; a lone byte where none."""
    for length in range(1, len(raw) + 1):
        try:
            return raw[:length].decode(), length
        except UnicodeDecodeError:
            continue
    return raw[:1].decode(errors="backslashreplace"), 1
