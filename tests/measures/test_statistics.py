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
        fused.update(maps[a:b], unit_axis=1, path="fused")
        plain.update(maps[a:b], unit_axis=1, path="reference")
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


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    width=st.sampled_from([1, 5, 21, 260]),
    positions=st.sampled_from([1, 3, 17]),
    cuts=st.lists(st.integers(0, 20), max_size=3),
    spoil=st.lists(st.integers(0, 10**6), max_size=4),
    masked=st.booleans(),
)
def test_the_row_kernel_equals_the_reference(
    seed: int, width: int, positions: int, cuts: list[int], spoil: list[int], masked: bool
) -> None:
    tokens = maps_of(seed, 20, width, positions).movedim(1, -1).contiguous()
    for place in spoil:
        tokens.view(-1)[place % tokens.numel()] = [torch.nan, torch.inf, -torch.inf][place % 3]
    mask = torch.rand(20, positions, generator=torch.Generator().manual_seed(seed)) < 0.7
    bounds = [0, *sorted(cuts), 20]
    rows, plain = LayerStatistics(width), LayerStatistics(width)
    for a, b in itertools.pairwise(bounds):
        known = mask[a:b] if masked else None
        rows.update(tokens[a:b], mask=known, path="rows")
        plain.update(tokens[a:b], mask=known, path="reference")
    seen = [(state.rows, state.nonfinite, state.samples, state.dead) for state in (rows, plain)]
    assert seen[0] == seen[1]
    assert_alike(rows.measures(), plain.measures(), 1e-3)
    torch.testing.assert_close(rows.moments().gram, plain.moments().gram)


def test_masked_positions_count_for_nothing() -> None:
    tokens = maps_of(5, 30, 4, 6).movedim(1, -1).contiguous()
    lengths = torch.arange(30) % 6 + 1
    mask = torch.arange(6) < lengths[:, None]
    spoiled = torch.where(mask[..., None], tokens, torch.nan)  # padding may hold anything
    state = LayerStatistics(4)
    for part, known in zip(spoiled.split(7), mask.split(7), strict=True):
        state.update(part, mask=known)
    real = tokens[mask].double()
    assert (state.rows, state.nonfinite, state.samples) == (int(mask.sum()), 0, 30)
    torch.testing.assert_close(state.moments().covariance(), torch.cov(real.T), rtol=1e-5, atol=1e-6)
    means = torch.stack([row[known].mean(0) for row, known in zip(tokens.double(), mask, strict=True)])
    found = state.measures()
    assert found["cosine_mean"] == pytest.approx(measures.pairwise_cosine(means).mean, abs=1e-6)
    assert found["kurtosis"] == pytest.approx(float(measures.kurtosis(real).mean()), rel=1e-5)
    assert state.values().sort().values.equal(tokens[mask].flatten().sort().values)


def test_a_widening_layers_weights_go_where_the_batches_are() -> None:
    weight, bias = torch.ones(4, 2), torch.ones(4)
    state = LayerStatistics(4, device="meta", weight=weight, bias=bias)
    for centred in (True, False):
        assert state.products.scatter(torch.ones(1, 8), centred=centred).device.type == "meta"


def test_a_widening_layer_has_the_moments_of_its_input() -> None:
    generator = torch.Generator().manual_seed(6)
    weight, bias = torch.randn(12, 5, generator=generator), torch.randn(12, generator=generator)
    x = maps_of(7, 40, 5, 9) + 3
    y = torch.einsum("oc,ncp->nop", weight, x) + bias[:, None]
    direct, derived = LayerStatistics(12), LayerStatistics(12, weight=weight, bias=bias)
    for a, b in ((0, 13), (13, 40)):
        direct.update(y[a:b], unit_axis=1, path="reference")
        derived.update(y[a:b], unit_axis=1, source=x[a:b])
    assert derived.products.gram.shape[-1] == 8  # five units, rounded up to four
    assert_alike(derived.measures(), direct.measures(), 1e-4)
    assert_alike(derived.standard_errors(), direct.standard_errors(), 1e-2)
    torch.testing.assert_close(
        derived.moments().covariance(), direct.moments().covariance(), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(derived.moments().mean, direct.moments().mean, rtol=1e-4, atol=1e-5)
    s = torch.linalg.svdvals(y.movedim(1, -1).reshape(-1, 12).double())
    torch.testing.assert_close(derived.singular_values(centred=False), s, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(direct.singular_values(centred=False)[:6], s[:6], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("every", [3, 10])
def test_thinned_products_are_even(every: int) -> None:
    rows = torch.randn(4_000, 5, generator=torch.Generator().manual_seed(8))
    rows[:, 0] = torch.arange(4_000) % every  # a period that the thinning must not fall in step with
    state = LayerStatistics(5, every=every)
    for part in rows.split(300):
        state.update(part)
    assert (state.rows, state.products.rows) == (4_000, pytest.approx(4_000 / every, abs=2))
    assert float(state.moments().mean[0]) == pytest.approx((every - 1) / 2, rel=0.02)


def test_whole_batches_to_a_group_say_the_same() -> None:
    rows = torch.randn(600, 5, generator=torch.Generator().manual_seed(9))
    split, whole = LayerStatistics(5), LayerStatistics(5, batches=20)
    for part in rows.split(30):
        split.update(part)
        whole.update(part)
    assert_alike(whole.measures(), split.measures(), 1e-9)
    one, other = whole.standard_errors(), split.standard_errors()
    assert one["participation_ratio"] == pytest.approx(other["participation_ratio"], rel=1)
    assert one["kurtosis"] == other["kurtosis"]


def test_only_the_families_asked_for() -> None:
    rows = torch.randn(50, 5, generator=torch.Generator().manual_seed(10))
    everything, ranks = LayerStatistics(5), LayerStatistics(5, families=["ranks"], errors=False)
    everything.update(rows)
    ranks.update(rows)
    found = ranks.measures()
    assert set(found) == {*measures.RANKS, *(f"{name}_ratio" for name in measures.RANKS)}
    assert found == pytest.approx({name: everything.measures()[name] for name in found}, rel=1e-12)
    assert ranks.kept() is None
    assert ranks.class_means() is None


@pytest.mark.parametrize("batch", [5, 50])
def test_kept_samples_are_even_and_keep_their_labels(batch: int) -> None:
    state = LayerStatistics(3)
    for start in range(0, 9_000, batch):
        numbers = torch.arange(start, start + batch)
        state.update(numbers[:, None].float().expand(-1, 3), labels=numbers % 7)
    kept = state.kept()
    assert kept is not None
    assert 512 <= len(kept.values) <= 1_024
    assert kept.values[:, 0].tolist() == kept.indices.tolist()
    assert kept.labels is not None
    assert torch.equal(kept.labels, kept.indices % 7)
    assert kept.indices.diff().unique().tolist() == [16]
    means = state.class_means()
    assert means is not None
    torch.testing.assert_close(means[2, 0], torch.arange(2, 9_000, 7).double().mean())


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
    errors = state.standard_errors()
    assert errors.pop("cosine_mean") == pytest.approx(measures.pairwise_cosine(rows).standard_error, rel=1e-4)
    assert all(math.isnan(error) for error in errors.values())
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
