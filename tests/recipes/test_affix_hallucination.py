import dataclasses
from pathlib import Path

import pytest
import torch

from superscope.core import DataError, checked
from superscope.core.config import from_json, to_json
from superscope.recipes import affix_hallucination
from superscope.recipes.affix_hallucination import AFFIX_HALLUCINATION
from superscope.recipes.affix_training import AffixConfig, Networks
from superscope.recipes.recipe import execute
from superscope.toy import regular_polygon

PARTS = ("test", "dual", "gap", "plane", "cause", "closed", "joined")
SPREAD = torch.tensor([0.0, 0.01, 0.02, 0.03, 0.04])


def networks(narrow=(0.95, 0.85, 0.6), wide=(0.97, 0.97, 0.95), W=None, widths=(2, 5)):
    """Five seeds with (test, dual, joined) at widths 2 and 5; the read-outs at width 2 are W."""
    scores = torch.tensor([narrow, wide])[None] + torch.zeros(5, 1, 1)
    scores[:, 0, 1] -= SPREAD - SPREAD.mean()
    readouts = torch.zeros(5, 2, 5, 5)
    readouts[:, 0, :2] = rays() if W is None else W
    readouts[:, 1] = torch.eye(5)
    nothing = torch.zeros(5, 2, 5)
    test, dual, joined = scores.unbind(2)
    hidden = (torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), torch.zeros(1, 2))
    return Networks(
        widths, (0, 1, 2, 3, 4), test, dual, joined, joined, readouts, nothing, readouts,
        torch.zeros(5, 2, 1, dtype=torch.long), hidden,
    )  # fmt: skip


def rays():
    angle = torch.arange(5) / 4 * torch.pi / 2
    return torch.stack([angle.cos(), angle.sin()])


def measured(found, name=""):
    rows = {row.id: row for row in affix_hallucination._judged(found)}
    assert list(rows) == [claim.id for claim in AFFIX_HALLUCINATION.claims]
    return {part: rows[f"T15-{name}{part}"] for part in PARTS}


def test_what_superposition_predicts_is_reproduced():
    rows = measured({"": networks()})
    assert rows["test"].measured == pytest.approx(0.95)
    assert rows["dual"].measured == pytest.approx(0.85)
    assert {part: row.verdict for part, row in rows.items()} == dict.fromkeys(PARTS, "reproduced")
    # gaps 0.1 ± 0.02 and 0: the difference is 0.1, s = 0.0158, t_{0.975, 4} s/√5 = 0.0196
    assert "difference 0.1000 [0.0804, 0.1196]" in rows["cause"].evidence


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({"narrow": (0.9, 0.85, 0.6)}, {"test"}),
        ({"narrow": (0.95, 0.75, 0.6)}, {"dual"}),
        ({"narrow": (0.95, 0.97, 0.6)}, {"dual", "gap", "cause"}),
        ({"wide": (0.97, 0.95, 0.95)}, {"closed"}),
        ({"wide": (0.97, 0.87, 0.95)}, {"closed", "cause"}),  # as large a gap where there is room
        # smaller in four seeds of five, and yet the paired interval holds 0
        ({"wide": (0.97, 0.885, 0.95)}, {"closed", "cause"}),
        ({"wide": (0.97, 0.97, 0.6)}, {"joined"}),
        ({"W": 0.4 * rays()}, {"plane"}),
        ({"W": regular_polygon(5, 1.1)}, {"plane"}),
    ],
)
def test_other_networks_fail_their_claims(changes, fails):
    rows = measured({"": networks(**changes)})
    assert {part for part, row in rows.items() if row.verdict == "not reproduced"} == fails


def test_the_word_lists_are_judged_apart():
    found = {"": networks(), "lists-": networks(narrow=(0.5, 0.85, 0.6))}
    assert measured(found)["test"].verdict == "reproduced"
    assert measured(found, "lists-")["test"].verdict == "not reproduced"


def test_what_is_not_run_says_why():
    rows = measured({"": networks()}, "lists-")
    assert {row.verdict for row in rows.values()} == {"not run"}
    assert all("give --words a folder with words_alpha.txt" in row.evidence for row in rows.values())
    rows = measured({"": networks(widths=(2, 4))})
    assert {row.evidence for row in rows.values()} == {"The config leaves out width 5."}


def test_a_wrong_folder_stops_before_any_training(tmp_path):
    config = AffixConfig(words=tmp_path / "nowhere")
    with pytest.raises(DataError, match="nowhere, which is no folder"):
        execute(AFFIX_HALLUCINATION, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_seed_and_other_widths_give_a_page(tmp_path):
    config = dataclasses.replace(
        AFFIX_HALLUCINATION.presets["smoke"], seeds=(4,), widths=(3,), epochs=1, restarts=1
    )
    path, rows = execute(AFFIX_HALLUCINATION, config, tmp_path / "run")
    assert {row.verdict for row in rows} == {"not run"}
    assert {row.evidence for row in rows[:7]} == {"The config leaves out width 2 and 5."}
    assert (path / "report.html").exists()
    assert sorted(figure.stem for figure in (path / "figures").iterdir()) == [
        "accuracy",
        "gram",
        "interference",
    ]


def test_presets_are_sound_configs_that_survive_json():
    assert list(AFFIX_HALLUCINATION.presets) == ["smoke", "quick", "paper"]
    for preset in AFFIX_HALLUCINATION.presets.values():
        assert from_json(AffixConfig, to_json(preset)) == checked(preset) == preset
    with_folder = dataclasses.replace(AFFIX_HALLUCINATION.presets["paper"], words=Path("words"))
    assert from_json(AffixConfig, to_json(with_folder)) == with_folder


def test_smoke_writes_a_whole_run(tmp_path):
    path, rows = execute(AFFIX_HALLUCINATION, AFFIX_HALLUCINATION.presets["smoke"], tmp_path / "run")
    assert [row.seeds for row in rows] == [2] * 7 + [0] * 7
    assert sorted(table.stem for table in (path / "tables").iterdir()) == ["pairs", "widths"]
    assert {"features", "plane"} < {figure.stem for figure in (path / "figures").iterdir()}
    report = (path / "report.html").read_text()
    assert all(row.id in report for row in rows)
    assert not (path / "stages").exists()
