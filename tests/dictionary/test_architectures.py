"""What every architecture promises: its codes, and gradients that autograd confirms on every engine."""

import pytest
import torch

from superscope.core import InputError, generator
from superscope.dictionary import ARCHITECTURES, DictionaryConfig, make_dictionary, read_dictionary
from superscope.dictionary.dictionary import Conditions
from superscope.dictionary.sparse import CPUEngine, DenseEngine

NAMES = list(ARCHITECTURES)
ENGINES = {"dense": DenseEngine, "sparse": lambda: CPUEngine(crowded=2.0)}


def made(architecture, width=12, output_width=None, n_latents=40, k=5, seed=0):
    """Return a dictionary whose every parameter differs from what it starts with."""
    g = generator(seed, "made")
    config = DictionaryConfig(architecture=architecture, n_latents=n_latents, k=k, bandwidth=0.5)
    dictionary = make_dictionary(config, width, output_width, g)
    with torch.no_grad():
        for parameter in dictionary.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=g))
    return dictionary


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("output_width", [None, 7])
@pytest.mark.parametrize("architecture", NAMES)
def test_gradients_are_those_of_autograd(architecture, output_width, engine):
    g = generator(1, "data")
    x = torch.randn(64, 12, generator=g)
    y = x if output_width is None else torch.randn(64, output_width, generator=g)
    dictionary = made(architecture, output_width=output_width)
    dead = torch.rand(40, generator=g) < 0.3
    at = Conditions(k=5.0, sparsity=0.3, dead=dead, auxiliary=0.1)
    expected = dictionary.losses(x, y, at)
    expected.total.backward()
    gradients = {name: parameter.grad.clone() for name, parameter in dictionary.named_parameters()}
    how = ENGINES[engine]()
    for _ in range(2):  # the second time with what the engine remembers of the first
        for parameter in dictionary.parameters():
            parameter.grad = None
        found = dictionary.gradients(how, x, y, at)
        for name, parameter in dictionary.named_parameters():
            torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-5, atol=1e-6, msg=name)
        torch.testing.assert_close(found.total, expected.total.detach(), rtol=1e-5, atol=1e-6)
        assert float(found.l0) == pytest.approx(float(expected.l0))
        assert torch.equal(found.fired, expected.fired)


@pytest.mark.parametrize("architecture", NAMES)
def test_codes_are_never_negative_and_decode_to_what_forward_gives(architecture):
    dictionary = made(architecture)
    x = torch.randn(3, 5, 12, generator=generator(2, "data"))
    f = dictionary.encode(x)
    assert f.shape == (3, 5, 40)
    assert bool((f >= 0).all())
    assert bool((f > 0).any())
    torch.testing.assert_close(dictionary(x), f @ dictionary.W_dec + dictionary.b_dec)
    assert dictionary.W_enc.shape == (12, 40)


@pytest.mark.parametrize("architecture", NAMES)
def test_a_permutation_of_the_latents_permutes_the_codes(architecture):
    dictionary, other = made(architecture), made(architecture)
    order = torch.randperm(40, generator=generator(3, "order"))
    with torch.no_grad():
        for parameter in other.parameters():
            if parameter.shape[0] == 40:
                parameter.copy_(parameter[order])
    x = torch.randn(20, 12, generator=generator(4, "data"))
    torch.testing.assert_close(other.encode(x), dictionary.encode(x)[:, order], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", NAMES)
def test_another_width_is_refused(architecture):
    with pytest.raises(InputError, match="width 12, got 13"):
        made(architecture).encode(torch.zeros(2, 13))


def test_topk_keeps_the_largest_and_drops_the_negative():
    dictionary = make_dictionary(DictionaryConfig(n_latents=4, k=2), width=4)
    with torch.no_grad():
        dictionary.encoder.copy_(torch.eye(4))
    f = dictionary.encode(torch.tensor([[1.0, 3.0, 2.0, -5.0], [-1.0, -2.0, 4.0, -3.0]]))
    assert f.tolist() == [[0.0, 3.0, 2.0, 0.0], [0.0, 0.0, 4.0, 0.0]]


def test_batchtopk_gives_a_sample_more_latents_than_another():
    dictionary = make_dictionary(DictionaryConfig(architecture="batchtopk", n_latents=3, k=1), width=3)
    f = dictionary.kept(torch.tensor([[5.0, 4.0, 0.5], [1.0, 0.0, -1.0]]), 1.0)
    assert f.tolist() == [[5.0, 4.0, 0.0], [0.0, 0.0, 0.0]]
    with torch.no_grad():
        dictionary.encoder.copy_(torch.eye(3))
        dictionary.threshold.fill_(2.0)
    assert dictionary.encode(torch.tensor([1.0, 3.0, 2.5])).tolist() == [0.0, 3.0, 2.5]


def test_jumprelu_keeps_what_passes_its_thresholds_as_it_is():
    dictionary = make_dictionary(
        DictionaryConfig(architecture="jumprelu", n_latents=3, k=1, bandwidth=1.0), width=3
    )
    with torch.no_grad():
        dictionary.encoder.copy_(torch.eye(3))
        dictionary.log_thresholds.copy_(torch.tensor([1.0, 2.0, 3.0]).log())
    f = dictionary.encode(torch.tensor([2.0, 2.0, 3.5]))
    torch.testing.assert_close(f, torch.tensor([2.0, 0.0, 3.5]))


def test_gated_decides_firing_and_strength_apart():
    dictionary = make_dictionary(DictionaryConfig(architecture="gated", n_latents=2, k=1), width=2)
    with torch.no_grad():
        dictionary.encoder.copy_(torch.eye(2))
        dictionary.b_enc.copy_(torch.tensor([-2.0, 0.0]))
        dictionary.r_mag.copy_(torch.tensor([0.0, 1.0]))
        dictionary.b_mag.copy_(torch.tensor([1.0, 0.5]))
    f = dictionary.encode(torch.tensor([[1.0, 1.0], [3.0, -1.0]]))
    torch.testing.assert_close(f, torch.tensor([[0.0, torch.e + 0.5], [4.0, 0.0]]))


def test_matryoshka_counts_the_error_of_every_prefix():
    config = DictionaryConfig(architecture="matryoshka", n_latents=2, k=2, groups=(1, 1))
    dictionary = make_dictionary(config, width=2)
    with torch.no_grad():
        dictionary.encoder.copy_(torch.eye(2))
        dictionary.W_dec.copy_(torch.eye(2))
    x = torch.tensor([[1.0, 2.0]])
    losses = dictionary.losses(x, x, Conditions(k=2.0))
    assert losses.total.item() == pytest.approx((4 / 2 + 0) / 2)  # the first prefix misses the 2


def test_dead_latents_learn_what_is_left():
    dictionary = made("topk", k=1)
    x = torch.randn(64, 12, generator=generator(5, "data"))
    dead = torch.zeros(40, dtype=torch.bool)
    dead[3] = True
    without = dictionary.losses(x, x, Conditions(k=1.0))
    with_ = dictionary.losses(x, x, Conditions(k=1.0, dead=dead, auxiliary=1.0))
    extra = with_.total - without.total
    (gradient,) = torch.autograd.grad(extra, dictionary.W_dec)
    assert gradient[3].abs().sum() > 0
    assert gradient[~dead].abs().sum() == 0


@pytest.mark.parametrize("architecture", NAMES)
def test_what_is_saved_is_read_back(architecture, tmp_path):
    dictionary = made(architecture)
    x = torch.randn(20, 12, generator=generator(6, "data"))
    again = read_dictionary(dictionary.save(tmp_path / "dictionary"))
    torch.testing.assert_close(again.encode(x), dictionary.encode(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(again(x), dictionary(x), rtol=1e-5, atol=1e-5)
