"""Attacks: values worked out by hand, gradient attacks, and what does not change them."""

import pytest
import torch

from superscope.core import InputError, generator
from superscope.toy import (
    adversarial_vulnerability,
    attack,
    feature_attacks,
    four_feature_face,
    loss,
    reconstruct,
    regular_polygon,
    sample,
)


def drawn(n, batch, density=0.3, seed=0):
    return sample(torch.full((n,), density), batch, generator(seed, "attacked"))


def pentagon():
    return regular_polygon(5, 1.13), torch.full((5,), -0.2), torch.ones(5)


def test_an_antipodal_pair_by_hand():
    # WᵀW = [[1, −1], [−1, 1]]; the attacks are ±(1, −1)/√2 and move the outputs' inputs by ±ε√2 (1, −1)
    W, b, epsilon = torch.tensor([[1.0, -1.0]]), torch.zeros(2), 0.1
    half = 0.5**0.5
    torch.testing.assert_close(feature_attacks(W), torch.tensor([[half, -half], [-half, half]]))
    x = torch.tensor([[0.5, 0.0], [0.0, 0.0], [0.1, 0.0]])
    found = attack(x, W, b, torch.tensor(epsilon), torch.tensor([1.0, 3.0]))
    # first: ±ε√2 on output 0 alone, a tie; second: ε√2 on the output of more importance;
    # third: x_0 − ε√2 < 0 takes output 0 to 0 and output 1 to ε√2 − 0.1
    shift = epsilon * 2**0.5
    harm = [shift**2, 3 * shift**2, max(shift**2, 0.1**2 + 3 * (shift - 0.1) ** 2)]
    assert float(found.clean) == 0.0
    assert float(found.attacked) == pytest.approx(sum(harm) / 3, rel=1e-5)
    assert found.feature.tolist()[1] == 1


def test_vulnerability_of_the_four_feature_face_by_hand():
    # one active feature of size 1: ε = 0.1, and each attack moves its own pair by ε√2: (0.1 √2)² / 0.1² = 2
    x = torch.eye(4)
    value = adversarial_vulnerability(x, four_feature_face(), torch.zeros(4), torch.ones(4))
    assert float(value) == pytest.approx(2.0, rel=1e-5)


@pytest.mark.parametrize("m", [1, 3, 5])
def test_a_model_without_superposition_has_vulnerability_one(m):
    W, b = torch.eye(m, 5), torch.where(torch.arange(5) < m, 0.0, 0.15)
    importance = 0.8 ** torch.arange(5.0)
    value = adversarial_vulnerability(drawn(5, 4_000), W, b, importance)
    assert float(value) == pytest.approx(1.0, rel=1e-4)


def test_the_loss_is_the_one_that_was_trained_and_the_chunks_do_not_change_it(monkeypatch):
    W, b, importance = pentagon()
    x = drawn(5, 300)
    whole = attack(x, W, b, torch.tensor(0.05), importance)
    torch.testing.assert_close(whole.clean, loss(x, reconstruct(x, W, b), importance))
    monkeypatch.setattr("superscope.toy.adversarial._CHUNK_NUMBERS", 25 * 7)
    parts = attack(x, W, b, torch.tensor(0.05), importance)
    torch.testing.assert_close(parts.attacked, whole.attacked)
    assert torch.equal(parts.feature, whole.feature)


def test_one_attack_for_all_inputs_is_the_worst_on_average():
    W, b, importance = pentagon()
    x, epsilon = drawn(5, 30), torch.tensor(0.07)
    found = attack(x, W, b, epsilon, importance, one=True)
    moved = [x + epsilon * row for row in feature_attacks(W)]
    harms = torch.stack([loss_to(x, each, W, b) for each in moved])
    assert found.feature.tolist() == [int(harms.argmax())] * 30
    assert float(found.attacked) == pytest.approx(float(harms.max()), rel=1e-5)
    assert float(found.attacked) < float(attack(x, W, b, epsilon, importance).attacked)


def loss_to(clean, moved, W, b):
    return (clean - reconstruct(moved, W, b)).square().sum(-1).mean()


def test_each_input_meets_the_worst_attack_of_a_slow_loop():
    W, b, importance = pentagon()
    x, epsilon = drawn(5, 20), 0.07
    found = attack(x, W, b, torch.tensor(epsilon), importance)
    worst = []
    for each in x:
        harms = []
        for i in range(5):
            row = W.mT[i] @ W
            moved = each + epsilon * row / row.norm()
            harms.append(float(loss_of(each, moved, W, b, importance)))
        worst.append(max(harms))
    assert float(found.attacked) == pytest.approx(sum(worst) / len(worst), rel=1e-5)


def loss_of(clean, moved, W, b, importance):
    return ((clean - reconstruct(moved[None], W, b)[0]).square() * importance).sum()


@pytest.mark.parametrize("i", range(5))
def test_no_attack_found_by_gradients_or_by_chance_raises_an_output_more(i):
    W, b, _ = pentagon()
    x, epsilon = drawn(5, 64, seed=i), 0.1
    best = reconstruct(x + epsilon * feature_attacks(W)[i], W, b)[:, i]
    # by chance
    tries = torch.randn(500, 1, 5, generator=generator(0, "tries"))
    tries = epsilon * torch.nn.functional.normalize(tries, dim=-1)
    moved = reconstruct((x + tries).flatten(0, 1), W, b)[:, i].unflatten(0, (500, 64))
    assert (moved <= best + 1e-6).all()
    # by projected gradients from a start where the output is not cut off
    delta = torch.zeros_like(x, requires_grad=True)
    open_ = (x @ (W.mT @ W) + b)[:, i] > 0
    for _ in range(200):
        given = reconstruct(x + delta, W, b)[:, i]
        (gradient,) = torch.autograd.grad(given.sum(), delta)
        moved = delta + 0.02 * gradient
        scale = (epsilon / moved.norm(dim=-1, keepdim=True).clamp(min=1e-12)).clamp(max=1)
        delta = (moved * scale).detach().requires_grad_()
    found = reconstruct(x + delta, W, b)[:, i]
    assert open_.any()
    torch.testing.assert_close(found[open_], best[open_], rtol=1e-4, atol=1e-5)
    assert (found <= best + 1e-5).all()  # and where ReLU hides the gradient, the derived attack still works


def test_a_gradient_attack_on_the_whole_loss_gains_little_over_the_worst_feature():
    W, b, importance = pentagon()
    x, epsilon = drawn(5, 256), torch.tensor(0.1)
    found = attack(x, W, b, epsilon, importance)
    delta = (epsilon * feature_attacks(W)[found.feature]).requires_grad_()
    for _ in range(100):
        harm = (x - reconstruct(x + delta, W, b)).square().sum(-1)
        (gradient,) = torch.autograd.grad(harm.sum(), delta)
        moved = delta + 0.01 * torch.nn.functional.normalize(gradient, dim=-1)
        delta = (epsilon * torch.nn.functional.normalize(moved, dim=-1)).detach().requires_grad_()
    climbed = float((x - reconstruct(x + delta.detach(), W, b)).square().sum(-1).mean())
    assert float(found.attacked) <= climbed <= 1.1 * float(found.attacked)


def test_turning_the_hidden_space_and_renaming_the_features_change_nothing():
    W, b = regular_polygon(5, 1.13), torch.linspace(-0.3, 0.0, 5)
    importance = 0.9 ** torch.arange(5.0)
    x = drawn(5, 500)
    value = adversarial_vulnerability(x, W, b, importance)
    turned, _ = torch.linalg.qr(torch.randn(2, 2, generator=generator(3)))
    torch.testing.assert_close(adversarial_vulnerability(x, turned @ W, b, importance), value)
    order = torch.tensor([3, 0, 4, 1, 2])
    renamed = adversarial_vulnerability(x[:, order], W[:, order], b[order], importance[order])
    torch.testing.assert_close(renamed, value)
    torch.testing.assert_close(adversarial_vulnerability(x, W, b, 7 * importance), value)


def test_instances_are_those_of_one_call_each():
    W = torch.stack([regular_polygon(5, 1.1), torch.eye(2, 5)])
    b = torch.zeros(2, 5)
    x = torch.stack([drawn(5, 50), drawn(5, 50, 1.0)])
    both = adversarial_vulnerability(x, W, b, torch.ones(5))
    alone = [adversarial_vulnerability(x[k], W[k], b[k], torch.ones(5)) for k in range(2)]
    torch.testing.assert_close(both, torch.stack(alone))


@pytest.mark.parametrize(
    ("x", "importance", "share", "message"),
    [
        (torch.ones(2, 3), torch.ones(3), 0.0, "share is 0.0"),
        (torch.ones(2, 3), torch.ones(3), -0.1, "share is -0.1"),
        (torch.zeros(2, 3), torch.ones(3), 0.1, "both must be positive"),
        (torch.ones(2, 3), torch.zeros(3), 0.1, "no number above 0"),
    ],
)
def test_what_cannot_be_attacked_is_refused(x, importance, share, message):
    with pytest.raises(InputError, match=message):
        adversarial_vulnerability(x, torch.eye(2, 3), torch.zeros(3), importance, share)
