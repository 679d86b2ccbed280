import shutil

import pytest

from superscope.core.errors import ModelError
from superscope.models import Preparation, load_preparation


def test_a_text_model_brings_its_tokenizer(checkpoints):
    preparation = load_preparation(f"hf:{checkpoints / 'bert'}")
    assert preparation.max_length == 32  # of the config; the tokenizer knows no limit
    batch = preparation.tokenizer(["the cat sat", "cats"], padding=True)
    assert batch.input_ids == [[2, 5, 6, 7, 3], [2, 6, 8, 3, 1]]
    assert batch.attention_mask == [[1] * 5, [1] * 4 + [0]]
    assert (preparation.mean, preparation.std, preparation.image_size) == (None, None, None)


def test_a_decoder_without_a_padding_token_pads_on_the_right_with_its_end(checkpoints):
    preparation = load_preparation(f"hf:{checkpoints / 'gpt2'}")
    batch = preparation.tokenizer(["the cat sat", "cat"], padding=True)
    assert batch.input_ids == [[5, 6, 7], [6, 3, 3]]
    assert batch.attention_mask == [[1, 1, 1], [1, 0, 0]]
    assert preparation.max_length == 16


def test_a_vision_model_says_its_scale_and_size(checkpoints):
    assert load_preparation(f"hf:{checkpoints / 'vit'}") == Preparation(
        mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), image_size=16
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('{"do_normalize": false, "image_mean": [1, 1, 1], "size": 20}', Preparation(image_size=20)),
        (
            '{"size": {"shortest_edge": 256}, "crop_size": 224, "do_center_crop": true}',
            Preparation(image_size=224),
        ),
        ('{"size": {"shortest_edge": 256}, "crop_size": 224}', Preparation(image_size=256)),
        ("{}", Preparation(image_size=16)),
        (None, Preparation(image_size=16)),  # the config's
    ],
)
def test_sizes_are_written_in_many_ways(checkpoints, tmp_path, said, expected):
    folder = shutil.copytree(checkpoints / "vit", tmp_path / "vit")
    (folder / "preprocessor_config.json").unlink()
    if said is not None:
        (folder / "preprocessor_config.json").write_text(said)
    assert load_preparation(f"hf:{folder}") == expected


def test_damaged_files_are_told(checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints / "vit", tmp_path / "vit")
    (folder / "preprocessor_config.json").write_text('{"image_mean": 3}')
    with pytest.raises(ModelError, match=r"preprocessor_config.json cannot be read"):
        load_preparation(f"hf:{folder}")
    folder = shutil.copytree(checkpoints / "gpt2", tmp_path / "gpt2")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="transformers cannot load its tokenizer"):
        load_preparation(f"hf:{folder}")


def test_residual_networks_take_imagenets_scale_unless_they_are_cifars():
    assert load_preparation("resnet50") == Preparation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    assert load_preparation("resnet18:cifar") == Preparation()
    assert load_preparation("digits-mlp") == Preparation()


def test_a_model_without_a_tokenizer_says_nothing(checkpoints):
    assert load_preparation(f"hf:{checkpoints / 'llama'}") == Preparation()
