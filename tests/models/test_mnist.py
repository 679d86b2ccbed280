import torch

from superscope.core.random import generator
from superscope.models import MnistMLP


def test_layers_and_shapes():
    model = MnistMLP()
    assert [name for name, _ in model.named_children()] == ["flatten", "fc1", "relu1", "fc2", "relu2", "fc3"]
    shapes = [(128, 784), (128,), (64, 128), (64,), (10, 64), (10,)]
    assert [tuple(each.shape) for each in model.parameters()] == shapes
    assert MnistMLP(64).fc1.in_features == 64


def test_it_computes_what_its_layers_say():
    model, x = MnistMLP(generator=generator(0)), torch.rand(3, 1, 28, 28)
    h = torch.relu(x.reshape(3, 784) @ model.fc1.weight.T + model.fc1.bias)
    h = torch.relu(h @ model.fc2.weight.T + model.fc2.bias)
    torch.testing.assert_close(model(x), h @ model.fc3.weight.T + model.fc3.bias)
    assert torch.equal(model(x), model(x.reshape(3, 784)))


def test_the_start_is_that_of_linear_and_draws_nothing_from_the_global_generator():
    before = torch.random.get_rng_state()
    one, same, other = (MnistMLP(generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.fc1.weight, other.fc1.weight)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        linears = [torch.nn.Linear(784, 128), torch.nn.Linear(128, 64), torch.nn.Linear(64, 10)]
    mine = MnistMLP(generator=torch.Generator().manual_seed(5))
    expected = [parameter for layer in linears for parameter in layer.parameters()]
    for parameter, other in zip(mine.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter, other)
