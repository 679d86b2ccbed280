"""From what a person names to a model that is ready to run."""

import difflib
from pathlib import Path

from torch import nn

from superscope.core.errors import ModelError
from superscope.core.random import generator
from superscope.core.user_code import call_function, is_user_code, load_function, without_function
from superscope.models.digits import DigitsMLP
from superscope.models.hub import PREFIX, hub_file
from superscope.models.llama2c import PREFIX as LLAMA2C
from superscope.models.llama2c import load_llama2c
from superscope.models.resnet import resnet18, resnet50
from superscope.models.transformer import Precision, load_transformer
from superscope.models.vendors import VENDORS, load_vendor
from superscope.models.weights import check_finite, load_state, load_weights, read_state

_EMBEDDED = "digits-mlp"
_RESNETS = {"resnet18": resnet18, "resnet50": resnet50}
_CIFAR = ":cifar"
_KNOWN = (_EMBEDDED, *_RESNETS, *(f"{name}{_CIFAR}" for name in _RESNETS))
_UNDERSTOOD = (
    f"{', '.join(_KNOWN)}, hf:NAME, {', '.join(f'{vendor}:NAME' for vendor in VENDORS)}, llama2c:FILE, "
    f"or FILE.py:FUNCTION for a function of yours that returns an nn.Module"
)


def load_model(
    spec: str, weights: str | Path | None = None, *, precision: Precision = "float32"
) -> nn.Module:
    """Return the model that ``spec`` names, in eval mode, its values finite.

    Args:
        spec: ``FILE.py:FUNCTION``, called without arguments; ``hf:NAME`` (:func:`load_transformer`);
            ``llama2c:FILE.bin`` (:func:`load_llama2c`); ``timm:NAME`` or ``torchvision:NAME`` where those can
            be imported; ``resnet18``, ``resnet50`` (with ``:cifar`` for a CIFAR stem) or ``digits-mlp``,
            which need ``weights`` here. A ResNet gets as many classes, and the stem, as its weights have.
        weights: a file for :func:`load_weights`, or ``hf:REPO[/FILE]`` for one of the hub.
        precision: of ``hf:NAME``: ``float32``, or ``stored`` for the type that its config names.

    Raises:
        ModelError: when nothing matches ``spec``, its file or function fails, or the result is no module.
        WeightsError: as :func:`load_weights` and :func:`check_finite` do.
    """
    file = _weights_file(weights)
    model = _resnet(spec, file) if spec.removesuffix(_CIFAR) in _RESNETS else _build(spec, file, precision)
    check_finite(model)
    return model.eval()


def _weights_file(weights: str | Path | None) -> Path | None:
    if weights is None:
        return None
    named = weights.as_posix() if isinstance(weights, Path) else weights
    return hub_file(named.removeprefix(PREFIX)) if named.startswith(PREFIX) else Path(weights).expanduser()


def _resnet(spec: str, weights: Path | None) -> nn.Module:
    name = spec.removesuffix(_CIFAR)
    if weights is None:
        raise ModelError(
            f"{spec} comes without weights, and random ones say little; give --weights FILE or --weights "
            f"hf:REPO (superscope.models.{name}() is a random one)"
        )
    state = read_state(weights, ("conv1.weight", "fc.weight"))
    stem, head = state.get("conv1.weight"), state.get("fc.weight")
    model = _RESNETS[name](
        head.shape[0] if head is not None and head.ndim == 2 else 1000,
        cifar_stem=spec.endswith(_CIFAR) or (stem is not None and stem.shape[2:] == (3, 3)),
        generator=generator(0, name),
    )
    load_state(model, state, weights)
    return model


def _build(spec: str, weights: Path | None, precision: Precision) -> nn.Module:
    model = _named(spec, precision, pretrained=weights is None)
    if weights is not None:
        load_weights(model, weights)
    return model


def _named(spec: str, precision: Precision, *, pretrained: bool) -> nn.Module:
    kind, _, name = spec.partition(":")
    if f"{kind}:" == PREFIX:
        return load_transformer(name, precision)
    if f"{kind}:" == LLAMA2C:
        return load_llama2c(Path(name).expanduser())
    if kind in VENDORS:
        return load_vendor(kind, name, pretrained=pretrained)
    if is_user_code(spec):
        model = call_function(load_function(spec, error=ModelError), spec, ModelError)
        if not isinstance(model, nn.Module):
            raise ModelError(f"{spec} returned {_kind(model)}; it has to return an nn.Module")
        return model
    if spec == _EMBEDDED:
        if pretrained:
            raise ModelError(f"{_EMBEDDED} has to be trained first; train it, or give a file of its weights")
        return DigitsMLP()
    if fault := without_function(spec):
        raise ModelError(fault)
    near = difflib.get_close_matches(spec, _KNOWN, 1)
    guess = f"; did you mean {near[0]}?" if near else ""
    raise ModelError(f"no model {spec!r}{guess}; give {_UNDERSTOOD}")


def _kind(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__} itself and not an instance"
    return "None" if value is None else f"an object of type {type(value).__name__}"
