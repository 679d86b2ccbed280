"""Tiny models made from configs, as folders and in a cache laid out as the hub's."""

import shutil
from pathlib import Path

import pytest
import torch

WORDS = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "##s", "a", "mat"]


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory) -> Path:
    """A folder each for a tiny bert, bert-classifier, gpt2, llama and vit, written by save_pretrained."""
    import transformers as tr

    root = tmp_path_factory.mktemp("checkpoints")
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    bert = tr.BertConfig(vocab_size=len(WORDS), max_position_embeddings=32, **small)
    torch.manual_seed(0)
    models = {
        "bert": tr.BertModel(bert),
        "bert-masked": tr.BertForMaskedLM(bert),
        "bert-classifier": tr.BertForSequenceClassification(bert),
        "gpt2": tr.GPT2LMHeadModel(
            tr.GPT2Config(vocab_size=len(WORDS), n_positions=16, n_embd=16, n_layer=2, n_head=2)
        ),
        "llama": tr.LlamaForCausalLM(tr.LlamaConfig(vocab_size=len(WORDS), **small)),
        "vit": tr.ViTForImageClassification(tr.ViTConfig(image_size=16, patch_size=8, num_labels=3, **small)),
    }
    for name, model in models.items():
        model.save_pretrained(root / name)
    for name in ("bert", "bert-masked", "bert-classifier"):
        (root / name / "vocab.txt").write_text("\n".join(WORDS))
        tr.BertTokenizer(str(root / name / "vocab.txt")).save_pretrained(root / name)
    _words(tr.PreTrainedTokenizerFast).save_pretrained(root / "gpt2")
    (root / "vit" / "preprocessor_config.json").write_text(
        '{"do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25],'
        ' "size": {"height": 16, "width": 16}}'
    )
    return root


def _words(wrapper):
    """A tokenizer of whole words without a padding token, as GPT-2's has none."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    return wrapper(tokenizer_object=words, eos_token="[SEP]", unk_token="[UNK]", padding_side="left")


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """A function that puts a folder into a cache laid out as the hub's, under a name; there is no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def put(folder: Path, name: str) -> Path:
        home = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        snapshot = home / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
        for part in (home / "blobs", home / "refs", snapshot):
            part.mkdir(parents=True)
        (home / "refs" / "main").write_text(snapshot.name)
        for number, file in enumerate(path for path in folder.iterdir() if path.is_file()):
            shutil.copy(file, home / "blobs" / f"{number:040x}")
            (snapshot / file.name).symlink_to(Path("../../blobs") / f"{number:040x}")
        return tmp_path / "hub"

    return put
