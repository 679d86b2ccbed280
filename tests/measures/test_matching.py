"""Matching of latents to features: by hand, by trying every assignment, and the properties of the scores."""

from inspect import unwrap
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core.errors import InputError
from superscope.measures import (
    FiringCounts,
    decoder_cosine,
    firing_scores,
    match_features,
    mcc,
    mmcs,
    recovered_share,
    uniqueness,
)

seeds = st.integers(0, 10_000)


def random_rows(seed, rows=5, width=3):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosines(W, D):
    return (D / D.norm(dim=1, keepdim=True)) @ (W / W.norm(dim=1, keepdim=True)).T


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("latents", "features"), [(5, 5), (3, 6), (6, 3)])
def test_matching_is_the_best_of_all_assignments(signed, latents, features):
    W, D = random_rows(0, latents), random_rows(1, features)
    table = cosines(W, D) if signed else cosines(W, D).abs()
    few = min(latents, features)
    wide = table if features == few else table.T
    best = max(
        sum(float(wide[i, j]) for i, j in enumerate(chosen))
        for chosen in permutations(range(wide.shape[1]), few)
    )
    found = match_features(W, D, signed=signed)
    assert len(found.latent) == len(found.latent.unique()) == few
    assert mcc(found) * few == pytest.approx(best)
    torch.testing.assert_close(found.cosine, cosines(W, D)[found.feature, found.latent])


def test_scores_by_hand():
    D = torch.eye(3)
    W = torch.tensor([[0.0, -2.0, 0.0], [1.0, 0.0, 0.0], [0.8, 0.6, 0.0]])
    found = match_features(W, D)
    assert found.feature.tolist() == [0, 1, 2]
    assert found.latent.tolist() == [1, 0, 2]
    assert found.cosine.tolist() == pytest.approx([1, -1, 0])
    assert mcc(found) == pytest.approx(2 / 3)
    assert mmcs(found) == pytest.approx(2 / 3)  # the third feature is near no latent
    assert recovered_share(found) == pytest.approx(2 / 3)
    assert recovered_share(found, 1.0) == 0
    assert uniqueness(found) == pytest.approx(2 / 3)  # latents 1 and 2 are nearest to one feature
    signed = match_features(W, D, signed=True)
    assert signed.cosine.tolist() == pytest.approx([1, 0.6, 0])
    assert mcc(signed) == pytest.approx(1.6 / 3)


def test_fewer_latents_leave_features_without_one():
    found = match_features(torch.eye(4)[:3], torch.eye(4))
    assert mcc(found) == 1
    assert recovered_share(found) == 0.75
    assert mmcs(found) == 0.75
    more = match_features(torch.cat([torch.eye(4), torch.ones(2, 4)]), torch.eye(4))
    assert mcc(more) == mmcs(more) == recovered_share(more) == 1
    assert uniqueness(more) == pytest.approx(4 / 6)


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_order_scale_and_sign_of_latents_do_not_matter(seed):
    W, D = random_rows(seed, 6), random_rows(seed + 1, 5)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(6, generator=generator)
    scale = torch.randn(6, 1, generator=generator, dtype=torch.float64)
    a, b = match_features(W, D), match_features((W * scale)[order], D)
    for score in (mcc, mmcs, recovered_share, uniqueness):
        assert score(a) == pytest.approx(score(b))
    assert mmcs(a) >= mcc(a) - 1e-12
    rotation = torch.linalg.qr(random_rows(seed, 3, 3)).Q
    assert mcc(match_features(W @ rotation, D @ rotation)) == pytest.approx(mcc(a))


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_a_row_without_direction_is_a_feature_missed(bad):
    W = torch.eye(3)
    W[1] = bad
    found = match_features(W, torch.eye(3))
    assert found.usable.tolist() == [True, False, True]
    assert [mcc(found), mmcs(found), recovered_share(found)] == pytest.approx([2 / 3] * 3)
    assert decoder_cosine(W).isnan().tolist() == [False, True, False]


def test_very_long_and_very_short_rows_have_directions():
    W = torch.diag(torch.tensor([1e-30, 1.0, 1e30]))
    assert mcc(match_features(W, torch.eye(3))) == 1
    half = match_features(torch.eye(3, dtype=torch.float16), torch.eye(3))
    assert mcc(half) == 1


def test_decoder_cosine_is_the_largest_of_the_others(monkeypatch):
    W = random_rows(3, 9, 4)
    table = cosines(W, W).fill_diagonal_(-2)
    torch.testing.assert_close(decoder_cosine(W), table.amax(1))
    monkeypatch.setattr("superscope.measures.matching._CELLS", 20)  # blocks of two rows
    torch.testing.assert_close(decoder_cosine(W), table.amax(1))
    assert decoder_cosine(W[:1]).isnan().all()
    assert decoder_cosine(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).tolist() == [-1, -1]


def slow_scores(f, s, pairs):
    rows = []
    for latent, feature in pairs:
        tp = fp = fn = 0
        for a, b in zip((f[:, latent] > 0).tolist(), (s[:, feature] > 0).tolist(), strict=True):
            tp, fp, fn = tp + (a and b), fp + (a and not b), fn + (b and not a)
        precision, recall = tp / (tp + fp) if tp + fp else 0.0, tp / (tp + fn) if tp + fn else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        rows.append((precision, recall, f1))
    return torch.tensor(rows, dtype=torch.float64).T


@pytest.mark.parametrize("by", ["feature", "latent"])
def test_firing_scores_equal_the_slow_count_in_one_batch_and_in_many(by):
    matching = match_features(random_rows(0, 6), random_rows(1, 4))
    f, s = random_rows(2, 50, 6).relu(), random_rows(3, 50, 4).relu()
    f[:, 2] = 0  # a dead latent
    whole = FiringCounts(matching, by=by).update(f, s)
    expected = slow_scores(f, s, zip(whole.latent.tolist(), whole.feature.tolist(), strict=True))
    for found, slow in zip(whole.scores(), expected, strict=True):
        torch.testing.assert_close(found, slow)
    parts = FiringCounts(matching, by=by).update(f[:20], s[:20]).update(f[20:20], s[20:20])
    parts = parts.merge(FiringCounts(matching, by=by).update(f[20:], s[20:]))
    assert parts.samples == 50
    for found, one in zip(parts.scores(), whole.scores(), strict=True):
        assert torch.equal(found, one)


def test_firing_scores_of_the_truth_are_one_and_codes_that_are_not_finite_are_left_out():
    s = random_rows(3, 30, 4).relu()
    matching = match_features(torch.eye(4), torch.eye(4))
    assert all((values == 1).all() for values in firing_scores(s, s, matching))
    broken = s.clone()
    broken[4, 0] = float("nan")
    counts = FiringCounts(matching).update(broken, s)
    assert (counts.samples, counts.left_out) == (29, 1)
    assert all((values == 1).all() for values in counts.scores())


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="width 3 and features of width 4"):
        unwrap(match_features)(torch.eye(3), torch.eye(4))
    with pytest.raises(InputError, match="expected"):
        match_features(torch.empty(0, 3), torch.eye(3))
    matching = match_features(torch.eye(3), torch.eye(3))
    with pytest.raises(InputError, match="expected \\[sample, 3\\]"):
        FiringCounts(matching).update(torch.zeros(2, 4), torch.zeros(2, 3))
    with pytest.raises(InputError, match="by='row'"):
        FiringCounts(matching, by="row")
    with pytest.raises(InputError, match="different pairs"):
        FiringCounts(matching).merge(FiringCounts(match_features(torch.eye(3).flip(0), torch.eye(3))))
