import pytest
import torch
from torch import nn

from superscope.core import InputError, generator
from superscope.core.artifacts import tensor_hashes
from superscope.data import Normalization
from superscope.training import augmented
from superscope.training.augmented import Images, crop_and_flip, scaled, train_augmented

NORMAL = Normalization((0.5, 0.25), (0.5, 0.25))


def network(seed=0):
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 2)
    )
    for parameter in net.parameters():
        nn.init.uniform_(parameter, -0.2, 0.2, generator=generator(seed, "test"))
    return net


def halves(count):
    """Images that are bright above or below, which no crop of 4 pixels and no mirror hides."""
    labels = torch.arange(count) % 2
    pixels = torch.randint(0, 60, (count, 2, 16, 16), generator=generator(count, "pixels"), dtype=torch.uint8)
    for label in (0, 1):
        pixels[labels == label, :, 8 * label : 8 * label + 8] += 150
    return Images(pixels, labels)


def trained(checkpoint=None, epochs=4, count=33):
    net = network()
    curve = train_augmented(
        net, halves(count), halves(20), NORMAL, epochs=epochs, batch_size=16, lr=0.01, checkpoint=checkpoint
    )
    return net, curve


def test_crops_are_windows_of_the_padded_image_or_of_its_mirror():
    pixels = torch.arange(1, 2 * 3 * 5 * 4 + 1, dtype=torch.uint8).reshape(2, 3, 5, 4)
    seen, mirrored = set(), 0
    for seed in range(150):
        made = crop_and_flip(pixels, generator(seed, "crop"), padding=1)
        for image, crop in zip(pixels, made, strict=True):
            padded = torch.nn.functional.pad(image, [1] * 4)
            windows = {(y, x): padded[:, y : y + 5, x : x + 4] for y in range(3) for x in range(3)}
            places = [
                (*place, flip)
                for place, window in windows.items()
                for flip in (False, True)
                if torch.equal(crop, window.flip(-1) if flip else window)
            ]
            assert len(places) == 1
            seen.add(places[0])
            mirrored += places[0][2]
    assert len(seen) == 18
    assert 110 < mirrored < 190  # of 300: 150 ± 4.6 standard deviations


def test_scaled_is_the_normalised_share_of_255():
    pixels = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1).expand(2, 2, 1, 1)
    assert scaled(pixels, NORMAL).flatten().tolist() == [-1, -1, 1, 3]


def test_it_learns_and_reports_what_it_learnt():
    net, curve = trained(epochs=8)
    assert curve.loss.shape == curve.accuracy.shape == (8,)
    assert curve.accuracy[-1] == 1
    assert curve.loss[-1] < 0.5 * curve.loss[0]
    assert not net.training


def test_the_first_loss_is_that_of_the_drawn_batch():
    net, images = network(), halves(16)
    _, curve = trained(epochs=1, count=16)
    draws = generator(0, "augmented", 0)
    rows = torch.randperm(16, generator=draws)
    batch = (crop_and_flip(images.pixels[rows], draws) / 255 - torch.tensor([0.5, 0.25]).view(2, 1, 1)) / (
        torch.tensor([0.5, 0.25]).view(2, 1, 1)
    )
    expected = nn.functional.cross_entropy(net.train()(batch), images.labels[rows])
    assert float(curve.loss[0]) == pytest.approx(expected.item(), rel=1e-6)


def test_a_training_killed_in_any_epoch_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    whole, curve = trained()
    accuracy_on = augmented.accuracy_on
    for stop in (1, 3):
        passed = []

        def killed(*given, stop=stop, passed=passed):
            passed.append(given)
            if len(passed) == stop + 1:
                raise KeyboardInterrupt
            return accuracy_on(*given)

        path = tmp_path / f"{stop}.safetensors"
        monkeypatch.setattr(augmented, "accuracy_on", killed)
        monkeypatch.setattr(augmented.Checkpoint, "due", True)
        with pytest.raises(KeyboardInterrupt):
            trained(path)
        torch.manual_seed(stop)
        again, resumed = trained(path)
        assert tensor_hashes(again.state_dict()) == tensor_hashes(whole.state_dict())
        assert torch.equal(resumed.loss, curve.loss)
        assert torch.equal(resumed.accuracy, curve.accuracy)
        assert len(passed) == 4 + 1  # only the epoch that was cut was gone through twice


def test_a_last_batch_of_one_joins_the_one_before():
    parts = augmented._parts(torch.arange(33), 16)
    assert [len(part) for part in parts] == [16, 17]
    assert [len(part) for part in augmented._parts(torch.arange(1), 16)] == [1]
    assert torch.equal(torch.cat(parts), torch.arange(33))


def test_what_cannot_be_trained_on():
    with pytest.raises(InputError, match="0 epochs over 33 images"):
        trained(epochs=0)
    with pytest.raises(InputError, match="1 epochs over 1 images"):
        trained(epochs=1, count=1)
