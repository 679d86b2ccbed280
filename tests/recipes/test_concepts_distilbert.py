import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

from superscope.core import DataError, ModelError, checked, generator
from superscope.core.artifacts import read_tensors
from superscope.core.config import from_json, to_json
from superscope.recipes.concepts_claims import CLAIMS, PUBLISHED, Draw, judged, leaning
from superscope.recipes.concepts_distilbert import (
    CONCEPTS_DISTILBERT,
    ConceptsConfig,
    _random_lists,
    _rows,
)
from superscope.recipes.concepts_encoder import (
    CONCEPTS,
    REHEARSAL,
    Encoder,
    Means,
    correlations,
    load_encoder,
    load_sentences,
    sentence_means,
    word_vectors,
    words_in,
)
from superscope.recipes.recipe import execute

CPU = torch.device("cpu")
PRINTED = tuple(PUBLISHED.values())


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(REHEARSAL, 32)


@pytest.fixture(scope="module")
def sentences(encoder):
    return load_sentences(REHEARSAL, encoder)


def test_sentence_means_are_those_of_the_course_and_of_the_tokens_alone(encoder, sentences):
    rows = [0, 7, 3, 11, 20]
    means = sentence_means(encoder, sentences, rows, CPU, batch_size=2)
    texts, labels = sentences._texts.read(rows)
    for text, label, padded, masked, length in zip(
        texts, labels, means.padded, means.masked, means.lengths, strict=True
    ):
        inputs = encoder.tokenizer(text, padding="max_length", max_length=32, return_tensors="pt")
        alone = encoder.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            as_published = encoder.model(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
            ).last_hidden_state.mean(1)
            right = encoder.model(**alone).last_hidden_state.mean(1)
        torch.testing.assert_close(padded, as_published[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(masked, right[0], rtol=1e-4, atol=1e-5)
        assert int(length) == alone["input_ids"].shape[1]
        assert label == int("good great excellent wonderful fantastic".find(_adjective(text)) >= 0)
    assert means.labels.tolist() == labels.tolist()


def _adjective(text):
    every = {word for words in CONCEPTS.values() for word in words}
    return next(word for word in text.split() if word in every)


def test_a_word_is_read_alone_whatever_it_is_batched_with(encoder):
    words = ["good", "so-so", "film"]
    together = word_vectors(encoder, words, CPU)
    for word, vector in zip(words, together, strict=True):
        inputs = encoder.tokenizer(word, return_tensors="pt")
        with torch.no_grad():
            expected = encoder.model(**inputs).last_hidden_state.mean(1)[0]
        torch.testing.assert_close(vector, expected, rtol=1e-4, atol=1e-5)
    assert encoder.tokenizer.unk_token_id not in encoder.tokenizer("so-so")["input_ids"]


def test_correlations_are_numpys():
    states, vectors = (torch.randn(n, 9, generator=generator(n, "r")) for n in (4, 3))
    found = correlations(states, vectors)
    for i, state in enumerate(states):
        for j, vector in enumerate(vectors):
            expected = np.corrcoef(state.numpy(), vector.numpy())[0, 1]
            assert float(found[i, j]) == pytest.approx(expected, abs=1e-6)
    assert correlations(torch.ones(1, 4), vectors[:, :4]).isnan().all()


def test_the_words_of_random_lists_are_none_of_the_concepts(encoder, sentences):
    words = words_in(encoder, sentences, range(100))
    assert {"film", "this", "was"} < set(words)
    assert not set(words) & {word for listed in CONCEPTS.values() for word in listed}
    config = ConceptsConfig(lists=30)
    used, lists = _random_lists(words, config)
    assert lists.shape == (30, 5)
    assert all(len(set(row)) == 5 for row in lists.tolist())
    assert set(used) <= set(words)
    assert _random_lists(words, config)[1].equal(lists)


def test_draws_are_disjoint_and_begin_with_the_published_sentences():
    config = ConceptsConfig(sentences=10, draws=3)
    rows = _rows(45, config)
    assert rows[0].tolist() == list(range(10))
    every = torch.cat(rows)
    assert len(rows) == 4
    assert len(every.unique()) == len(every) == 40
    with pytest.raises(DataError, match="39 sentences; 4 draws of 10 need 40; lower --draws"):
        _rows(39, config)
    assert len(_rows(10, ConceptsConfig(sentences=10, draws=0))) == 1


def draw(gap=0.0, lean=0.1, above=0.1, apart=0.0, means=PRINTED):
    """A hundred sentences, every other one positive, with the published means as published.

    ``gap`` is what the mask takes off, ``lean`` how much more positive sentences lean than negative ones,
    ``above`` how far random words lie below, ``apart`` how far apart the sentiments are in the plane.
    """
    labels = torch.arange(100) % 2
    noise = torch.linspace(-0.01, 0.01, 50, dtype=torch.float64).repeat_interleave(2)
    side = (2 * labels - 1).double() * lean / 4
    padded = torch.tensor(means, dtype=torch.float64).repeat(100, 1)
    padded[:, 0] += side + noise
    padded[:, 1] -= side
    states = torch.randn(100, 5, generator=generator(0, "states"), dtype=torch.float64)
    states[:, 0] += apart * labels
    lists = torch.linspace(0.0, min(means) - above, 50, dtype=torch.float64)
    made = Means(states, states, labels, torch.full((100,), 12))
    return Draw(made, padded, padded - gap, lists, lists - gap)


def rows(draws, distilbert=True, model="hf:distilbert-base-uncased"):
    encoder = Encoder(nn.Identity(), None, 512, 768, distilbert)
    made = {row.id: row for row in judged(model, encoder, draws)}
    assert list(made) == [claim.id for claim in CLAIMS]
    return {name.removeprefix("N4-"): row for name, row in made.items()}


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({}, {"clusters"}),
        ({"apart": 12.0}, set()),
        ({"gap": 0.03}, {"clusters", "padding"}),
        ({"gap": -0.03}, {"clusters", "padding"}),
        ({"lean": 0.0}, {"clusters", "own-padded", "own-masked"}),
        ({"lean": -0.1}, {"clusters", "own-padded", "own-masked"}),
        ({"above": -0.05}, {"clusters", "control-padded", "control-masked"}),
        ({"means": (0.342, 0.339, 0.375)}, {"clusters", "positive"}),
    ],
)
def test_each_claim_falls_by_its_own_rule(change, fails):
    made = rows([draw(**change)] * 3)
    assert {name for name, row in made.items() if row.verdict == "not reproduced"} == fails
    assert all(row.verdict != "not run" for row in made.values())


def test_another_model_does_not_settle_the_published_numbers():
    made = rows([draw()] * 3, distilbert=False, model="some/encoder")
    assert {name for name, row in made.items() if row.verdict == "not run"} == set(PUBLISHED)
    assert "some/encoder is another model. Here 0.3354" in made["positive"].evidence
    assert "Model some/encoder." in made["padding"].evidence
    assert {row.verdict for row in rows([draw()], model=REHEARSAL).values()} == {"not run"}


def test_leaning_by_hand():
    found = leaning(draw(lean=0.1), "padded")
    assert found.positive - found.negative == pytest.approx(0.1)
    assert found.auc == 1.0
    assert found.low < 0.1 < found.high
    assert leaning(draw(lean=0.0), "masked").auc == pytest.approx(0.5)


def test_what_cannot_be_had_stops_before_any_file(tmp_path):
    config = CONCEPTS_DISTILBERT.presets["quick"]
    for change, error, said in (
        ({"model": str(tmp_path / "nowhere")}, ModelError, "nowhere"),
        ({"model": REHEARSAL}, DataError, "needs SST-2's training sentences; give --data text:FILE"),
        ({"model": REHEARSAL, "data": "digits"}, DataError, "no set of texts"),
        ({"model": REHEARSAL, "data": f"text:{_three(tmp_path)}"}, DataError, "labels have to be 0"),
    ):
        with pytest.raises(error, match=said):
            execute(CONCEPTS_DISTILBERT, dataclasses.replace(config, **change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def _three(folder):
    path = folder / "three.tsv"
    path.write_text("label\tsentence\n" + "".join(f"{k % 3}\ta good film\n" for k in range(9)))
    return path


def test_presets_are_sound_configs_that_survive_json():
    assert list(CONCEPTS_DISTILBERT.presets) == ["smoke", "quick", "paper"]
    for preset in CONCEPTS_DISTILBERT.presets.values():
        assert from_json(ConceptsConfig, to_json(preset)) == checked(preset) == preset


def test_smoke_writes_a_whole_run_twice_the_same(tmp_path):
    smoke = CONCEPTS_DISTILBERT.presets["smoke"]
    path, made = execute(CONCEPTS_DISTILBERT, smoke, tmp_path / "run")
    assert {row.verdict for row in made} == {"not run"}
    assert sorted(table.stem for table in (path / "tables").iterdir()) == ["concepts", "draws"]
    assert sorted(figure.stem for figure in (path / "figures").iterdir()) == [
        "concepts", "pca-masked", "pca-published", "vectors",
    ]  # fmt: skip
    tensors = read_tensors(path / "tensors.safetensors")
    assert tensors["draw-3/padded"].shape == (80, 3)
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert [line["draw"] for line in lines] == [0, 1, 2, 3]
    report = (path / "report.html").read_text()
    assert all(row.id in report for row in made)
    torch.manual_seed(1)
    again, _ = execute(CONCEPTS_DISTILBERT, smoke, tmp_path / "again")
    assert (again / "tensors.safetensors").read_bytes() == (path / "tensors.safetensors").read_bytes()
