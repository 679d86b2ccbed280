"""What the course says of its ResNet-50, what would have to hold besides, and how each is judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from superscope.models import ResNet, resnet50
from superscope.recipes.cifar100_published import ACCURACY, COUNTS
from superscope.recipes.cifar100_ranks import (
    PUBLISHED,
    READINGS,
    RIGHT,
    UNMIXED,
    Layers,
    agreement,
    course_batch,
    fall,
    layers_of,
)
from superscope.recipes.cifar100_training import Cifar100Config, Data
from superscope.recipes.claims import Claim, Verdict, judge

_Values: TypeAlias = dict[str, list[float]]
_Evidence: TypeAlias = dict[str, str]

_FALLS = -0.5
_ALIKE = 0.9
_NEAR, _LEAST, _SHARE = 0.1, 2, 0.9
_POINTS = 3.0
_FULL, _FULL_TEST, _IMAGENET = 50_000, 10_000, 1_000
_EPOCHS, _LR = 10, 1e-3
_PRINTED = torch.tensor([count for _, _, count in COUNTS])
PRINTED_RATIOS = _PRINTED / torch.tensor([channels for _, channels, _ in COUNTS])
"""Count / channels of the printed table."""

_COURSE = "ImageNet weights, final layer of 100, Adam 1e-3, batch 128, crop and flip, 50,000 images"
_HERE = "networks trained with crop and flip; the evidence says from what start and on how many images"
_RULE = f"rank correlation of depth and count / channels over the layers at most {_FALLS}".replace("-", "−")
_READ = {
    "published": "as published: reshaped without moving channels, last batch alone, not centred",
    "right": "rightly: channels against all positions of all test images, centred",
}

_CEILINGS = {
    "published": "the smaller of channels and columns (images · positions)",
    "right": "the smaller of channels and inputs (input channels · kernel²)",
}


def _accuracies() -> list[Claim]:
    # The standard error on 10,000 images is 0.5; three points leave room for a run's own luck, early on.
    return [
        Claim(
            f"N2-accuracy-{epoch}",
            f"Validation accuracy behind epoch {epoch}, in per cent",
            _COURSE,
            "course",
            value,
            _POINTS,
        )
        for epoch, value in enumerate(ACCURACY, 1)
    ]


def _about(key: str) -> list[Claim]:
    """Return the claims about one reading."""
    reading, ours = _READ[key], "ours"
    return [
        Claim(f"N2-falls-{key}", f"The ratio falls with depth: {_RULE}", f"{reading}; {_HERE}", "course"),
        Claim(
            f"N2-untrained-{key}",
            f"With random weights the ratio does not fall: {_RULE.replace('at most', 'above')}",
            f"{reading}; batch norms fitted to training images, nothing trained",
            ours,
            "expected if training makes the fall",
        ),
        Claim(
            f"N2-ceiling-{key}",
            "The ratio falls also against the most that the count can be, in place of the channels: "
            + _RULE.replace("channels", "ceiling"),
            f"{reading}; ceiling: {_CEILINGS[key]}; {_HERE}",
            ours,
            "expected if widths and map sizes do not make the fall",
        ),
    ]


CLAIMS = (
    *_accuracies(),
    Claim(
        "N2-table",
        f"The printed counts come again: at least {_SHARE:.0%} of the 53 layers within {_NEAR:.0%} of the "
        f"printed number, or within {_LEAST} of it",
        f"{_COURSE}, {_EPOCHS} epochs; {_READ['published']}",
        "course",
    ),
    Claim(
        "N2-possible",
        "No printed count is larger than the dimensions that its layer's output can have: a convolution "
        "without bias puts out no more than it has channels, or inputs (input channels · kernel²)",
        "the printed table; exact",
        "ours",
        "expected if the counts are ranks of channels",
    ),
    *_about("published"),
    *_about("right"),
    Claim(
        "N2-reshape",
        "The reshape does no harm: layers are ordered as when channels are moved first on the same batch, "
        f"rank correlation of the two ratios at least {_ALIKE}",
        f"last batch alone, not centred; {_HERE}",
        "ours",
        "expected if the published reading measures channels",
    ),
)


@dataclass(frozen=True)
class Found:
    """What was measured, by seed."""

    layers: Layers
    trained: Int[Tensor, "seed reading layer"]
    untrained: Int[Tensor, "seed reading layer"]
    loss: Float[Tensor, "seed epoch"]
    accuracy: Float[Tensor, "seed epoch"]

    def ratios(self, reading: str, *, trained: bool = True) -> Float[Tensor, "seed layer"]:
        """Return count / channels of a reading."""
        counts = self.trained if trained else self.untrained
        return counts[:, READINGS.index(reading)].double() / self.layers.channels


def judged(config: Cifar100Config, data: Data, given: ResNet | None, found: Found) -> list[Verdict]:
    """Return a verdict for each claim."""
    values, evidence = _course_numbers(config, data, given, found)
    if config.network == "resnet50":
        more, texts = _falls(config, data, given, found)
        values |= more
        evidence |= texts
    other = f"The claim is about ResNet-50; this run is a rehearsal with {config.network}."
    return [judge(claim, values.get(claim.id, ()), evidence.get(claim.id, other)) for claim in CLAIMS]


def _course_numbers(
    config: Cifar100Config, data: Data, given: ResNet | None, found: Found
) -> tuple[_Values, _Evidence]:
    """Return what is known of the printed numbers."""
    reach = layers_of(resnet50(100)).reach
    over = (reach < _PRINTED).nonzero().flatten().tolist()
    listed = ", ".join(f"{COUNTS[i][0]} {COUNTS[i][2]} of at most {int(reach[i])}" for i in over[:3])
    values: _Values = {"N2-possible": [float(not over)]}
    evidence: _Evidence = {"N2-possible": f"{len(over)} of 53 printed counts are larger: {listed}, ..."}
    lacking, about = _lacking(config, data, given), origin(config, data, given)
    for epoch in range(1, len(ACCURACY) + 1):
        name = f"N2-accuracy-{epoch}"
        reached = (100 * found.accuracy[:, epoch - 1]).tolist() if epoch <= config.epochs else []
        here = f" Here {sum(reached) / len(reached):.2f} %." if reached else ""
        if lacking or not reached:
            evidence[name] = f"Needs {lacking or f'{epoch} epochs'}. {about}{here}"
        else:
            values[name], evidence[name] = reached, about
    if lacking or config.epochs != _EPOCHS:
        evidence["N2-table"] = f"Needs {lacking or f'{_EPOCHS} epochs'}. {about}"
    else:
        near = [_near(counts[READINGS.index(PUBLISHED)]) for counts in found.trained]
        values["N2-table"] = [float(share >= _SHARE) for share in near]
        evidence["N2-table"] = f"{about} Layers near the printed number, by seed: {_list(near, '.0%')}."
    return values, evidence


def _falls(
    config: Cifar100Config, data: Data, given: ResNet | None, found: Found
) -> tuple[_Values, _Evidence]:
    """Return how the ratios of both readings change with depth."""
    layers, values, evidence = found.layers, {}, {}
    ceilings = {
        "published": layers.reach_as_published(len(course_batch(data.test))),
        "right": layers.reach,
    }
    for key, reading in (("published", PUBLISHED), ("right", RIGHT)):
        trained = found.ratios(reading)
        falls = [fall(each) for each in trained]
        bare = fall(ceilings[key] / layers.channels)
        cases = {
            "falls": (falls, f"{origin(config, data, given)} The printed table: {fall(PRINTED_RATIOS):.2f}."),
            "untrained": (
                [fall(each) for each in found.ratios(reading, trained=False)],
                f"Trained: {_list(falls)}.",
            ),
            "ceiling": (
                [fall(each * layers.channels / ceilings[key]) for each in trained],
                f"Ceiling / channels alone, without any data: {bare:.2f}.",
            ),
        }
        for name, (correlations, text) in cases.items():
            holds = [(each <= _FALLS) != (name == "untrained") for each in correlations]
            values[f"N2-{name}-{key}"] = [float(each) for each in holds]
            evidence[f"N2-{name}-{key}"] = f"Rank correlation, by seed: {_list(correlations)}. {text}"
    both = zip(found.ratios(PUBLISHED), found.ratios(UNMIXED), strict=True)
    same = [agreement(one, other) for one, other in both]
    values["N2-reshape"] = [float(each >= _ALIKE) for each in same]
    evidence["N2-reshape"] = f"Rank correlation, by seed: {_list(same)}."
    return values, evidence


def _lacking(config: Cifar100Config, data: Data, given: ResNet | None) -> str:
    """Return what the published setting has and this run has not; nothing where it has it all."""
    images, test = len(data.train), len(data.test)
    full = data.name == "cifar100" and (images, test) == (_FULL, _FULL_TEST)
    imagenet = given is not None and given.fc.out_features == _IMAGENET
    wants = (
        (config.network == "resnet50", "a ResNet-50"),
        (imagenet, "ImageNet's weights of 1,000 classes (--weights hf:timm/resnet50.tv_in1k, or a file)"),
        (full, f"the 50,000 + 10,000 images of CIFAR-100 (here {images:,} + {test:,} of {data.name})"),
        (config.lr == _LR, f"the learning rate {_LR:g}"),
    )
    return "; ".join(text for there, text in wants if not there)


def origin(config: Cifar100Config, data: Data, given: ResNet | None) -> str:
    """Say in a sentence what was trained, from what, and on what."""
    source = "random weights"
    if given is not None:
        source = f"{config.weights} (trained on {given.fc.out_features:,} classes)"
    images = f"{len(data.train):,} images of {data.name}"
    return f"{config.network} from {source}, {config.epochs} epochs on {images}."


def _near(counts: Int[Tensor, " layer"]) -> float:
    allowed = (_NEAR * _PRINTED).clamp(min=_LEAST)
    return float(((counts - _PRINTED).abs() <= allowed).double().mean())


def _list(values: Sequence[float], pattern: str = ".2f") -> str:
    return ", ".join(format(value, pattern) for value in values)
