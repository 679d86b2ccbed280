"""A dictionary: what every architecture shares."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from superscope.core import InputError
from superscope.dictionary.config import DictionaryConfig
from superscope.dictionary.history import History
from superscope.dictionary.sparse.engine import Codes, Engine, Fit


@dataclass(frozen=True)
class Conditions:
    """What a training step is told by its schedules and its state."""

    k: float
    """L0 that is aimed at."""
    sparsity: float = 0.0
    """The weight of the penalty."""
    dead: Bool[Tensor, " latent"] | None = None
    """Latents that count as dead; None where there are none, or where they are left alone."""
    auxiliary: float = 0.0
    """The weight of their loss."""


@dataclass(frozen=True)
class Losses:
    """What a step lost, and what fired in it."""

    total: Tensor
    """What is minimized."""
    reconstruction: Tensor
    """Mean squared error of an entry of the target."""
    l0: Tensor
    """Mean number of active latents."""
    fired: Bool[Tensor, " latent"]
    """Latents that were active at least once, and not but faintly."""


def faint(f: Tensor) -> Tensor:
    """Return below what a code does not count as a firing when dead latents are told: a tenth of the mean.

    Where a sample has fewer features than k, TopK fills up with latents that hardly fire; one that does
    nothing else is of no use and is given another chance, as if it were silent.
    """
    return 0.1 * f.sum() / (f > 0).sum().clamp(min=1)


class Dictionary(nn.Module, ABC):
    """Sparse codes f = encode(x) and their reconstruction x̂ = f W_dec + b_dec.

    Every architecture starts from the pre-activations x W_enc + b_enc. The bias of the decoder is not taken
    off the input: where a published architecture does so, it is folded into ``b_enc``.

    Args:
        config: the architecture and its sizes.
        width: entries of an input.
        output_width: entries of what is reconstructed; the input's where None. Another layer's for a
            transcoder.
        generator: of the start: unit decoder rows in random directions, the encoder their transpose.
    """

    history: History | None = None
    """How the training went, where it was trained in this process."""

    def __init__(
        self,
        config: DictionaryConfig,
        width: int,
        output_width: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.width = width
        self.output_width = width if output_width is None else output_width
        rows = nn.functional.normalize(torch.randn(config.n_latents, self.output_width, generator=generator))
        tied = (
            rows
            if self.output_width == width
            else nn.functional.normalize(torch.randn(config.n_latents, width, generator=generator))
        )
        self.W_dec = nn.Parameter(rows)
        self.encoder = nn.Parameter(tied.clone())
        """[latent, width], the transpose of ``W_enc``: a latent's weights lie together."""
        self.b_enc = nn.Parameter(torch.zeros(config.n_latents))
        self.b_dec = nn.Parameter(torch.zeros(self.output_width))

    @property
    def n_latents(self) -> int:
        """How many latents there are."""
        return self.W_dec.shape[0]

    @property
    def W_enc(self) -> Float[Tensor, "width latent"]:  # noqa: N802 (the field's name)
        """The encoder's weights; column i reads latent i."""
        return self.encoder.T

    def preactivations(self, x: Float[Tensor, "*sample width"]) -> Float[Tensor, "*sample latent"]:
        """Return x W_enc + b_enc.

        Raises:
            InputError: when x is not as wide as the dictionary's input.
        """
        if x.shape[-1] != self.width:
            raise InputError(f"this dictionary reads activations of width {self.width}, got {x.shape[-1]}")
        return nn.functional.linear(x, self.encoder, self.b_enc)

    @abstractmethod
    def encode(self, x: Float[Tensor, "*sample width"]) -> Float[Tensor, "*sample latent"]:
        """Return the codes of x: never negative, mostly 0."""

    def decode(self, f: Float[Tensor, "*sample latent"]) -> Float[Tensor, "*sample output"]:
        """Return f W_dec + b_dec."""
        return f @ self.W_dec + self.b_dec

    def forward(self, x: Float[Tensor, "*sample width"]) -> Float[Tensor, "*sample output"]:
        """Return the reconstruction of x."""
        return self.decode(self.encode(x))

    def save(self, folder: Path) -> Path:
        """Write the dictionary in SAELens' layout and return the folder; ``read_dictionary`` reads it back.

        Raises:
            ArtifactError: when the folder cannot be written to.
        """
        from superscope.dictionary.formats import write_saelens  # it knows every architecture

        return write_saelens(self, folder)

    @abstractmethod
    def losses(self, x: Tensor, y: Tensor, at: Conditions) -> Losses:
        """Return what a step on inputs x [sample, width] and targets y loses, to be differentiated.

        The plain reference of :meth:`gradients`.
        """

    @abstractmethod
    def gradients(self, engine: Engine, x: Tensor, y: Tensor, at: Conditions) -> Losses:
        """Put the gradients of :meth:`losses` into the parameters' ``grad`` and return what it returns."""

    def rescale_(self, factor: float, shift: Float[Tensor, " latent"]) -> None:
        """Multiply every code by ``factor``; the caller multiplies the encoder and shifts the input.

        Args:
            factor: of the codes.
            shift: what the shift of the input adds to x W_enc, in the new scale.
        """
        self.b_enc.mul_(factor).sub_(shift)

    def _set_gradients(
        self,
        codes: Codes,
        values: Tensor,
        pre_gradients: Tensor,
        x: Tensor,
        fit: Fit,
        sizes: tuple[int, ...] | None = None,
    ) -> None:
        """Carry the gradients of the pre-activations and of the decoded values to the four parameters."""
        self.W_dec.grad = codes.latent_sums(values, fit.pull, sizes)
        self.encoder.grad = codes.latent_sums(pre_gradients, x[None])
        self.b_enc.grad = codes.sums(pre_gradients)
        self.b_dec.grad = fit.pull[0].sum(0)
