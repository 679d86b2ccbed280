"""Data as the model that is named wants it: its tokenizer, its scale and size of images; and its pass."""

import contextlib
import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from superscope.core.errors import DataError, ModelError, SuperscopeError
from superscope.data import Batch, Normalization, load_data
from superscope.data.named import Normalize
from superscope.data.samples import Inputs
from superscope.models import Preparation, load_preparation

_KNOWS_ITS_SCALE = ("hf:", "timm:", "torchvision:")
_RESIZED = ("images:", "hf:")
_IMAGES = ("digits", "mnist", "cifar10", "cifar100", "images")


def load_inputs(
    data: str,
    model: str | None = None,
    *,
    normalize: Normalize = "auto",
    image_size: int | None = None,
    max_length: int | None = None,
    text_column: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
) -> object:
    """Return the data that ``data`` names, prepared for the model that ``model`` names.

    What the arguments leave open (``auto``, None) is the model's to say, where it does: the tokenizer and the
    longest text, the size of images, and, for models of a hub, their mean and deviation.

    Raises:
        DataError: as :func:`superscope.data.load_data` does, and for images where the model reads text.
        ModelError: as :func:`superscope.models.load_preparation` does.
    """
    wanted = Preparation() if model is None else load_preparation(model)
    reads_text = wanted.tokenizer is not None and wanted.mean is None and wanted.image_size is None
    if reads_text and data.partition(":")[0] in _IMAGES:
        raise DataError(f"{model} reads text, and {data} is a set of images; give text:FILE or hf:DATASET")
    scale: Normalize | Normalization = normalize
    knows = model is not None and model.startswith(_KNOWS_ITS_SCALE)
    if normalize == "auto" and knows and wanted.mean is not None and wanted.std is not None:
        scale = Normalization(wanted.mean, wanted.std)
    if image_size is None and data.startswith(_RESIZED):
        image_size = wanted.image_size
    return load_data(
        data,
        normalize=scale,
        image_size=image_size,
        tokenizer=wanted.tokenizer,
        max_length=wanted.max_length if max_length is None else max_length,
        text_column=text_column,
        image_column=image_column,
        label_column=label_column,
    )


def called(data: object) -> str:
    """Return what data that was not named is called: its own name, or its type's."""
    name = getattr(data, "name", None)  # a tensor has one too: None
    return name if isinstance(name, str) else type(data).__name__


def placed(network: nn.Module, inputs: Inputs, device: torch.device) -> Inputs:
    """Return inputs on ``device``, floating ones in the type of the network's parameters."""
    kind = next((value.dtype for value in network.parameters() if value.is_floating_point()), None)

    def moved(value: Tensor) -> Tensor:
        return value.to(device, kind if value.is_floating_point() else None)

    return (
        moved(inputs) if isinstance(inputs, Tensor) else {key: moved(value) for key, value in inputs.items()}
    )


@contextlib.contextmanager
def evaluating(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Have ``model`` on ``device`` in eval mode, then every module in its own mode and where it was."""
    modes = {module: module.training for module in model.modules()}
    home = next((tensor.device for tensor in itertools.chain(model.parameters(), model.buffers())), device)
    if home != device:
        model.to(device)
    model.eval()
    try:
        yield
    finally:
        if home != device:
            model.to(home)
        for module, mode in modes.items():
            module.training = mode


def forward(
    model: nn.Module, batch: Batch, device: torch.device, busy: Callable[[], bool] = lambda: False
) -> object:
    """Return what ``model`` puts out for a batch.

    Args:
        model: takes the batch's inputs, a mapping as keyword arguments.
        batch: from anywhere; its inputs are moved and cast as :func:`placed` says.
        device: where the model is.
        busy: whether a hook of ours is at work, so that what is raised is not the model's fault.

    Raises:
        ModelError: when the model cannot take the batch.
    """
    inputs = batch.inputs
    try:
        given = placed(model, inputs, device)
        return model(given) if isinstance(given, Tensor) else model(**given)
    except Exception as error:  # the model is a person's own and can raise anything
        if busy() or isinstance(error, SuperscopeError):
            raise
        tensors = {"": inputs} if isinstance(inputs, Tensor) else inputs
        shapes = ", ".join(f"{name} {list(value.shape)}".strip() for name, value in tensors.items())
        reason = refusal(model, inputs, error)
        raise ModelError(
            f"the model cannot take a batch of shape {shapes}: {reason}; give it data that it was made for"
        ) from error


def refusal(network: nn.Module, inputs: Inputs, error: Exception) -> str:
    """Return in a line why a network cannot take inputs, from what it raised."""
    needs_both = getattr(getattr(network, "config", None), "is_encoder_decoder", False)
    if needs_both and (isinstance(inputs, Tensor) or "decoder_input_ids" not in inputs):
        return (
            "it is an encoder with a decoder, which also wants decoder_input_ids; take FILE.py:FUNCTION with "
            "a function that returns model.get_encoder(), or one for batches that have them"
        )
    cause = error.__cause__ or error
    return next(iter(str(cause).strip().splitlines()), type(cause).__name__)
