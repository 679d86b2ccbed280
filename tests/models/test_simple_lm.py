import torch
from torch import nn

from superscope.models import SimpleLM


def manual(seed):
    return torch.Generator().manual_seed(seed)


def test_the_start_is_that_of_the_modules_after_the_same_manual_seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(42)
        expected = [nn.Embedding(1000, 50), nn.Linear(50, 20), nn.Linear(20, 1000)]
        next_draw = torch.rand(3)
    draws = manual(42)
    model = SimpleLM(generator=draws)
    parameters = [parameter for layer in expected for parameter in layer.parameters()]
    assert [tuple(each.shape) for each in parameters] == [tuple(each.shape) for each in model.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(parameters, model.parameters(), strict=True))
    assert torch.equal(torch.rand(3, generator=draws), next_draw)  # and so is what is drawn behind it


def test_the_start_draws_nothing_from_the_global_generator():
    before = torch.random.get_rng_state()
    one, same, other = (SimpleLM(30, 6, 4, generator=manual(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.linear.weight, other.linear.weight)


def test_it_computes_what_its_layers_say():
    model, tokens = SimpleLM(30, 6, 4, generator=manual(0)), torch.tensor([[3, 29], [0, 3]])
    h = (model.embedding.weight[tokens] @ model.linear.weight.T + model.linear.bias).clamp(min=0)
    torch.testing.assert_close(model.hidden(tokens), h)
    torch.testing.assert_close(model(tokens), h @ model.output.weight.T + model.output.bias)


def test_no_token_sees_another():
    model, tokens = SimpleLM(30, 6, 4, generator=manual(0)), torch.tensor([5, 7, 5])
    assert torch.equal(model(tokens)[0], model(tokens)[2])
    torch.testing.assert_close(model(tokens)[1], model(tokens[1:2])[0])
