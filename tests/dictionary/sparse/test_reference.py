import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core import InputError, generator
from superscope.dictionary.sparse import reference
from superscope.dictionary.sparse.pairs import Pairs

F = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 3.0, 0.0]])
W_DEC = torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
B_DEC = torch.tensor([0.5, -0.5])
X = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


def test_reconstruction_by_hand():
    x_hat = reference.reconstruct(Pairs.from_dense(F), W_DEC, B_DEC)
    assert x_hat.tolist() == [[0.5, 1.5], [0.5, -0.5], [1.5, 2.5]]


def test_nested_reconstructions_by_hand():
    nested = reference.reconstruct_prefixes(Pairs.from_dense(F), W_DEC, B_DEC, torch.tensor([0, 1, 1]), 2)
    assert nested[0].tolist() == [[0.5, -0.5], [0.5, -0.5], [1.5, -0.5]]
    assert nested[1].tolist() == [[0.5, 1.5], [0.5, -0.5], [1.5, 2.5]]


def test_value_gradients_by_hand():
    pairs = Pairs.from_dense(F)  # (0, 1), (2, 0), (2, 1)
    assert reference.value_gradients(pairs, X, W_DEC).tolist() == [2.0, 5.0, 6.0]
    nested = torch.stack([X, 10 * X])
    found = reference.value_gradients(pairs, nested, W_DEC, torch.tensor([0, 1, 1]))
    assert found.tolist() == [20.0, 5.0, 60.0]


def test_sums_by_latent_by_hand():
    pairs = Pairs.from_dense(F)
    starts, order = reference.by_latent(pairs, 3)
    assert starts.tolist() == [0, 1, 3, 3]
    assert order.tolist() == [1, 0, 2]
    sums = reference.latent_sums(starts, order, pairs.rows, pairs.values, X)
    assert sums.tolist() == [[5.0, 6.0], [2 * 1.0 + 3 * 5.0, 2 * 2.0 + 3 * 6.0], [0.0, 0.0]]
    nested = torch.stack([X, 10 * X])
    sums = reference.latent_sums(starts, order, pairs.rows, pairs.values, nested, torch.tensor([0, 1, 0]))
    assert sums.tolist() == [[5.0, 6.0], [170.0, 220.0], [0.0, 0.0]]
    assert reference.latent_totals(starts, order, pairs.values).tolist() == [1.0, 5.0, 0.0]


def test_top_k_by_hand_with_ties_and_too_few_positive():
    pre = torch.tensor([[1.0, 1.0, 2.0, 1.0], [-1.0, 3.0, -2.0, -0.0], [-1.0, -1.0, -1.0, -1.0]])
    pairs = reference.top_k(pre, 2)
    pairs.check(4)
    assert pairs.latents.tolist() == [0, 2, 0, 1, 0, 1]
    assert pairs.values.tolist() == [1.0, 2.0, 0.0, 3.0, 0.0, 0.0]


def test_nan_is_taken_first_and_passed_on():
    pre = torch.tensor([[1.0, torch.nan, 2.0]])
    assert reference.top_k(pre, 1).values.isnan().all()
    pairs = reference.above_threshold(pre, 1.5)
    assert pairs.latents.tolist() == [1, 2]
    assert pairs.values.isnan().tolist() == [True, False]


def test_thresholds_by_hand():
    pre = torch.tensor([[3.0, 1.0, 2.0], [-1.0, 2.0, 1.5]])
    pairs = reference.above_threshold(pre, torch.tensor(1.5))
    assert pairs.to_dense(3).tolist() == [[3.0, 0.0, 2.0], [0.0, 2.0, 0.0]]
    each = reference.above_threshold(pre, torch.tensor([3.0, 0.5, -2.0]))
    assert each.to_dense(3).tolist() == [[0.0, 1.0, 2.0], [0.0, 2.0, 1.5]]


def test_the_largest_of_a_batch_by_hand():
    pre = torch.tensor([[3.0, 1.0, 2.0], [-1.0, 2.0, 1.5]])
    for count, dense in (
        (1, [[3.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
        (2, [[3.0, 0.0, 2.0], [0.0, 0.0, 0.0]]),  # the first of the two twos
        (3, [[3.0, 0.0, 2.0], [0.0, 2.0, 0.0]]),
        (6, [[3.0, 1.0, 2.0], [0.0, 2.0, 1.5]]),
    ):
        pairs = reference.batch_top_k(pre, count)
        pairs.check(3)
        assert len(pairs) == count
        assert pairs.to_dense(3).tolist() == dense
    assert reference.batch_top_k(torch.tensor([[1.0], [torch.nan]]), 1).rows.tolist() == [1]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 5), st.integers(1, 7), st.integers(1, 5), st.integers(0, 99))
def test_the_pieces_make_the_gradients_that_autograd_makes_of_the_dense_form(samples, n_latents, width, seed):
    source = generator(seed, "test")
    f = (torch.randn(samples, n_latents, generator=source).relu()).requires_grad_()
    W_dec = torch.randn(n_latents, width, generator=source).requires_grad_()
    b_dec = torch.randn(width, generator=source).requires_grad_()
    x = torch.randn(samples, width, generator=source)
    group_of = torch.randint(2, (n_latents,), generator=source)
    pairs = Pairs.from_dense(f.detach())
    starts, order = reference.by_latent(pairs, n_latents)

    dense = f @ W_dec + b_dec
    torch.testing.assert_close(reference.reconstruct(pairs, W_dec, b_dec), dense)
    R = (dense - x).detach()
    by_f, by_W = torch.autograd.grad(0.5 * (dense - x).square().sum(), [f, W_dec])
    gradients = reference.value_gradients(pairs, R, W_dec.detach())
    torch.testing.assert_close(gradients, by_f[f > 0])
    torch.testing.assert_close(reference.latent_sums(starts, order, pairs.rows, pairs.values, R), by_W)
    torch.testing.assert_close(reference.latent_totals(starts, order, gradients), (by_f * (f > 0)).sum(0))

    nested = torch.stack([(f * (group_of <= g)) @ W_dec + b_dec for g in range(2)])
    torch.testing.assert_close(reference.reconstruct_prefixes(pairs, W_dec, b_dec, group_of, 2), nested)
    by_f, by_W = torch.autograd.grad(0.5 * (nested - x).square().sum(), [f, W_dec])
    R = (nested - x).detach().flip(0).cumsum(0).flip(0)
    torch.testing.assert_close(
        reference.value_gradients(pairs, R, W_dec.detach(), group_of), by_f[f > 0], rtol=1e-5, atol=1e-5
    )
    sums = reference.latent_sums(starts, order, pairs.rows, pairs.values, R, group_of)
    torch.testing.assert_close(sums, by_W, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5), st.integers(1, 8), st.integers(0, 99))
def test_the_largest_are_torchs(samples, n_latents, seed):
    pre = torch.randn(samples, n_latents, generator=generator(seed, "test"))
    for k in range(1, n_latents + 1):
        found = reference.top_k(pre, k)
        found.check(n_latents)
        values = found.values.view(samples, k).sort(descending=True).values
        assert torch.equal(values, pre.relu().topk(k).values)
    for count in range(1, pre.numel() + 1):
        found = reference.batch_top_k(pre, count)
        found.check(n_latents)
        assert torch.equal(found.values.sort(descending=True).values, pre.relu().flatten().topk(count).values)


def test_half_precision_is_summed_in_float32():
    ones = torch.ones(1, 1_000)
    W_dec = torch.full((1_000, 1), 1.0, dtype=torch.bfloat16)
    x_hat = reference.reconstruct(Pairs.from_dense(ones), W_dec, torch.zeros(1, dtype=torch.bfloat16))
    assert x_hat.dtype == torch.float32
    assert x_hat.item() == 1_000


def test_what_does_not_fit_is_refused():
    pre, pairs = torch.ones(2, 3), Pairs.from_dense(F)
    for k in (0, 4):
        with pytest.raises(InputError, match="expected 1 to the number of latents, 3"):
            reference.top_k(pre, k)
    for count in (0, 7):
        with pytest.raises(InputError, match="the 6 elements"):
            reference.batch_top_k(pre, count)
    with pytest.raises(InputError, match="together with group_of"):
        reference.value_gradients(pairs, torch.stack([X, X]), W_DEC)
    with pytest.raises(InputError, match="together with group_of"):
        reference.value_gradients(pairs, X, W_DEC, torch.tensor([0, 1, 1]))
