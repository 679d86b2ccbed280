import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core import ConfigError, InputError, checked, generator
from superscope.core.config import from_json, to_json
from superscope.toy import ToyConfig, importances, loss, reconstruct, sample


def draws(seed, n, m, batch):
    g = generator(seed, "test")
    x, W, b = (torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((batch, n), (m, n), (n,)))
    return x, W, b, torch.rand(n, generator=g, dtype=torch.float64)


def loss_by_loops(x, W, b, importance, output):
    """E_x Σ_i I_i (x_i − f(Σ_a W_ai Σ_j W_aj x_j + b_i))², a number at a time; and its gradient."""
    (m, n), total = W.shape, 0.0
    dW, db = torch.zeros_like(W), torch.zeros_like(b)
    for row in x:
        h = [sum(W[a, j] * row[j] for j in range(n)) for a in range(m)]
        for i in range(n):
            pre = sum(W[a, i] * h[a] for a in range(m)) + b[i]
            on = output == "linear" or pre > 0
            error = row[i] - (pre if on else 0.0)
            total += importance[i] * error**2
            slope = -2 * importance[i] * error * on
            db[i] += slope
            for a in range(m):  # pre depends on column i as the reader, and on every column through h
                dW[a, i] += slope * h[a]
                for j in range(n):
                    dW[a, j] += slope * W[a, i] * row[j]
    return total / len(x), dW / len(x), db / len(x)


@pytest.mark.parametrize("output", ["relu", "linear"])
@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_loss_and_its_gradient_equal_loops_over_samples(output, seed, n, m, batch):
    x, W, b, importance = draws(seed, n, m, batch)
    W.requires_grad_()
    b.requires_grad_()
    value = loss(x, reconstruct(x, W, b, output), importance)
    value.backward()
    expected, dW, db = loss_by_loops(x, W.detach(), b.detach(), importance, output)
    torch.testing.assert_close(value.detach(), expected)
    torch.testing.assert_close(W.grad, dW)
    torch.testing.assert_close(b.grad, db)


@pytest.mark.parametrize("output", ["relu", "linear"])
def test_loss_is_n_times_the_mean_that_the_public_notebook_prints(output):
    instances, n, m, batch = 3, 5, 2, 7
    parts = [draws(seed, n, m, batch) for seed in range(instances)]
    x, W, b, importance = (torch.stack(values) for values in zip(*parts, strict=True))
    h = torch.einsum("ibf,ihf->ibh", x, W)
    out = torch.einsum("ibh,ihf->ibf", h, W) + b[:, None]
    out = out.relu() if output == "relu" else out
    notebook = torch.einsum("ibf->i", importance[:, None] * (x - out) ** 2) / (batch * n)
    torch.testing.assert_close(loss(x, reconstruct(x, W, b, output), importance) / n, notebook)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.permutations(range(5)))
def test_loss_does_not_change_when_the_features_are_renumbered(seed, order):
    x, W, b, importance = draws(seed, 5, 2, 8)
    whole = loss(x, reconstruct(x, W, b), importance)
    x, W, b, importance = x[:, order], W[:, order], b[order], importance[order]
    torch.testing.assert_close(loss(x, reconstruct(x, W, b), importance), whole)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.floats(0, 6.3))
def test_reconstruction_does_not_change_when_the_hidden_space_is_rotated(seed, angle):
    x, W, b, _ = draws(seed, 5, 2, 8)
    t = torch.tensor(angle, dtype=torch.float64)
    R = torch.stack([torch.stack([t.cos(), -t.sin()]), torch.stack([t.sin(), t.cos()])])
    torch.testing.assert_close(reconstruct(x, R @ W, b), reconstruct(x, W, b))


def test_instances_are_computed_as_if_alone():
    parts = [draws(seed, 5, 2, 8) for seed in range(3)]
    x, W, b, importance = (torch.stack(values) for values in zip(*parts, strict=True))
    together = loss(x, reconstruct(x, W, b), importance)
    alone = torch.stack([loss(x, reconstruct(x, W, b), importance) for x, W, b, importance in parts])
    torch.testing.assert_close(together, alone)


def test_sample_is_active_with_the_density_and_uniform_where_active():
    density = torch.tensor([[1.0, 0.3], [0.05, 0.01]])
    size = 200_000
    x = sample(density, size, generator(0, "sample"))
    assert x.shape == (2, size, 2)
    assert ((x >= 0) & (x < 1)).all()
    active = (x > 0).double().mean(1)
    error = (density * (1 - density) / size).sqrt() + 1e-6
    assert ((active - density).abs() < 4 * error).all()
    for i, f in ((0, 0), (0, 1), (1, 0), (1, 1)):
        values = x[i, :, f][x[i, :, f] > 0].double()
        spread = 4 / len(values) ** 0.5
        assert abs(values.mean() - 1 / 2) < spread * (1 / 12) ** 0.5
        assert abs(values.square().mean() - 1 / 3) < spread * (4 / 45) ** 0.5


def test_sample_takes_the_features_to_be_independent():
    x = sample(torch.tensor([0.5, 0.5, 0.2]), 100_000, generator(0, "sample")).double()
    correlation = torch.corrcoef(x.T)
    assert (correlation - torch.eye(3)).abs().max() < 4 / 100_000**0.5


def test_sample_repeats_for_equal_generators():
    p = torch.tensor([[0.5, 0.1]])
    first, second = (sample(p, 64, generator(3, "sample")) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, sample(p, 64, generator(4, "sample")))


def test_importances_are_powers_or_the_list():
    assert importances(ToyConfig(n_features=3, n_hidden=1, importance=0.5)).tolist() == [1.0, 0.5, 0.25]
    assert importances(ToyConfig(n_features=3, n_hidden=1)).tolist() == [1.0, 1.0, 1.0]
    assert importances(ToyConfig(n_features=2, n_hidden=1, importance=(3.0, 0.0))).tolist() == [3.0, 0.0]
    with pytest.raises(InputError, match="lists 2 numbers for 3 features"):
        importances(ToyConfig(n_features=3, n_hidden=1, importance=(1.0, 2.0)))


def test_config_reports_every_fault_and_survives_json():
    with pytest.raises(ConfigError) as caught:
        checked(ToyConfig(n_features=0, n_hidden=0, importance=float("nan")))
    assert {fault.split(":")[0].split(".")[0] for fault in caught.value.faults} == {
        "n_features",
        "n_hidden",
        "importance",
    }
    wide = ToyConfig(n_features=2, n_hidden=5, importance=(1.0, 0.5), output="linear")
    assert from_json(ToyConfig, to_json(checked(wide))) == wide
