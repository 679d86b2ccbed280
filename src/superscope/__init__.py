"""superscope: an instrument for superposition, how a network stores more features than it has dimensions.

    import superscope as ss

    survey = ss.measure(model, loader, layers="layer*.conv*")   # a table, a figure, a report
    W = ss.toy.train(ss.toy.ToyConfig(n_features=20, n_hidden=5), density=[1.0, 0.1, 0.01]).W
    D = ss.measures.feature_dimensionality(W)

Folders and names are loaded when they are first asked for, so that ``import superscope`` is quick.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from superscope import activations as activations
    from superscope import atlas as atlas
    from superscope import data as data
    from superscope import dictionary as dictionary
    from superscope import featurevis as featurevis
    from superscope import measures as measures
    from superscope import models as models
    from superscope import plots as plots
    from superscope import recipes as recipes
    from superscope import report as report
    from superscope import survey as survey
    from superscope import toy as toy
    from superscope import training as training
    from superscope.atlas import Atlas as Atlas
    from superscope.atlas import resolve as resolve
    from superscope.core.errors import SuperscopeError as SuperscopeError
    from superscope.survey import Comparison as Comparison
    from superscope.survey import Survey as Survey
    from superscope.survey import compare as compare
    from superscope.survey import measure as measure

_FOLDERS = (
    "activations",
    "atlas",
    "data",
    "dictionary",
    "featurevis",
    "measures",
    "models",
    "plots",
    "recipes",
    "report",
    "survey",
    "toy",
    "training",
)
_NAMES = {
    "Atlas": "atlas",
    "Comparison": "survey",
    "SuperscopeError": "core.errors",
    "Survey": "survey",
    "compare": "survey",
    "measure": "survey",
    "resolve": "atlas",
}


def __getattr__(name: str) -> object:
    if name in _FOLDERS:
        return importlib.import_module(f"superscope.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"superscope.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'superscope' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_FOLDERS, *_NAMES])
