"""What a module's weights say of its outputs: the matrix, and the most dimensions it can use."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

_WIDENS = 2
"""Outputs per input from which on the input's products are worth taking in the output's place."""


def weight_matrix(module: nn.Module) -> Float[Tensor, "unit input"] | None:
    """Return a module's weights as one matrix, a row for each unit, in float32 or float64; None without one.

    A convolution has a column for each input channel and place in the kernel. An embedding has a row for each
    entry of its vocabulary and a column for each unit. Quantised weights come back as the numbers that they
    stand for. Norms and other modules with a vector of weights have no matrix.
    """
    weight = getattr(module, "weight", None)
    if callable(weight):  # torch's quantised layers
        weight = weight()
    if not isinstance(weight, Tensor) or weight.ndim < 2:
        return None
    weight = weight.detach()
    weight = weight.dequantize() if weight.is_quantized else weight
    if not weight.is_floating_point():  # packed by a library of its own: not numbers to take ranks of
        return None
    if isinstance(module, _ConvTransposeNd) or type(module).__name__ == "Conv1D":  # the latter: transformers'
        weight = weight.transpose(0, 1)
    return weight.reshape(len(weight), -1).to(torch.promote_types(weight.dtype, torch.float32))


def rank_cap(module: nn.Module, width: int) -> int:
    """Return the most dimensions that a module's outputs can use, whatever comes in: at most ``width``.

    Less than the width where a linear map has fewer inputs than units: in_features, channels times places in
    the kernel (for each group of a grouped convolution), or the entries of an embedding. A bias adds no
    dimension once the mean is off.
    """
    matrix = weight_matrix(module)
    if matrix is None:
        return width
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return min(width, len(matrix))
    if isinstance(module, _ConvNd) and not isinstance(module, _ConvTransposeNd):
        groups = module.groups
        return groups * min(len(matrix) // groups, matrix.shape[1])
    return min(width, matrix.shape[1]) if len(matrix) == width else width


@dataclass(frozen=True)
class Widening:
    """A module that maps its input linearly, place by place, to at least twice as many units."""

    weight: Float[Tensor, "unit input"]
    bias: Float[Tensor, " unit"] | None
    stride: Sequence[int]
    """Along the axes of position of a convolution."""

    def source(self, inputs: Tensor) -> Tensor:
        """Return the inputs at the places of the outputs."""
        return inputs[(..., *(slice(None, None, step) for step in self.stride))] if self.stride else inputs


def widening(module: nn.Module) -> Widening | None:
    """Return a linear layer or convolution of single places as the map that it is; None where it is none.

    Only PyTorch's own float32 layers that widen at least twofold count, and none that a hook may change.
    """
    linear = type(module) is nn.Linear
    pointwise = type(module) in (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    if not (linear or pointwise) or module._forward_hooks or module._forward_pre_hooks:  # noqa: SLF001
        return None
    assert isinstance(module, nn.Linear | _ConvNd)
    if isinstance(module, _ConvNd) and (
        any(size != 1 for size in module.kernel_size)
        or module.groups != 1
        or any(module.padding if isinstance(module.padding, tuple) else (module.padding != "valid",))
    ):
        return None
    weight = module.weight.detach()
    matrix = weight.reshape(len(weight), -1)
    if weight.dtype != torch.float32 or len(matrix) < _WIDENS * matrix.shape[1]:
        return None
    bias = None if module.bias is None else module.bias.detach()
    return Widening(matrix, bias, () if isinstance(module, nn.Linear) else tuple(module.stride))
