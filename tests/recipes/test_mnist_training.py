import gzip
import struct

import numpy as np
import pytest
import torch

from superscope.core import ConfigError, DataError, checked, open_run
from superscope.core.artifacts import tensor_hashes
from superscope.core.checkpoint import Checkpoint
from superscope.recipes.mnist_training import Images, MnistConfig, load_images, start, train_networks

OPTIONS = MnistConfig(data="digits", seeds=(3, 8), epochs=2)


@pytest.fixture(scope="module")
def images():
    whole = load_images("digits")
    return Images(whole.train[:300], whole.labels[:300], whole.test, whole.test_labels, whole.name)


@pytest.fixture(scope="module")
def networks(images, tmp_path_factory):
    run = open_run("test", OPTIONS, tmp_path_factory.mktemp("mnist") / "run")
    return train_networks(run, OPTIONS, images)


def states(networks):
    return [tensor_hashes(network.trained.state_dict()) for network in networks]


def test_a_seed_trains_its_own_start(images, networks):
    for seed, network in zip(OPTIONS.seeds, networks, strict=True):
        assert tensor_hashes(network.start.state_dict()) == tensor_hashes(start(seed, 64).state_dict())
        assert not torch.equal(network.start.fc1.weight, network.trained.fc1.weight)
        with torch.inference_mode():
            right = network.trained(images.test).argmax(1) == images.test_labels
        assert network.accuracy == pytest.approx(float(right.float().mean()), abs=1e-6)
    assert len({str(each) for each in states(networks)}) == 2


def test_the_same_seed_gives_the_same_bits_whatever_else_is_trained(images, networks, tmp_path):
    options = MnistConfig(data="digits", seeds=(8,), epochs=2)
    torch.manual_seed(1)
    again = train_networks(open_run("test", options, tmp_path / "run"), options, images)
    assert states(again) == states(networks)[1:]


def test_a_run_killed_within_its_second_seed_ends_with_the_bits_of_one_that_was_not(
    images, networks, tmp_path, monkeypatch
):
    saved = []
    save = Checkpoint.save

    def killed(self, state):
        save(self, state)
        saved.append(state)
        if len(saved) == 13:  # five steps an epoch, ten a seed
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "due", True)
    monkeypatch.setattr(Checkpoint, "save", killed)
    run = open_run("test", OPTIONS, tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train_networks(run, OPTIONS, images)
    left = {path.name for path in (tmp_path / "run" / "stages").iterdir()}
    assert left == {"mnist-seed-3.safetensors", "mnist-seed-8.partial.safetensors"}
    assert states(train_networks(run, OPTIONS, images)) == states(networks)
    assert len(saved) == 13 + 7  # the finished seed was not trained again, the other went on


def test_no_data_says_what_to_give(monkeypatch, tmp_path):
    monkeypatch.delenv("SUPERSCOPE_DATA", raising=False)
    with pytest.raises(DataError, match=r"needs MNIST; give --data mnist:DIR .*, set SUPERSCOPE_DATA"):
        load_images(None)
    monkeypatch.setenv("SUPERSCOPE_DATA", str(tmp_path))
    with pytest.raises(DataError, match=f"{tmp_path}/mnist does not exist"):
        load_images(None)


@pytest.mark.parametrize("shape", [(3,), (3, 8, 8), (1, 8, 8)])
def test_data_that_is_no_set_of_grey_images_of_ten_classes(tmp_path, shape):
    x, y = np.zeros((8, *shape)), np.arange(8) + (2 if shape != (1, 8, 8) else 0)  # 0 to 7 are no ten classes
    np.savez(tmp_path / "some.npz", x_train=x, x_test=x, y_train=y, y_test=y)
    with pytest.raises(DataError, match=r"some\.npz is no set of grey images of ten classes; give mnist:DIR"):
        load_images(f"npz:{tmp_path / 'some.npz'}")


def idx(path, values):
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.tobytes()))


def test_mnist_is_found_where_the_variable_points_and_normalised(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    for stem, count in (("train", 20), ("t10k", 10)):
        pixels = np.full((count, 28, 28), 255, np.uint8)
        pixels[:, 0] = 0
        idx(tmp_path / "mnist" / f"{stem}-images-idx3-ubyte.gz", pixels)
        idx(tmp_path / "mnist" / f"{stem}-labels-idx1-ubyte.gz", np.arange(count, dtype=np.uint8) % 10)
    monkeypatch.setenv("SUPERSCOPE_DATA", str(tmp_path))
    images = load_images(None)
    assert images.published
    assert (len(images.train), len(images.test), images.pixels) == (20, 10, 784)
    assert float(images.train[0, 0, 0, 0]) == pytest.approx(-0.1307 / 0.3081)
    assert float(images.train[0, 0, 1, 0]) == pytest.approx((1 - 0.1307) / 0.3081)
    assert not load_images("digits").published


def test_configs_with_faults():
    with pytest.raises(ConfigError, match=r"seeds: .*; epochs: .*; lr: "):
        checked(MnistConfig(seeds=(1, 1), epochs=0, lr=float("nan")))
