"""Ranks of a spectrum: hand-made spectra, scipy, and the order that Rényi entropies impose."""

import itertools
import math
from inspect import unwrap

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core.errors import InputError
from superscope.measures import (
    RANKS,
    count_below,
    energy_rank,
    entropy_rank,
    participation_ratio,
    power_law,
    power_law_alpha,
    rank_ratio,
    rankme,
    spectral_entropy_rank,
    stable_rank,
)

REAL = (entropy_rank, spectral_entropy_rank, stable_rank, participation_ratio)
spectra = st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1e3)), min_size=1, max_size=30).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


def slow(s, threshold=0.99):
    """Every rank of one spectrum, in plain NumPy, by its definition."""
    s = np.sort(s.numpy())[::-1]
    p = s**2 / np.sum(s**2)
    return {
        "energy_rank": next(r for r in range(1, len(s) + 1) if math.fsum(p[:r]) >= threshold - 1e-12),
        "count_below": sum(math.fsum(p[:r]) < threshold - 1e-12 for r in range(1, len(s) + 1)),
        "entropy_rank": np.exp(scipy.stats.entropy(s)),
        "spectral_entropy_rank": np.exp(scipy.stats.entropy(p)),
        "stable_rank": 1 / p[0],
        "participation_ratio": 1 / np.sum(p**2),
    }


def test_hand_computed():
    s = torch.tensor([3.0, 0.0, 4.0])  # energies 9, 0, 16 of 25
    assert energy_rank(s, 0.64).item() == 1  # 16/25 exactly reaches it
    assert count_below(s, 0.64).item() == 0
    assert energy_rank(s, 0.65).item() == 2
    assert stable_rank(s).item() == 25 / 16
    assert participation_ratio(s).item() == pytest.approx(625 / (81 + 256))
    assert entropy_rank(s).item() == pytest.approx((7 / 3) ** (3 / 7) * (7 / 4) ** (4 / 7))
    assert spectral_entropy_rank(s).item() == pytest.approx((25 / 9) ** (9 / 25) * (25 / 16) ** (16 / 25))


@settings(deadline=None, max_examples=60)
@given(spectra)
def test_equals_the_definitions(s):
    if s.sum() == 0:
        assert {name: rank(s).item() for name, rank in RANKS.items()} == dict.fromkeys(RANKS, 0)
    else:
        for name, expected in slow(s).items():
            assert RANKS[name](s).item() == pytest.approx(expected, rel=1e-9), name


@pytest.mark.parametrize("k", [1, 3, 10, 100, 300, 1000])
@pytest.mark.parametrize("value", [1.0, 0.1, 1 / 3, 7e-20, 3e20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_flat_spectrum(k, value, dtype):
    s = torch.full((k,), value, dtype=dtype)
    assert energy_rank(s).item() == math.ceil(0.99 * k - 1e-9)
    assert count_below(s).item() == energy_rank(s).item() - 1
    for rank in REAL:
        assert rank(s).item() == pytest.approx(k, rel=1e-5)


@pytest.mark.parametrize("k", [10, 50, 100, 200, 1000])
def test_rounding_does_not_cost_a_direction_at_any_hundredth(k):
    s = torch.rand(k, dtype=torch.float64, generator=torch.Generator().manual_seed(k)).sort().values
    flat = (s * 0 + 0.7) * (1 + 1e-16 * s)  # flat up to the last bit
    for hundredth in range(1, 101):
        assert energy_rank(flat, hundredth / 100).item() == -(-hundredth * k // 100)


def test_threshold_reached_to_the_last_bit_counts_as_reached():
    s = torch.tensor([0.1] * 10, dtype=torch.float64).sqrt()
    s[0] = (0.1 - 1e-17) ** 0.5
    assert energy_rank(s, 0.7).item() == 7
    assert energy_rank(s, 0.7 + 1e-9).item() == 8


@settings(deadline=None, max_examples=60)
@given(spectra, st.floats(0.01, 1.0))
def test_count_below_is_one_less_than_energy_rank(s, threshold):
    expected = 0 if s.sum() == 0 else count_below(s, threshold).item() + 1
    assert energy_rank(s, threshold).item() == expected


@settings(deadline=None, max_examples=100)
@given(spectra.filter(lambda s: s.sum() > 0))
def test_order_of_the_ranks(s):
    chain = [
        1.0,
        stable_rank(s).item(),
        participation_ratio(s).item(),
        spectral_entropy_rank(s).item(),
        entropy_rank(s).item(),
        (s > 0).sum().item(),
    ]
    for lower, higher in itertools.pairwise(chain):
        assert lower <= higher * (1 + 1e-9), chain
    assert 0.99 * chain[1] * (1 - 1e-9) <= energy_rank(s).item() <= chain[-1]


@settings(deadline=None, max_examples=30)
@given(spectra, st.floats(1e-150, 1e150), st.randoms(use_true_random=False))
def test_scale_and_order_of_s_do_not_matter(s, scale, random):
    shuffled = s[torch.tensor(random.sample(range(len(s)), len(s)))]
    for rank in RANKS.values():
        torch.testing.assert_close(rank(s * scale), rank(s))
        torch.testing.assert_close(rank(shuffled), rank(s))


@settings(deadline=None, max_examples=20)
@given(spectra)
def test_zeros_add_nothing(s):
    for rank in RANKS.values():
        torch.testing.assert_close(rank(torch.cat([s, torch.zeros(5, dtype=s.dtype)])), rank(s))


def test_rotation_of_the_rows_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(40, 12, dtype=torch.float64, generator=generator) * torch.logspace(0, -3, 12)
    Q = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64, generator=generator)).Q
    for rank in RANKS.values():
        torch.testing.assert_close(rank(torch.linalg.svdvals(X @ Q)), rank(torch.linalg.svdvals(X)))


def test_batch_axes_and_dtypes():
    s = torch.rand(2, 3, 7, generator=torch.Generator().manual_seed(0))
    s[0, 1] = 0
    for rank in RANKS.values():
        assert torch.equal(rank(s), torch.stack([torch.stack([rank(one) for one in row]) for row in s]))
        assert rank(s)[0, 1].item() == 0
    for rank in REAL:
        assert rank(s).dtype == torch.float32
        assert rank(s.double()).dtype == torch.float64
        assert rank(s.half()).dtype == torch.float32
    assert energy_rank(s).dtype == count_below(s).dtype == torch.int64


@pytest.mark.parametrize("rank", REAL)
def test_gradients(rank):
    s = torch.tensor([3.0, 1.0, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rank, s)
    zeros = torch.tensor([1.0, 0.0, 2.0], requires_grad=True)
    rank(zeros).backward()
    assert zeros.grad is not None
    assert bool(zeros.grad.isfinite().all())


def test_rank_ratio():
    ratio = rank_ratio(torch.tensor([49, 98]), width=98)
    assert ratio.tolist() == [0.5, 1.0]
    assert ratio.dtype == torch.float64
    assert rank_ratio(torch.tensor(5.0), width=10).dtype == torch.float32
    with pytest.raises(InputError, match="width is 0"):
        rank_ratio(torch.tensor(5.0), width=0)


@pytest.mark.parametrize("rank", RANKS.values(), ids=RANKS.keys())
def test_bad_spectra(rank):
    for value in (math.nan, math.inf, -1.0):
        with pytest.raises(InputError, match="negative or non-finite"):
            rank(torch.tensor([[1.0, 2.0], [1.0, value]]))
    with pytest.raises(InputError, match=r"shape \(2, 0\)"):
        rank(torch.zeros(2, 0))
    with pytest.raises(InputError, match=r"shape \(\)"):
        unwrap(rank)(torch.tensor(1.0))


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.01, math.nan])
def test_bad_threshold(threshold):
    for rank in (energy_rank, count_below):
        with pytest.raises(InputError, match="expected a share of the energy"):
            rank(torch.ones(3), threshold)


@settings(deadline=None, max_examples=40)
@given(spectra)
def test_rankme_equals_the_published_formula(s):
    if s.sum() == 0:
        assert rankme(s) == 0
        return
    p = s.numpy() / np.abs(s.numpy()).sum() + 1e-7
    assert rankme(s).item() == pytest.approx(np.exp(-np.sum(p * np.log(p))))
    assert rankme(s * 1e-5).item() == pytest.approx(rankme(s).item())
    assert rankme(s).item() == pytest.approx(entropy_rank(s).item(), rel=1e-4)
    assert rankme(torch.stack([s, 0 * s])).tolist() == [rankme(s).item(), 0]


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("k", [2, 3, 10, 64, 200, 1000])
def test_a_power_law_is_found_exactly(alpha, k):
    place = torch.arange(1, k + 1, dtype=torch.float64)
    s = 7 * place ** (-alpha / 2)
    for shuffled in (s, s.flip(0), torch.cat([s, torch.zeros(5, dtype=torch.float64)])):
        fit = power_law(shuffled)
        assert fit.alpha.item() == pytest.approx(alpha, abs=1e-9)
        assert math.isnan(fit.r_squared.item()) if alpha == 0 else fit.r_squared.item() == pytest.approx(1)
    assert power_law_alpha(s, 1, k).item() == pytest.approx(alpha, abs=1e-9)
    assert power_law_alpha(s.float(), 1, k).dtype == torch.float32


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(30, 300))
def test_alpha_equals_weighted_least_squares(seed, k):
    s = torch.rand(k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.01
    place = np.arange(5, 26)
    energies = np.log(np.sort(s.numpy() ** 2)[::-1][4:25])
    slope = np.polyfit(np.log(place), energies, 1, w=np.sqrt(1 / place))[0]
    assert power_law_alpha(s, 5, 25).item() == pytest.approx(-slope)
    assert power_law_alpha(1e-6 * s, 5, 25).item() == pytest.approx(-slope)
    assert power_law(s, 5, 25).points == 21


def test_the_default_places():
    for k, points in ((1000, 90), (200, 90), (40, 16), (10, 4), (4, 2), (2, 2), (1, 1)):
        fit = power_law(torch.linspace(2, 1, k))
        assert fit.points == points
        assert math.isnan(fit.alpha.item()) == (points < 2)


def test_alpha_by_hand_and_by_batch():
    s = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    fit = power_law(s)  # energies 4 and 1 at places 1 and 2
    assert fit.alpha.tolist() == pytest.approx([2, math.nan, math.nan], nan_ok=True)
    assert fit.points.tolist() == [2, 1, 0]
    assert power_law_alpha(s, 2, 3).isnan().all()


@pytest.mark.parametrize(("first", "last"), [(0, 5), (5, 5), (7, 3)])
def test_a_range_that_cannot_be_used(first, last):
    with pytest.raises(InputError, match="1 <= first < last"):
        power_law(torch.ones(10), first, last)
    with pytest.raises(InputError, match="negative or non-finite"):
        rankme(torch.tensor([-1.0]))
