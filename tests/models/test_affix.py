import torch
from torch.nn import functional

from superscope.core import generator
from superscope.models import AffixNetwork

LETTERS = torch.tensor([[21, 14, 4, 15, 0, 0], [18, 5, 1, 4, 1, 2]])


def test_it_computes_what_its_layers_say():
    network = AffixNetwork(3, generator=generator(0))
    E, K = network.embedding.weight, network.convolution.weight  # [letter, e], [channel, e, place]
    for row, logits in zip(LETTERS, network(LETTERS), strict=True):
        padded = [0] * 5 + row.tolist() + [0] * 5
        maps = [
            sum(K[:, :, k] @ E[padded[start + k]] for k in range(5)) + network.convolution.bias
            for start in range(len(padded) - 4)
        ]
        pooled = torch.stack(maps).amax(0)
        h = torch.relu(network.hidden.weight @ pooled + network.hidden.bias)
        torch.testing.assert_close(logits, network.output.weight @ h + network.output.bias)


def test_more_padding_behind_a_word_changes_nothing():
    network = AffixNetwork(2, generator=generator(1))
    longer = functional.pad(LETTERS, (0, 7))
    torch.testing.assert_close(network(longer), network(LETTERS))
    torch.testing.assert_close(network(LETTERS[:1, :4]), network(LETTERS[:1]))


def test_it_sees_where_a_word_begins():
    network = AffixNetwork(2, generator=generator(2))
    un, run = (
        network.pooled(torch.tensor([[21, 14, 4, 15]])),
        network.pooled(torch.tensor([[1, 21, 14, 4, 15]])),
    )
    assert not torch.allclose(un, run)


def test_the_start_is_that_of_the_generator_and_draws_nothing_else():
    before = torch.random.get_rng_state()
    one, same, other = (AffixNetwork(2, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.hidden.weight, other.hidden.weight)
    assert not one.embedding.weight[0].any()
    assert all(torch.isfinite(each).all() for each in one.parameters())


def test_padding_learns_nothing():
    network = AffixNetwork(4, generator=generator(3))
    network(LETTERS).square().sum().backward()
    assert not network.embedding.weight.grad[0].any()
    assert network.embedding.weight.grad[21].any()
