"""``timm:NAME`` and ``torchvision:NAME``: models of other libraries, where those can be imported."""

import difflib
import importlib
from collections.abc import Sequence
from types import ModuleType

from torch import nn

from superscope.core.errors import ModelError
from superscope.models.hub import brief

VENDORS = ("timm", "torchvision")


def load_vendor(vendor: str, name: str, *, pretrained: bool = True) -> nn.Module:
    """Return the model ``name`` of timm or torchvision, with the library's own weights where ``pretrained``.

    Raises:
        ModelError: when the library cannot be imported, has no such model, or cannot fetch its weights.
    """
    library = import_vendor(vendor, f"{vendor}:{name}")
    known: Sequence[str] = library.list_models() if vendor == "timm" else library.models.list_models()
    if name.partition(".")[0] not in known:  # timm names weights behind a dot
        near = difflib.get_close_matches(name, known, 3)
        guess = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ModelError(f"{vendor} has no model {name!r}{guess}")
    try:
        if vendor == "timm":
            return library.create_model(name, pretrained=pretrained)
        return library.models.get_model(name, weights="DEFAULT" if pretrained else None)
    except Exception as error:  # no network, no such weights, a damaged file
        raise ModelError(
            f"{vendor}:{name} cannot be built: {brief(error)}; where its weights cannot be fetched, give "
            f"them with --weights FILE"
        ) from error


def vendor_scale(vendor: str, name: str) -> tuple[tuple[float, ...], tuple[float, ...], int]:
    """Return mean, deviation and size of the images that the library's own weights of ``name`` were made for.

    Raises:
        ModelError: when the library cannot be imported, or says nothing about ``name``.
    """
    library = import_vendor(vendor, f"{vendor}:{name}")
    try:
        if vendor == "timm":
            made = library.get_pretrained_cfg(name)
            return tuple(made.mean), tuple(made.std), int(made.input_size[-1])
        made = library.models.get_model_weights(name).DEFAULT.transforms()
        return tuple(made.mean), tuple(made.std), int(made.crop_size[0])
    except Exception as error:  # the libraries differ in what they raise for a name they lack
        raise ModelError(f"{vendor} does not say what images {name!r} takes: {brief(error)}") from error


def import_vendor(vendor: str, spec: str) -> ModuleType:
    """Import ``timm`` or ``torchvision`` for the model ``spec``.

    Raises:
        ModelError: with the reason that the import gave; a torchvision built for another torch raises more
            than ``ImportError``.
    """
    try:
        return importlib.import_module(vendor)
    except Exception as error:
        raise ModelError(
            f"{spec} needs the package {vendor}, which cannot be imported here ({brief(error)}); install "
            f"one made for this torch, or build the model in a function of yours and give FILE.py:FUNCTION"
        ) from error
