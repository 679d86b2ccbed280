"""How much of an image a place in a convolution's map sees."""

from typing import Any

import torch
from torch import Tensor, nn

from superscope.activations import first_tensor, select_layers
from superscope.activations.inputs import evaluating, forward
from superscope.core.errors import LayerError
from superscope.data import Batch

_ENERGY = 0.9
_FEW = 8


def receptive_field(model: nn.Module, layer: str, batch: Batch, device: torch.device) -> tuple[float, float]:
    """Return the height and width of what the middle place of a map sees, as shares of the image's.

    The effective field (Luo et al. 2016, arXiv 1701.04128): the smallest centred rectangle with the image's
    proportions that holds 90 % of the squared gradient of the map's middle place, summed over channels and a
    few images. (1, 1) for a layer that puts out no map, and where no gradient comes back.
    """
    images = batch.inputs
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
        return 1.0, 1.0
    name, module = next(iter(select_layers(model, layer).items()))
    images = images[:_FEW].to(device).requires_grad_()
    found: list[Tensor] = []

    def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:  # noqa: ARG001
        if (tensor := first_tensor(output)) is not None:
            found[:] = [tensor]

    handle = module.register_forward_hook(after)
    try:
        with evaluating(model, device), torch.enable_grad():
            forward(model, Batch(images), device)
            if not found or found[0].ndim != 4 or not found[0].requires_grad:
                return 1.0, 1.0
            height, width = found[0].shape[2:]
            middle = found[0][:, :, height // 2, width // 2].square().sum()
            (gradient,) = torch.autograd.grad(middle, images)
    except RuntimeError as error:
        raise LayerError(f"layer {name} lets no gradient through to the images: {error}") from error
    finally:
        handle.remove()
    energy = gradient.square().sum((0, 1)).double().cpu()
    if not float(energy.sum()) > 0:
        return 1.0, 1.0
    return _smallest(energy / energy.sum(), (height // 2 + 0.5) / height, (width // 2 + 0.5) / width)


def _smallest(energy: Tensor, y: float, x: float) -> tuple[float, float]:
    """Return the sides of the smallest rectangle around (y, x) that holds enough."""
    rows, columns = energy.shape
    down = ((torch.arange(rows) + 0.5) / rows - y).abs()[:, None]
    across = ((torch.arange(columns) + 0.5) / columns - x).abs()[None]
    reach = torch.maximum(down, across).flatten()  # of a rectangle that just holds the pixel
    order = reach.argsort()
    inside = energy.flatten()[order].cumsum(0)
    last = min(int((inside < _ENERGY).sum()), len(order) - 1)
    side = min(1.0, 2 * float(reach[order[last]]) + 1 / max(rows, columns))
    return side, side
