"""Packages imported without their ``__init__``."""

import importlib.util
import sys
from types import ModuleType


def bare(name: str) -> None:
    """Let ``name.module`` be imported without running ``name/__init__.py``.

    overcomplete's imports torchvision, timm and OpenCV for its vision models and pictures,
    dictionary_learning's imports nnsight for its buffer of language models' activations. Neither their
    autoencoders nor their trainers use any of it.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"{name} is not installed here; `make bench` makes its environment")
    package = ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    sys.modules[name] = package
