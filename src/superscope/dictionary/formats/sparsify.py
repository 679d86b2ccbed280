"""sparsify's layout: ``cfg.json`` and ``sae.safetensors`` (EleutherAI; read as of version 1.3.3)."""

from pathlib import Path

from superscope.core.errors import WeightsError
from superscope.dictionary.dictionary import Dictionary
from superscope.dictionary.formats.canonical import Parts, config_for
from superscope.dictionary.formats.files import CONFIG, Weights, read_config, read_weights, size

WEIGHTS = "sae.safetensors"


def read_sparsify(folder: Path) -> Dictionary:
    """Read a TopK autoencoder or transcoder that sparsify wrote; see :func:`read_dictionary`.

    ``multi_topk`` is of its training alone. An autoencoder reads x − b_dec, a transcoder x.

    Raises:
        WeightsError: when a file is missing or damaged, the shapes do not fit the config, or the autoencoder
            does something that a dictionary cannot do.
    """
    path = folder / CONFIG
    config = read_config(path)
    for field, what in (
        ("skip_connection", "a linear path beside its latents"),
        ("signed", "latents that are kept by their magnitude, negative ones too"),
    ):
        if config.get(field):
            raise WeightsError(
                f"{path}: {field} is set: it has {what}, which superscope's dictionaries have not"
            )
    if (activation := config.get("activation", "topk")) != "topk":
        raise WeightsError(f"{path}: its activation is {activation!r}; superscope reads sparsify's topk")
    width, k = size(config, path, "d_in"), size(config, path, "k")
    latents = config.get("num_latents") or width * size(config, path, "expansion_factor")
    sizes = {"width": width, "latent": size({"num_latents": latents}, path, "num_latents")}
    weights = Weights(folder / WEIGHTS, read_weights(folder / WEIGHTS), sizes)
    parts = Parts(
        W_enc=weights.take("encoder.weight", "latent", "width").T,
        b_enc=weights.take("encoder.bias", "latent"),
        W_dec=weights.take("W_dec", "latent", "width"),
        b_dec=weights.take("b_dec", "width"),
    )
    weights.finish()
    if not config.get("transcode", False):
        parts = parts.without_input_bias()
    return parts.dictionary(config_for("topk", sizes["latent"], k, str(path)))
