"""Comparisons: known differences, layers and measures matched, what is missing said, the same bits twice."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn

import superscope as ss
from superscope.core import ConfigError, InputError
from superscope.survey import Comparison, Survey, compare

Write = Callable[..., str]


def table(values: dict[str, float], *, width: int = 4, error: float | None = None) -> str:
    rows = [f"{name},{width},{value},{'' if error is None else error}\n" for name, value in values.items()]
    return "name,width,rank,rank_se\n" + "".join(rows)


def seeds(run: Write, name: str, values: list[float], **fields: object) -> list[str]:
    """Write a run a seed whose layer fc has these values, and whose layer out has ten times them."""
    return [
        run(f"{name}{seed}", seed=seed, model=name, table=table({"fc": value, "out": 10 * value}), **fields)
        for seed, value in enumerate(values)
    ]


def row(comparison: Comparison, layer: str = "fc", measure: str = "rank", group: str = "b") -> pd.Series:
    found = comparison.table.set_index(["layer", "measure", "group"])
    return found.loc[(layer, measure, group)]  # pyright: ignore[reportReturnType]


def test_seeds_that_both_ran_are_paired(run: Write) -> None:
    a, b = [1.0, 2.0, 3.0], [2.5, 3.0, 5.0]
    comparison = compare(seeds(run, "a", a) + seeds(run, "b", b)[::-1])
    found = row(comparison)
    ends = stats.ttest_rel(b, a).confidence_interval(0.95)
    assert found["method"] == "Student, paired"
    assert (found["low"], found["high"]) == pytest.approx((ends.low, ends.high))
    assert (found["mean"], found["reference_mean"], found["difference"]) == pytest.approx((3.5, 2.0, 1.5))
    assert (found["reference"], found["seeds"], found["reference_seeds"]) == ("a", 3, 3)
    assert row(comparison, "out")["difference"] == pytest.approx(15.0)


def test_other_seeds_are_not_paired_unless_told(run: Write) -> None:
    a, b = [1.0, 2.0, 3.0], [2.5, 3.0, 5.0, 9.0]
    paths = seeds(run, "a", a), seeds(run, "b", b)
    assert row(compare({"a": paths[0], "b": paths[1]}))["method"] == "Welch"
    assert row(compare({"a": paths[0], "b": paths[1][1:]}))["method"] == "Welch"
    assert row(compare({"a": paths[0], "b": paths[1][1:]}, paired=True))["method"] == "Student, paired"
    assert row(compare({"a": paths[0], "b": paths[1][:3]}, paired=False))["method"] == "Welch"
    with pytest.raises(InputError, match="3 seeds and b 4; they cannot be paired"):
        compare({"a": paths[0], "b": paths[1]}, paired=True)


def test_five_seeds_have_a_bootstrap_the_same_twice(run: Write) -> None:
    draw = np.random.default_rng(0)
    paths = seeds(run, "a", draw.normal(size=5).tolist()) + seeds(run, "b", draw.normal(3, 1, 6).tolist())
    one, two, other = compare(paths), compare(paths), compare(paths, seed=1)
    assert row(one)["method"] == "bootstrap"
    assert row(one)["low"] > 0
    pd.testing.assert_frame_equal(one.table, two.table)
    assert one.page() == two.page()
    assert row(other)["low"] != row(one)["low"]


def test_one_seed_a_side_has_the_errors_of_its_samples(run: Write) -> None:
    run("a", model="a", table=table({"fc": 1.0, "out": 2.0}, error=0.3))
    run("b", model="b", table=table({"fc": 2.0, "out": 4.0}, error=0.4))
    run("c", model="c", table=table({"fc": 2.0, "out": 4.0}))
    comparison = compare(["a", "b", "c"])
    found = row(comparison)
    assert (found["low"], found["high"]) == pytest.approx((1 - 0.979982, 1 + 0.979982))
    assert found["method"].startswith("standard errors over samples")
    bare = row(comparison, group="c")
    assert bare["method"] == "none: one seed a side and no standard errors"
    assert math.isnan(bare["low"])
    assert not bare["stands_out"]


def test_a_ratio_has_the_error_of_its_rank_scaled(run: Write) -> None:
    for name, value in (("a", 2.0), ("b", 3.0)):
        run(name, model=name, table=f"name,width,rank,rank_ratio,rank_se\nfc,4,{value},{value / 4},0.4\n")
    reach = 1.959964 * math.hypot(0.1, 0.1)
    found = row(compare(["a", "b"]), measure="rank_ratio")
    assert (found["low"], found["high"]) == pytest.approx((0.25 - reach, 0.25 + reach))


def test_layers_and_measures_that_only_some_have_are_listed(run: Write) -> None:
    run("a", model="a", table="name,width,rank,old,empty\nfc,4,1,2,\nonly_a,4,1,2,\n")
    run("b", model="b", table="name,width,rank,new,empty\nonly_b,4,1,2,\nfc,8,1,2,\n")
    comparison = compare(["a", "b"])
    assert comparison.table[["layer", "measure"]].to_numpy().tolist() == [["fc", "rank"]]
    assert {(what, name, why) for what, name, why in comparison.unmatched.itertuples(index=False)} == {
        ("layer", "only_a", "only in a"),
        ("layer", "only_b", "only in b"),
        ("measure", "old", "only in a"),
        ("measure", "new", "only in b"),
        ("measure", "empty", "no value at any layer that is compared"),
    }
    assert (row(comparison)["width"], row(comparison)["reference_width"]) == (8, 4)
    assert any(note.startswith("widths differ at fc") for note in comparison.notes)
    for name in ("only_a", "only_b", "old", "new", "empty"):
        assert name in comparison.page()


def test_nan_is_left_out_counted_and_never_averaged(run: Write) -> None:
    paths = seeds(run, "a", [1.0, math.nan, 3.0, 8.0]) + seeds(run, "b", [2.0, 5.0, math.inf, 9.0])
    comparison = compare(paths)
    found = row(comparison)
    assert (found["seeds"], found["left_out"], found["difference"]) == (2, 4, 1.0)
    assert any("8 values were missing or not finite" in note for note in comparison.notes)


def test_seeds_that_change_nothing_count_once(run: Write) -> None:
    paths = seeds(run, "a", [1.0, 1.0, 1.0]) + seeds(run, "b", [2.0, 3.0, 4.0])
    comparison = compare(paths)
    assert len(comparison.groups["a"]) == 1
    assert any("3 runs of a hold 1 different tables" in note for note in comparison.notes)
    assert row(comparison)["method"] == "Student, one seed taken to vary as the others do"


def test_different_data_is_said(run: Write) -> None:
    for name, data in (("a", "digits"), ("b", "digits:train")):
        run(name, data=data)
        Path(name, "metrics.jsonl").write_text(f'{{"data": "{data}", "samples": "50"}}\n')
    comparison = compare(["a", "b"])
    assert any(
        note.startswith("measured on different data: digits on digits, 50") for note in comparison.notes
    )


def test_what_stands_out_is_benjamini_and_hochbergs_choice(run: Write) -> None:
    draw = np.random.default_rng(3)

    def some(shift: float) -> str:
        values = draw.normal(size=60)
        values[:6] += shift
        return table({f"layer{index}": value for index, value in enumerate(values)})

    for seed in range(6):
        run(f"a{seed}", seed=seed, model="a", table=some(0.0))
        run(f"b{seed}", seed=seed, model="b", table=some(6.0))
    comparison = compare([f"{name}{seed}" for name in "ab" for seed in range(6)])
    found = comparison.table.set_index("layer")
    p = np.sort(found["p"].to_numpy())
    below = np.flatnonzero(p <= 0.05 * np.arange(1, 61) / 60)
    assert found["stands_out"].sum() == below[-1] + 1
    assert found["stands_out"][[f"layer{index}" for index in range(6)]].all()
    assert found["stands_out"].sum() < (found["p"] < 0.05).sum() + 1
    overview = comparison.overview().iloc[0]
    assert overview["stand out"] == found["stands_out"].sum()


def test_without_a_layer_in_common_there_is_nothing_to_compare(run: Write) -> None:
    run("a", model="a", table=table({"fc": 1.0}))
    run("b", model="b", table=table({"conv": 1.0}))
    with pytest.raises(InputError, match="a and b have no layer of the same name"):
        compare(["a", "b"])


def test_groups_have_to_be_two_and_not_empty(run: Write) -> None:
    run("a")
    with pytest.raises(ConfigError) as caught:
        compare({"a": []})
    assert caught.value.faults == (
        "1 group; give two or more to compare",
        "group 'a' is empty; give it a survey or a run",
    )
    with pytest.raises(ConfigError, match="nowhere does not exist"):
        compare({"a": "a", "b": ["nowhere"]})


def test_surveys_in_memory_are_compared(tmp_path: Path) -> None:
    def survey(seed: int, scale: float) -> Survey:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(5, 4), nn.ReLU())
        model[0].weight.data[0] *= scale
        return ss.measure(model, torch.randn(60, 5, generator=torch.Generator().manual_seed(0)))

    groups = {
        "plain": [survey(seed, 1) for seed in range(3)],
        "<b>&": [survey(seed, 9) for seed in range(3, 6)],
    }
    comparison = ss.compare(groups)
    found = row(comparison, "0", "participation_ratio", "<b>&")
    assert found["method"] == "Welch"
    assert found["high"] < 0
    page = comparison.report(tmp_path / "report.html").read_text()
    assert "&lt;b&gt;&amp;" in page
    assert "<b>&" not in page
    summary = comparison.summary()
    assert summary.startswith("plain (3 seeds), <b>& (3 seeds); differences to plain")
    assert len(comparison.values) == 12


def test_figures_show_the_layers_and_refuse_what_is_not_compared(run: Write) -> None:
    comparison = compare(seeds(run, "a", [1.0, 2.0]) + seeds(run, "b", [2.0, 4.0]))
    labels = {text.get_text() for text in comparison.figure("rank").axes[0].get_yticklabels()}
    assert labels == {"fc", "out"}
    assert comparison.runs_figure("rank").axes[0].get_legend() is not None
    band = comparison.bands("rank")["b"]
    assert band[["rank", "low", "high"]].to_numpy().tolist() == [[3, 2, 4], [30, 20, 40]]
    with pytest.raises(InputError, match="no measure 'kurtosis' is compared; choose one of rank"):
        comparison.figure("kurtosis")
    with pytest.raises(InputError, match="choose one of b"):
        comparison.figure("rank", "a")
