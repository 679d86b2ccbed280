import pytest
import torch

from superscope.core import generator
from superscope.dictionary import ARCHITECTURES, DictionaryConfig, make_dictionary
from superscope.dictionary.normalization import Normalization, fold_


def test_it_centres_and_scales():
    x = 5 + 3 * torch.randn(2000, 6, generator=generator(0, "x"))
    normal = Normalization.of(x)(x)
    torch.testing.assert_close(normal.mean(0), torch.zeros(6), atol=1e-5, rtol=0)
    assert float(normal.square().mean()) == pytest.approx(1.0, rel=1e-5)


def test_a_constant_input_is_only_centred():
    assert Normalization.of(torch.full((4, 2), 7.0)).scale == 1.0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_folding_changes_nothing_but_the_scale_of_the_codes(architecture):
    g = generator(1, "x")
    x, y = 5 + 3 * torch.randn(500, 6, generator=g), 1 - 2 * torch.randn(500, 4, generator=g)
    inputs, outputs = Normalization.of(x), Normalization.of(y)
    config = DictionaryConfig(architecture=architecture, n_latents=10, k=3, bandwidth=0.3)
    dictionary = make_dictionary(config, 6, 4, g)
    with torch.no_grad():
        for parameter in dictionary.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=g))
        if hasattr(dictionary, "threshold"):
            dictionary.threshold.fill_(0.4)
        rows = dictionary.W_dec.clone()
        f = dictionary.encode(inputs(x))
        expected = dictionary.decode(f) * outputs.scale + outputs.centre
        fold_(dictionary, inputs, outputs)
        torch.testing.assert_close(dictionary(x), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(dictionary.encode(x), f * outputs.scale, rtol=1e-4, atol=1e-4)
    assert torch.equal(dictionary.W_dec, rows)
