"""``hf:NAME``: encoders, decoders and vision models of transformers, with the head of the checkpoint."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from superscope.core.errors import ModelError
from superscope.models.hub import PREFIX, brief, hub_folder

if TYPE_CHECKING:
    from transformers import PretrainedConfig

Precision = Literal["float32", "stored"]

# The heads that are kept, by how the checkpoint's class is called; all others give the bare network.
_HEADS = (
    ("ForCausalLM", "AutoModelForCausalLM"),
    ("LMHeadModel", "AutoModelForCausalLM"),  # GPT-2's name for the same
    ("ForSequenceClassification", "AutoModelForSequenceClassification"),
    ("ForImageClassification", "AutoModelForImageClassification"),
)


def load_transformer(name: str, precision: Precision = "float32") -> nn.Module:
    """Return a model of the hub, or of a folder, as transformers' AutoModel family builds it.

    A causal decoder keeps its language head and a classifier its own, where ``architectures`` in the config
    say that the checkpoint has one; anything else comes without a head (``AutoModel``). No code of the
    checkpoint is run, and of two files with weights the safetensors one is read.

    Args:
        name: a folder, or ``OWNER/NAME`` on the hub.
        precision: ``float32``, or ``stored`` for the type that the config names.

    Raises:
        ModelError: when it cannot be had or built, or when the checkpoint leaves parameters without values,
            which would then be random.
    """
    folder = hub_folder(name)
    config = read_config(folder, name)
    with _blame(name):
        model, lacking = _build(folder, config, precision)
    if lacking:
        raise ModelError(
            f"{PREFIX}{name} has no values for {len(lacking)} tensors of {type(model).__name__} "
            f"({', '.join(lacking[:5])}{' ...' * (len(lacking) > 5)}), which would be random; give a "
            f"complete checkpoint, or build the model in a function of yours and give FILE.py:FUNCTION"
        )
    return model


def read_config(folder: Path, name: str) -> "PretrainedConfig":
    """Return the config in ``folder``, the model being called ``name`` in errors.

    Raises:
        ModelError: when transformers is not there, or cannot make sense of the config.
    """
    with _blame(name):
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def head_of(config: "PretrainedConfig") -> str:
    """Return the name of the Auto class that keeps the head of the checkpoint's own class."""
    own = next(iter(getattr(config, "architectures", None) or ()), "")
    return next((auto for ending, auto in _HEADS if own.endswith(ending)), "AutoModel")


def _build(folder: Path, config: "PretrainedConfig", precision: Precision) -> tuple[nn.Module, list[str]]:
    import transformers

    auto = getattr(transformers, head_of(config))

    def load(**more: object) -> tuple[nn.Module, list[str]]:
        model, found = auto.from_pretrained(
            folder,
            dtype=torch.float32 if precision == "float32" else "auto",
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **more,
        )
        return model, sorted(found["missing_keys"])

    model, lacking = load()
    if lacking and all(name.startswith("pooler.") for name in lacking):
        return load(add_pooling_layer=False)  # checkpoints of masked language models come without one
    return model, lacking


@contextlib.contextmanager
def _blame(name: str) -> Iterator[None]:
    """Keep transformers quiet, and turn what it raises into one line about the model ``name``."""
    try:
        with quiet():
            yield
    except ModelError:
        raise
    except ImportError as error:
        raise ModelError(
            f"{PREFIX}{name} needs the package transformers ({brief(error)}); pip install 'superscope[hf]'"
        ) from error
    except Exception as error:  # of anything: a damaged file, an unknown kind of model, a missing library
        raise ModelError(f"{PREFIX}{name}: transformers cannot load it: {brief(error, 300)}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' bars and notes on stderr: what matters in them is checked and raised."""
    from transformers.utils import logging

    logs: Any = logging
    verbosity, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(verbosity)
        if bars:
            logs.enable_progress_bar()
