import pytest
import torch

from superscope.core import InputError, generator
from superscope.toy import (
    PHASES,
    phase,
    phase_boundary,
    phase_losses,
    phase_solution,
    reconstruct,
    relaxed_boundary,
    sample,
    two_feature_loss,
)

GRID = torch.tensor([[s, r] for s in (0.05, 0.3, 0.6, 1.0) for r in (0.1, 0.5, 1.0, 2.0, 10.0)]).double()


def within_error(W, b, importance, density, expected, seed):
    size = 300_000
    x = sample(torch.full((len(importance),), density), size, generator(seed, "draws"))
    squares = (x - reconstruct(x, W, b)).square() @ importance
    return abs(squares.mean() - expected) < 4 * squares.std() / size**0.5 + 1e-7


@pytest.mark.parametrize(("density", "r"), [(0.1, 0.3), (0.5, 1.0), (1.0, 4.0)])
def test_losses_of_the_hand_made_solutions_by_monte_carlo(density, r):
    losses = phase_losses(torch.tensor(density), torch.tensor(r))
    importance = torch.tensor([1.0, r])
    for seed, name in enumerate(PHASES):
        W, b = phase_solution(name, density)
        assert within_error(W, b, importance, density, losses[seed], seed), name


def test_losses_of_the_hand_made_solutions_are_their_exact_losses():
    for s, r in GRID:
        importance, density = torch.stack([torch.ones(()).double(), r]), s.expand(2)
        for name, expected in zip(PHASES, phase_losses(s, r), strict=True):
            W, b = (each.double() for each in phase_solution(name, float(s)))
            torch.testing.assert_close(
                two_feature_loss(W, b, importance, density), expected, rtol=1e-6, atol=0
            )


@pytest.mark.parametrize(("density", "r"), [(0.1, 0.3), (0.5, 1.0), (0.9, 4.0)])
def test_losses_of_three_features_in_two_dimensions_by_monte_carlo(density, r):
    losses = phase_losses(torch.tensor(density), torch.tensor(r), 3)
    importance, mean = torch.tensor([1.0, 1.0, r]), density / 2
    left_out = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), torch.tensor([mean, 0.0, 0.0])
    others_paired = torch.tensor([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]]), torch.zeros(3)
    models = {
        0: (torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), torch.tensor([0.0, 0.0, mean])),
        1: others_paired if density < 4 / 7 else left_out,
        2: (torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, -1.0]]), torch.zeros(3)),
    }
    for index, (W, b) in models.items():
        assert within_error(W, b, importance, density, losses[index], index), PHASES[index]


@pytest.mark.parametrize("n_features", [2, 3])
@pytest.mark.parametrize("r", [0.1, 0.5, 0.99, 1.01, 2.0, 10.0])
def test_the_boundary_is_where_superposition_starts_to_cost_more(n_features, r):
    importance = torch.tensor(r)
    boundary = phase_boundary(importance, n_features)
    name = "ignored" if r < 1 else "dedicated"
    assert PHASES[phase(boundary * 1.001 + 1e-3, importance, n_features)] == name
    if n_features == 2 or r < 1:
        assert PHASES[phase(boundary * 0.999, importance, n_features)] == "superposed"
        losses = phase_losses(boundary, importance, n_features)
        torch.testing.assert_close(losses[PHASES.index(name)], losses[2])
    else:
        assert boundary == 0


def test_the_boundary_of_r_is_that_of_its_inverse():
    r = torch.tensor([0.1, 0.3, 1.0]).double()
    torch.testing.assert_close(phase_boundary(r), phase_boundary(1 / r))


def test_the_phase_is_a_map_over_two_broadcast_axes():
    found = phase(torch.logspace(-2, 0, 5)[:, None], torch.logspace(-1, 1, 4)[None])
    assert found.shape == (5, 4)
    assert (found[0] == PHASES.index("superposed")).all()
    assert found[-1].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(("s", "r"), [(0.3, 0.5), (0.9, 1.0)])
def test_which_hand_made_solutions_have_their_best_bias(s, r):
    importance, density = torch.tensor([1.0, r]).double(), torch.full((2,), s).double()
    slopes = {}
    for name in PHASES:
        W, b = (each.double() for each in phase_solution(name, s))
        b.requires_grad_()
        two_feature_loss(W, b, importance, density).backward()
        slopes[name] = b.grad.tolist()
    assert slopes["ignored"] == pytest.approx([0.0, 0.0], abs=1e-7)
    assert slopes["dedicated"] == pytest.approx([0.0, 0.0], abs=1e-7)
    assert slopes["superposed"] == pytest.approx([-(s**2) / 3, -r * s**2 / 3], rel=1e-6)


def test_the_relaxed_boundary_is_above_the_hand_made_one_and_symmetric():
    for r in (0.1, 0.5, 1.0):
        relaxed = relaxed_boundary(r, 0.01)
        assert float(phase_boundary(torch.tensor(r))) + 0.01 < relaxed <= 1
    assert relaxed_boundary(0.25, 0.01) == relaxed_boundary(4.0, 0.01)


def test_beyond_the_relaxed_boundary_no_start_finds_a_model_better_than_ignoring():
    # where the change is of first order; a plain descent of many starts is the reference
    r, low, high = 0.3, 0.36, 0.39
    boundary = relaxed_boundary(r, 0.002)
    assert low < boundary < high
    importance = torch.tensor([1.0, r]).double()
    for s, superposed in ((low, True), (high, False)):
        g = generator(0, "starts")
        W = torch.randn(20, 1, 2, generator=g, dtype=torch.float64).requires_grad_()
        b = (0.1 * torch.randn(20, 2, generator=g, dtype=torch.float64)).requires_grad_()
        optimizer = torch.optim.Adam([W, b], 0.02)
        for _ in range(400):
            optimizer.zero_grad()
            losses = two_feature_loss(W, b, importance, torch.full((2,), s).double())
            losses.sum().backward()
            optimizer.step()
        best = losses.argmin()
        assert bool((W[best].abs() > 0.5).all()) == superposed


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: phase(torch.tensor(0.0), torch.tensor(1.0)), "density is 0.0"),
        (lambda: phase(torch.tensor([0.5, 1.5]), torch.tensor(1.0)), "density is"),
        (lambda: phase(torch.tensor(float("nan")), torch.tensor(1.0)), "density is nan"),
        (lambda: phase_losses(torch.tensor(0.5), torch.tensor(0.0)), "relative_importance is 0.0"),
        (lambda: phase_boundary(torch.tensor(float("inf"))), "relative_importance is inf"),
        (lambda: relaxed_boundary(-1.0), "relative_importance is -1.0"),
    ],
)
def test_numbers_out_of_range_are_named(call, said):
    with pytest.raises(InputError, match=said):
        call()
