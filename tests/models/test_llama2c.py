import shutil
import struct

import pytest
import torch

from superscope.core.errors import ModelError, WeightsError
from superscope.models import load_llama2c, load_model, load_preparation
from superscope.models.llama2c_tokenizer import load_llama2c_tokenizer

DIM, HIDDEN, LAYERS, HEADS, KV, VOCAB, LENGTH = 16, 24, 2, 4, 2, 11, 8
HEAD = DIM // HEADS
SHAPES = {
    "embed": (VOCAB, DIM), "rms_att": (LAYERS, DIM), "wq": (LAYERS, DIM, DIM), "wk": (LAYERS, KV * HEAD, DIM),
    "wv": (LAYERS, KV * HEAD, DIM), "wo": (LAYERS, DIM, DIM), "rms_ffn": (LAYERS, DIM),
    "w1": (LAYERS, HIDDEN, DIM), "w2": (LAYERS, DIM, HIDDEN), "w3": (LAYERS, HIDDEN, DIM),
    "rms_final": (DIM,), "real": (LENGTH, HEAD // 2), "imag": (LENGTH, HEAD // 2), "wcls": (VOCAB, DIM),
}  # fmt: skip


def write(path, *, shared, seed=0):
    """A random model in the format, as export.py writes it, and its tensors."""
    draw = torch.Generator().manual_seed(seed)
    tensors = {name: torch.randn(shape, generator=draw) * 0.4 for name, shape in SHAPES.items()}
    kept = [value for name, value in tensors.items() if not (shared and name == "wcls")]
    header = struct.pack("<7i", DIM, HIDDEN, LAYERS, HEADS, KV, VOCAB if shared else -VOCAB, LENGTH)
    path.write_bytes(header + b"".join(value.numpy().astype("<f4").tobytes() for value in kept))
    return tensors | ({"wcls": tensors["embed"]} if shared else {})


def reference(w, tokens):
    """run.c's forward, in double precision: neighbours rotate together, a key serves HEADS / KV queries."""
    w = {name: value.double() for name, value in w.items()}
    n = len(tokens)

    def norm(x, weight):
        return weight * x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()

    def rotate(x):
        angle = torch.arange(n)[:, None] * 10000.0 ** (-torch.arange(0, HEAD, 2).double() / HEAD)
        turned = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2)) * torch.polar(
            torch.ones_like(angle), angle
        )
        return torch.view_as_real(turned).flatten(-2)

    x = w["embed"][tokens]
    for layer in range(LAYERS):
        h = norm(x, w["rms_att"][layer])
        q, k, v = (
            (h @ w[name][layer].T).view(n, heads, HEAD).transpose(0, 1)
            for name, heads in (("wq", HEADS), ("wk", KV), ("wv", KV))
        )
        k, v = (each.repeat_interleave(HEADS // KV, 0) for each in (rotate(k), v))
        scores = rotate(q) @ k.mT / HEAD**0.5
        scores = scores.masked_fill(torch.ones(n, n).triu(1).bool(), -torch.inf)
        x = x + (scores.softmax(-1) @ v).transpose(0, 1).reshape(n, DIM) @ w["wo"][layer].T
        h = norm(x, w["rms_ffn"][layer])
        gate = h @ w["w1"][layer].T
        x = x + (gate * gate.sigmoid() * (h @ w["w3"][layer].T)) @ w["w2"][layer].T
    return norm(x, w["rms_final"]) @ w["wcls"].T


@pytest.mark.parametrize("shared", [True, False])
def test_logits_are_those_of_the_c_program(tmp_path, shared):
    tensors = write(tmp_path / "model.bin", shared=shared)
    model = load_model(f"llama2c:{tmp_path / 'model.bin'}")
    tokens = torch.tensor([1, 5, 3, 10, 0, 7, 7, 2])
    with torch.inference_mode():
        logits = model(tokens[None]).logits[0]
    torch.testing.assert_close(logits.double(), reference(tensors, tokens), atol=1e-5, rtol=1e-5)


def test_the_same_file_gives_the_same_bits_and_draws_nothing(tmp_path):
    write(tmp_path / "model.bin", shared=True)
    before = torch.get_rng_state()
    one, other = (load_llama2c(tmp_path / "model.bin").state_dict() for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_damaged_files_are_told(tmp_path):
    path = tmp_path / "model.bin"
    write(path, shared=True)
    whole = path.read_bytes()
    for content, said in [
        (whole[:-4], r"has 16,536 bytes where its sizes ask for 16,540; it is cut off"),
        (whole + b"more", "it is cut off or damaged"),
        (whole[:20], r"does not begin with the sizes of a llama2.c model, but with \[0, 0"),
        (struct.pack("<7i", 15, 1, 1, 4, 4, 1, 1) + whole[28:], r"but with \[15, 1"),
        (struct.pack("<7i", 0x616B3432, 2, 0, 0, 0, 0, 0), "is an export of version 2; only version 0"),
    ]:
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=said):
            load_llama2c(path)
    with pytest.raises(WeightsError, match="does not exist"):
        load_model(f"llama2c:{tmp_path / 'other.bin'}")


def write_tokenizer(path, tokens):
    lines = [struct.pack("<fi", score, len(text)) + text for text, score in tokens]
    path.write_bytes(struct.pack("<i", max(len(text) for text, _ in tokens)) + b"".join(lines))


TOKENS = [(b"<unk>", 0), (b"\n<s>\n", 0), (b"\n</s>\n", 0), (b" ", -9), (b"a", -9), (b"b", -9), (b"ab", -2),
          (b"ba", -1), (b" a", -3), (b" ab", -4), (b"aba", -5)]  # fmt: skip


def test_neighbours_with_the_highest_score_are_joined_first(tmp_path):
    write(tmp_path / "model.bin", shared=True)
    write_tokenizer(tmp_path / "tok11.bin", TOKENS)
    (tmp_path / "tokenizer.bin").write_bytes(b"of another model")
    preparation = load_preparation(f"llama2c:{tmp_path / 'model.bin'}")
    tokenizer = preparation.tokenizer
    # " abab": ba (−1) is joined before ab (−2); then " a" (−3), and nothing joins " a", "ba", "b"
    assert tokenizer("abab").input_ids == [1, 8, 7, 5]
    assert tokenizer.decode(tokenizer("abab ba").input_ids, skip_special_tokens=True) == "abab ba"
    assert preparation.max_length == LENGTH
    padded = tokenizer(["a", "abab"], padding=True)
    assert padded.input_ids[0] == [1, 8, 2, 2]
    assert padded.attention_mask[0] == [1, 1, 0, 0]


def test_damaged_tokenizers_are_told(tmp_path):
    model = tmp_path / "model.bin"
    write(model, shared=True)
    with pytest.raises(ModelError, match=r"needs its tokenizer beside it, tok11.bin .* there is none"):
        load_llama2c_tokenizer(model)
    write_tokenizer(tmp_path / "tok.bin", TOKENS[:-1])
    with pytest.raises(ModelError, match="no tokenizer of 11 tokens"):
        load_llama2c_tokenizer(model)
    write_tokenizer(tmp_path / "tok.bin", [*TOKENS, (b"c", -9)])
    with pytest.raises(ModelError, match="holds more than the model's 11 tokens"):
        load_llama2c_tokenizer(model)
    write_tokenizer(tmp_path / "tok.bin", [*TOKENS[:-1], (b"ab", -9)])
    with pytest.raises(ModelError, match="holds a token twice"):
        load_llama2c_tokenizer(model)
    shutil.copy(tmp_path / "tok.bin", tmp_path / "tok9.bin")
    with pytest.raises(ModelError, match=r"one of tok.bin, tok9.bin is meant"):
        load_llama2c_tokenizer(model)


@pytest.mark.data
def test_the_published_model_reads_stories(real_data):
    file = real_data / "weights" / "stories260K.bin"
    model = load_model(f"llama2c:{file}")
    preparation = load_preparation(f"llama2c:{file}")
    assert sum(value.numel() for value in model.parameters()) == 260_032
    text = (real_data / "text" / "tinystories_2MB.txt").read_text()
    stories = [story.strip() for story in text.split("<|endoftext|>")][::8]
    tokenizer, loss, count = preparation.tokenizer, 0.0, 0
    with torch.inference_mode():
        for story in stories:
            ids = tokenizer(story, truncation=True, max_length=preparation.max_length).input_ids
            assert ids[0] == 1
            assert story.startswith(tokenizer.decode(ids, skip_special_tokens=True))
            tokens = torch.tensor(ids[:256])
            surprise = -model(tokens[None]).logits[0, :-1].log_softmax(-1).gather(1, tokens[1:, None])
            loss, count = loss + float(surprise.sum()), count + len(surprise)
    assert loss / count == pytest.approx(1.42, abs=0.05)
    assert (
        tokenizer.decode(tokenizer("naïve 猫").input_ids, skip_special_tokens=True) == "naïve 猫"
    )  # by bytes
