"""Separation of classes: by hand, against scikit-learn, and what must not matter."""

import math
from inspect import unwrap

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import davies_bouldin_score, silhouette_samples

from superscope.core.errors import InputError
from superscope.measures import class_overlap, davies_bouldin, distances, silhouette

NAN = math.nan


def clusters(seed, samples, width, classes, apart=1.0, dtype=torch.float64):
    draws = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (samples,), generator=draws)
    labels[:classes] = torch.arange(classes)
    centres = apart * torch.randn(classes, width, generator=draws, dtype=torch.float64)
    x = centres[labels] + torch.randn(samples, width, generator=draws, dtype=torch.float64)
    return x.to(dtype), labels


def test_silhouette_by_hand():
    found = silhouette(torch.tensor([[0.0], [1.0], [4.0], [6.0]]), torch.tensor([0, 0, 2, 2]), space="a line")
    expected = [4 / 5, 3 / 4, 1.5 / 3.5, 3.5 / 5.5]  # a = 1, 1, 2, 2 and b = 5, 4, 3.5, 5.5
    assert found.values.tolist() == pytest.approx(expected)
    assert found.mean == pytest.approx(np.mean(expected))
    assert found.standard_error == pytest.approx(np.std(expected, ddof=1) / 2)
    assert found.by_class.tolist() == pytest.approx([0.775, NAN, np.mean(expected[2:])], nan_ok=True)
    assert (found.classes, found.empty, found.left_out, found.samples) == (2, 1, 0, 4)
    assert found.space == "a line"
    assert found.rows.tolist() == [0, 1, 2, 3]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 20), st.integers(2, 12), st.floats(0, 5))
def test_silhouette_equals_scikit_learn(seed, samples, width, classes, apart):
    x, labels = clusters(seed, max(samples, classes + 1), width, classes, apart)
    expected = silhouette_samples(x.numpy(), labels.numpy())
    found = silhouette(x, labels)
    assert found.values.numpy() == pytest.approx(expected, abs=1e-9)
    assert found.mean == pytest.approx(expected.mean(), abs=1e-9)


@pytest.mark.parametrize("classes", [3, 30, 150])
def test_tiles_and_groups_of_classes_do_not_matter(classes, monkeypatch):
    x, labels = clusters(0, 700, 5, classes)
    whole = silhouette(x, labels)
    monkeypatch.setattr(distances, "_ROWS", 37)
    monkeypatch.setattr(distances, "_COLUMNS", 53)
    monkeypatch.setattr(distances, "_GROUP", 4)
    assert torch.allclose(silhouette(x, labels).values, whole.values, rtol=0, atol=1e-12)
    assert whole.values.numpy() == pytest.approx(silhouette_samples(x.numpy(), labels.numpy()), abs=1e-9)


@pytest.mark.parametrize("width", [4, 300])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_single_precision(width, offset):
    x, labels = clusters(1, 2500, width, 7, 0.3, torch.float32)
    x = x + offset
    expected = silhouette_samples(x.double().numpy(), labels.numpy())
    found = silhouette(x, labels)
    assert found.values.numpy() == pytest.approx(expected, abs=1e-5)
    assert found.mean == pytest.approx(expected.mean(), abs=1e-6)


def test_two_tight_clusters_beside_a_far_one_keep_their_digits():
    """Distances of 0.01 between rows of length 100: squared, below what a float32 product resolves."""
    x, labels = clusters(2, 600, 64, 3, 0.0, torch.float64)
    x = (0.001 * x + labels[:, None].eq(1) * 0.0005 + labels[:, None].eq(2) * 10.0).float()
    expected = silhouette_samples(x.double().numpy(), labels.numpy())
    assert silhouette(x, labels).values.numpy() == pytest.approx(expected, abs=1e-5)


def test_half_precision_is_measured_as_it_is():
    x, labels = clusters(3, 300, 20, 4, dtype=torch.float16)
    assert silhouette(x, labels).mean == pytest.approx(silhouette(x.double(), labels).mean, abs=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([silhouette, davies_bouldin, class_overlap]))
def test_what_does_not_matter(seed, measure):
    x, labels = clusters(seed, 60, 6, 4)
    draws = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=draws, dtype=torch.float64)).Q
    order = torch.randperm(60, generator=draws)
    names = torch.randperm(4, generator=draws)

    def by_class(x, labels):
        found = measure(x, labels)
        if measure is silhouette:
            return found.by_class
        return found if measure is class_overlap else torch.tensor([found], dtype=torch.float64)

    plain = by_class(x, labels)
    renamed = by_class(x, names[labels])
    for other in (
        by_class(x @ rotation, labels),
        by_class(x * 1e-6, labels),
        by_class(x + 10, labels),
        by_class(x[order], labels[order]),
        renamed if measure is davies_bouldin else renamed[names],
    ):
        assert other.tolist() == pytest.approx(plain.tolist(), abs=1e-8)


def test_alone_in_a_class_and_equal_samples():
    x = torch.tensor([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]])
    assert silhouette(x, torch.tensor([0, 0, 1])).values.tolist() == [1.0, 1.0, 0.0]
    assert silhouette(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1])).values.tolist() == [0.0] * 4
    assert silhouette(x, torch.tensor([0, 1, 2])).mean == 0
    assert silhouette(x[1:], torch.tensor([0, 1])).values.tolist() == [0.0, 0.0]


def test_values_that_are_not_finite_are_left_out():
    x, labels = clusters(4, 50, 5, 3)
    x[7, 2], x[20, 0] = NAN, math.inf
    keep = torch.arange(50)[(torch.arange(50) != 7) & (torch.arange(50) != 20)]
    found = silhouette(x, labels)
    assert found.left_out == 2
    assert torch.equal(found.rows, keep)
    assert found.mean == silhouette(x[keep], labels[keep]).mean
    assert davies_bouldin(x, labels) == davies_bouldin(x[keep], labels[keep])
    assert torch.equal(class_overlap(x, labels), class_overlap(x[keep], labels[keep]))


def test_a_class_of_which_nothing_is_left_is_empty():
    x = torch.tensor([[0.0], [1.0], [NAN], [5.0], [7.0]])
    labels = torch.tensor([0, 0, 1, 2, 2])
    found = silhouette(x, labels)
    assert (found.classes, found.empty, found.left_out) == (2, 1, 1)
    assert found.by_class.isnan().tolist() == [False, True, False]
    assert class_overlap(x, labels).isnan().tolist() == [False, True, False]
    assert davies_bouldin(x, labels) == pytest.approx((0.5 + 1) / 5.5)


@pytest.mark.parametrize("samples", [0, 1, 5])
def test_nothing_to_separate(samples):
    x, labels = torch.randn(samples, 3), torch.ones(samples, dtype=torch.int64)
    found = silhouette(x, labels)
    assert math.isnan(found.mean)
    assert math.isnan(found.standard_error)
    assert (found.classes, found.samples) == (min(samples, 1), samples)
    assert math.isnan(davies_bouldin(x, labels))
    assert class_overlap(x, labels).isnan().all()


def test_drawn_samples():
    x, labels = clusters(5, 3000, 8, 4, 1.0)
    whole = silhouette(x, labels, most=None)
    drawn = silhouette(x, labels, most=1000)
    sizes, wanted = torch.bincount(labels), torch.bincount(labels[drawn.rows])
    assert drawn.samples == 1000
    assert (wanted - sizes / 3).abs().max() <= 1
    assert drawn.mean == pytest.approx(whole.mean, abs=3 * drawn.standard_error)
    assert drawn.standard_error == pytest.approx(whole.standard_error * math.sqrt(3), rel=0.1)
    assert torch.equal(drawn.values, silhouette(x[drawn.rows], labels[drawn.rows]).values)
    assert drawn.mean == pytest.approx(float((drawn.by_class * sizes).sum() / 3000))
    assert torch.equal(drawn.rows, silhouette(x, labels, most=1000).rows)
    assert not torch.equal(drawn.rows, silhouette(x, labels, most=1000, seed=1).rows)
    assert torch.equal(silhouette(x, labels, most=3000).values, whole.values)


def test_small_classes_keep_two_samples_and_their_share():
    x, labels = clusters(6, 1000, 4, 3)
    labels[:5], labels[5] = 3, 4
    drawn = silhouette(x, labels, most=60)
    assert torch.bincount(labels[drawn.rows])[3:].tolist() == [2, 1]
    assert drawn.samples in range(60, 64)
    shares = torch.bincount(labels).double() / 1000
    assert drawn.mean == pytest.approx(float((drawn.by_class * shares).sum()))


def test_davies_bouldin_by_hand():
    x = torch.tensor([[0.0], [2.0], [9.0], [13.0], [20.0], [20.0]])
    labels = torch.tensor([0, 0, 1, 1, 3, 3])  # S = 1, 2, 0 and centroids 1, 11, 20
    assert davies_bouldin(x, labels) == pytest.approx((0.3 + 0.3 + 2 / 9) / 3)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(5, 60), st.integers(1, 20), st.integers(2, 5), st.floats(0, 5))
def test_davies_bouldin_equals_scikit_learn(seed, samples, width, classes, apart):
    x, labels = clusters(seed, samples + 1, width, classes, apart)
    expected = davies_bouldin_score(x.numpy(), labels.numpy())
    assert davies_bouldin(x, labels) == pytest.approx(expected, rel=1e-6)


def test_davies_bouldin_without_width_or_distance():
    assert davies_bouldin(torch.tensor([[0.0], [0.0], [1.0]]), torch.tensor([0, 0, 1])) == 0
    assert davies_bouldin(torch.tensor([[-1.0], [1.0], [-2.0], [2.0]]), torch.tensor([0, 0, 1, 1])) == 0


def overlap_by_loops(x, labels):
    shares = []
    for c in range(int(labels.max()) + 1):
        mine = [i for i in range(len(x)) if labels[i] == c]
        nearer = 0
        for i in mine:
            others = [j for j in mine if j != i]
            own = (x[i] - x[others].mean(0)).norm()
            away = [(x[i] - x[labels == k].mean(0)).norm() for k in labels.unique() if k != c]
            nearer += bool(min(away) < own)
        shares.append(nearer / len(mine) if len(mine) > 1 else NAN)
    return shares


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(6, 40), st.integers(1, 8), st.integers(2, 6))
def test_overlap_equals_plain_loops(seed, samples, width, classes):
    x, labels = clusters(seed, samples, width, classes)
    expected = overlap_by_loops(x, labels)
    assert class_overlap(x, labels).tolist() == pytest.approx(expected, nan_ok=True)


def test_overlap_of_classes_that_mean_nothing_and_of_far_ones():
    """With the sample in its own centroid, wide noise would seem apart: here it must not."""
    x, labels = clusters(6, 400, 500, 4, apart=0.0)
    assert class_overlap(x, labels).mean().item() == pytest.approx(0.75, abs=0.1)
    x, labels = clusters(7, 400, 500, 4, apart=5.0)
    assert class_overlap(x, labels).tolist() == [0.0] * 4


def test_a_tie_is_no_overlap():
    x = torch.tensor([[0.3], [1.3], [1.8], [2.7], [2.9]])  # 1.8 is as far from 0.8 as from 2.8
    assert class_overlap(x, torch.tensor([0, 0, 0, 1, 1])).tolist() == [0, 0]
    assert class_overlap(x - 0.001, torch.tensor([0, 0, 0, 1, 1])).tolist() == [0, 0]
    x[2] += 0.001
    assert class_overlap(x, torch.tensor([0, 0, 0, 1, 1]))[0].item() == pytest.approx(1 / 3)


@pytest.mark.parametrize("measure", [silhouette, davies_bouldin, class_overlap])
@pytest.mark.parametrize(
    ("x", "labels", "message"),
    [
        (torch.zeros(3, 0), torch.tensor([0, 1, 1]), "width of at least 1"),
        (torch.zeros(3, 2, dtype=torch.int64), torch.tensor([0, 1, 1]), "floating"),
        (torch.zeros(3, 2), torch.tensor([0, 1]), "each of the 3 samples"),
        (torch.zeros(3, 2), torch.tensor([0.0, 1.0, 1.0]), "class index"),
        (torch.zeros(3, 2), torch.tensor([0, -1, 1]), "from -1 to 1"),
        (torch.zeros(3, 2), torch.tensor([0, 2**40, 1]), "number the classes"),
    ],
)
def test_what_cannot_be_used(measure, x, labels, message):
    with pytest.raises(InputError, match=message):
        unwrap(measure)(x, labels)


def test_too_few_to_draw():
    with pytest.raises(InputError, match="most is 1"):
        silhouette(torch.zeros(3, 2), torch.tensor([0, 1, 1]), most=1)
