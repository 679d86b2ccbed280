"""SAELens' layout: ``cfg.json`` and ``sae_weights.safetensors``.

Written as SAELens 6.54 writes its inference autoencoders. Read: those, its training checkpoints, and the
configs from before its version 6.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from superscope.core.artifacts import write_json, write_tensors
from superscope.core.config import from_json, to_json
from superscope.core.errors import ConfigError, InputError, WeightsError
from superscope.dictionary.batchtopk import BatchCounted
from superscope.dictionary.config import Architecture, DictionaryConfig
from superscope.dictionary.dictionary import Dictionary
from superscope.dictionary.formats.canonical import Parts, config_for
from superscope.dictionary.formats.files import CONFIG, Weights, read_config, read_weights, size
from superscope.dictionary.gated import Gated
from superscope.dictionary.jumprelu import JumpReLU

WEIGHTS = "sae_weights.safetensors"
VERSION = "6.54.12"
"""The version whose layout is written; SAELens rewrites configs from before 6 when it reads them."""

_OWN = "superscope"
_TRANSCODER = "transcoder"
_ARCHITECTURES: dict[str, Architecture] = {
    "standard": "standard",
    "gated": "gated",
    "jumprelu": "jumprelu",
    "topk": "topk",
    "batchtopk": "batchtopk",
    "matryoshka_batchtopk": "matryoshka",
    "transcoder": "standard",
    "jumprelu_transcoder": "jumprelu",
    "topk_transcoder": "topk",
    "gated_transcoder": "gated",
}
"""SAELens' names; it has no transcoder that is topk or gated, so those two are superscope's own."""


def write_saelens(
    dictionary: Dictionary, folder: Path | str, metadata: Mapping[str, Any] | None = None
) -> Path:
    """Write a dictionary so that SAELens opens it, and return the folder.

    BatchTopK and Matryoshka are written as SAELens does, as JumpReLU with one threshold for all latents.
    Where the output is as wide as the input, a transcoder looks like an autoencoder, which computes the same.
    A topk or gated transcoder to another width is written in the same layout, but SAELens has no class for
    it. superscope's config goes into the metadata, which SAELens keeps and does not look at.

    Args:
        dictionary: what is written.
        folder: made where it is not there; of its other files none is touched.
        metadata: what else the metadata should hold; SAELens asks there for ``model_name`` and ``hook_name``,
            and for ``prepend_bos`` and ``context_size``.

    Raises:
        InputError: when the metadata are no JSON.
        ArtifactError: when a file cannot be written.
    """
    folder = Path(folder)
    kind, state = _inference_form(dictionary)
    if dictionary.output_width != dictionary.width:
        kind = _TRANSCODER if kind == "standard" else f"{kind}_{_TRANSCODER}"
    config: dict[str, Any] = {
        "d_in": dictionary.width,
        "d_sae": dictionary.n_latents,
        "dtype": str(dictionary.W_dec.dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": VERSION,
            "sae_lens_training_version": None,
            **({} if metadata is None else metadata),
            _OWN: {"config": json.loads(to_json(dictionary.config))},
        },
        "architecture": kind,
    }
    if kind.startswith("topk"):
        config |= {"k": dictionary.config.k, "rescale_acts_by_decoder_norm": False}
    if kind.endswith(_TRANSCODER):
        config["d_out"] = dictionary.output_width
    try:
        json.dumps(config)
    except (TypeError, ValueError) as error:
        raise InputError(f"the metadata cannot be written as JSON: {error}") from error
    write_tensors(folder / WEIGHTS, state)
    write_json(folder / CONFIG, config)
    return folder


@torch.no_grad()
def _inference_form(dictionary: Dictionary) -> tuple[str, dict[str, Tensor]]:
    """Return SAELens' name for what a dictionary computes, and its tensors by SAELens' names."""
    state: dict[str, Tensor] = {
        "W_enc": dictionary.W_enc,
        "b_enc": dictionary.b_enc,
        "W_dec": dictionary.W_dec,
        "b_dec": dictionary.b_dec,
    }
    if isinstance(dictionary, Gated):
        state["b_gate"] = state.pop("b_enc")
        return "gated", state | {"r_mag": dictionary.r_mag, "b_mag": dictionary.b_mag}
    if isinstance(dictionary, JumpReLU):
        return "jumprelu", state | {"threshold": dictionary.thresholds}
    if isinstance(dictionary, BatchCounted):
        return "jumprelu", state | {"threshold": dictionary.threshold.expand_as(dictionary.b_enc)}
    return dictionary.config.architecture, state


def read_saelens(folder: Path) -> Dictionary:
    """Read a dictionary that SAELens or :func:`write_saelens` wrote; see :func:`read_dictionary`.

    Raises:
        WeightsError: when a file is missing or damaged, the shapes do not fit the config, or the autoencoder
            does something that a dictionary cannot do.
    """
    path = folder / CONFIG
    config = read_config(path)
    kind, k = _kind(config, path)
    _refuse_what_is_not_affine(config, path)
    width = size(config, path, "d_in")
    transcoder = kind.endswith(_TRANSCODER)
    sizes = {
        "width": width,
        "latent": size(config, path, "d_sae"),
        "output": size(config, path, "d_out") if transcoder else width,
    }
    weights = Weights(folder / WEIGHTS, read_weights(folder / WEIGHTS), sizes)
    architecture = _ARCHITECTURES[kind]
    parts = _parts(architecture, weights)
    weights.finish()
    if config.get("apply_b_dec_to_input", True) and not transcoder:
        parts = parts.without_input_bias()
    if config.get("rescale_acts_by_decoder_norm", False):
        parts = parts.with_unit_rows()
    own = _own_config(config, architecture, sizes["latent"], parts)
    if own is None:
        return parts.dictionary(config_for(architecture, sizes["latent"], k, str(path)))
    if own.architecture != architecture:  # one threshold, written once for each latent
        assert parts.threshold is not None
        parts = Parts(parts.W_enc, parts.b_enc, parts.W_dec, parts.b_dec, parts.threshold[0])
    return parts.dictionary(own)


def _kind(config: Mapping[str, Any], path: Path) -> tuple[str, int | None]:
    """Return SAELens' name of the architecture, and k or else the L0 that it noted, if it did."""
    kind = config.get("architecture", "standard")
    activation = config.get("activation_fn", config.get("activation_fn_str", "relu"))
    options = config.get("activation_fn_kwargs") or {}
    if activation == "topk":  # before version 6
        kind, config = "topk", {"k": options.get("k"), **config}
    elif activation != "relu":
        raise WeightsError(f"{path}: its activation function is {activation!r}; superscope has relu and topk")
    if kind not in _ARCHITECTURES:
        known = ", ".join(_ARCHITECTURES)
        raise WeightsError(f"{path}: its architecture is {kind!r}; superscope reads {known}")
    if "topk" in kind:
        rounded = config if kind.startswith("topk") else _rounded(config)
        return kind, size(rounded, path, "k")
    return kind, _noted_l0(_metadata(config))


def _noted_l0(metadata: Mapping[str, Any]) -> int | None:
    """Return the L0 at the end of training, or else the k of a BatchTopK that was saved as JumpReLU."""
    details = metadata.get("training_architecture_details")
    for noted in (metadata.get("l0"), details.get("k") if isinstance(details, Mapping) else None):
        if isinstance(noted, int | float) and 0 < noted < math.inf:
            return max(1, round(noted))
    return None


def _rounded(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with a whole k: a mean over a batch may be any number."""
    k = config.get("k")
    return {**config, "k": max(1, round(k)) if isinstance(k, float) and k > 0 else k}


def _metadata(config: Mapping[str, Any]) -> Mapping[str, Any]:
    found = config.get("metadata")
    return found if isinstance(found, Mapping) else {}


def _refuse_what_is_not_affine(config: Mapping[str, Any], path: Path) -> None:
    scaling = config.get("normalize_activations", "none")
    if scaling in ("expected_average_only_in", "covariance_whitening", True):
        raise WeightsError(
            f"{path}: normalize_activations is {scaling!r}, and what inputs are multiplied with is not "
            "in the folder; in SAELens, fold it (fold_activation_norm_scaling_factor) and save again"
        )
    if scaling not in ("none", None, False):
        raise WeightsError(
            f"{path}: normalize_activations is {scaling!r}, which is another map for every sample; "
            "superscope's dictionaries take activations as they come"
        )
    if config.get("finetuning_scaling_factor"):
        raise WeightsError(
            f"{path}: finetuning_scaling_factor is set: its codes are scaled once more before they are "
            "decoded, which superscope does not read"
        )


def _parts(architecture: Architecture, weights: Weights) -> Parts:
    if weights.has("scaling_factor") and bool((weights.take("scaling_factor", "latent") != 1).any()):
        raise WeightsError(
            f"{weights.path}: its scaling_factor scales codes once more; superscope does not read it"
        )
    shared = {
        "W_enc": weights.take("W_enc", "width", "latent"),
        "W_dec": weights.take("W_dec", "latent", "output"),
        "b_dec": weights.take("b_dec", "output"),
        "b_enc": weights.take("b_gate" if architecture == "gated" else "b_enc", "latent"),
    }
    match architecture:
        case "gated":
            return Parts(
                **shared, r_mag=weights.take("r_mag", "latent"), b_mag=weights.take("b_mag", "latent")
            )
        case "jumprelu" if weights.has("log_threshold"):
            return Parts(**shared, threshold=weights.take("log_threshold", "latent").exp())
        case "jumprelu":
            return Parts(**shared, threshold=weights.take("threshold", "latent"))
        case "batchtopk" | "matryoshka":
            return Parts(**shared, threshold=weights.take("topk_threshold"))
        case _:
            return Parts(**shared)


def _own_config(
    config: Mapping[str, Any], architecture: Architecture, n_latents: int, parts: Parts
) -> DictionaryConfig | None:
    """Return the config that superscope wrote, where the weights are still what it describes."""
    noted = _metadata(config).get(_OWN)
    if not isinstance(noted, Mapping) or "config" not in noted:
        return None
    try:
        own = from_json(DictionaryConfig, json.dumps(noted["config"]))
    except ConfigError:  # of another version of superscope: the weights say all that is needed
        return None
    if own.n_latents != n_latents:
        return None
    if own.architecture in ("batchtopk", "matryoshka") and architecture == "jumprelu":
        assert parts.threshold is not None
        return own if bool((parts.threshold == parts.threshold[0]).all()) else None
    return own if own.architecture == architecture else None
