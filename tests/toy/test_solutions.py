import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core import InputError, generator
from superscope.measures import feature_dimensionality, interference
from superscope.toy import best_polygon, exact_abs, four_feature_face, one_sparse_terms, regular_polygon


def one_sparse(W, b):
    return sum(term.sum(-1) for term in one_sparse_terms(W, b, torch.ones(W.shape[-1], dtype=W.dtype)))


def polygon(k, dtype=torch.float64):
    angle = 2 * math.pi / k * torch.arange(k, dtype=dtype)
    return torch.stack([angle.cos(), angle.sin()])


def test_face_has_interference_one_and_half_a_dimension_for_each_feature():
    W = four_feature_face()
    assert interference(W).tolist() == [1.0] * 4
    assert feature_dimensionality(W).tolist() == [0.5] * 4


@pytest.mark.parametrize("k", range(3, 9))
def test_a_polygon_has_equal_norms_equal_angles_and_two_kth_of_a_dimension(k):
    W = regular_polygon(k, 1.5).double()
    torch.testing.assert_close(W.norm(dim=0), torch.full((k,), 1.5).double(), rtol=1e-6, atol=0)
    beside = (W * W.roll(-1, 1)).sum(0)
    torch.testing.assert_close(beside, beside[:1].expand(k), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(feature_dimensionality(W), torch.full((k,), 2 / k).double(), rtol=1e-6, atol=0)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(0, 10**6))
def test_abs_is_exact_to_the_last_bit(n, seed):
    W_in, W_out = exact_abs(n)
    assert W_in.shape == W_out.shape == (2 * n, n)
    x = 2 * torch.rand(50, n, generator=generator(seed, "test")) - 1
    assert torch.equal(torch.relu(torch.relu(x @ W_in.mT) @ W_out), x.abs())


def test_each_neuron_of_abs_serves_one_feature():
    W_in, W_out = exact_abs(3)
    assert ((W_in != 0).sum(1) == 1).all()
    assert torch.equal(W_in.abs(), W_out)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_up_to_four_features_in_the_plane_cost_nothing(k):
    best = best_polygon(k)
    assert (best.radius, best.bias, best.loss) == (1.0, 0.0, 0.0)
    assert float(one_sparse(polygon(k), torch.zeros(k).double())) < 1e-30


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 20])
def test_the_best_polygon_is_a_critical_point_among_all_weights_and_biases(k):
    best = best_polygon(k)
    W = (best.radius * polygon(k)).requires_grad_()
    b = torch.full((k,), best.bias, dtype=torch.float64, requires_grad=True)
    total = one_sparse(W, b)
    total.backward()
    assert float(total.detach()) == pytest.approx(best.loss, abs=1e-12)
    assert W.grad.abs().max() < 1e-10
    assert b.grad.abs().max() < 1e-10


@pytest.mark.parametrize("k", [5, 6, 7, 10, 11, 17])
def test_no_radius_and_bias_on_a_grid_is_better(k):
    best = best_polygon(k)
    radius, bias = torch.linspace(0, 2, 101).double(), torch.linspace(-2.5, 0, 126).double()
    W = (radius[:, None, None] * polygon(k)).unsqueeze(1).expand(-1, len(bias), -1, -1)
    losses = one_sparse(W, bias[None, :, None].expand(len(radius), -1, k))
    assert best.loss <= losses.min() + 1e-12
    assert losses.min() < best.loss * 1.01


def test_a_pentagon_costs_less_than_two_digons_and_a_feature_left_out():
    digons = torch.cat([four_feature_face(), torch.zeros(2, 1)], 1).double()
    assert float(one_sparse(digons, torch.zeros(5).double())) == pytest.approx(1 / 3)
    assert best_polygon(5).loss == pytest.approx(0.0791281, abs=1e-7)


def test_the_decagon_is_golden():
    phi = (1 + math.sqrt(5)) / 2
    best = best_polygon(10)
    assert (best.radius, best.bias, best.loss) == pytest.approx((phi, -phi, 10 / 6), rel=1e-12)


def test_a_count_below_one_is_named():
    for call in (best_polygon, exact_abs):
        with pytest.raises(InputError, match="is 0; at least"):
            call(0)
