"""The data of a page: what each latent's part holds, and that it can be drawn from."""

import base64
import gzip
import json
from typing import Any

import pytest
from torch import nn

from superscope.atlas import Atlas
from superscope.atlas.packing import pack
from superscope.dictionary import Dictionary

HOSTILE = "<img src=x onerror=alert(1)>"


def latents(atlas: Atlas) -> list[dict[str, Any]]:
    """The parts of all latents, tokens in place of their numbers."""
    found = []
    for chunk in pack(atlas).chunks:
        part = json.loads(gzip.decompress(base64.b64decode(chunk)))
        for latent in part["latents"]:
            for example in (*latent["top"], *latent["drawn"]):
                if "t" in example:
                    example["t"] = [part["strings"][place] for place in example["t"]]
            found.append(latent)
    return found


def test_texts_come_as_windows_without_padding_around_the_strongest_token(text_atlas: Atlas) -> None:
    items = text_atlas.collected.exhibits.items
    shown = latents(text_atlas)
    assert len(shown) == 24
    for number, latent in enumerate(shown):
        assert len(latent["top"]) == min(5, int((text_atlas.collected.top.values[number] > 0).sum()))
        for example in latent["top"]:
            tokens = [int(token) for token in items[example["s"]] if token >= 0]
            assert example["t"] == text_atlas.pieces.texts(tokens)  # short texts are shown whole
            assert example["a"][example["p"]] == pytest.approx(100 * example["v"] / example["m"], abs=1.1)
            assert len(example["a"]) <= len(example["t"])
        if latent["top"]:
            assert latent["top"][0]["a"][latent["top"][0]["p"]] == 100
            assert sum(latent["histogram"]["counts"]) == int(text_atlas.collected.active[number])
    assert any(HOSTILE in example["t"] for latent in shown for example in latent["top"])


def test_raised_tokens_rise_and_lowered_ones_fall(text_atlas: Atlas) -> None:
    for latent in latents(text_atlas):
        assert all(value > 0 for _, value in latent["up"])
        assert all(value < 0 for _, value in latent["down"])
        values = [value for _, value in latent["up"]]
        assert values == sorted(values, reverse=True)
        assert [cosine for _, cosine in latent["near"]] == sorted(
            (cosine for _, cosine in latent["near"]), reverse=True
        )


def test_the_index_says_what_the_list_needs(text_atlas: Atlas) -> None:
    index = pack(text_atlas).index
    columns, words = index["columns"], index["words"]
    assert isinstance(columns, dict)
    assert isinstance(words, list)
    assert columns["active"] == text_atlas.collected.active.tolist()
    assert all(len(each) == 24 for each in columns.values())
    for latent, tokens in enumerate(text_atlas.strongest_tokens):
        assert words[latent].startswith(f"{latent}\n")
        assert all(token.lower() in words[latent] for token in tokens[:8])
    assert index["kind"] == "text"


def test_images_come_with_their_place_and_sheets(image_atlas: Atlas) -> None:
    page = pack(image_atlas)
    [sheet] = page.sheets
    count = len(image_atlas.collected.exhibits.items)
    assert sheet.columns * sheet.rows >= count
    assert page.index["grid"] == [7, 7]
    assert page.index["tile"] == [9, 9]
    assert image_atlas.field[0] == pytest.approx(3 / 9)
    examples = [example for latent in latents(image_atlas) for example in latent["top"]]
    assert examples
    for example in examples:
        assert 0 <= example["i"] < count
        assert 0 <= example["p"] < 49
        assert example["c"] == example["s"] % 3


def test_vectors_come_as_shares_of_their_largest_value(vector_atlas: Atlas) -> None:
    page = pack(vector_atlas)
    assert page.index["effects"] == "the network does not end in a linear map to logits"
    examples = [example for latent in latents(vector_atlas) for example in latent["top"]]
    assert all(max(map(abs, example["n"])) == 100 for example in examples)
    assert all("up" not in latent for latent in latents(vector_atlas))


def test_a_dead_latent_has_no_examples_and_no_histogram(dead_atlas: Atlas) -> None:
    assert dead_atlas.states[3] == "dead"
    latent = latents(dead_atlas)[3]
    assert latent["top"] == latent["drawn"] == latent["histogram"]["counts"] == []
    assert dead_atlas.table["max"][3] == 0


@pytest.fixture(scope="module")
def dead_atlas(vector_atlas: Atlas) -> Atlas:
    import torch

    from superscope.atlas import resolve

    dictionary: Dictionary = vector_atlas.dictionary
    with torch.no_grad():
        dictionary.encoder[3], dictionary.b_enc[3] = 0.0, -1.0
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU())
    return resolve(net, torch.randn(50, 5), "0", dictionary=dictionary)
