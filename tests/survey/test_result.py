"""What a survey hands out: a table, figures, tensors, a page, a summary."""

import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from superscope.core import ArtifactError
from superscope.measures import RANKS
from superscope.survey import Survey, measure


@pytest.fixture(scope="module")
def survey() -> Survey:
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("<img src=x>&", nn.Linear(5, 4))
    model.add_module("relu", nn.ReLU())
    model.add_module("wide", nn.Linear(4, 600))
    return measure(model, torch.randn(100, 5))


def test_the_table_has_a_row_a_layer_and_an_error_a_measure(survey: Survey) -> None:
    table = survey.table
    assert list(table["name"]) == ["<img src=x>&", "relu", "wide"]
    assert list(table.columns[:6]) == ["name", "kind", "width", "cap", "samples", "rows"]
    assert table.columns[-1] == "warnings"
    errors = [name for name in table.columns if name.endswith("_se")]
    assert {name.removesuffix("_se") for name in errors} < set(table.columns)
    assert {f"{name}_se" for name in RANKS} < set(errors)
    assert (table.loc[0, errors].astype(float) >= 0).all()
    assert list(table["cap"]) == [4, 4, 4]
    wide = table.loc[2]
    assert wide["participation_ratio_se"] > 0  # its products are those of its four inputs
    assert math.isnan(wide["kurtosis_se"])
    assert wide["energy_rank_cap_ratio"] == wide["energy_rank"] / 4


def test_ranks_are_listed_centred_and_not_of_activations_and_weights(survey: Survey) -> None:
    ranks = survey.ranks.set_index(["name", "of", "centred", "rank"])
    table = survey.table.set_index("name")
    for layer, rank in (("relu", "energy_rank"), ("wide", "stable_rank")):
        found = ranks.loc[layer, "activations", True, rank]
        assert found["value"] == pytest.approx(table.loc[layer, rank])
        assert found["ratio"] == pytest.approx(table.loc[layer, f"{rank}_ratio"])
        assert found["standard_error"] == table.loc[layer, f"{rank}_se"]
    assert ranks.loc["wide", "weights", False, "energy_rank"]["value"] <= 4
    assert ranks.loc["wide", "weights", False, "energy_rank"]["cap_ratio"] <= 1
    assert "weights" not in ranks.loc["relu"].index.get_level_values("of")


def test_spectra_fall_and_are_the_tensors(survey: Survey) -> None:
    assert survey.tensors().keys() == {f"singular_values/{name}" for name in survey.table["name"]}
    for name, width in zip(survey.table["name"], survey.table["width"], strict=True):
        spectrum = survey.tensors()[f"singular_values/{name}"]
        assert len(spectrum) == width
        assert bool((spectrum.diff() <= 0).all())
    assert int((survey.spectra["wide"] > 0).sum()) <= 4


def test_histograms_count_every_value_of_a_small_layer(survey: Survey) -> None:
    counts, edges = survey.histograms["relu"]
    assert int(counts.sum()) == 400
    assert len(edges) == len(counts) + 1
    assert float(edges[0]) == 0


def test_the_page_is_whole_escaped_and_names_every_layer(survey: Survey, tmp_path: Path) -> None:
    path = survey.report(tmp_path / "below" / "report.html")
    page = path.read_text()
    assert page == survey.page()
    assert page.rstrip().endswith("</html>")
    assert "&lt;img src=x&gt;&amp;" in page
    assert "<img src=x>" not in page
    for text in ("Singular values", "How to read this", "Similarity", "Sequential"):
        assert text in page
    assert "http-equiv" in page
    with pytest.raises(ArtifactError, match="cannot write"):
        survey.report(path / "report.html")


def test_the_figure_shows_every_layer(survey: Survey) -> None:
    figure = survey.figure()
    labels = {text.get_text() for axes in figure.axes for text in axes.get_xticklabels()}
    assert {"relu", "wide"} <= labels


def test_the_summary_is_the_main_columns(survey: Survey) -> None:
    lines = survey.summary().splitlines()
    assert len(lines) == 4
    assert lines[0].split()[:3] == ["layer", "kind", "width"]
    relu = survey.table.set_index("name").loc["relu"]
    assert f"{relu['participation_ratio']:.2f} ({relu['participation_ratio_se']:.2f})" in lines[2]
    assert f"{relu['activation_frequency']:.0%}" in lines[2]
    assert "nan" not in survey.summary()


def test_facts_leave_out_an_accuracy_that_is_not_there(survey: Survey) -> None:
    assert math.isnan(survey.accuracy)
    facts = survey.facts()
    assert list(facts) == ["model", "data", "samples", "layers", "time"]
    assert (facts["model"], facts["data"], facts["samples"], facts["layers"]) == (
        "Sequential",
        "Tensor",
        "100",
        3,
    )


def test_the_table_survives_a_file(survey: Survey, tmp_path: Path) -> None:
    survey.table.to_csv(tmp_path / "t.csv", index=False)
    read = pd.read_csv(tmp_path / "t.csv")
    assert read.pop("warnings").isna().all()
    pd.testing.assert_frame_equal(read, survey.table.drop(columns="warnings"), check_dtype=False)
