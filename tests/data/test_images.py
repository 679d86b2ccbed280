import numpy as np
import pytest
import torch
from PIL import Image

from superscope.core.errors import DataError
from superscope.data import IMAGENET, ImageFolder


def save(path, array, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = array if isinstance(array, Image.Image) else Image.fromarray(np.asarray(array, np.uint8))
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)


def first(folder, **options):
    return ImageFolder(folder, **options).take([0])[0][0]


def pixels(tensor):
    return (tensor * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def test_classes_order_and_labels(tmp_path, picture):
    for name in ("b/2.png", "b/10.PNG", "a/deep/er/x.png", ".hidden/x.png", "__MACOSX/x.png", "a/._x.png"):
        save(tmp_path / name, picture)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("no image")
    samples = ImageFolder(tmp_path)
    assert samples.classes == ("a", "b")
    assert (len(samples), samples.shape, samples.split, samples.name) == (3, (3, 4, 6), None, tmp_path.name)
    inputs, labels = samples.take([2, 0, 1])
    assert (inputs.shape, inputs.dtype) == ((3, 3, 4, 6), torch.float32)
    assert (labels.tolist(), labels.dtype) == ([1, 0, 1], torch.int64)
    np.testing.assert_array_equal(pixels(inputs[0]), picture)


def test_normalisation(tmp_path, picture):
    save(tmp_path / "a/x.png", picture)
    plain, normal = first(tmp_path), first(tmp_path, normalization=IMAGENET)
    for c in range(3):
        torch.testing.assert_close(normal[c], (plain[c] - IMAGENET.mean[c]) / IMAGENET.std[c])


def test_grey_is_repeated(tmp_path, picture):
    save(tmp_path / "a/x.png", picture[..., 0])
    assert (pixels(first(tmp_path)) == picture[..., :1]).all()


def test_sixteen_bits_become_eight(tmp_path, picture):
    deep = Image.fromarray(picture[..., 0].astype(np.uint16) * 256 + 7)
    save(tmp_path / "a/x.png", deep)
    assert (pixels(first(tmp_path)) == picture[..., :1]).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_dropped(tmp_path, picture, mode):
    image = Image.fromarray(picture).convert(mode)
    image.putalpha(0)
    save(tmp_path / "a/x.png", image)
    np.testing.assert_array_equal(pixels(first(tmp_path)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("options", [{}, {"transparency": 0}, {"transparency": b"\0\x80"}])
def test_palettes(tmp_path, options):
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), mode=None).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    save(tmp_path / "a/x.png", image, **options)
    assert pixels(first(tmp_path)).tolist() == [[[10, 20, 30], [40, 50, 60]], [[40, 50, 60], [10, 20, 30]]]


@pytest.mark.parametrize(("orientation", "turned"), [
    (2, np.fliplr), (3, lambda a: np.rot90(a, 2)), (6, lambda a: np.rot90(a, -1)), (8, np.rot90),
])  # fmt: skip
def test_exif_rotation(tmp_path, picture, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "a/x.png", picture, exif=exif)
    np.testing.assert_array_equal(pixels(first(tmp_path)), turned(picture))
    assert ImageFolder(tmp_path).shape == (3, *turned(picture).shape[:2])


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".bmp", ".gif", ".webp", ".tiff", ".ppm"])
def test_formats(tmp_path, suffix):
    save(tmp_path / f"a/x{suffix}", np.full((3, 5, 3), 128))
    assert np.abs(pixels(first(tmp_path)).astype(int) - 128).max() <= 2


def test_images_of_several_sizes_need_an_image_size(tmp_path, picture):
    save(tmp_path / "a/1.png", picture)
    save(tmp_path / "a/2.png", picture[:2])
    with pytest.raises(DataError, match=r"1.png is 6×4 and .*2.png is 6×2; .*--image-size"):
        ImageFolder(tmp_path).take([0, 1])
    assert ImageFolder(tmp_path, image_size=3).take([0, 1])[0].shape == (2, 3, 3, 3)


def test_the_centre_is_cropped(tmp_path):
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 200
    for name, image in (("wide", wide), ("tall", wide.transpose(1, 0, 2))):
        save(tmp_path / f"{name}/a/x.png", image)
        assert (pixels(first(tmp_path / name, image_size=4)) == 200).all()


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (100, 3), (6, 6)])
@pytest.mark.parametrize("size", [1, 4, 9])
def test_every_shape_becomes_the_square(tmp_path, shape, size):
    save(tmp_path / "a/x.png", np.full((*shape, 3), 77))
    assert (pixels(first(tmp_path, image_size=size)) == 77).all()
    assert ImageFolder(tmp_path, image_size=size).shape == (3, size, size)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_damaged_image_is_named(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3))
    save(tmp_path / f"a/1{suffix}", noise)
    path = save(tmp_path / f"a/2{suffix}", noise)
    samples = ImageFolder(tmp_path)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no image at all"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=f"cannot decode the image .*2{suffix}: .+; repair") as caught:
            samples.take([0, 1])
        assert "\n" not in str(caught.value)
        assert str(caught.value).count(str(path)) == 1


def test_folders_without_images(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="no images in"):
        ImageFolder(tmp_path)
    with pytest.raises(DataError, match="no images in"):
        ImageFolder(tmp_path / "none")


def test_an_image_size_below_one(tmp_path, picture):
    save(tmp_path / "a/x.png", picture)
    with pytest.raises(DataError, match="0 pixels"):
        ImageFolder(tmp_path, image_size=0)
