"""The tokenizer beside a model of llama2.c, as a fast tokenizer of transformers."""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from superscope.core.errors import ModelError
from superscope.models.llama2c import PREFIX, read_header

_SPECIAL = ("<unk>", "<s>", "</s>")
_SPACE = "▁"  # SentencePiece's, which llama2.c stores as a plain one


def load_llama2c_tokenizer(model: Path) -> object:
    """Return the tokenizer beside the file ``model``: byte-pair encoding with bytes to fall back on.

    It is ``tokN.bin`` for a vocabulary of N, or ``tokenizer.bin``, or the only ``tok*.bin`` there. As in
    llama2.c, a text gets a space and the token ``<s>`` in front, and of all neighbours that join to a token
    those with the highest score are joined first.

    Raises:
        ModelError: when there is none, when it does not go with the model, or is damaged.
    """
    header = read_header(model)
    path = _beside(model, header.vocab_size)
    tokens, scores = _read(path, header.vocab_size)
    try:
        from tokenizers import Tokenizer, decoders, normalizers, processors
        from tokenizers.models import BPE
        from transformers import PreTrainedTokenizerFast
    except ImportError as error:
        raise ModelError(
            f"{PREFIX}{model} needs the package transformers ({error}); pip install 'superscope[hf]'"
        ) from error
    vocabulary = {token: index for index, token in enumerate(tokens)}
    merges = list(_merges(tokens, scores, vocabulary))
    tokenizer = Tokenizer(BPE(vocabulary, merges, unk_token=_SPECIAL[0], fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=_SPECIAL[0],
        bos_token=_SPECIAL[1],
        eos_token=_SPECIAL[2],
        model_max_length=header.seq_len,
        clean_up_tokenization_spaces=False,
    )


def _beside(model: Path, size: int) -> Path:
    found = sorted(model.absolute().parent.glob("tok*.bin"))
    named = [path for name in (f"tok{size}.bin", "tokenizer.bin") for path in found if path.name == name]
    if named or len(found) == 1:
        return (named or found)[0]
    what = f"one of {', '.join(path.name for path in found)} is meant" if found else "there is none"
    raise ModelError(
        f"{PREFIX}{model} needs its tokenizer beside it, tok{size}.bin or tokenizer.bin; in "
        f"{model.absolute().parent} {what}"
    )


def _read(path: Path, size: int) -> tuple[list[str], list[float]]:
    """Read ``size`` tokens and their scores: an int32 (the longest), then float32, int32, bytes for each."""
    raw = path.read_bytes()
    tokens: list[str] = []
    scores: list[float] = []
    place = 4
    try:
        for _ in range(size):
            score, length = struct.unpack_from("<fi", raw, place)
            text = raw[place + 8 : place + 8 + length]
            if length < 0 or len(text) != length:
                raise ValueError(f"token {len(tokens)} is cut off")  # noqa: TRY301
            tokens.append(text.decode().replace(" ", _SPACE))
            scores.append(score)
            place += 8 + length
    except (struct.error, ValueError) as error:
        raise ModelError(
            f"{path} is no tokenizer of {size:,} tokens as llama2.c writes it: {error}; it is damaged, or "
            f"goes with another model"
        ) from error
    if place != len(raw):
        raise ModelError(f"{path} holds more than the model's {size:,} tokens; it goes with another model")
    tokens[:3] = _SPECIAL  # llama2.c writes line breaks around them
    if len(set(tokens)) != size:
        raise ModelError(f"{path} holds a token twice; it is damaged")
    return tokens, scores


def _merges(
    tokens: Sequence[str], scores: Sequence[float], vocabulary: dict[str, int]
) -> Iterator[tuple[str, str]]:
    """Return every way to make a token of two, the token with the highest score first."""
    bytes_end = len(_SPECIAL) + 256
    first = bytes_end if tokens[3:4] == ["<0x00>"] else len(_SPECIAL)
    for index in sorted(range(first, len(tokens)), key=lambda index: -scores[index]):
        token = tokens[index]
        for cut in range(1, len(token)):
            if token[:cut] in vocabulary and token[cut:] in vocabulary:
                yield token[:cut], token[cut:]
