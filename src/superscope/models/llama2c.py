"""``llama2c:FILE.bin``: the Llamas of llama2.c (its version-0 export) as transformers' ``LlamaForCausalLM``.

The format is that of ``legacy_export`` in llama2.c's ``export.py``: seven int32, then float32 tensors, every
layer's of a kind together.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from superscope.core.errors import ModelError, WeightsError

PREFIX = "llama2c:"
_HEADER = struct.Struct("<7i")
_NEWER = 0x616B3432  # "ak42", which the exports from version 1 on begin with
_NORM_EPS = 1e-5  # of llama2.c's rmsnorm


@dataclass(frozen=True)
class Header:
    """The sizes at the head of a file."""

    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    vocab_size: int
    seq_len: int
    shared: bool
    """Whether the classifier is the embedding."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the tensors' shapes in the file's order, under llama2.c's names."""
        d, h, n, v = self.dim, self.hidden_dim, self.n_layers, self.vocab_size
        head = d // self.n_heads
        rotation = (self.seq_len, head // 2)
        kv = self.n_kv_heads * head
        shapes: dict[str, tuple[int, ...]] = {
            "token_embedding": (v, d), "rms_att": (n, d), "wq": (n, d, d), "wk": (n, kv, d),
            "wv": (n, kv, d), "wo": (n, d, d), "rms_ffn": (n, d), "w1": (n, h, d), "w2": (n, d, h),
            "w3": (n, h, d), "rms_final": (d,), "freq_cis_real": rotation, "freq_cis_imag": rotation,
        }  # fmt: skip
        return shapes if self.shared else {**shapes, "wcls": (v, d)}


def load_llama2c(path: Path) -> nn.Module:
    """Return the model in ``path`` as a ``LlamaForCausalLM`` in float32.

    llama2.c rotates neighbouring elements of a query together (2i and 2i + 1), transformers the halves of a
    head (i and i + d/2), so the rows of the query and key matrices are put in that order.

    Raises:
        ModelError: when transformers is not there.
        WeightsError: when the file is missing, cut off, or none of llama2.c's version-0 exports.
    """
    header, tensors = _read(path)
    try:
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError as error:
        raise ModelError(
            f"{PREFIX}{path} needs the package transformers ({error}); pip install 'superscope[hf]'"
        ) from error
    config = LlamaConfig(
        hidden_size=header.dim,
        intermediate_size=header.hidden_dim,
        num_hidden_layers=header.n_layers,
        num_attention_heads=header.n_heads,
        num_key_value_heads=header.n_kv_heads,
        vocab_size=header.vocab_size,
        max_position_embeddings=header.seq_len,
        rms_norm_eps=_NORM_EPS,
        tie_word_embeddings=header.shared,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):  # transformers draws a start that is overwritten next
        model = LlamaForCausalLM(config)
    model.load_state_dict(dict(_renamed(header, tensors)))
    return model


def read_header(path: Path) -> Header:
    """Read and check the sizes at the head of a file.

    Raises:
        WeightsError: when it is missing, or they cannot be those of a version-0 export.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise WeightsError(f"the file {path.absolute()} {what}; give a model.bin of llama2.c")
    with path.open("rb") as file:
        raw = file.read(_HEADER.size)
    sizes = list(_HEADER.unpack(raw)) if len(raw) == _HEADER.size else [0] * 7
    if sizes[0] == _NEWER:
        raise WeightsError(
            f"{path} is an export of version {sizes[1]}; only version 0 is read (export.py --version 0)"
        )
    shared, sizes[5] = sizes[5] > 0, abs(sizes[5])  # a negative one says that the classifier is its own
    header = Header(*sizes, shared=shared)
    counts = (header.n_heads, header.n_kv_heads)
    positive = min(sizes) > 0
    if not positive or header.dim % (2 * counts[0]) or counts[0] % counts[1]:
        raise WeightsError(
            f"{path} does not begin with the sizes of a llama2.c model, but with {sizes}; it is "
            f"damaged or of another kind"
        )
    return header


def _read(path: Path) -> tuple[Header, dict[str, Tensor]]:
    header = read_header(path)
    shapes = header.shapes()
    wanted = _HEADER.size + 4 * sum(int(np.prod(shape, dtype=np.int64)) for shape in shapes.values())
    if (size := path.stat().st_size) != wanted:
        raise WeightsError(
            f"{path} has {size:,} bytes where its sizes ask for {wanted:,}; it is cut off or damaged, fetch "
            f"it again"
        )
    values = torch.from_numpy(np.fromfile(path, "<f4", offset=_HEADER.size).astype(np.float32, copy=False))
    parts = values.split([int(np.prod(shape)) for shape in shapes.values()])
    return header, {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def _renamed(header: Header, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    yield "model.embed_tokens.weight", tensors["token_embedding"]
    yield "model.norm.weight", tensors["rms_final"]
    yield "lm_head.weight", tensors["token_embedding" if header.shared else "wcls"]
    for layer in range(header.n_layers):
        for ours, theirs in (
            ("input_layernorm", "rms_att"), ("self_attn.v_proj", "wv"), ("self_attn.o_proj", "wo"),
            ("post_attention_layernorm", "rms_ffn"), ("mlp.gate_proj", "w1"), ("mlp.down_proj", "w2"),
            ("mlp.up_proj", "w3"),
        ):  # fmt: skip
            yield f"model.layers.{layer}.{ours}.weight", tensors[theirs][layer]
        for ours, theirs, heads in (("q_proj", "wq", header.n_heads), ("k_proj", "wk", header.n_kv_heads)):
            yield f"model.layers.{layer}.self_attn.{ours}.weight", _halved(tensors[theirs][layer], heads)


def _halved(rows: Tensor, heads: int) -> Tensor:
    """Put the rows 0, 1, 2, 3, ... of each head in the order 0, 2, ..., 1, 3, ..."""
    return rows.view(heads, -1, 2, rows.shape[-1]).transpose(1, 2).reshape(rows.shape)
