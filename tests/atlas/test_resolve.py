"""From a layer to an atlas: the same bits twice, and clear words for what cannot be."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from superscope.atlas import Atlas, default_config, resolve
from superscope.atlas.recovery import Recovery
from superscope.core import ConfigError, DataError, InputError, LayerError
from superscope.dictionary import DictionaryConfig, make_dictionary, write_saelens

SMALL = DictionaryConfig(n_latents=24, k=3, batch_size=32)
VECTORS = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))


def net(width: int = 4) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2))


def test_an_atlas_says_what_the_dictionary_does(text_atlas: Atlas, reading: dict[str, Tensor]) -> None:
    real = reading["attention_mask"].sum() - 60  # the first token of each text is left out
    assert text_atlas.collected.rows == int(real)
    assert text_atlas.collected.summary.l0 == pytest.approx(3.0, abs=0.05)
    assert 0 < text_atlas.collected.summary.fvu < 0.6
    assert isinstance(text_atlas.recovery, Recovery)
    assert text_atlas.recovery.kind == "next token"
    assert not isinstance(text_atlas.effects, str)
    assert text_atlas.effects.of == "token"
    assert text_atlas.notes == ("The first token is left out of each text.",)
    assert text_atlas.dictionary.history is not None
    assert text_atlas.dictionary.history.steps[-1] == 60


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    one, same, other = (
        resolve(net(), VECTORS, "1", SMALL, steps=20, seed=seed).tensors() for seed in (0, 0, 1)
    )
    assert all(torch.equal(one[name].nan_to_num(), same[name].nan_to_num()) for name in one)
    assert not torch.equal(one["max"], other["max"])


def test_a_dictionary_from_a_folder_is_looked_at_as_it_is(tmp_path: Path) -> None:
    trained = resolve(net(), VECTORS, "0", SMALL, steps=30)
    folder = write_saelens(trained.dictionary, tmp_path / "sae")
    again = resolve(net(), VECTORS, "0", dictionary=folder)
    assert torch.equal(again.collected.active, trained.collected.active)
    torch.testing.assert_close(again.maxima, trained.maxima)
    assert again.dictionary.history is None
    assert "training" not in again.figures()


def test_activations_that_do_not_fit_into_memory_go_to_a_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"take more than 0 MiB; give store=FOLDER"):
        resolve(net(), VECTORS, "0", SMALL, steps=20, memory=100)
    stored = resolve(net(), VECTORS, "0", SMALL, steps=20, memory=100, store=tmp_path / "store")
    assert stored.collected.rows == 100
    assert list((tmp_path / "store").iterdir())


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"layer": "nothing"}, LayerError, "no layer matches 'nothing'"),
        ({"layer": "*"}, LayerError, "matches 3 layers"),
        ({"config": DictionaryConfig(n_latents=4, k=5)}, ConfigError, "5 of 4 latents cannot be active"),
        (
            {"dictionary": make_dictionary(SMALL, 7)},
            InputError,
            "layer 0 is 4 wide and .* reads 7",
        ),
        ({"dictionary": make_dictionary(SMALL, 4, 6)}, InputError, "transcoder"),
        ({"config": SMALL, "dictionary": make_dictionary(SMALL, 4)}, InputError, "leave one of the two out"),
        ({"skip_tokens": -1}, InputError, "give 0 or more"),
        ({"data": iter([VECTORS])}, DataError, "run through only once"),
        ({"weights": "file.pth"}, InputError, "weights go with a model given by name"),
        ({"data": torch.full((40, 3), torch.nan)}, InputError, "no finite vector"),
    ],
)
def test_what_cannot_be_is_said_before_the_training(
    arguments: dict[str, object], error: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["superscope.atlas.resolve"]  # whose name in the folder is the function's
    monkeypatch.setattr(module, "train", lambda *_, **__: pytest.fail("it went to train"))
    given: dict[str, object] = {"data": VECTORS, "layer": "0", **arguments}
    with pytest.raises(error, match=words):
        resolve(net(), **given)  # pyright: ignore[reportArgumentType]


def test_a_layer_that_is_called_twice_is_refused() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.fc(x))

    with pytest.raises(LayerError, match="called 2 times"):
        resolve(Twice(), VECTORS, "fc", SMALL)


def test_few_activations_are_trained_on_in_smaller_batches() -> None:
    atlas = resolve(net(), VECTORS, "0", DictionaryConfig(n_latents=8, k=2), steps=5)
    assert atlas.dictionary.config.batch_size == 32
    assert "Trained in batches of 32" in atlas.notes[0]


def test_a_network_without_logits_or_labels_has_no_loss_to_recover(vector_atlas: Atlas) -> None:
    assert vector_atlas.recovery == "the data has no labels"
    assert vector_atlas.effects == "the network does not end in a linear map to logits"


def test_the_network_comes_back_as_it_came() -> None:
    model = net().train()
    resolve(model, VECTORS, "1", SMALL, steps=5)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_the_default_config_goes_by_the_width() -> None:
    assert (default_config(1).n_latents, default_config(1).k) == (16, 4)
    assert (default_config(2048).n_latents, default_config(2048).k) == (32768, 32)


def test_the_first_token_is_left_out_only_as_long_as_wanted(
    reader: nn.Module, reading: dict[str, Tensor]
) -> None:
    atlas = resolve(reader, reading, "mix", SMALL, steps=5, skip_tokens=0)
    assert atlas.collected.rows == int(reading["attention_mask"].sum())
