"""The architectures by name."""

import torch

from superscope.dictionary.batchtopk import BatchTopK
from superscope.dictionary.config import Architecture, DictionaryConfig, checked_config
from superscope.dictionary.dictionary import Dictionary
from superscope.dictionary.gated import Gated
from superscope.dictionary.jumprelu import JumpReLU
from superscope.dictionary.matryoshka import Matryoshka
from superscope.dictionary.standard import Standard
from superscope.dictionary.topk import TopK

ARCHITECTURES: dict[Architecture, type[Dictionary]] = {
    "standard": Standard,
    "gated": Gated,
    "jumprelu": JumpReLU,
    "topk": TopK,
    "batchtopk": BatchTopK,
    "matryoshka": Matryoshka,
}


def make_dictionary(
    config: DictionaryConfig,
    width: int,
    output_width: int | None = None,
    generator: torch.Generator | None = None,
) -> Dictionary:
    """Return an untrained dictionary.

    Args:
        config: its architecture and sizes.
        width: entries of an input.
        output_width: entries of the target, for a transcoder; the input's where None.
        generator: of the random start.

    Raises:
        ConfigError: with every fault of the config.

    >>> make_dictionary(DictionaryConfig(n_latents=8, k=2), width=4).W_enc.shape
    torch.Size([4, 8])
    """
    config = checked_config(config)
    return ARCHITECTURES[config.architecture](config, width, output_width, generator)
