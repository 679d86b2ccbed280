"""Every kind of layer and of data that a person's network may hold has a sensible row."""

import math
import warnings
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from superscope.survey import Survey, measure


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def row(survey: Survey, name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", survey.table.set_index("name").loc[name].to_dict())


class Block(nn.Module):
    """Embedding, norm and a tied head, as in a language model."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(11, 6)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        del attention_mask  # no token looks at another
        return self.head(self.norm(self.embed(input_ids)))


def tokens() -> dict[str, Tensor]:
    ids = torch.randint(1, 11, (40, 7), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(7) < (torch.arange(40) % 7 + 1)[:, None]
    return {"input_ids": ids.where(mask, 0), "attention_mask": mask.long()}


def test_an_embedding_a_norm_and_a_tied_weight() -> None:
    survey = measure(Block(), tokens())
    assert list(survey.table["name"]) == ["embed", "norm", "head"]
    embed, norm, head = (row(survey, name) for name in ("embed", "norm", "head"))
    assert embed["rows"] == norm["rows"] == head["rows"] == int(tokens()["attention_mask"].sum())
    assert (embed["width"], embed["cap"]) == (6, 6)
    assert norm["energy_rank"] <= 6
    assert math.isnan(norm["weight_energy_rank"])  # a vector of weights is no matrix
    assert (head["width"], head["cap"]) == (11, 6)
    assert head["energy_rank"] <= 6
    assert head["weight_energy_rank"] == embed["weight_energy_rank"]  # the same matrix


def test_padding_counts_for_nothing() -> None:
    model, data = Block(), tokens()
    other = data | {"input_ids": data["input_ids"].where(data["attention_mask"].bool(), 5)}
    one, two = measure(model, data, "norm"), measure(model, other, "norm")
    assert one.table.equals(two.table)
    assert one.rows[0].values.equal(two.rows[0].values)
    everything = measure(model, {"input_ids": data["input_ids"]}, "norm")
    assert row(everything, "norm")["rows"] == 280
    assert row(everything, "norm")["participation_ratio"] != row(one, "norm")["participation_ratio"]


def test_a_module_called_twice_in_a_pass_and_one_that_returns_a_tuple() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.map = nn.Linear(4, 4)
            self.memory = nn.LSTM(4, 3, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.memory(self.map(self.map(x)))[0]

    survey = measure(Twice(), randn(30, 5, 4))
    assert row(survey, "map")["warnings"] == "called 2 times a pass"
    assert row(survey, "map")["rows"] == 2 * 30 * 5
    assert (row(survey, "memory")["width"], row(survey, "memory")["rows"]) == (3, 150)


def test_a_frozen_layer() -> None:
    model = nn.Sequential(nn.Linear(4, 5))
    plain = row(measure(model, randn(30, 4)), "0")
    assert row(measure(model.requires_grad_(requires_grad=False), randn(30, 4)), "0") == plain


def test_a_quantised_layer() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this way of quantising will be replaced
        quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
        survey = measure(quantised, randn(200, 16))
    plain = row(measure(model, randn(200, 16)), "0")
    found = row(survey, "0")
    assert found["kind"] == "Linear"
    assert found["participation_ratio"] == pytest.approx(plain["participation_ratio"], rel=0.05)
    assert found["weight_stable_rank"] == pytest.approx(plain["weight_stable_rank"], rel=0.05)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh())
    single = row(measure(model, randn(200, 6)), "1")
    half = row(measure(model.to(dtype), randn(200, 6)), "1")
    for name in ("participation_ratio", "kurtosis", "cosine_std", "unit_cosine_std"):
        assert half[name] == pytest.approx(single[name], rel=0.05)
    assert row(measure(model, randn(200, 6)), "0")["weight_energy_rank"] == 5


def test_one_unit() -> None:
    survey = measure(nn.Sequential(nn.Linear(3, 1)), (randn(40, 3), torch.arange(40) % 2))
    found = row(survey, "0")
    assert [found[name] for name in ("width", "cap", "energy_rank", "participation_ratio")] == [1, 1, 1, 1]
    assert math.isnan(found["unit_cosine_mean"])
    assert math.isnan(found["kurtosis"])
    assert "Every number" in survey.page("0")


def test_a_constant_unit_beside_others() -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    with torch.no_grad():
        model[0].weight[1] = 0
        model[0].bias[1] = 2.0
    found = row(measure(model, randn(60, 3)), "0")
    assert found["energy_rank"] <= 3
    assert math.isfinite(found["cosine_mean"])
    assert math.isfinite(found["unit_cosine_mean"])


def test_one_sample_with_a_label() -> None:
    survey = measure(nn.Sequential(nn.Linear(3, 4)), (randn(1, 3), torch.zeros(1, dtype=torch.int64)))
    found = row(survey, "0")
    for name in ("cosine_mean", "silhouette", "davies_bouldin", "class_overlap", "class_selectivity"):
        assert math.isnan(found[name])
    assert found["energy_rank"] == 0
    assert "Every number" in survey.page("0")


def test_an_empty_class_changes_nothing() -> None:
    x, labels = randn(60, 3), torch.arange(60) % 3
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    plain = row(measure(model, (x, labels)), "1")
    gap = row(measure(model, (x, torch.where(labels == 2, 7, labels))), "1")
    for name in ("silhouette", "davies_bouldin", "class_overlap", "class_selectivity"):
        assert math.isfinite(plain[name])
        assert gap[name] == pytest.approx(plain[name])


def test_labels_that_are_no_classes_are_left_aside() -> None:
    survey = measure(nn.Sequential(nn.Linear(3, 4)), (randn(60, 3), torch.full((60,), -100)))
    assert "silhouette" not in survey.table
    assert math.isnan(survey.accuracy)
    assert survey.notes == ("labels below 0, of no class: 60; so classes are not compared",)


def test_some_samples_without_a_class_are_told_and_have_no_accuracy() -> None:
    x = randn(60, 4).abs()
    labels = x.argmax(1).where(torch.arange(60) != 7, -1)
    survey = measure(nn.Sequential(nn.ReLU()), (x, labels), batch_size=10)
    assert "silhouette" not in survey.table
    assert survey.accuracy == 1.0  # of the 59 others
    assert survey.notes == ("labels below 0, of no class: 1; so classes are not compared",)
    assert measure(nn.Sequential(nn.ReLU()), (x, labels), measures=["ranks"]).notes == ()


def test_separation_is_of_the_samples_pooled_over_positions() -> None:
    from superscope.measures import silhouette

    labels = torch.arange(80) % 2
    x = randn(80, 3, 5, 5) + 2 * labels[:, None, None, None]
    model = nn.Sequential(nn.Conv2d(3, 4, 1))
    with torch.no_grad():
        pooled = model(x).mean((2, 3))
    found = row(measure(model, (x, labels)), "0")
    expected = silhouette(pooled, labels)
    assert found["silhouette"] == pytest.approx(expected.mean, abs=1e-5)
    assert found["silhouette_se"] == pytest.approx(expected.standard_error, rel=1e-3)


def test_pytorchs_own_transformer_is_measured_inside() -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
    survey = measure(encoder, randn(20, 5, 8))
    assert list(survey.table["name"]) == [
        "layers.0.self_attn",
        "layers.0.linear2:input",
        "layers.0",
        "layers.1.self_attn",
        "layers.1.linear2:input",
        "layers.1",
    ]
    assert row(survey, "layers.0.linear2:input")["width"] == 16
    assert (survey.table["rows"] == 100).all()
    assert survey.left_out == {}


def test_only_the_measures_asked_for() -> None:
    survey = measure(nn.Sequential(nn.Linear(3, 4)), randn(30, 3), measures=["ranks"], errors=False)
    assert "energy_rank" in survey.table
    assert not {"cosine_mean", "kurtosis", "weight_energy_rank"} & set(survey.table)
    assert survey.table.filter(like="_se").isna().all(axis=None)
    assert "Singular values" in survey.page()
    survey.summary()
    weights = measure(nn.Sequential(nn.Linear(3, 4)), randn(30, 3), measures=["weights"])
    assert weights.table["weight_energy_rank"].tolist() == [3]
    assert "Every number" in weights.page()
    weights.summary()
