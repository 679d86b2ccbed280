"""Loss recovered: by hand on networks of a few numbers, and against a slow loop on single texts."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from superscope.activations.harvest import harvest
from superscope.activations.inputs import load_inputs
from superscope.atlas.recovery import Recovery, loss_recovered
from superscope.core import InputError, LayerError, ModelError, generator
from superscope.data import TextSamples
from superscope.dictionary import train
from superscope.dictionary.config import DictionaryConfig
from superscope.dictionary.dictionary import Dictionary
from superscope.dictionary.standard import Standard
from superscope.models import load_model

VOCABULARY, WIDTH = 7, 4
LEARNED, HELD_OUT = range(0, 1200, 20), range(2200, 2300, 20)


class Language(nn.Module):
    """A causal language model: at each token, a mean over it and those before."""

    def __init__(self) -> None:
        super().__init__()
        draws = generator(0, "language")
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.middle = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        for parameter in self.parameters():
            nn.init.normal_(parameter, 0, 2, generator=draws)

    def forward(self, input_ids: Tensor, **_: Tensor) -> SimpleNamespace:
        seen = self.embed(input_ids).cumsum(1) / torch.arange(1, input_ids.shape[1] + 1)[:, None]
        return SimpleNamespace(logits=self.head(self.middle(seen.tanh()).tanh()))


def texts(lengths: list[int], seed: int = 0, pad: int = 0) -> dict[str, Tensor]:
    """Texts that the model writes itself, so that it predicts them better than anything in its place."""
    model, draws, width = Language(), generator(seed, "texts"), max(lengths) + pad
    ids = torch.randint(0, VOCABULARY, (len(lengths), 1), generator=draws)
    with torch.no_grad():
        while ids.shape[1] < width:
            chances = model(ids).logits[:, -1].softmax(-1)
            ids = torch.cat([ids, chances.multinomial(1, generator=draws)], 1)
    return {"input_ids": ids, "attention_mask": (torch.arange(width) < torch.tensor(lengths)[:, None]).long()}


def dictionary_of(W_enc: Tensor, W_dec: Tensor, b_dec: Tensor | None = None) -> Dictionary:
    made = Standard(DictionaryConfig("standard", n_latents=len(W_dec), k=1), len(W_enc), W_dec.shape[1])
    with torch.no_grad():
        made.encoder.copy_(W_enc.T)
        made.W_dec.copy_(W_dec)
        if b_dec is not None:
            made.b_dec.copy_(b_dec)
    return made


def identity(width: int = WIDTH) -> Dictionary:
    both = torch.cat([torch.eye(width), -torch.eye(width)])
    return dictionary_of(both.T, both)


def constant(value: Tensor) -> Dictionary:
    return dictionary_of(torch.zeros(len(value), 1), torch.zeros(1, len(value)), value)


def noisy(seed: int = 0, width: int = WIDTH) -> Dictionary:
    made = Standard(DictionaryConfig("standard", n_latents=9, k=2), width, generator=generator(seed))
    nn.init.normal_(made.b_dec, generator=generator(seed, "bias"))
    return made.requires_grad_(requires_grad=False)


def slowly(
    model: Language, data: dict[str, Tensor], dictionary: Dictionary, skip: int = 0
) -> dict[str, float]:
    """Text by text without padding, the layer's place taken by hand."""
    vectors, kept, losses = [], [], {name: [] for name in ("clean", "spliced", "zeroed", "averaged", "kl")}

    def logits(h: Tensor) -> Tensor:
        return functional.log_softmax(model.head(h.tanh()), -1)

    with torch.no_grad():
        cut = [ids[mask.bool()] for ids, mask in zip(data["input_ids"], data["attention_mask"], strict=True)]
        for ids in cut:
            seen = model.embed(ids).cumsum(0) / torch.arange(1, len(ids) + 1)[:, None]
            vectors.append(model.middle(seen.tanh()))
            kept.append(torch.arange(len(ids)) >= skip)
        rows = torch.cat([h[keep] for h, keep in zip(vectors, kept, strict=True)])
        for ids, h, keep in zip(cut, vectors, kept, strict=True):
            runs = {
                "clean": h,
                "spliced": torch.where(keep[:, None], dictionary(h), h),
                "zeroed": torch.where(keep[:, None], 0.0, h),
                "averaged": torch.where(keep[:, None], rows.mean(0), h),
            }
            found = {name: logits(each)[:-1] for name, each in runs.items()}
            for name, each in found.items():
                losses[name] += (-each[torch.arange(len(ids) - 1), ids[1:]]).tolist()
            losses["kl"] += (found["clean"].exp() * (found["clean"] - found["spliced"])).sum(1).tolist()
    means = {name: sum(values) / len(values) for name, values in losses.items()}
    means["fvu"] = float((dictionary(rows) - rows).square().sum() / (rows - rows.mean(0)).square().sum())
    means["l0"] = float((dictionary.encode(rows) > 0).sum() / len(rows))
    return means


LENGTHS = [5, 2, 7, 3, 1, 6, 4, 2, 5]


@pytest.mark.parametrize("skip", [0, 1, 3])
def test_every_number_is_that_of_single_texts_without_padding(skip: int) -> None:
    model, data, dictionary = Language(), texts(LENGTHS, pad=2), noisy()
    expected = slowly(model, data, dictionary, skip)
    found = loss_recovered(model, data, "middle", dictionary, skip_tokens=skip, batch_size=4)
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, abs=1e-5), name
    against = {"recovered": "zeroed", "recovered_from_mean": "averaged"}
    for name, ablation in against.items():
        harm = expected[ablation] - expected["clean"]
        share = (expected[ablation] - expected["spliced"]) / harm
        assert (
            getattr(found, name) == pytest.approx(share, rel=1e-3)
            if harm > 0
            else math.isnan(getattr(found, name))
        )
    assert (found.kind, found.layer, found.target) == ("next token", "middle", "middle")
    assert found.samples == len(LENGTHS)
    assert found.predictions == sum(length - 1 for length in LENGTHS)
    assert found.positions == sum(max(length - skip, 0) for length in LENGTHS)


def test_the_identity_recovers_all_and_nothing_recovers_nothing() -> None:
    model, data = Language(), texts(LENGTHS)
    whole = loss_recovered(model, data, "middle", identity())
    assert whole.spliced == whole.clean
    assert whole.recovered == whole.recovered_from_mean == 1
    assert (whole.kl, whole.fvu) == (0, 0)
    assert whole.accuracy == whole.spliced_accuracy
    assert whole.l0 == WIDTH
    assert whole.errors["recovered"] == pytest.approx(0, abs=1e-12)
    none = loss_recovered(model, data, "middle", constant(torch.zeros(WIDTH)))
    assert none.spliced == none.zeroed
    assert (none.recovered, none.l0) == (0, 0)
    rows = []
    handle = model.middle.register_forward_hook(lambda *given: rows.append(given[2]))
    model(**data)
    handle.remove()
    mean = rows[0][data["attention_mask"].bool()].mean(0).detach()
    middle = loss_recovered(model, data, "middle", constant(mean))
    assert middle.recovered_from_mean == pytest.approx(0, abs=1e-5)
    assert middle.spliced == pytest.approx(middle.averaged, abs=1e-6)
    assert middle.fvu == pytest.approx(1, abs=1e-5)


def test_two_tokens_by_hand() -> None:
    """The layer is an embedding of two orthogonal tokens, and the head reads it: logits (2, 0) and (0, 2)."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding.from_pretrained(2 * torch.eye(2))

        def forward(self, input: Tensor) -> Tensor:  # noqa: A002
            return self.embed(input)

    data = torch.tensor([[0, 0, 0], [1, 1, 0]])  # the next token is the same, but for one of four
    same, other = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    half = dictionary_of(torch.eye(2), torch.eye(2) / 2)  # logits (1, 0) and (0, 1)
    found = loss_recovered(Two(), data, "embed", half)
    assert found.clean == pytest.approx((3 * same + other) / 4, rel=1e-6)
    spliced = (3 * math.log(1 + math.exp(-1)) + math.log(1 + math.e)) / 4
    assert found.spliced == pytest.approx(spliced, rel=1e-6)
    assert found.zeroed == pytest.approx(math.log(2), rel=1e-6)
    assert found.recovered == pytest.approx((math.log(2) - spliced) / (math.log(2) - found.clean), rel=1e-5)
    p, q = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-1))
    assert found.kl == pytest.approx(p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)), rel=1e-5)
    assert (found.accuracy, found.spliced_accuracy, found.l0) == (0.75, 0.75, 1)
    # x = (2, 0) four times and (0, 2) twice: mean (4/3, 2/3), spread 4·8/9 + 2·32/9 = 32/3; missed 6·1
    assert found.fvu == pytest.approx(6 / (32 / 3), rel=1e-6)


def test_a_classifier_is_judged_by_its_labels_and_channels_are_units() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5))
    x, labels = torch.randn(11, 1, 3, 3), torch.arange(11) % 6 - 1
    dictionary = noisy(width=3)
    found = loss_recovered(model, (x, labels), "0", dictionary, batch_size=3)
    known = labels >= 0
    with torch.no_grad():
        h = model[0](x[known])
        rows = model[0](x).movedim(1, -1)
        y = dictionary(h.movedim(1, -1)).movedim(-1, 1)
        runs = {
            "clean": h, "spliced": y, "zeroed": 0 * h,
            "averaged": rows.mean((0, 1, 2))[:, None, None].expand_as(h),
        }  # fmt: skip
        for name, each in runs.items():
            loss = functional.cross_entropy(model[1:](each), labels[known])
            assert getattr(found, name) == pytest.approx(float(loss), rel=1e-5), name
        right = model[1:](y).argmax(1) == labels[known]
    assert found.spliced_accuracy == pytest.approx(float(right.double().mean()))
    assert (found.kind, found.predictions, found.positions) == ("class", int(known.sum()), 44)
    miss, spread = (dictionary(rows) - rows).square().sum(), (rows - rows.mean((0, 1, 2))).square().sum()
    assert found.fvu == pytest.approx(float(miss / spread), rel=1e-4)


def test_a_transcoder_stands_in_for_the_layer_that_it_computes() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 5), nn.Linear(5, 6))
    x = torch.randn(20, 4)
    labels = model(x).argmax(1)
    both = torch.cat([torch.eye(3), -torch.eye(3)])
    weight, bias = (each.detach() for each in (model[1].weight, model[1].bias))
    exact = dictionary_of(both.T, both @ weight.T, bias)
    found = loss_recovered(model, (x, labels), "1:input", exact, target="1")
    assert found.recovered == pytest.approx(1, abs=1e-5)
    assert found.fvu == pytest.approx(0, abs=1e-10)
    assert (found.layer, found.target, found.l0) == ("1:input", "1", 3)
    also = loss_recovered(model, (x, labels), "0", exact, target="1")
    assert also.spliced == found.spliced
    spread = model[1](model[0](x)).detach()
    wrong = dictionary_of(both.T, 0 * both @ weight.T, spread.mean(0))
    assert loss_recovered(model, (x, labels), "0", wrong, target="1").fvu == pytest.approx(1, abs=1e-5)
    with pytest.raises(LayerError, match=r"1 puts out 16 positions where 2, .* had nothing yet"):
        loss_recovered(model, (x, labels), "2", dictionary_of(torch.eye(6), torch.zeros(6, 5)), target="1")


def test_errors_are_those_of_leaving_samples_out() -> None:
    model, dictionary = Language(), noisy(3)
    lengths = [3 + k % 5 for k in range(16)]
    data = texts(lengths)
    found = loss_recovered(model, data, "middle", dictionary)
    without: dict[str, list[float]] = {"spliced": [], "fvu": [], "l0": [], "clean": []}
    for left_out in range(16):
        rest = {name: values[torch.arange(16) != left_out] for name, values in data.items()}
        each = loss_recovered(model, rest, "middle", dictionary)
        for name, values in without.items():
            values.append(getattr(each, name))
    for name, values in without.items():
        spread = torch.tensor(values, dtype=torch.float64)
        expected = float((15 / 16 * (spread - spread.mean()).square().sum()).sqrt())
        assert found.errors[name] == pytest.approx(expected, rel=1e-4), name
    alone = loss_recovered(model, texts([4]), "middle", dictionary)
    assert math.isnan(alone.errors["recovered"])
    assert math.isfinite(alone.recovered)


def test_batches_and_padding_change_nothing_and_all_is_left_as_it_was() -> None:
    model, dictionary = Language().train(), noisy().train()
    values = []
    for size, pad in ((1, 0), (3, 5), (9, 0)):
        data = texts(LENGTHS, pad=0)
        data = {name: functional.pad(each, (0, pad), value=0) for name, each in data.items()}
        found = loss_recovered(model, data, "middle", dictionary, batch_size=size)
        values.append([getattr(found, name) for name in ("clean", "spliced", "averaged", "kl", "fvu")])
    for other in values[1:]:
        assert other == pytest.approx(values[0], abs=1e-6)
    assert model.training
    assert dictionary.training
    assert not any(module._forward_hooks for module in model.modules())


def test_a_reconstruction_that_does_harm_recovers_less_than_nothing() -> None:
    model, data = Language(), texts(LENGTHS)
    minus = torch.cat([torch.eye(WIDTH), -torch.eye(WIDTH)])
    found = loss_recovered(model, data, "middle", dictionary_of(minus.T, -3 * minus))
    assert found.recovered < 0
    assert found.spliced > found.zeroed > found.clean


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"dictionary": identity(3)}, InputError, "reads vectors of 3 and gives 3; middle has 4 units"),
        ({"layer": "m*,head"}, LayerError, "matches 2 layers"),
        ({"layer": "nowhere"}, LayerError, "no layer matches"),
        ({"skip_tokens": -1}, InputError, "skip_tokens is -1"),
        ({"data": texts([1, 1])}, InputError, "nothing to predict"),
        ({"data": torch.zeros(3, 4)}, ModelError, "cannot take a batch"),
        ({"model": nn.Sequential(nn.Linear(4, 4)), "layer": "0"}, ModelError, "cannot take a batch"),
        ({"dictionary": constant(torch.full((4,), torch.nan))}, InputError, "loss of spliced is nan"),
    ],
)
def test_what_cannot_be_is_said(change: dict, error: type[Exception], said: str) -> None:
    given = {"model": Language(), "data": texts([4, 3]), "layer": "middle", "dictionary": identity()} | change
    with pytest.raises(error, match=said):
        loss_recovered(**given)


def test_what_cannot_be_judged_is_said() -> None:
    net = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(InputError, match="no labels"):
        loss_recovered(net, torch.zeros(3, 4), "0", identity())
    with pytest.raises(InputError, match="labels up to 9"):
        loss_recovered(net, (torch.zeros(3, 4), torch.tensor([0, 1, 9])), "0", identity())
    with pytest.raises(ModelError, match="logits"):
        loss_recovered(nn.Sequential(nn.Conv2d(1, 2, 1)), torch.zeros(2, 1, 3, 3), "0", identity(2))
    with pytest.raises(ModelError, match="own loss is nan"):
        loss_recovered(net, (torch.full((3, 4), torch.nan), torch.tensor([0, 1, 2])), "0", identity())


def test_the_summary_names_an_error_for_every_number() -> None:
    found = loss_recovered(Language(), texts(LENGTHS), "middle", noisy())
    numbers = {name for name, value in vars(found).items() if isinstance(value, float)}
    assert set(found.errors) == numbers
    assert isinstance(found, Recovery)


@pytest.mark.data
@pytest.mark.slow
def test_a_dictionary_of_the_llamas_residual_stream_recovers_95_percent_of_the_loss(
    real_data: Path, tmp_path: Path
) -> None:
    spec = f"llama2c:{real_data / 'weights' / 'stories260K.bin'}"
    model, stories = load_model(spec), load_inputs(f"text:{real_data / 'text' / 'tinystories_2MB.txt'}", spec)
    assert isinstance(stories, TextSamples)
    read, held_out = ([stories.take(range(k, k + 20))[0] for k in rows] for rows in (LEARNED, HELD_OUT))
    rows = harvest(model, read, "model.layers.1", tmp_path)
    dictionary = train(rows, DictionaryConfig("topk", n_latents=512, k=16))
    found = loss_recovered(model, held_out, "model.layers.1", dictionary)
    assert found.l0 <= 16
    assert found.recovered - 1.96 * found.errors["recovered"] > 0.95
    assert found.clean == pytest.approx(1.42, abs=0.1)
