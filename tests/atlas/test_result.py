"""What an atlas says of its latents: states, names, tables, figures and facts."""

import math

import pandas as pd
import pytest

from superscope.atlas import Atlas
from superscope.atlas.result import _shown


def test_the_table_has_a_row_for_each_latent(text_atlas: Atlas) -> None:
    table = text_atlas.table
    assert len(table) == 24
    assert table["active"].sum() == int(text_atlas.collected.active.sum())
    assert (table["frequency"] * text_atlas.collected.rows).round().astype(int).tolist() == table[
        "active"
    ].tolist()
    alive = table[table["state"] != "dead"]
    assert bool((alive["max"] >= alive["mean"]).all())
    assert set(table["state"]) <= {"dead", "alive", "dense"}
    assert bool((table[table["state"] == "dense"]["frequency"] > 0.1).all())
    assert table["decoder_norm"].tolist() == pytest.approx([1.0] * 24, abs=1e-4)


def test_latents_are_named_by_the_tokens_of_their_examples(text_atlas: Atlas) -> None:
    top, items = text_atlas.collected.top, text_atlas.collected.exhibits.items
    for latent, tokens in enumerate(text_atlas.strongest_tokens):
        seen = {
            text_atlas.pieces.text(int(items[int(sample)][int(position)]))
            for sample, position, value in zip(
                top.samples[latent], top.positions[latent], top.values[latent], strict=True
            )
            if value > 0
        }
        assert set(tokens) == seen
        assert text_atlas.labels[latent].split(" · ")[0] == (_shown(tokens[0]) if tokens else "")


def test_classes_name_a_latent_only_where_it_is_clearly_for_one(image_atlas: Atlas) -> None:
    assert image_atlas.top_classes is not None
    index, share = image_atlas.top_classes
    for label, number, part in zip(image_atlas.labels, index.tolist(), share.tolist(), strict=True):
        assert label == (f"class {number} ({part:.0%})" if part >= 0.5 else "")


def test_facts_and_figures(text_atlas: Atlas, vector_atlas: Atlas) -> None:
    facts = text_atlas.facts()
    assert str(facts["L0"]) == f"{text_atlas.collected.summary.l0:.2f}"
    assert "nats a token" in str(facts["loss recovered"])
    assert vector_atlas.facts()["loss recovered"] == "not measured: the data has no labels"
    assert set(text_atlas.figures()) == {"frequencies", "values", "training"}
    assert text_atlas.summary().startswith("model: Reader\n")


def test_tensors_and_table_agree(vector_atlas: Atlas) -> None:
    tensors, table = vector_atlas.tensors(), vector_atlas.table
    assert tensors["max"].tolist() == pytest.approx(table["max"].tolist())
    assert tensors["histogram"].sum(1).tolist() == table["active"].tolist()
    assert isinstance(table, pd.DataFrame)
    assert not any(math.isnan(each) for each in table["cosine"])
