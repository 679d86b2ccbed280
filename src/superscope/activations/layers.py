"""Which modules a pattern means, and which axis of an output counts its units."""

import difflib
import fnmatch
from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _MaxPoolNd

from superscope.activations.transformers import INPUT, transformer_layers
from superscope.core.errors import LayerError

# They hand on what another module made: a row of their own would be that module's row again.
_REPEATS = (
    nn.Sequential,
    nn.ModuleList,
    nn.ModuleDict,
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.Flatten,
)
EVERYTHING = "*"
RESCALES = _NormBase
"""Batch and instance norm: in eval mode they rescale each unit of the layer before."""
_CHANNELS_FIRST = (
    _ConvNd,
    _NormBase,
    nn.GroupNorm,
    _MaxPoolNd,
    _AvgPoolNd,
    _AdaptiveAvgPoolNd,
    _AdaptiveMaxPoolNd,
)
_UNITS_LAST = (nn.Linear, nn.Bilinear, nn.Embedding, nn.LayerNorm, nn.RMSNorm, nn.MultiheadAttention)
WHOLE_MODEL = "(model)"


def select_layers(model: nn.Module, pattern: str | Sequence[str] = EVERYTHING) -> dict[str, nn.Module]:
    """Return the modules of ``model`` whose full name matches ``pattern``, in the model's order.

    A pattern is a shell glob over names as ``named_modules`` gives them (``*`` also spans dots), several
    separated by commas or given as a sequence. ``NAME:input`` means what goes into a module, in place of what
    comes out. Modules that only hand on another's output (containers, ``Identity``, dropout, ``Flatten``) are
    passed over unless named without a wildcard. A model without submodules is its own layer, ``(model)``.

    ``*`` alone is the default and means the layers worth looking at: of a transformer those of
    :func:`superscope.activations.transformer_layers`; of other networks all but batch norms, which in eval
    mode only rescale the units of the layer before (``*,*bn*`` has them too). ``**`` is every module.

    Raises:
        LayerError: when a pattern matches nothing; it suggests the nearest names.
    """
    patterns = pattern.split(",") if isinstance(pattern, str) else list(pattern) or [""]
    modules = {name: module for name, module in model.named_modules() if name} or {WHOLE_MODEL: model}
    found: dict[str, nn.Module] = {}
    for glob in (part.strip() for part in patterns):
        matches = _default(model, modules) if glob == EVERYTHING else _matching(modules, glob)
        if not matches:
            raise LayerError(f"no layer matches {glob!r}; {_suggestion(glob, list(modules))}")
        found |= matches
    if len(patterns) == 1:
        return found
    order = {name: place for place, name in enumerate(modules)}
    return dict(sorted(found.items(), key=lambda item: order[item[0].removesuffix(INPUT)]))


def _matching(modules: Mapping[str, nn.Module], glob: str) -> dict[str, nn.Module]:
    plain = glob.removesuffix(INPUT)
    return {
        name + glob[len(plain) :]: module
        for name, module in modules.items()
        if name == plain or (fnmatch.fnmatchcase(name, plain) and not isinstance(module, _REPEATS))
    }


def _default(model: nn.Module, modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    if names := transformer_layers(model):
        return {name: modules[name.removesuffix(INPUT)] for name in names}
    return {name: each for name, each in modules.items() if not isinstance(each, (*_REPEATS, RESCALES))}


def _suggestion(glob: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(glob, names, n=3, cutoff=0.5)
    if not near:
        plain = glob.strip("*?").casefold()
        near = [name for name in names if plain and plain in name.casefold()][
            :3
        ] or difflib.get_close_matches(plain, names, n=1, cutoff=0)
    few = ", ".join(names[:6]) + (f", ... ({len(names)} in all)" if len(names) > 6 else "")
    return (f"did you mean {' or '.join(near)}? " if near else "") + f"The model's layers are {few}"


def first_tensor(output: object) -> Tensor | None:
    """Return the output itself, or the first floating tensor of a tuple, list or mapping; else None."""
    if isinstance(output, Tensor):
        return output if output.is_floating_point() and output.ndim > 0 else None
    parts = (
        output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else ()
    )
    return next((found for part in parts if (found := first_tensor(part)) is not None), None)


def unit_axis(module: nn.Module, output: Tensor) -> int:
    """Return the axis of ``output`` that counts its units.

    Channels (axis 1) for convolution, batch and group norm and pooling, the last axis for linear, embedding,
    layer norm and attention; for any other module, axis 1 of four or five axes (a map of channels) and the
    last of fewer.
    """
    if output.ndim <= 2 or isinstance(module, _UNITS_LAST):
        return -1
    return 1 if isinstance(module, _CHANNELS_FIRST) or output.ndim >= 4 else -1
