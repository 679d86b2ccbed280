"""The loops over active latents do what whole matrices and the plain reference do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core import generator
from superscope.dictionary.sparse import CPUEngine, DenseEngine
from superscope.dictionary.sparse.cpu_kernels import by_latent
from superscope.dictionary.sparse.held import step_held_

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 20), st.integers(1, 90), st.integers(0, 2**20))


def drawn(samples, width, n_latents, seed, levels=0):
    """Return inputs, encoder and bias; with ``levels`` few values, so that many are equal."""
    g = generator(seed, "engine")
    x, E, b = (
        torch.randn(*shape, generator=g) for shape in ((samples, width), (n_latents, width), (n_latents,))
    )
    return [torch.round(part * levels) / levels for part in (x, E, b)] if levels else [x, E, b]


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.integers(1, 90), st.sampled_from([0, 1]))
def test_top_finds_the_k_largest(shape, k, levels):
    samples, width, n_latents, seed = shape
    k = min(k, n_latents)
    x, E, b = drawn(samples, width, n_latents, seed, levels)
    f = CPUEngine(crowded=2.0).top(x, E, b, k)
    found = f.dense(f.values).sort(1, descending=True).values
    expected = (x @ E.T + b).relu().topk(k, dim=1).values
    torch.testing.assert_close(found[:, :k], expected, rtol=1e-5, atol=1e-5)
    assert bool((found[:, k:] == 0).all())


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.floats(0.01, 1.0), st.sampled_from([0, 1]))
def test_top_of_batch_finds_exactly_as_many_at_first_and_from_what_it_remembers(shape, share, levels):
    samples, width, n_latents, seed = shape
    x, E, b = drawn(samples, width, n_latents, seed, levels)
    count = max(1, round(share * samples * n_latents))
    pre = (x @ E.T + b).relu().flatten()
    expected = pre.topk(count).values
    engine = CPUEngine(crowded=2.0)
    for _ in range(2):
        f = engine.top_of_batch(x, E, b, count)
        found = f.dense(f.values).flatten().sort(descending=True).values
        torch.testing.assert_close(found[:count], expected, rtol=1e-5, atol=1e-5)
        assert int((found > 0).sum()) <= count


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.booleans())
def test_above_finds_what_passes_its_cut(shape, cut_them):
    samples, width, n_latents, seed = shape
    x, E, b = drawn(samples, width, n_latents, seed)
    cut = torch.randn(n_latents, generator=generator(seed, "cut")) if cut_them else None
    engine = CPUEngine(crowded=2.0)
    engine.selected = 0.0
    codes = engine.above(x, E, b, cut)
    pre = x @ E.T + b
    limit = torch.zeros(n_latents) if cut is None else cut
    clear = (pre - limit).abs() > 1e-4  # rounding decides the others
    passed = codes.dense(torch.ones_like(codes.values)) > 0
    assert torch.equal(passed[clear], (pre > limit)[clear])
    torch.testing.assert_close(codes.dense(codes.values), pre * passed, rtol=1e-5, atol=1e-5)


def test_a_row_that_has_no_room_falls_back_to_whole_products():
    x, E, b = drawn(8, 4, 600, 0)
    engine = CPUEngine(crowded=1e-3)  # room for 67 of about 300
    engine.selected = 0.0
    codes = engine.above(x, E, b)
    pre = torch.addmm(b, x, E.T)
    assert torch.equal(codes.dense(codes.values), pre.relu())
    assert engine.selected == pytest.approx(float((pre > 0).sum()) / 8)


@settings(max_examples=30, deadline=None)
@given(SHAPES, st.integers(1, 12), st.integers(1, 4))
def test_fit_and_sums_are_those_of_whole_matrices(shape, k, groups):
    samples, width, n_latents, seed = shape
    groups = min(groups, n_latents)
    x, E, b = drawn(samples, width, n_latents, seed)
    g = generator(seed, "decoder")
    W, b_dec, y = (torch.randn(*s, generator=g) for s in ((n_latents, 6), (6,), (samples, 6)))
    sizes = None if groups == 1 else [n_latents // groups] * (groups - 1)
    sizes = None if sizes is None else [*sizes, n_latents - sum(sizes)]
    found, expected = [], []
    for engine, into in ((CPUEngine(crowded=2.0), found), (DenseEngine(), expected)):
        codes = engine.top(x, E, b, min(k, n_latents))
        fit = codes.fit(codes.values, W, b_dec, y, sizes)
        pulled = codes.keep(fit.value_gradients)
        into += [fit.loss, fit.pull, fit.error, codes.dense(pulled), codes.sums(pulled)]
        into += [
            codes.latent_sums(codes.values, fit.pull, sizes),
            codes.latent_sums(pulled, x[None]),
        ]
        into += [
            codes.fired(codes.values, torch.tensor(0.0)),
            codes.dense(codes.spread(b)) * (codes.dense(codes.values) > 0),
        ]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_entries_are_sorted_by_latent_and_keep_their_order():
    latents = torch.tensor([2, 0, 2, 1, 0], dtype=torch.int32)
    starts, order = torch.zeros(5, dtype=torch.int64), torch.zeros(5, dtype=torch.int64)
    by_latent(latents.numpy(), 4, starts.numpy(), order.numpy())
    assert starts.tolist() == [0, 2, 3, 5, 5]
    assert order.tolist() == [1, 4, 3, 0, 2]


@pytest.mark.parametrize("limit", [0.5, 1e9])
def test_a_held_step_is_that_of_plain_passes(limit):
    start = torch.nn.functional.normalize(torch.randn(9, 5, generator=generator(0, "W")))
    found = []
    for held in (step_held_, CPUEngine().step_held_):
        W, b = torch.nn.Parameter(start.clone()), torch.nn.Parameter(torch.zeros(3))
        optimizer = torch.optim.Adam([W, b], lr=0.1, fused=True)
        for step in range(1, 4):
            W.grad = torch.randn(9, 5, generator=generator(step, "gradient"))
            b.grad = torch.ones(3)
            along = (W.grad * W.detach()).sum(1, keepdim=True) * W.detach()
            expected = torch.cat([(W.grad - along).flatten(), b.grad]).norm()
            norm = held(optimizer, W, step, limit)
            torch.testing.assert_close(norm, expected)
            torch.testing.assert_close(b.grad, torch.ones(3) * min(1.0, limit / float(expected)))
            torch.testing.assert_close(W.detach().norm(dim=1), torch.ones(9))
        found.append(W.detach().clone())
    torch.testing.assert_close(*found)
