"""LayerStatistics: the fused kernel equals the reference, streaming equals batch, the jackknife is honest."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope import measures
from superscope.core.errors import InputError
from superscope.measures.moments import SINGLE
from superscope.measures.statistics import LayerStatistics


def maps_of(seed: int, samples: int, channels: int, positions: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(samples, channels, positions, generator=generator) + 2 * torch.randn(
        channels, 1, generator=generator
    )
    return torch.einsum(
        "cd,ndp->ncp", torch.randn(channels, channels, generator=generator), maps
    ).contiguous()


def assert_alike(one: dict[str, float], other: dict[str, float], rel: float) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value == pytest.approx(other[name], rel=rel, abs=1e-6, nan_ok=True), name


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    channels=st.integers(1, 21),
    positions=st.sampled_from([1, 3, 64, 255, 256, 257, 600]),
    cuts=st.lists(st.integers(0, 20), max_size=3),
    spoil=st.lists(st.integers(0, 10**6), max_size=4),
)
def test_the_fused_kernel_equals_the_reference(
    seed: int, channels: int, positions: int, cuts: list[int], spoil: list[int]
) -> None:
    maps = maps_of(seed, 20, channels, positions)
    for place in spoil:
        maps.view(-1)[place % maps.numel()] = [torch.nan, torch.inf, -torch.inf][place % 3]
    fused, plain = LayerStatistics(channels), LayerStatistics(channels)
    bounds = [0, *sorted(cuts), 20]
    for a, b in itertools.pairwise(bounds):
        fused.update(maps[a:b], unit_axis=1, fused=True)
        plain.update(maps[a:b], unit_axis=1, fused=False)
    assert (fused.rows, fused.nonfinite, fused.samples, fused.dead) == (
        plain.rows,
        plain.nonfinite,
        plain.samples,
        plain.dead,
    )
    assert_alike(fused.measures(), plain.measures(), 1e-3)
    scale = float(plain.moments().covariance(0).diagonal().max())
    torch.testing.assert_close(
        fused.moments().covariance(0), plain.moments().covariance(0), rtol=0, atol=4 * SINGLE * scale + 1e-12
    )


def test_measures_are_those_of_the_functions() -> None:
    maps = maps_of(0, 40, 6, 30)
    state = LayerStatistics(6)
    for part in maps.split(7):
        state.update(part, unit_axis=1)
    rows = maps.permute(0, 2, 1).reshape(-1, 6).double()
    s = torch.linalg.svdvals(rows - rows.mean(0))
    pairs = measures.pairwise_cosine(maps.double().mean(2))
    found = state.measures()
    for name, rank in measures.RANKS.items():
        assert found[name] == pytest.approx(float(rank(s)), rel=1e-5)
        assert found[f"{name}_ratio"] == pytest.approx(float(rank(s)) / 6, rel=1e-5)
    assert found["cosine_mean"] == pytest.approx(pairs.mean, abs=1e-6)
    assert found["cosine_std"] == pytest.approx(pairs.std, abs=1e-6)
    assert found["activation_frequency"] == pytest.approx(float(measures.activation_frequency(rows).mean()))
    assert found["dead_fraction"] == float(measures.dead_fraction(rows))
    assert found["kurtosis"] == pytest.approx(float(measures.kurtosis(rows).mean()), rel=1e-5)


@pytest.mark.parametrize("shape", [(12, 5), (12, 7, 5), (12,)])
def test_units_may_lie_last(shape: tuple[int, ...]) -> None:
    batch = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    width = shape[-1] if len(shape) > 1 else 1
    state = LayerStatistics(width)
    state.update(batch)
    assert (state.samples, state.rows) == (12, math.prod(shape) // width)
    torch.testing.assert_close(state.moments().mean, batch.double().reshape(-1, width).mean(0))


def test_wide_layers_agree_with_narrow_arithmetic() -> None:
    rows = torch.randn(700, 600, generator=torch.Generator().manual_seed(2))
    state = LayerStatistics(600)
    state.update(rows)
    assert state.groups == 1
    assert all(math.isnan(error) for error in state.standard_errors().values())
    scale = float(torch.cov(rows.double().T).diagonal().max())
    error = state.moments().covariance() - torch.cov(rows.double().T)
    assert float(error.square().mean().sqrt()) < SINGLE * scale


def test_the_standard_error_matches_the_spread_over_fresh_samples() -> None:
    generator = torch.Generator().manual_seed(3)
    scales = torch.linspace(1, 4, 6)
    values, errors = [], []
    for _ in range(200):
        state = LayerStatistics(6)
        state.update(torch.randn(400, 6, generator=generator) * scales)
        values.append(state.measures()["participation_ratio"])
        errors.append(state.standard_errors()["participation_ratio"])
    ratio = np.sqrt(np.mean(np.square(errors))) / np.std(values)
    assert (
        0.8 < ratio < 1.25
    )  # 8 groups: each error has 7 degrees of freedom, 200 of them pin the mean to about 5 %


def test_positions_of_one_image_are_not_independent_draws() -> None:
    images = torch.randn(64, 4, 1, generator=torch.Generator().manual_seed(4))
    one, many = LayerStatistics(4), LayerStatistics(4)
    one.update(images, unit_axis=1)
    many.update(images.expand(64, 4, 100), unit_axis=1)
    assert many.rows == 100 * one.rows
    assert many.standard_errors()["stable_rank"] == pytest.approx(
        one.standard_errors()["stable_rank"], rel=1e-3
    )


def test_too_few_samples_have_no_standard_error() -> None:
    state = LayerStatistics(3)
    state.update(torch.randn(5, 3))
    assert all(math.isnan(error) for error in state.standard_errors().values())


def test_nothing_finite_gives_no_measure() -> None:
    state = LayerStatistics(3)
    state.update(torch.full((4, 3), torch.nan))
    assert (state.rows, state.nonfinite) == (0, 12)
    assert all(math.isnan(value) for value in state.measures().values())


def test_kept_values_are_bounded_and_even() -> None:
    state = LayerStatistics(4)
    for step in range(200):
        state.update(torch.full((2048, 4), float(step)))
    kept = state.values()
    assert 20_000 < len(kept) <= 65_536
    assert float(kept.mean()) == pytest.approx(99.5, abs=4)


def test_what_is_held_does_not_grow_with_the_batches() -> None:
    state = LayerStatistics(4)
    sizes = []
    for _ in range(300):
        state.update(torch.randn(64, 4, 30), unit_axis=1)
        held = [value for value in vars(state).values() if isinstance(value, torch.Tensor)]
        sizes.append(sum(value.untyped_storage().nbytes() for value in held))
    assert len(set(sizes)) == 1


def test_the_wrong_width_is_refused() -> None:
    with pytest.raises(InputError, match="expected 3 units"):
        LayerStatistics(3).update(torch.zeros(2, 4))
