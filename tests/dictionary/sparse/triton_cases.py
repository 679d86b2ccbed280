"""Tests that launch the Triton kernels; test_triton.py runs this file in a process of its own.

Triton decides as it is imported whether its functions are compiled or interpreted. With TRITON_INTERPRET set
they run on the CPU; without it, on the GPU.
"""

import contextlib
import math
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core import generator
from superscope.dictionary.architectures import make_dictionary
from superscope.dictionary.config import DictionaryConfig
from superscope.dictionary.dictionary import Conditions
from superscope.dictionary.sparse import reference, triton, triton_adam, triton_selection
from superscope.dictionary.sparse.engine import DenseCodes
from superscope.dictionary.sparse.held import step_held_
from superscope.dictionary.sparse.pairs import Pairs
from superscope.dictionary.sparse.triton_engine import TritonEngine
from superscope.dictionary.trainer import Trainer

DEVICE = torch.device("cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda")
SHAPES = st.tuples(st.integers(0, 5), st.integers(1, 9), st.integers(1, 9))
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}  # of numbers that are about 1


def small_tile(width, most=4):
    return triton.Tile(2, triton.power_of_two(min(width, most)), 4)


# so small that a handful of pairs, columns and latents need several of each
SMALL = {
    triton: {"CHUNK": 3, "tile": small_tile},
    triton_selection: {"_LATENTS": 4, "_WRITTEN": 4, "_SPARE": 2, "_BLOCK": 8, "_PROGRAMS": 2},
}


@contextlib.contextmanager
def blocks(small):
    with pytest.MonkeyPatch.context() as patch:
        for module, sizes in SMALL.items() if small else ():
            for name, size in sizes.items():
                patch.setattr(module, name, size)
        yield


def drawn(*shape, seed, name="test"):
    return torch.randn(shape, generator=generator(seed, name)).to(DEVICE)


def batch(samples, n_latents, width, seed, dtype=torch.float32):
    """Pairs of which some samples and latents have none, and a decoder, its bias and rows for the samples."""
    f = drawn(samples, n_latents, seed=seed, name="codes").relu()
    if samples > 1:
        f[seed % samples] = 0
    if n_latents > 1:
        f[:, seed % n_latents] = 0
    rest = (n_latents, width), (width,), (samples, width)
    return Pairs.from_dense(f), *(drawn(*shape, seed=seed, name=str(shape)).to(dtype) for shape in rest)


def same(found, wanted):
    """The same pairs in the same order, with the same bits."""
    assert torch.equal(found.offsets, wanted.offsets)
    assert torch.equal(found.rows, wanted.rows)
    assert torch.equal(found.latents, wanted.latents)
    torch.testing.assert_close(found.values, wanted.values, rtol=0, atol=0, equal_nan=True)


def close(found, wanted):
    torch.testing.assert_close(found, wanted, **TOLERANCE)


@settings(deadline=None, max_examples=20)
@given(
    SHAPES, st.booleans(), st.sampled_from([torch.float32, torch.bfloat16, torch.float16]), st.integers(0, 99)
)
def test_sums_are_the_references(shape, small, dtype, seed):
    pairs, W_dec, b_dec, X = batch(*shape, seed, dtype)
    n_latents = shape[1]
    with blocks(small):
        close(triton.reconstruct(pairs, W_dec, b_dec), reference.reconstruct(pairs, W_dec, b_dec))
        gradients = reference.value_gradients(pairs, X, W_dec)
        close(triton.value_gradients(pairs, X, W_dec), gradients)
        starts, order = reference.by_latent(pairs, n_latents)
        found = triton.by_latent(pairs, n_latents)
        assert torch.equal(found[0], starts)
        assert torch.equal(found[1], order)
        known = starts, order, pairs.rows, gradients, X
        close(triton.latent_sums(*known), reference.latent_sums(*known))
        close(
            triton.latent_totals(starts, order, gradients), reference.latent_totals(starts, order, gradients)
        )


@settings(deadline=None, max_examples=12)
@given(SHAPES, st.integers(1, 3), st.booleans(), st.integers(0, 99))
def test_nested_sums_are_the_references(shape, n_groups, small, seed):
    pairs, W_dec, b_dec, _ = batch(*shape, seed)
    samples, n_latents, width = shape
    X = drawn(n_groups, samples, width, seed=seed)
    group_of = torch.randint(n_groups, (n_latents,), generator=generator(seed, "groups")).to(DEVICE)
    order = reference.by_latent(pairs, n_latents)
    with blocks(small):
        known = pairs, W_dec, b_dec, group_of, n_groups
        close(triton.reconstruct_prefixes(*known), reference.reconstruct_prefixes(*known))
        known = pairs, X, W_dec, group_of
        close(triton.value_gradients(*known), reference.value_gradients(*known))
        known = *order, pairs.rows, pairs.values, X, group_of
        close(triton.latent_sums(*known), reference.latent_sums(*known))


@settings(deadline=None, max_examples=12)
@given(SHAPES, st.lists(st.integers(1, 4), max_size=3), st.booleans(), st.integers(0, 99))
def test_a_fit_is_that_of_whole_products(shape, sizes, small, seed):
    samples, n_latents, width = max(shape[0], 1), sum(sizes) or shape[1], shape[2]
    pairs, W_dec, b_dec, y = batch(samples, n_latents, width, seed)
    f = pairs.to_dense(n_latents)
    with blocks(small):
        found = triton.fit(pairs, W_dec, b_dec, y, sizes or None)
    wanted = DenseCodes(f, f > 0).fit(f, W_dec, b_dec, y, sizes or None)
    close(found.loss, wanted.loss)
    close(found.pull, wanted.pull)
    close(found.error, wanted.error)
    close(found.value_gradients, wanted.value_gradients[pairs.rows.long(), pairs.latents.long()])


@settings(deadline=None, max_examples=6)
@given(SHAPES, st.integers(0, 99))
def test_the_names_of_latents_do_not_matter(shape, seed):
    pairs, W_dec, b_dec, X = batch(*shape, seed)
    n_latents = shape[1]
    renamed = torch.randperm(n_latents, generator=generator(seed, "names")).to(DEVICE)
    f = pairs.to_dense(n_latents)
    other = Pairs.from_dense(f[:, renamed])
    close(triton.reconstruct(other, W_dec[renamed], b_dec), triton.reconstruct(pairs, W_dec, b_dec))
    sums, moved = (
        triton.latent_sums(*triton.by_latent(p, n_latents), p.rows, p.values, X) for p in (pairs, other)
    )
    assert torch.equal(moved, sums[renamed])  # a latent's pairs are added up in the order of samples


def test_a_latent_that_is_active_everywhere_is_divided():
    samples = 40
    f = torch.zeros(samples, 5, device=DEVICE)
    f[:, 3] = 1.0
    f[7, 0] = f[9, 4] = 2.0
    pairs, X = Pairs.from_dense(f), drawn(samples, 6, seed=0)
    known = *reference.by_latent(pairs, 5), pairs.rows, pairs.values, X
    wanted = reference.latent_sums(*known)
    for small in (False, True):
        with blocks(small):
            found = triton.latent_sums(*known)
            close(found, wanted)
            assert torch.equal(found, triton.latent_sums(*known))
    assert not wanted[1:3].any()


NUMBERS = [0.0, -0.0, 1.0, 1.0, 2.0, -1.0, 1e-42, -1e-42, 3e38, math.inf, -math.inf]


def awkward(samples, n_latents, kind, seed):
    """Pre-activations with few ties, with many, or with NaN."""
    if kind == "normal":
        return drawn(samples, n_latents, seed=seed)
    numbers = torch.tensor(NUMBERS + [math.nan, -math.nan] * (kind == "nan"), device=DEVICE)
    where = torch.randint(len(numbers), (samples, n_latents), generator=generator(seed, "which"))
    return numbers[where.to(DEVICE)]


@settings(deadline=None, max_examples=14)
@given(
    st.integers(1, 3), st.integers(1, 10), st.sampled_from(["normal", "ties", "nan"]), st.booleans(),
    st.integers(0, 99), st.data(),
)  # fmt: skip
def test_selections_are_the_references(samples, n_latents, kind, small, seed, data):
    pre = awkward(samples, n_latents, kind, seed)
    k, count = data.draw(st.integers(1, n_latents)), data.draw(st.integers(1, pre.numel()))
    with blocks(small):
        same(triton_selection.top_k(pre, k), reference.top_k(pre, k))
        same(triton_selection.batch_top_k(pre, count), reference.batch_top_k(pre, count))
        for cut in (0.0, 0.7, drawn(n_latents, seed=seed)):
            same(triton_selection.above_threshold(pre, cut), reference.above_threshold(pre, cut))


@pytest.mark.parametrize(
    ("value", "dtype"), [(1.0, torch.float32), (-1.0, torch.bfloat16), (math.inf, torch.float16)]
)
def test_equal_values_go_to_the_first_latents(value, dtype):
    pre = torch.full((2, 13), value, dtype=dtype, device=DEVICE)
    for small in (False, True):
        with blocks(small):
            for k in (1, 13):
                same(triton_selection.top_k(pre, k), reference.top_k(pre, k))
            same(triton_selection.batch_top_k(pre, 15), reference.batch_top_k(pre, 15))


@pytest.mark.parametrize("k", [1, 30, 100])
def test_the_largest_of_more_latents_than_a_block_holds(k, monkeypatch):
    monkeypatch.setattr(triton_selection, "_LATENTS", 64)
    pre = drawn(3, 600, seed=k)
    block = max(64, triton.power_of_two(k))
    pre[1, torch.arange(600, device=DEVICE) % block < k - 1] += (
        10  # so most of the k largest maxima hide more
    )
    pre[2] = (pre[2] * 4).round()
    for spare, values in ((16, pre), (256, pre.bfloat16())):
        monkeypatch.setattr(triton_selection, "_SPARE", spare)
        same(triton_selection.top_k(values, k), reference.top_k(values, k))


ARCHITECTURES = ["standard", "gated", "jumprelu", "topk", "batchtopk", "matryoshka"]


def trainer(architecture, engine, steps=6):
    config = DictionaryConfig(
        architecture=architecture, n_latents=16, k=3, batch_size=8, lr=1e-2, dead_after=20
    )
    dictionary = make_dictionary(config, 5, 6, generator(1, "dictionary"))
    with torch.no_grad():
        for name, parameter in dictionary.named_parameters():
            if name.startswith("b"):
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator(2, name)))
    return Trainer(dictionary.to(DEVICE), config, steps, engine)


def engine():
    made = TritonEngine(crowded=1.0)
    made.selected = 0.0
    return made


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_gradients_of_a_step_are_those_of_autograd(architecture):
    fast, slow = (trainer(architecture, None).dictionary for _ in range(2))
    x, y = drawn(8, 5, seed=3, name="x"), drawn(8, 6, seed=3, name="y")
    dead = torch.zeros(16, dtype=torch.bool, device=DEVICE)
    dead[2:4] = True
    at = Conditions(k=3.0, sparsity=0.2, dead=dead, auxiliary=0.1)
    found = fast.gradients(engine(), x, y, at)
    wanted = slow.losses(x, y, at)
    wanted.total.backward()
    for name in ("total", "reconstruction", "l0"):
        close(getattr(found, name).float(), getattr(wanted, name).detach().float())
    assert torch.equal(found.fired, wanted.fired)
    assert wanted.l0 > 1
    parameters = dict(slow.named_parameters())
    for name, parameter in fast.named_parameters():
        close(parameter.grad, parameters[name].grad)
        assert parameters[name].grad.abs().max() > 1e-4


@pytest.mark.parametrize("architecture", ["topk", "matryoshka", "jumprelu"])
def test_a_short_training_is_the_references_and_has_the_same_bits_again(architecture):
    first, again, slow = (trainer(architecture, made) for made in (engine(), engine(), None))
    for step in range(3):
        x, y = drawn(8, 5, seed=step, name="x"), drawn(8, 6, seed=step, name="y")
        for one in (first, again, slow):
            one.advance(x, y)
    for name, value in first.dictionary.state_dict().items():
        assert torch.equal(value, again.dictionary.state_dict()[name])
        torch.testing.assert_close(value, slow.dictionary.state_dict()[name], rtol=1e-3, atol=1e-3)


def test_where_many_latents_are_active_whole_products_are_taken():
    x, E, b = drawn(8, 5, seed=0), drawn(16, 5, seed=1), drawn(16, seed=2)
    made = TritonEngine(crowded=0.25)
    dense = made.above(x, E, b)
    assert type(dense).__name__ == "DenseCodes"
    assert made.selected == (torch.addmm(b, x, E.T) > 0).sum() / 8
    assert type(made.top(x, E, b, 5)).__name__ == "DenseCodes"
    assert type(made.top_of_batch(x, E, b, 33)).__name__ == "DenseCodes"
    sparse = made.top(x, E, b, 4)
    assert len(sparse.values) == 32
    made.above(x, E, b, torch.full((16,), 100.0, device=DEVICE))
    assert made.selected == 0
    codes = made.above(x, E, b)  # few were there at the last step
    assert len(codes.values) == made.selected * 8
    close(codes.dense(codes.values), dense.values)


def test_the_encoders_product_in_bfloat16_selects_nearly_the_same():
    x, E, b = drawn(16, 32, seed=0), drawn(64, 32, seed=1), drawn(64, seed=2)
    whole, half = (
        TritonEngine(crowded=1.0, product=kind).top(x, E, b, 8) for kind in (torch.float32, torch.bfloat16)
    )
    assert half.values.dtype == torch.float32
    dense = whole.dense(whole.values), half.dense(half.values)
    both = (dense[0] > 0) & (dense[1] > 0)
    assert both.sum() > 0.9 * 16 * 8
    torch.testing.assert_close(dense[0][both], dense[1][both], rtol=0.02, atol=0.1)


@pytest.mark.parametrize("limit", [1.0, math.inf])
@pytest.mark.parametrize(("latents", "width"), [(1, 2), (3, 5), (4, 16)])
def test_a_step_on_rows_of_norm_one_is_torchs_in_several_passes(latents, width, limit):
    start = torch.nn.functional.normalize(drawn(latents, width, seed=1)), drawn(latents, seed=2)
    fast, slow = ([torch.nn.Parameter(part.clone()) for part in start] for _ in range(2))
    optimizers = [torch.optim.Adam(parameters, fused=True) for parameters in (fast, slow)]
    for step in range(1, 5):
        for parameters, optimizer in zip((fast, slow), optimizers, strict=True):
            optimizer.param_groups[0]["lr"] = 0.1 / step
            for parameter in parameters:
                parameter.grad = drawn(*parameter.shape, seed=step, name="gradient")
        rows, gradient = fast[0].detach(), fast[0].grad
        held = gradient - (gradient * rows).sum(1, keepdim=True) * rows
        close(triton_adam.held_squares(rows, gradient), held.square().sum(1))
        norm = step_held_(optimizers[1], slow[0], step, limit)
        close(triton_adam.step_held_(optimizers[0], fast[0], step, limit), norm)
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
        for name, value in optimizers[1].state[other].items():
            close(optimizers[0].state[one][name], value)
    close(fast[0].norm(dim=1).detach(), torch.ones(latents, device=DEVICE))
    assert (fast[0] - start[0]).abs().max() > 0.05
