"""Weights as other libraries mean them, carried over into the form that superscope's dictionaries have.

There x W_enc + b_enc has no bias of the decoder taken off x, and f stands for itself. Both are affine, so
nothing is lost: the sums are done in float64 and rounded to float32 once.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from superscope.core.errors import WeightsError
from superscope.dictionary.architectures import make_dictionary
from superscope.dictionary.config import Architecture, DictionaryConfig
from superscope.dictionary.dictionary import Dictionary


@dataclass(frozen=True)
class Parts:
    """A dictionary's weights in float64; those that an architecture does not have are None."""

    W_enc: Tensor
    """[width, latent]"""
    b_enc: Tensor
    """[latent]; of the gate where there is one."""
    W_dec: Tensor
    """[latent, output]"""
    b_dec: Tensor
    """[output]"""
    threshold: Tensor | None = None
    """[latent] (jumprelu) or a single number (batchtopk, matryoshka)."""
    r_mag: Tensor | None = None
    b_mag: Tensor | None = None
    """Both [latent] (gated)."""

    def without_input_bias(self) -> "Parts":
        """Return what reads x where these weights read x − b_dec: b_enc − b_dec W_enc instead of b_enc."""
        shift = self.b_dec @ self.W_enc
        b_mag = self.b_mag
        if b_mag is not None:
            assert self.r_mag is not None
            b_mag = b_mag - shift * self.r_mag.exp()
        return replace(self, b_enc=self.b_enc - shift, b_mag=b_mag)

    def with_unit_rows(self) -> "Parts":
        """Return weights whose codes carry the norms of the decoder's rows, which are 1 instead."""
        norms = torch.linalg.vector_norm(self.W_dec, dim=1).clamp(min=1e-12)
        return replace(
            self, W_enc=self.W_enc * norms, b_enc=self.b_enc * norms, W_dec=self.W_dec / norms[:, None]
        )

    def dictionary(self, config: DictionaryConfig) -> Dictionary:
        """Return the dictionary of a config with these weights."""
        made = make_dictionary(config, self.W_enc.shape[0], self.W_dec.shape[1])
        state = {
            "encoder": self.W_enc.T, "b_enc": self.b_enc, "W_dec": self.W_dec, "b_dec": self.b_dec,
            "r_mag": self.r_mag, "b_mag": self.b_mag,
        }  # fmt: skip
        if self.threshold is not None:
            if config.architecture == "jumprelu":  # relu cuts below 0 whatever the threshold
                state["log_thresholds"] = self.threshold.clamp(min=0).log()
            else:
                state["threshold"] = self.threshold
        made.load_state_dict({name: value.float() for name, value in state.items() if value is not None})
        return made.eval()


def config_for(architecture: Architecture, n_latents: int, k: int | None, where: str) -> DictionaryConfig:
    """Return a config for a dictionary that another library trained; k is a note where it does not decide.

    Raises:
        WeightsError: when k is more than the latents.
    """
    if k is not None and k > n_latents:
        raise WeightsError(f"{where}: k is {k}, and there are {n_latents} latents")
    return DictionaryConfig(architecture, n_latents, min(32, n_latents) if k is None else k)
