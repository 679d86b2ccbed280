"""From what a person names to a model that is ready to run."""

import difflib
from pathlib import Path

from torch import nn

from superscope.core.errors import ModelError
from superscope.core.user_code import call_function, is_user_code, load_function, without_function
from superscope.models.digits import DigitsMLP
from superscope.models.weights import check_finite, load_weights

_EMBEDDED = "digits-mlp"
_UNDERSTOOD = f"{_EMBEDDED}, or FILE.py:FUNCTION for a function of yours that returns an nn.Module"


def load_model(spec: str, weights: Path | None = None) -> nn.Module:
    """Return the model that ``spec`` names, in eval mode, its values finite.

    Args:
        spec: ``FILE.py:FUNCTION``, called without arguments; or ``digits-mlp``, which needs ``weights`` here.
        weights: a file for :func:`load_weights`.

    Raises:
        ModelError: when nothing matches ``spec``, its file or function fails, or the result is no module.
        WeightsError: as :func:`load_weights` and :func:`check_finite` do.
    """
    model = _build(spec, weights)
    if weights is not None:
        load_weights(model, weights)
    check_finite(model)
    return model.eval()


def _build(spec: str, weights: Path | None) -> nn.Module:
    if is_user_code(spec):
        model = call_function(load_function(spec, error=ModelError), spec, ModelError)
        if not isinstance(model, nn.Module):
            raise ModelError(f"{spec} returned {_kind(model)}; it has to return an nn.Module")
        return model
    if spec == _EMBEDDED:
        if weights is None:
            raise ModelError(f"{_EMBEDDED} has to be trained first; train it, or give a file of its weights")
        return DigitsMLP()
    if fault := without_function(spec):
        raise ModelError(fault)
    near = difflib.get_close_matches(spec, [_EMBEDDED], 1)
    guess = f"; did you mean {near[0]}?" if near else ""
    raise ModelError(f"no model {spec!r}{guess}; give {_UNDERSTOOD}")


def _kind(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__} itself and not an instance"
    return "None" if value is None else f"an object of type {type(value).__name__}"
