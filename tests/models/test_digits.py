import torch

from superscope.core.random import generator
from superscope.models import DigitsMLP


def test_layers_and_shapes():
    model = DigitsMLP()
    assert [name for name, _ in model.named_children()] == ["flatten", "fc1", "relu1", "fc2", "relu2", "fc3"]
    assert [tuple(p.shape) for p in model.parameters()] == [(64, 64), (64,), (32, 64), (32,), (10, 32), (10,)]


def test_it_computes_what_its_layers_say():
    model, x = DigitsMLP(generator(0)), torch.rand(3, 1, 8, 8)
    h = torch.relu(x.reshape(3, 64) @ model.fc1.weight.T + model.fc1.bias)
    h = torch.relu(h @ model.fc2.weight.T + model.fc2.bias)
    torch.testing.assert_close(model(x), h @ model.fc3.weight.T + model.fc3.bias)
    assert torch.equal(model(x), model(x.reshape(3, 64)))


def test_the_start_is_that_of_the_generator_and_draws_nothing_else():
    before = torch.random.get_rng_state()
    one, same, other = DigitsMLP(generator(1)), DigitsMLP(generator(1)), DigitsMLP(generator(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.fc1.weight, other.fc1.weight)


def test_the_start_fills_the_range_of_linear():
    model = DigitsMLP(generator(0))
    for layer in (model.fc1, model.fc2, model.fc3):
        bound = layer.in_features**-0.5
        assert layer.weight.abs().max() <= bound
        assert layer.weight.abs().max() > 0.95 * bound
        assert layer.bias.abs().max() <= bound
    torch.testing.assert_close(model.fc1.weight.std() * 8, torch.tensor(3**-0.5), rtol=0.05, atol=0)
