"""Training finds known features, ends with the same bits however often killed, and says what it cannot do."""

import pytest
import torch

from superscope.core import ArtifactError, ConfigError, InputError, generator
from superscope.dictionary import ARCHITECTURES, DictionaryConfig, train
from superscope.dictionary import training as module
from superscope.dictionary.sparse import make_engine
from superscope.dictionary.trainer import Trainer

NAMES = list(ARCHITECTURES)


def world(samples, n=24, width=16, seed=0):
    """Return sparse sums of unit directions, and the directions."""
    g = generator(seed, "world")
    D = torch.nn.functional.normalize(torch.randn(n, width, generator=g))
    s = (torch.rand(samples, n, generator=g) < 2 / n) * (0.5 + torch.rand(samples, n, generator=g))
    return s @ D, D


def small(architecture, **more):
    return DictionaryConfig(architecture=architecture, n_latents=24, k=2, batch_size=256, **more)


def tensors(dictionary):
    return {name: value.clone() for name, value in dictionary.state_dict().items()}


def assert_same_bits(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


@pytest.mark.parametrize("architecture", NAMES)
def test_known_features_are_found_at_the_wanted_l0(architecture):
    x, D = world(256 * 1500)
    dictionary = train(x, small(architecture), show_progress=False)
    best = (dictionary.W_dec.detach() @ D.T).abs().amax(0)
    assert float(best.mean()) > {"jumprelu": 0.9, "matryoshka": 0.85}.get(architecture, 0.95)
    norms = dictionary.W_dec.detach().norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(24), rtol=1e-4, atol=1e-4)
    l0 = float((dictionary.encode(x[:5000]) > 0).float().sum(1).mean())
    assert l0 == pytest.approx(2.0, abs=0.3)
    error = (dictionary(x[:5000]) - x[:5000]).square().sum() / (x[:5000] - x[:5000].mean(0)).square().sum()
    assert float(error) == pytest.approx(dictionary.history.fvu[-1], abs=0.05)


@pytest.mark.parametrize("architecture", NAMES)
def test_the_sparse_path_follows_the_reference(architecture):
    x, _ = world(256 * 12)
    config = small(architecture, k_start=1.0)
    a, b, c = (train(x, config, backend=how, show_progress=False) for how in ("sparse", "dense", "reference"))
    for name in tensors(c):
        torch.testing.assert_close(tensors(a)[name], tensors(c)[name], rtol=2e-3, atol=2e-3, msg=name)
        torch.testing.assert_close(tensors(b)[name], tensors(c)[name], rtol=2e-3, atol=2e-3, msg=name)


@pytest.mark.parametrize("architecture", NAMES)
def test_a_killed_training_ends_with_the_same_bits(architecture, tmp_path, monkeypatch):
    x, _ = world(256 * 40)
    config = small(architecture, dead_after=512)
    whole = train(x, config, seed=3, steps=60, show_progress=False)  # more than one pass
    path = tmp_path / "state.safetensors"
    monkeypatch.setattr(module.Checkpoint, "due", property(lambda _: True))
    advance, done = Trainer.advance, []

    def killed(self, *batch):
        done.append(1)
        if len(done) in (23, 50):
            raise KeyboardInterrupt
        return advance(self, *batch)

    monkeypatch.setattr(Trainer, "advance", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(x, config, seed=3, steps=60, checkpoint=path, show_progress=False)
    resumed = train(x, config, seed=3, steps=60, checkpoint=path, show_progress=False)
    assert_same_bits(tensors(whole), tensors(resumed))
    assert whole.history == resumed.history


def test_a_checkpoint_of_another_training_is_refused(tmp_path, monkeypatch):
    x, _ = world(256 * 4)
    path = tmp_path / "state.safetensors"
    monkeypatch.setattr(module.Checkpoint, "due", property(lambda _: True))
    train(x, small("topk"), checkpoint=path, show_progress=False)
    with pytest.raises(ArtifactError, match="other work"):
        train(x, small("topk"), seed=1, checkpoint=path, show_progress=False)


def test_seeds_differ_and_repeat():
    x, _ = world(256 * 8)
    a, b, c = (tensors(train(x, small("topk"), seed=s, show_progress=False)) for s in (0, 0, 1))
    assert_same_bits(a, b)
    assert not torch.equal(a["W_dec"], c["W_dec"])


def test_a_transcoder_learns_the_other_layer():
    x, _ = world(256 * 400)
    y = torch.tanh(x) @ torch.randn(16, 5, generator=generator(1, "map")) + 3
    dictionary = train(x, small("topk"), target=y, show_progress=False)
    assert dictionary.W_dec.shape == (24, 5)
    left = (dictionary(x) - y).square().sum() / (y - y.mean(0)).square().sum()
    assert float(left) < 0.25


def test_the_scale_and_offset_of_the_activations_change_nothing_but_the_scale_of_the_codes():
    x, _ = world(256 * 30)
    a = train(x, small("topk"), show_progress=False)
    b = train(100 * x + 7, small("topk"), show_progress=False)
    torch.testing.assert_close(b.W_dec, a.W_dec, rtol=5e-2, atol=5e-2)
    torch.testing.assert_close(b(100 * x + 7), 100 * a(x) + 7, rtol=5e-2, atol=5.0)


def test_rows_of_a_stream_that_are_not_finite_are_left_out_and_counted():
    x, _ = world(256 * 8)
    x[[5, 700]] = torch.nan
    dictionary = train([x[:900], x[900:]], small("topk"), show_progress=False)
    assert dictionary.history.left_out == 2
    assert bool(dictionary.W_dec.isfinite().all())


def test_activations_with_nan_are_refused():
    x, _ = world(256 * 2)
    x[3] = torch.nan
    with pytest.raises(InputError, match="1 of 512 rows"):
        train(x, small("topk"), show_progress=False)


def test_a_diverging_run_is_stopped_with_its_step():
    x, _ = world(256 * 50)
    with pytest.raises(InputError, match=r"not finite at step \d+ of 50; lower lr"):
        train(1e30 * x, small("standard", normalize=False), show_progress=False)


def test_too_few_activations_are_told():
    with pytest.raises(InputError, match="100 activations do not fill one batch of 256"):
        train(torch.randn(100, 4), small("topk"), show_progress=False)


def test_more_active_latents_than_there_are_is_a_fault():
    with pytest.raises(ConfigError, match="30 of 24"):
        train(torch.randn(300, 4), DictionaryConfig(n_latents=24, k=30), show_progress=False)


def test_the_backend_is_checked():
    with pytest.raises(InputError, match="choose auto, sparse"):
        make_engine("quick", torch.device("cpu"))


def test_bfloat16_products_need_a_gpu():
    with pytest.raises(InputError, match="bfloat16 products need"):
        train(torch.randn(300, 4), small("topk", product="bfloat16"), device="cpu", show_progress=False)
