"""What a dictionary does on samples: by hand, against plain formulas, and streams against one batch."""

import math
from dataclasses import asdict
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core.errors import InputError
from superscope.measures import CodeStatistics, effective_features, frequency_histogram

ROWS, WIDTH, LATENTS = 200, 5, 8


def data(seed, rows=ROWS, offset=0.0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, WIDTH, generator=generator) * torch.arange(1, WIDTH + 1) + offset
    f = (torch.randn(rows, LATENTS, generator=generator) - 1).relu() * torch.arange(LATENTS)
    x_hat = x + 0.3 * torch.randn(rows, WIDTH, generator=generator)
    return x, f, x_hat


def values(summary):
    found = asdict(summary)
    errors = found.pop("errors")
    return found, errors


def test_by_hand():
    x = torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 0.0], [2.0, 2.0]])
    x_hat = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0], [2.0, 0.0]])
    f = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0] * 4, [1.0, 0.0, 1.0, 0.0]])
    found = CodeStatistics(2, 4).update(x, f, x_hat).summary(dense=0.25)
    assert found.rows == 4
    assert found.l0 == 1
    assert found.l0_sd == pytest.approx(math.sqrt(0.5))
    assert found.fvu == pytest.approx((1 + 4) / 8)
    assert found.explained_variance == pytest.approx(3 / 8)
    assert found.explained_variance_mean == pytest.approx((3 / 4 + 0) / 2)
    assert found.mse == pytest.approx(5 / 8)
    assert found.cosine == pytest.approx((1 + 1 + math.sqrt(0.5)) / 3)  # the row of zeros has none
    assert found.shrinkage == pytest.approx((0.5 + 1 + math.sqrt(0.5)) / 3)
    assert (found.alive, found.dead, found.dense) == (3, 1, 1)
    entropy = -(0.5 * math.log(0.5) + 2 * 0.25 * math.log(0.25))
    assert found.effective_features == pytest.approx(math.exp(entropy))
    assert found.psi == pytest.approx(math.exp(entropy) / 2)
    assert all(math.isnan(error) for error in found.errors.values())  # fewer rows than groups


def test_against_the_plain_formulas():
    x, f, x_hat = data(0, offset=7.0)
    state = CodeStatistics(WIDTH, LATENTS).update(x, f, x_hat)
    found = state.summary()
    x, f, x_hat = x.double(), f.double(), x_hat.double()
    residual = (x - x_hat).square().sum(0)
    total = (x - x.mean(0)).square().sum(0)
    assert found.fvu == pytest.approx(float(residual.sum() / total.sum()))
    assert found.explained_variance_mean == pytest.approx(float((1 - residual / total).mean()))
    assert found.l0 == pytest.approx(float((f > 0).sum(1).double().mean()))
    assert found.l0_sd == pytest.approx(float((f > 0).sum(1).double().std(correction=0)))
    assert found.cosine == pytest.approx(float(torch.cosine_similarity(x, x_hat).mean()))
    torch.testing.assert_close(state.frequency, (f > 0).double().mean(0))


@given(st.integers(0, 1000), st.lists(st.integers(0, ROWS), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_batches_and_merges_make_the_state_of_one_batch(seed, cuts):
    parts = data(seed, offset=3.0)
    whole, errors = values(CodeStatistics(WIDTH, LATENTS).update(*parts).summary())
    edges = [0, *sorted(cuts), ROWS]
    streamed = CodeStatistics(WIDTH, LATENTS)
    merged = CodeStatistics(WIDTH, LATENTS)
    for a, b in pairwise(edges):
        batch = [t[a:b] for t in parts]
        streamed.update(*batch)
        merged.merge(CodeStatistics(WIDTH, LATENTS).update(*batch))
    found, its_errors = values(streamed.summary())
    assert found == pytest.approx(whole, rel=1e-9)
    assert its_errors == pytest.approx(errors, rel=1e-6, abs=1e-12)
    found, _ = values(merged.summary())  # rows go to other groups, so that only the errors may differ
    assert found == pytest.approx(whole, rel=1e-9)


def test_order_and_scale_change_what_they_should():
    x, f, x_hat = data(1)
    found, _ = values(CodeStatistics(WIDTH, LATENTS).update(x, f, x_hat).summary())
    order = torch.randperm(LATENTS, generator=torch.Generator().manual_seed(0))
    permuted, _ = values(CodeStatistics(WIDTH, LATENTS).update(x, f[:, order], x_hat).summary())
    assert permuted == pytest.approx(found)
    scaled, _ = values(CodeStatistics(WIDTH, LATENTS).update(4 * x, 4 * f, 4 * x_hat).summary())
    found["mse"] *= 16
    assert scaled == pytest.approx(found)


def test_standard_errors_are_those_of_many_repetitions():
    found = [CodeStatistics(WIDTH, LATENTS).update(*data(seed)).summary() for seed in range(120)]
    for name in ("l0", "fvu", "mse", "cosine", "effective_features"):
        spread = torch.tensor([getattr(one, name) for one in found]).std()
        said = torch.tensor([one.errors[name] for one in found]).square().mean().sqrt()
        assert 0.7 < float(said / spread) < 1.4, name


def test_rows_that_are_not_finite_are_counted_and_left_out():
    x, f, x_hat = data(2)
    expected, _ = values(CodeStatistics(WIDTH, LATENTS).update(x[3:], f[3:], x_hat[3:]).summary())
    x[0, 0], f[1, 2], x_hat[2, 1] = float("nan"), float("inf"), float("nan")
    found, _ = values(CodeStatistics(WIDTH, LATENTS).update(x, f, x_hat).summary())
    assert (found.pop("left_out"), expected.pop("left_out")) == (3, 0)
    assert found == pytest.approx(expected)


def test_a_mean_in_place_of_a_reconstruction_leaves_all_variance():
    x, f, _ = data(3, offset=1000.0)
    found = CodeStatistics(WIDTH, LATENTS).update(x, f, x.mean(0).expand_as(x)).summary()
    assert found.fvu == pytest.approx(1, abs=1e-6)
    perfect = CodeStatistics(WIDTH, LATENTS).update(x, f, x).summary()
    assert (perfect.fvu, perfect.mse, perfect.shrinkage) == (0, 0, 1)


def test_what_has_no_value_is_nan():
    nothing = CodeStatistics(2, 3).summary()
    assert nothing.rows == 0
    assert math.isnan(nothing.l0)
    assert math.isnan(nothing.fvu)
    constant = (
        CodeStatistics(2, 3).update(torch.ones(40, 2), torch.zeros(40, 3), torch.zeros(40, 2)).summary()
    )
    assert math.isnan(constant.fvu)
    assert math.isnan(constant.effective_features)
    assert (constant.l0, constant.dead, constant.mse) == (0, 3, 1)
    assert math.isnan(constant.cosine)
    one_varies = torch.ones(40, 2)
    one_varies[::2, 0] = 0
    found = CodeStatistics(2, 3).update(one_varies, torch.zeros(40, 3), one_varies * 0.5).summary()
    assert found.explained_variance_mean == pytest.approx(1 - 20 * 0.25 / 10)


def test_leading_axes_are_rows_and_half_precision_is_summed_in_double():
    x, f, x_hat = data(4)
    flat, _ = values(CodeStatistics(WIDTH, LATENTS).update(x, f, x_hat).summary())
    shaped = [t.reshape(10, 20, -1) for t in (x, f, x_hat)]
    found, _ = values(CodeStatistics(WIDTH, LATENTS).update(*shaped).summary())
    assert found == flat
    half, _ = values(CodeStatistics(WIDTH, LATENTS).update(*(t.half() for t in (x, f, x_hat))).summary())
    assert half == pytest.approx(flat, rel=0.01)


def test_effective_features():
    assert effective_features(torch.ones(7)) == pytest.approx(7)
    assert effective_features(torch.tensor([3.0, 0.0])) == 1
    assert effective_features(torch.zeros(3)).isnan()
    strength = torch.rand(9, generator=torch.Generator().manual_seed(0))
    assert 1 < effective_features(strength) < 9
    assert effective_features(5 * strength.flip(0)) == pytest.approx(float(effective_features(strength)))


def test_frequency_histogram_counts_every_live_latent_once():
    frequency = torch.tensor([0.0, 1e-3, 1e-2, 0.0999, 0.1, 1.0])
    counts, edges = frequency_histogram(frequency, 1000, bins_per_decade=1)
    assert edges.tolist() == [-3, -2, -1, 0]
    assert counts.tolist() == [1, 2, 2]
    counts, edges = frequency_histogram(torch.rand(100), 12345)
    assert counts.sum() == 100
    assert len(edges) == len(counts) + 1 == 5 * 4 + 1


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"expected \[row, 5\], \[row, 8\]"):
        CodeStatistics(5, 8).update(torch.zeros(3, 4), torch.zeros(3, 8), torch.zeros(3, 4))
    with pytest.raises(InputError, match="merge states of one shape"):
        CodeStatistics(5, 8).merge(CodeStatistics(5, 9))
    with pytest.raises(InputError, match="1 or more"):
        CodeStatistics(0, 8)
    with pytest.raises(InputError, match="1 or more"):
        frequency_histogram(torch.ones(2), 0)
