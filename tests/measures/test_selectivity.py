"""Sums by class that stream, and the class selectivity of units: by hand, by loops, at the edges."""

import math
from inspect import unwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core.errors import InputError
from superscope.measures import ClassSums, class_selectivity

NAN = math.nan


def samples(seed, count, width, classes):
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(count, width, generator=draws, dtype=torch.float64)
    return x, torch.randint(classes, (count,), generator=draws)


def test_sums_by_hand():
    sums = ClassSums(2).update(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, NAN]]), torch.tensor([1, 3, 3]))
    sums.update(torch.tensor([[3.0, 6.0]]), torch.tensor([1], dtype=torch.uint8))
    assert sums.counts.tolist() == [0, 2, 0, 1]
    assert sums.means[[1, 3]].tolist() == [[2.0, 4.0], [3.0, 4.0]]
    assert sums.means[[0, 2]].isnan().all()
    assert (sums.empty, sums.left_out) == (2, 1)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(1, 5))
def test_batches_and_merges_give_the_whole(seed, sizes, classes):
    x, labels = samples(seed, sum(sizes), 3, classes)
    streamed, merged, whole = ClassSums(3), ClassSums(3), ClassSums(3).update(x, labels)
    for part, of in zip(x.split(sizes), labels.split(sizes), strict=True):
        streamed.update(part, of)
        merged.merge(ClassSums(3).update(part, of))
    for state in (streamed, merged):
        assert torch.equal(state.counts, whole.counts)
        assert torch.allclose(state.totals, whole.totals, rtol=0, atol=1e-12)
    for c in range(len(whole.counts)):
        mine = x[labels == c]
        assert torch.allclose(whole.means[c], mine.mean(0), equal_nan=True)


def test_merging_leaves_the_other_alone():
    x, labels = samples(0, 20, 3, 4)
    a, b = ClassSums(3), ClassSums(3).update(x, labels)
    before = b.totals.clone()
    a.merge(b).update(x + 1, labels + 2)
    assert torch.equal(b.totals, before)


def test_half_precision_sums_are_exact():
    x = torch.full((5000, 1), 1.0009765625, dtype=torch.float16)
    assert ClassSums(1).update(x, torch.zeros(5000, dtype=torch.int64)).means.item() == 1.0009765625


def test_selectivity_by_hand():
    means = torch.tensor([[6.0, 2.0, 0.0, 1.0, 0.0], [2.0, 2.0, 5.0, 1.0, 0.0], [0.0, 2.0, 0.0, 3.0, 0.0]])
    assert class_selectivity(means).tolist() == pytest.approx([5 / 7, 0, 1, 0.5, NAN], nan_ok=True)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 8), st.floats(1e-3, 1e3))
def test_selectivity_equals_plain_loops_at_every_scale(seed, classes, scale):
    means = torch.rand(classes, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expected = []
    for unit in means.T.tolist():
        largest = max(unit)
        rest = (sum(unit) - largest) / (classes - 1)
        expected.append((largest - rest) / (largest + rest))
    assert class_selectivity(means).tolist() == pytest.approx(expected)
    assert class_selectivity(means * scale).tolist() == pytest.approx(expected)
    order = torch.randperm(classes, generator=torch.Generator().manual_seed(seed))
    assert class_selectivity(means[order]).tolist() == pytest.approx(expected)


def test_selectivity_at_the_edges():
    assert class_selectivity(torch.tensor([[1.0, -1.0], [1.0, 3.0]])).isnan().tolist() == [False, True]
    assert class_selectivity(torch.tensor([[1.0, -1.0], [1.0, -3.0]])).isnan().tolist() == [False, True]
    assert class_selectivity(torch.tensor([[3.0], [NAN], [1.0]])).tolist() == [0.5]  # an empty class
    assert class_selectivity(torch.tensor([[3.0], [NAN]])).isnan().all()
    assert class_selectivity(torch.zeros(0, 2)).isnan().tolist() == [True, True]
    assert class_selectivity(torch.tensor([[3e38], [3e38]])).item() == 0
    assert class_selectivity(torch.tensor([[1e-40], [0.0]])).item() == 1
    assert class_selectivity(torch.tensor([[3.0], [1.0]], dtype=torch.bfloat16)).dtype == torch.float32


def test_what_cannot_be_used():
    with pytest.raises(InputError, match="width is 0"):
        ClassSums(0)
    with pytest.raises(InputError, match=r"expected \[sample, 3\]"):
        ClassSums(3).update(torch.zeros(2, 4), torch.tensor([0, 1]))
    with pytest.raises(InputError, match="from -1 to 1"):
        ClassSums(4).update(torch.zeros(2, 4), torch.tensor([-1, 1]))
    with pytest.raises(InputError, match="width 4 cannot merge into one of 3"):
        ClassSums(3).merge(ClassSums(4))
    with pytest.raises(InputError, match="at least one unit"):
        unwrap(class_selectivity)(torch.zeros(3))
