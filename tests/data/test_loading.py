import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from superscope.core.errors import DataError
from superscope.data import IMAGENET, ArraySamples, ImageFolder, batches, load_data


def idx(array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.astype(np.uint8).tobytes()


def write_mnist(folder, dash="-", splits=("train", "t10k")):
    folder.mkdir(parents=True, exist_ok=True)
    for count, stem in enumerate(splits, 2):
        (folder / f"{stem}-images{dash}idx3-ubyte").write_bytes(idx(np.full((count, 2, 2), 255)))
        (folder / f"{stem}-labels{dash}idx1-ubyte").write_bytes(idx(np.arange(count)))


def write_cifar(folder, names, label_bytes=1):
    folder.mkdir(parents=True, exist_ok=True)
    for label, name in enumerate(names):
        (folder / name).write_bytes((bytes([label]) * label_bytes + bytes([255]) * 3072) * 2)


def write_images(folder, size=4):
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        Image.new("RGB", (size, size), (255, 255, 255)).save(folder / label / "1.png")


CIFAR10 = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]


def fails(spec, *parts, **options):
    with pytest.raises(DataError) as caught:
        load_data(spec, **options)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


def test_digits_and_their_fixed_split():
    test, train = load_data("digits"), load_data("digits:train")
    assert (len(train), len(test), test.split, train.split) == (1437, 360, "test", "train")
    x, y = train.take(range(1437))
    z, w = test.take(range(360))
    assert (x.shape, x.dtype, x.min(), x.max()) == ((1437, 1, 8, 8), torch.float32, 0, 1)
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    ours = torch.cat([torch.cat([x, z]).flatten(1) * 16, torch.cat([y, w])[:, None]], 1).numpy()
    theirs = np.c_[pixels, labels]
    assert sorted(map(tuple, ours)) == sorted(map(tuple, theirs))
    assert y.bincount(minlength=10).min() > 120
    assert test.take([0, 1, 2, 3])[1].tolist() == [6, 8, 0, 8]  # the same on every machine
    assert torch.equal(load_data("digits:test").take(range(360))[0], z)


@pytest.mark.parametrize("below", ["", "raw", "MNIST/raw"])
@pytest.mark.parametrize("dash", ["-", "."])
def test_mnist_and_its_normalisation(tmp_path, below, dash):
    write_mnist(tmp_path / below, dash)
    samples = load_data(f"mnist:{tmp_path}")
    assert (len(samples), samples.shape, samples.split, samples.classes) == (
        3,
        (1, 2, 2),
        "test",
        tuple("0123456789"),
    )
    inputs, labels = samples.take([0, 1, 2])
    torch.testing.assert_close(inputs, torch.full((3, 1, 2, 2), (1 - 0.1307) / 0.3081))
    assert labels.tolist() == [0, 1, 2]
    assert len(load_data(f"mnist:{tmp_path}:train")) == 2
    assert load_data(f"mnist:{tmp_path}", normalize="none").take([0])[0].unique().tolist() == [1]
    fails(f"mnist:{tmp_path}", "(3, height, width)", normalize="imagenet")


def test_mnist_with_one_split_or_without_labels(tmp_path):
    write_mnist(tmp_path, splits=("train",))
    assert load_data(f"mnist:{tmp_path}").split == "train"
    fails(f"mnist:{tmp_path}:test", "has no test split", "there is train")
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    fails(f"mnist:{tmp_path}", "expected train-labels-idx")
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(5)))
    fails(f"mnist:{tmp_path}", "2 samples and 5 labels")


def test_cifar10(tmp_path):
    write_cifar(tmp_path / "cifar-10-batches-bin", CIFAR10)
    for folder in (tmp_path, tmp_path / "cifar-10-batches-bin"):
        train, test = load_data(f"cifar10:{folder}:train"), load_data(f"cifar10:{folder}")
        assert (len(train), len(test), train.shape, test.classes[5]) == (10, 2, (3, 32, 32), "dog")
        assert train.take(range(10))[1].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        assert test.take([0])[0][0, 0, 0, 0].item() == pytest.approx((1 - 0.4914) / 0.2470)
    assert load_data(f"cifar10:{tmp_path}", normalize="imagenet").take([0])[0][
        0, 2, 0, 0
    ].item() == pytest.approx((1 - IMAGENET.mean[2]) / IMAGENET.std[2])
    (tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin").unlink()
    fails(f"cifar10:{tmp_path}:train", "data_batch_3.bin not there")
    assert len(load_data(f"cifar10:{tmp_path}")) == 2


@pytest.mark.parametrize("below", ["", "cifar-100-binary"])
def test_cifar100(tmp_path, below):
    write_cifar(tmp_path / below, ["test.bin", "train.bin"], label_bytes=2)
    samples = load_data(f"cifar100:{tmp_path}:train")
    assert samples.take([0, 1])[1].tolist() == [1, 1]
    assert samples.classes[42] == "42"
    (tmp_path / below / "fine_label_names.txt").write_text("\n".join(f"kind{i}" for i in range(100)))
    assert load_data(f"cifar100:{tmp_path}").classes[42] == "kind42"
    torch.testing.assert_close(samples.take([0])[0][0, 1, 0, 0], torch.tensor((1 - 0.4865) / 0.2564))


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_images_with_splits(tmp_path, held_out):
    write_images(tmp_path / "train")
    write_images(tmp_path / held_out)
    samples = load_data(f"images:{tmp_path}")
    assert isinstance(samples, ImageFolder)
    assert (samples.split, samples.classes, samples.name) == (held_out, ("cat", "dog"), tmp_path.name)
    assert load_data(f"images:{tmp_path}:test").split == held_out
    assert load_data(f"images:{tmp_path}:train", image_size=2).shape == (3, 2, 2)
    torch.testing.assert_close(samples.take([0])[0][0, 0, 0, 0], torch.tensor((1 - 0.485) / 0.229))
    assert load_data(f"images:{tmp_path}", normalize="none").take([0])[0].unique().tolist() == [1]


def test_images_without_splits(tmp_path):
    write_images(tmp_path)
    (tmp_path / "train").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "train" / "thomas.png")  # a class that is called train
    samples = load_data(f"images:{tmp_path}")
    assert (samples.split, samples.classes) == (None, ("cat", "dog", "train"))
    fails(f"images:{tmp_path}:train", "has no train split; leave :train away")


@pytest.mark.parametrize(("arrays", "split", "inputs", "labels"), [
    ({"x": 1, "y": 2}, None, 1, 2),
    ({"X": 1, "labels": 2}, None, 1, 2),
    ({"images": 1, "targets": 2, "extra": 3}, None, 1, 2),
    ({"inputs": 1}, None, 1, None),
    ({"features": 1}, None, 1, None),
    ({"data": 1, "z": 2}, None, 1, None),
    ({"x_train": 1, "y_train": 2, "x_test": 3, "y_test": 4}, None, 3, 4),
    ({"x_train": 1, "y_train": 2, "x_test": 3, "y_test": 4}, "train", 1, 2),
    ({"train_images": 1, "train_labels": 2, "val_images": 3, "val_labels": 4}, "test", 3, 4),
    ({"x_train": 1, "x_val": 2, "x_test": 3, "y_val": 4}, None, 3, None),
    ({"x_train": 1}, None, 1, None),
])  # fmt: skip
def test_npz_names(tmp_path, arrays, split, inputs, labels):
    np.savez(tmp_path / "a.npz", **{name: np.full(2, value) for name, value in arrays.items()})
    samples = load_data(f"npz:{tmp_path / 'a.npz'}{f':{split}' if split else ''}")
    x, y = samples.take([0, 1])
    assert x.tolist() == [inputs] * 2
    assert (None if y is None else y.tolist()) == (labels and [labels] * 2)
    assert samples.name == "a"


def test_npz_values(tmp_path):
    np.savez(tmp_path / "a.npz", np.full((2, 3, 4, 4), 255, np.uint8))
    assert load_data(f"npz:{tmp_path / 'a.npz'}").take([0])[0].unique().tolist() == [1]
    normal = load_data(f"npz:{tmp_path / 'a.npz'}", normalize="imagenet").take([0])[0]
    torch.testing.assert_close(normal[0, 0, 0, 0], torch.tensor((1 - 0.485) / 0.229))
    np.savez(tmp_path / "b.npz", np.full((2, 3), 255.0))
    assert load_data(f"npz:{tmp_path / 'b.npz'}").take([0])[0].unique().tolist() == [255]


def test_bad_npz(tmp_path):
    np.savez(tmp_path / "a.npz", left=np.ones(2), right=np.ones(2))
    fails(f"npz:{tmp_path / 'a.npz'}", "holds left, right; name the inputs one of x, images")
    np.savez(tmp_path / "b.npz", x=np.ones(2))
    fails(f"npz:{tmp_path / 'b.npz'}:train", "no train split; leave :train away")
    np.savez(tmp_path / "c.npz", x_test=np.ones(2))
    fails(f"npz:{tmp_path / 'c.npz'}:train", "no train split; there is test")
    np.savez(tmp_path / "d.npz", x=np.ones(2), y=np.ones(3))
    fails(f"npz:{tmp_path / 'd.npz'}", "2 samples and 3 labels")
    np.savez(tmp_path / "e.npz")
    fails(f"npz:{tmp_path / 'e.npz'}", "holds nothing")
    fails(f"npz:{tmp_path / 'none.npz'}", "does not exist")


def test_a_path_may_hold_colons(tmp_path):
    folder = tmp_path / "a:b"
    folder.mkdir()
    np.savez(folder / "c:d.npz", x_train=np.ones(2), x_test=np.ones(3))
    assert len(load_data(f"npz:{folder / 'c:d.npz'}")) == 3
    assert len(load_data(f"npz:{folder / 'c:d.npz'}:train")) == 2
    write_images(tmp_path / "train")
    assert load_data(f"images:{tmp_path / 'train'}").classes == ("cat", "dog")


def test_a_folder_called_train_is_a_folder(tmp_path, monkeypatch):
    write_images(tmp_path / "train")
    monkeypatch.chdir(tmp_path)
    assert load_data("images:train").name == "train"


@pytest.mark.parametrize(("body", "count", "labelled"), [
    ("torch.zeros(5, 2)", 5, False),
    ("numpy.zeros((5, 2))", 5, False),
    ("(torch.zeros(5, 2), torch.arange(5))", 5, True),
    ("torch.utils.data.TensorDataset(torch.zeros(5, 2), torch.arange(5))", 5, True),
    ("[torch.zeros(2, 2), torch.zeros(3, 2)]", 5, False),
    ("((torch.zeros(2, 2), torch.ones(2).int()) for _ in range(2))", 4, True),
])  # fmt: skip
def test_a_users_function(tmp_path, body, count, labelled):
    (tmp_path / "d.py").write_text(f"import torch, numpy\ndef make():\n    return {body}\n")
    found = list(batches(load_data(f"{tmp_path / 'd.py'}:make")))
    assert sum(len(batch) for batch in found) == count
    assert all((batch.labels is not None) == labelled for batch in found)


def test_bad_users_functions(tmp_path):
    path = tmp_path / "d.py"
    path.write_text("import torch\ndef make():\n    return 3\ndef train():\n    return torch.zeros(0, 2)\n"
                    "def fail():\n    return 1 / 0\n")  # fmt: skip
    fails(f"{path}:make", f"{path}:make", "of type int", "DataLoader")
    fails(f"{path}:train", "empty")  # a function of that name, not a split
    fails(f"{path}:fail", "line 7: ZeroDivisionError")
    fails(f"{path}:maek", "did you mean 'make'?")
    fails(f"{path}:make:train", "a function has no splits")
    fails(f"{path}:make", "inside the function", normalize="imagenet")
    fails(f"{path}:make", "inside the function", image_size=8)
    fails(str(path), "no function in it", "it defines make, train, fail")


@pytest.mark.parametrize(("spec", "parts"), [
    ("", ("no data ''", "digits, mnist:DIR")),
    ("mnits:x", ("did you mean mnist:DIR?",)),
    ("mnist", ("did you mean mnist:DIR?",)),
    ("images:", ("did you mean images:DIR?",)),
    ("digits:all", ("no data 'digits:all'", "digits, mnist:DIR")),
    ("imagenet21k", ("FILE.py:FUNCTION",)),
    ("my.npz", ("npz:my.npz",)),
    ("my.py", ("FILE.py:FUNCTION",)),
])  # fmt: skip
def test_specs_that_are_not_understood(spec, parts):
    fails(spec, *parts)


@pytest.mark.parametrize("kind", ["mnist", "cifar10", "cifar100", "images", "npz"])
def test_missing_and_empty_folders_say_where(tmp_path, kind):
    fails(f"{kind}:{tmp_path / 'none'}", str(tmp_path / "none"), "does not exist", "expected")
    fails(f"{kind}:{tmp_path}", str(tmp_path), "expected")
    if kind != "npz":
        (tmp_path / "file").write_text("")
        fails(f"{kind}:{tmp_path / 'file'}", "it is a file")


def test_a_folder_of_another_format_is_recognised(tmp_path):
    write_mnist(tmp_path / "m")
    write_cifar(tmp_path / "c10", CIFAR10)
    write_cifar(tmp_path / "c100", ["train.bin", "test.bin"], 2)
    write_images(tmp_path / "i")
    write_images(tmp_path / "j" / "train")
    formats = {"m": "mnist", "c10": "cifar10", "c100": "cifar100", "i": "images", "j": "images"}
    for name, sign in ((name, f"{kind}:DIR") for name, kind in formats.items()):
        other = "cifar10" if sign != "cifar10:DIR" else "mnist"
        fails(f"{other}:{tmp_path / name}", f"it looks like {sign}")
        fails(str(tmp_path / name), f"it looks like {sign}")
    files = {
        "data_batch_1": "Python version of CIFAR-10,",
        "meta": "Python version of CIFAR-100,",
        "x.tar.gz": "unpack it",
        "x.npz": "npz:FILE",
        "x.jpg": "a folder for each class",
    }
    for name, sign in files.items():
        folder = tmp_path / f"of-{name}"
        folder.mkdir()
        (folder / name).write_text("")
        fails(f"mnist:{folder}", sign)
        fails(f"images:{folder}", sign)


def test_an_image_size_is_for_images():
    fails("digits", "an image size is for images:DIR and hf:DATASET", image_size=32)
    fails("digits", "(3, height, width)", normalize="imagenet")


def test_a_file_that_cannot_be_opened(tmp_path):
    write_cifar(tmp_path, CIFAR10[:5])
    (tmp_path / "test_batch.bin").mkdir()
    fails(f"cifar10:{tmp_path}", "cannot read", "test_batch.bin")


@pytest.mark.data
@pytest.mark.parametrize(("name", "shape", "classes"), [
    ("mnist", (1, 28, 28), 10), ("cifar10", (3, 32, 32), 10), ("cifar100", (3, 32, 32), 100),
    ("tiny-imagenet", (3, 64, 64), 20),
])  # fmt: skip
def test_real_data(name, shape, classes):
    kind = "images" if name == "tiny-imagenet" else name
    samples = load_data(f"{kind}:{Path(os.environ['SUPERSCOPE_DATA']) / name}")
    (batch,) = batches(samples, samples=500, batch_size=500)
    assert batch.inputs.shape == (500, *shape)
    assert batch.inputs.mean().abs() < 0.3  # normalised
    assert 0.7 < batch.inputs.std() < 1.4
    assert len(samples.classes) == classes
    assert len(batch.labels.unique()) > classes * 0.9
    assert isinstance(samples, ImageFolder if kind == "images" else ArraySamples)
