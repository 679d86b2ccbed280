import dataclasses
import json

import pytest
import torch

from superscope.core import DataError, WeightsError, checked
from superscope.core.artifacts import read_tensors
from superscope.core.config import from_json, to_json
from superscope.models import resnet18, resnet50
from superscope.recipes.cifar100_claims import CLAIMS, Found, judged
from superscope.recipes.cifar100_published import ACCURACY, COUNTS
from superscope.recipes.cifar100_ranks import layers_of
from superscope.recipes.cifar100_resnet50 import CIFAR100_RESNET50
from superscope.recipes.cifar100_training import Cifar100Config, Data, load_images, start
from superscope.recipes.recipe import execute
from superscope.training import Images

PRINTED = torch.tensor([count for _, _, count in COUNTS])


@pytest.fixture(scope="module")
def layers():
    return layers_of(resnet50(100))


def found(layers, trained, untrained=None, accuracy=ACCURACY):
    """Three seeds with the same counts [reading, layer] and accuracies in per cent."""
    curve = torch.tensor(accuracy, dtype=torch.float64).expand(3, -1) / 100
    untrained = trained if untrained is None else untrained
    return Found(layers, trained.expand(3, -1, -1), untrained.expand(3, -1, -1), curve, curve)


def data(count=50_000, test=10_000):
    def blank(size):
        return Images(torch.zeros(size, 3, 1, 1, dtype=torch.uint8), torch.zeros(size, dtype=torch.int64))

    return Data(blank(count), blank(test), 100, "cifar100", 50_000)


def rows(found, config=None, given=None, images=None):
    config = config or Cifar100Config(data="cifar100:x", weights="w.pth")
    made = {row.id: row for row in judged(config, images or data(), given, found)}
    assert list(made) == [claim.id for claim in CLAIMS]
    return made


def verdicts(made, *names):
    return [made[f"N2-{name}"].verdict for name in names]


def test_the_course_comes_again_from_its_own_numbers(layers):
    counts = torch.stack([PRINTED, PRINTED, layers.reach // 2])
    made = rows(found(layers, counts), given=resnet50(1000))
    numbers = [f"accuracy-{epoch}" for epoch in range(1, 11)]
    assert set(verdicts(made, *numbers, "table", "falls-published", "ceiling-published", "reshape")) == {
        "reproduced"
    }
    assert made["N2-accuracy-10"].measured == pytest.approx(55.82)
    # where each layer uses half of what it can, nothing is left of the fall but its ceilings
    assert verdicts(made, "falls-right", "ceiling-right", "untrained-right") == [
        "reproduced" if fallen else "not reproduced" for fallen in (False, False, True)
    ]
    assert verdicts(made, "possible") == ["not reproduced"]
    assert "layer1.0.conv3 139 of at most 64" in made["N2-possible"].evidence


def test_counts_and_accuracies_that_are_off(layers):
    off = PRINTED + (0.12 * PRINTED).clamp(min=3).long()
    some = PRINTED.clone()
    some[:6] = off[:6]  # 47 of 53 are 89 %
    for wrong in (off, some):
        made = rows(found(layers, wrong.expand(3, -1), accuracy=(30.0, *ACCURACY[1:])), given=resnet50(1000))
        assert verdicts(made, "table", "accuracy-1", "accuracy-2") == [
            "not reproduced", "not reproduced", "reproduced",
        ]  # fmt: skip
    some[5] = PRINTED[5]
    assert verdicts(rows(found(layers, some.expand(3, -1)), given=resnet50(1000)), "table") == ["reproduced"]


@pytest.mark.parametrize(
    ("given", "images", "change", "reason"),
    [
        (None, data(), {}, "Needs ImageNet's weights of 1,000 classes"),
        (10, data(), {}, "Needs ImageNet's weights of 1,000 classes"),
        (1000, data(10_000, 2_000), {}, "Needs the 50,000 + 10,000 images of CIFAR-100 (here 10,000 + 2,000"),
        (1000, data(), {"lr": 0.01}, "Needs the learning rate 0.001"),
        (1000, data(), {"epochs": 4}, "Needs 10 epochs"),
    ],
)
def test_what_the_machine_lacks_is_not_run_and_says_so(layers, given, images, change, reason):
    config = dataclasses.replace(Cifar100Config(data="cifar100:x", weights="w.pth"), **change)
    made = rows(
        found(layers, PRINTED.expand(3, -1), accuracy=ACCURACY[: config.epochs]),
        config,
        None if given is None else resnet50(given),
        images,
    )
    assert made["N2-table"].verdict == "not run"
    assert made["N2-table"].evidence.startswith(reason)
    assert made["N2-accuracy-10"].verdict == "not run"
    assert made["N2-falls-published"].verdict == "reproduced"
    assert ("Here" in made["N2-accuracy-10"].evidence) == (config.epochs == 10)


def test_an_untrained_network_that_falls_too_tells_against_learning(layers):
    flat = layers.channels.expand(3, -1)
    made = rows(found(layers, PRINTED.expand(3, -1), flat))
    assert verdicts(made, "untrained-published", "untrained-right") == ["reproduced"] * 2
    made = rows(found(layers, PRINTED.expand(3, -1), PRINTED.expand(3, -1)))
    assert verdicts(made, "untrained-published", "untrained-right") == ["not reproduced"] * 2


def test_weights_are_kept_under_a_new_final_layer():
    config = Cifar100Config(network="resnet18")
    given = resnet18(10, cifar_stem=True)
    made = start(config, 3, 100, given)
    assert torch.equal(made.layer3[0].conv1.weight, given.layer3[0].conv1.weight)
    assert torch.equal(made.conv1.weight, given.conv1.weight)
    assert made.fc.weight.shape == (100, 512)
    other = start(config, 4, 100, given)
    assert not torch.equal(made.fc.weight, other.fc.weight)
    assert torch.equal(start(config, 3, 100, given).fc.weight, made.fc.weight)


def test_images_become_bytes_in_three_channels():
    made = load_images(Cifar100Config(data="digits", images=50, test_images=7))
    assert made.train.pixels.shape == (50, 3, 32, 32)
    assert (len(made.test), made.classes, made.full) == (7, 10, 1437)
    pixels = made.train.pixels
    assert torch.equal(pixels[:, 0], pixels[:, 2])
    assert torch.equal(pixels[:, :, ::4, ::4], pixels[:, :, 3::4, 3::4])
    assert pixels.max() == 255


def test_what_cannot_be_run_stops_before_any_training(tmp_path):
    with pytest.raises(DataError, match="needs CIFAR-100; give --data cifar100:DIR"):
        execute(CIFAR100_RESNET50, CIFAR100_RESNET50.presets["quick"], tmp_path / "run")
    with pytest.raises(DataError, match="is no labelled set of images"):
        load_images(Cifar100Config(data=f"npz:{_plain(tmp_path)}"))
    config = dataclasses.replace(CIFAR100_RESNET50.presets["smoke"], weights=str(tmp_path / "no.pth"))
    with pytest.raises(WeightsError, match="does not exist"):
        execute(CIFAR100_RESNET50, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def _plain(folder):
    import numpy as np

    path = folder / "plain.npz"
    np.savez(path, **{f"{part}_{split}": np.zeros(4) for part in "xy" for split in ("train", "test")})
    return path


def test_presets_are_sound_configs_that_survive_json():
    assert list(CIFAR100_RESNET50.presets) == ["smoke", "quick", "paper"]
    for preset in CIFAR100_RESNET50.presets.values():
        assert from_json(Cifar100Config, to_json(preset)) == checked(preset) == preset


def test_smoke_writes_a_whole_run(tmp_path):
    path, made = execute(CIFAR100_RESNET50, CIFAR100_RESNET50.presets["smoke"], tmp_path / "run")
    ran = {row.id for row in made if row.verdict != "not run"}
    assert ran == {"N2-possible"}
    assert all("rehearsal with resnet18" in row.evidence for row in made if "falls" in row.id)
    assert sorted(table.stem for table in (path / "tables").iterdir()) == ["layers", "training"]
    assert sorted(figure.stem for figure in (path / "figures").iterdir()) == [
        "accuracy",
        "control-published",
        "control-right",
        "ratios",
    ]
    tensors = read_tensors(path / "tensors.safetensors")
    assert tensors["counts/trained"].shape == (1, 3, 20)
    assert (tensors["counts/trained"] > 0).all()
    assert json.loads((path / "metrics.jsonl").read_text())["seed"] == 0
    report = (path / "report.html").read_text()
    assert all(row.id in report for row in made)
    assert not (path / "stages").exists()
