import dataclasses
import gc
import json

import pytest
import torch
from torch import nn, optim

from superscope.atlas.recovery import loss_recovered
from superscope.core import DataError, LayerError, ModelError, checked, generator
from superscope.core.artifacts import read_tensors
from superscope.core.config import from_json, to_json
from superscope.dictionary import DictionaryConfig, make_dictionary
from superscope.recipes import sae_gpt2_training
from superscope.recipes.recipe import execute
from superscope.recipes.sae_gpt2 import SAE_GPT2
from superscope.recipes.sae_gpt2_claims import CLAIMS, agreement, judged, within_budget
from superscope.recipes.sae_gpt2_published import PRINTED, OneSentence, Trained, train_published
from superscope.recipes.sae_gpt2_subject import REHEARSAL, load_subject
from superscope.recipes.sae_gpt2_training import (
    NUMBERS,
    Measured,
    OneMeasured,
    SaeGpt2Config,
    as_dictionary,
    codes_of_text,
    middle_of,
    plan,
    read_sentence,
    spelled,
)

LOSSES = tuple(PRINTED.values())
SMOKE = SAE_GPT2.presets["smoke"]


@pytest.fixture(scope="module")
def subject():
    return load_subject(REHEARSAL, None, 64)


def as_in_the_course(x, start):
    """The course's code but for the start, which is given."""
    encoder, decoder = nn.Linear(x.shape[1], 16), nn.Linear(16, x.shape[1])
    encoder.load_state_dict(start.encoder.state_dict())
    decoder.load_state_dict(start.decoder.state_dict())
    criterion = nn.MSELoss()
    optimizer = optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.001)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=100, gamma=0.5)
    printed = []
    for epoch in range(500):
        optimizer.zero_grad()
        encoded = torch.relu(encoder(x))
        decoded = decoder(encoded)
        loss = criterion(decoded, x) + 0.01 * torch.mean(torch.abs(encoded))
        loss.backward()
        optimizer.step()
        scheduler.step()
        if (epoch + 1) % 100 == 0:
            printed.append(loss.item())
    return printed


def test_the_training_is_the_courses():
    x = 3 * torch.randn(9, 12, generator=generator(0, "x"))
    found = train_published(x, seed=4)
    assert found.printed() == pytest.approx(as_in_the_course(x, found.start), rel=1e-5)
    assert found.printed()[-1] < found.printed()[0]
    assert torch.equal(train_published(x, seed=4).network.encoder.weight, found.network.encoder.weight)
    assert not torch.equal(train_published(x, seed=5).start.encoder.weight, found.start.encoder.weight)
    reach = max(float(each.abs().max()) for each in found.start.encoder.parameters())
    assert 0.9 * 12**-0.5 < reach <= 12**-0.5


def test_the_published_network_is_a_dictionary_of_ours():
    network = OneSentence(6, draws=generator(1))
    x = torch.randn(20, 6, generator=generator(2))
    f, found = network(x)
    made = as_dictionary(network)
    torch.testing.assert_close(made.encode(x), f)
    torch.testing.assert_close(made(x), found)


def test_the_sentence_is_read_as_the_course_reads_it(subject):
    sentence = read_sentence(subject, SMOKE.sentence)
    ids = subject.tokenizer(SMOKE.sentence, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected = subject.model(ids, output_hidden_states=True).hidden_states[-1].squeeze()
    assert torch.equal(sentence.hidden, expected)
    assert list(sentence.tokens) == SMOKE.sentence.split()
    with pytest.raises(ModelError, match="does not put out the last hidden state"):
        read_sentence(dataclasses.replace(subject, last=subject.blocks[0]), SMOKE.sentence)


def test_texts_are_divided_and_none_is_on_both_sides(subject):
    train, test = subject.parts(40, 16)
    rows = [tuple(row.tolist()) for part in (train, test) for each in part for row in each["input_ids"]]
    assert (len(train.rows), len(test.rows), len(rows)) == (200, 40, 240)
    assert not set(train.rows) & set(test.rows)
    assert sum(len(each["input_ids"]) for each in test) == 40
    with pytest.raises(DataError, match="240 texts, of which 240 are held out; lower --held-out"):
        subject.parts(240, 16)


def test_the_rehearsal_predicts_better_than_chance_and_says_what_it_is(subject):
    _, test = subject.parts(40, 16)
    width = subject.model.config.hidden_size
    both = torch.cat([torch.eye(width), -torch.eye(width)])
    same = make_dictionary(DictionaryConfig("standard", n_latents=2 * width, k=1), width)
    same.load_state_dict(
        {"W_dec": both, "encoder": both, "b_enc": torch.zeros(2 * width), "b_dec": torch.zeros(width)}
    )
    found = loss_recovered(subject.model, test, subject.blocks[0], same)
    assert found.clean < 2 < found.averaged
    assert (subject.rehearsal, subject.gpt2) == (True, False)
    assert subject.blocks == ["model.layers.0", "model.layers.1"]


def test_the_plan_has_every_k_and_seed_and_each_block_once(subject):
    config = dataclasses.replace(SMOKE, ks=(2, 4), seeds=(3, 5), each_block=4)
    assert plan(config, subject) == [
        ("model.layers.0", 2, 3), ("model.layers.0", 2, 5), ("model.layers.0", 4, 3),
        ("model.layers.0", 4, 5), ("model.layers.1", 4, 3),
    ]  # fmt: skip
    assert len(plan(dataclasses.replace(config, each_block=0), subject)) == 4
    assert middle_of(dataclasses.replace(config, layer="model.norm"), subject) == "model.norm"
    with pytest.raises(LayerError):
        plan(dataclasses.replace(config, layer="nowhere"), subject)


def test_codes_of_a_text_are_those_of_its_beginning(subject):
    dictionary = make_dictionary(DictionaryConfig(n_latents=30, k=3), 24, generator=generator(0)).eval()
    each = Measured("model.layers.1", 3, 0, dictionary, {}, {})
    options = dataclasses.replace(SMOKE, skip_tokens=2)
    tokens, f = codes_of_text(subject, each, options, 7)
    inputs, _ = subject.texts.take([200])
    assert tokens == spelled(subject, inputs["input_ids"][0, 2:9])
    with torch.no_grad():
        states = subject.model(**inputs, output_hidden_states=True).hidden_states
    # with a block behind it, the last hidden state but one is the first block's output
    before = Measured("model.layers.0", 3, 0, dictionary, {}, {})
    expected = dictionary.encode(states[1][0, 2:9])
    torch.testing.assert_close(codes_of_text(subject, before, options, 7)[1], expected)
    assert f.shape == (7, 30)


def numbers(**change):
    return dict.fromkeys(NUMBERS, 0.5) | {"l0": 16.0} | change


def one(seed, *, losses=LOSSES, fvu=0.2, l0=4.0, start=8.0, apart=False, elsewhere=()):
    network = OneSentence(32, draws=generator(seed if apart else 0))
    history = torch.zeros(500)
    history[torch.tensor(list(PRINTED)) - 1] = torch.tensor(losses)
    found = numbers(fvu=0.9, recovered=0.2) | dict(elsewhere)
    measured = Measured("norm", 16, seed, as_dictionary(network), found, {})
    return OneMeasured(Trained(network, network, history), fvu, l0, start, measured)


def many(layer="model.layers.0", k=16, seed=0, **change):
    dictionary = make_dictionary(DictionaryConfig(n_latents=30, k=3), 24, generator=generator(seed))
    return Measured(
        layer, k, seed, dictionary, numbers(recovered=0.96, recovered_from_mean=0.96) | change, numbers()
    )


def verdicts(subject, ones, dictionaries, *, gpt2=True, published=True):
    changed = dataclasses.replace(subject, name="some/model", gpt2=gpt2)
    made = judged(changed, ones, dictionaries, "model.layers.0", published=published)
    assert [row.id for row in made] == [claim.id for claim in CLAIMS]
    return {row.id.removeprefix("N5-"): row for row in made}


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({}, set()),
        ({"l0": 8.0, "start": 9.0}, {"sparse"}),
        ({"start": 3.0}, {"sparser"}),
        ({"apart": True}, {"starts"}),
        ({"fvu": 0.5}, {"elsewhere"}),
        ({"fvu": 0.1, "elsewhere": {"fvu": 0.4}}, {"elsewhere"}),
        ({"elsewhere": {"recovered": 0.5}}, {"spliced"}),
        ({"losses": (14.0, 2.0957, 1.4265, 1.3351, 1.3095)}, {"loss-100"}),
        ({"losses": (10.9564, 2.0957, 1.4265, 1.3351, 1.55)}, {"loss-500"}),
        ({"many": {"recovered": 0.94}}, {"useful", "useful-blocks"}),
        ({"many": {"recovered_from_mean": 0.94}}, {"useful", "useful-blocks"}),
    ],
)
def test_each_claim_falls_by_its_own_rule(subject, change, fails):
    about_many = change.get("many", {})
    about_one = {name: value for name, value in change.items() if name != "many"}
    dictionaries = [many(**about_many), many("model.layers.1")]
    ones = [one(seed, **about_one) for seed in range(3)]
    made = verdicts(subject, ones, dictionaries)
    assert {name for name, row in made.items() if row.verdict == "not reproduced"} == fails
    assert all(row.verdict != "not run" for row in made.values())


def test_another_model_or_sentence_does_not_settle_the_printed_losses(subject):
    losses = {f"loss-{step}" for step in PRINTED}
    ones, dictionaries = [one(seed) for seed in range(2)], [many(), many("model.layers.1")]
    for options, said in (
        ({"gpt2": False}, "The printed losses are GPT-2's, and this run is of some/model. By seed: 10.9564"),
        ({"published": False}, "of another sentence"),
    ):
        made = verdicts(subject, ones, dictionaries, **options)
        assert {name for name, row in made.items() if row.verdict == "not run"} == losses
        assert said in made["loss-100"].evidence
    assert "Model some/model." in made["useful"].evidence
    assert {row.verdict for row in judged(subject, ones, dictionaries, "x", published=True)} == {"not run"}


def test_a_dictionary_over_the_budget_is_not_counted(subject):
    dense = [many(l0=16.1), many("model.layers.1")]
    made = verdicts(subject, [one(0)], dense)
    assert made["useful"].verdict == made["useful-blocks"].verdict == "not run"
    assert "lower --ks" in made["useful"].evidence
    assert made["starts"].verdict == "not run"
    several = [many(k=4, l0=4.0), many(k=12, l0=12.0), many(k=32, l0=32.0), many(seed=1)]
    assert {seed: each.k for seed, each in within_budget(several, "model.layers.0").items()} == {0: 12, 1: 16}


def test_agreement_is_1_of_the_same_directions_in_another_order():
    W = torch.randn(8, 20, generator=generator(0))
    assert agreement([W, 2 * W.flip(0)]) == pytest.approx([1.0])
    assert len(agreement([W, W, W])) == 3
    assert agreement([W]) == []
    assert agreement([W, -W])[0] < 0.9  # codes are not negative: the opposite direction is another latent


def test_what_cannot_be_had_stops_before_any_file(tmp_path, monkeypatch):
    monkeypatch.delenv("SUPERSCOPE_DATA", raising=False)
    quick = SAE_GPT2.presets["quick"]
    for change, error, said in (
        ({}, DataError, "needs a language model and texts; give --model, or set SUPERSCOPE_DATA"),
        ({"model": f"hf:{tmp_path / 'nowhere'}", "data": "digits"}, ModelError, "nowhere"),
        ({"model": REHEARSAL, "held_out": 300}, DataError, "240 texts, of which 300 are held out"),
        ({"model": REHEARSAL, "layer": "nowhere"}, LayerError, "no layer matches"),
    ):
        with pytest.raises(error, match=said):
            execute(SAE_GPT2, dataclasses.replace(quick, **change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_presets_are_sound_configs_that_survive_json():
    assert list(SAE_GPT2.presets) == ["smoke", "quick", "paper"]
    for preset in SAE_GPT2.presets.values():
        assert from_json(SaeGpt2Config, to_json(preset)) == checked(preset) == preset
    assert SAE_GPT2.presets["paper"].model == "hf:gpt2"


def test_smoke_writes_a_whole_run_and_a_killed_one_ends_with_the_same_bits(tmp_path, monkeypatch):
    config = dataclasses.replace(SMOKE, seeds=(0, 1), ks=(4,))
    path, made = execute(SAE_GPT2, config, tmp_path / "run")
    assert {row.verdict for row in made} == {"not run"}
    assert {table.stem for table in (path / "tables").iterdir()} == {"sentence", "dictionaries", "agreement"}
    assert {figure.stem for figure in (path / "figures").iterdir()} == {
        "loss", "features", "strengths", "sentence", "recovered", "blocks", "latents",
    }  # fmt: skip
    tensors = read_tensors(path / "tensors.safetensors")
    assert tensors["model.layers.0/k-4/W_dec"].shape == (48, 24)
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    report = (path / "report.html").read_text()
    assert all(row.id in report for row in made)
    assert len([json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]) == 5
    assert not (path / "stages").exists()

    trained = []
    train = sae_gpt2_training.train

    def killed(*arguments, **options):
        trained.append(options["seed"])
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(*arguments, **options)

    monkeypatch.setattr(sae_gpt2_training, "train", killed)
    with pytest.raises(KeyboardInterrupt) as caught:
        execute(SAE_GPT2, config, tmp_path / "again")
    del caught
    gc.collect()  # a process that is gone holds no lock on its run
    again, rows = execute(SAE_GPT2, config, tmp_path / "again")
    assert len(trained) == 4
    assert rows == made
    assert (again / "tensors.safetensors").read_bytes() == (path / "tensors.safetensors").read_bytes()


@pytest.mark.data
def test_the_real_llama_is_what_the_quick_preset_is_about(real_data):
    subject = load_subject(None, None, 512)
    assert subject.blocks == [f"model.layers.{k}" for k in range(5)]
    assert (subject.last, subject.gpt2, subject.rehearsal) == ("model.norm", False, False)
    assert subject.name == "llama2c:stories260K.bin"
    sentence = read_sentence(subject, SaeGpt2Config().sentence)
    assert sentence.hidden.shape == (21, 64)
    assert sentence.tokens[:3] == ["<s>", "_I", "t"]
    train, _ = subject.parts(100, 16)
    assert len(train.rows) == 2217
