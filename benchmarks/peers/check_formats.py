"""SAELens and sparsify themselves, as checks on the files of dictionaries. Runs in the peers' environment.

    python -m benchmarks.peers.check_formats write FOLDER    autoencoders as they save them, small and random
    python -m benchmarks.peers.check_formats read FOLDER     the largest difference to what each should do

Each autoencoder is a folder with ``expected.safetensors`` in it: inputs ``x``, codes ``f``, reconstructions
``y``. ``read`` opens the folders with SAELens and prints JSON, a number or what SAELens said for each.
"""

import json
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

with warnings.catch_warnings(), redirect_stdout(sys.stderr):
    warnings.simplefilter("ignore")
    import sae_lens as sl
    import sparsify

WIDTH, LATENTS, OUTPUT, K, SAMPLES = 6, 12, 5, 3, 8
EXPECTED = "expected.safetensors"


def main(what: str, folder: Path) -> None:
    if what == "write":
        write(folder)
    else:
        print(
            json.dumps({path.parent.name: difference(path) for path in sorted(folder.glob(f"*/{EXPECTED}"))})
        )


def difference(path: Path) -> float | str:
    """Return the largest difference of codes and reconstructions, relative to the largest entry."""
    expected = load_file(path)
    try:
        sae = sl.SAE.load_from_disk(path.parent)
    except (ValueError, KeyError) as error:  # an architecture that SAELens does not have
        return f"{type(error).__name__}: {error}"
    with torch.no_grad():
        f = sae.encode(expected["x"])
        y = sae(expected["x"])
    return max(
        float((found - wanted).abs().max() / wanted.abs().max())
        for found, wanted in ((f, expected["f"]), (y, expected["y"]))
    )


def write(folder: Path) -> None:
    """Save an autoencoder of each kind, with what it does to a few inputs."""
    sizes: dict[str, Any] = {"d_in": WIDTH, "d_sae": LATENTS}
    for name, sae in {
        "standard": sl.StandardSAE(sl.StandardSAEConfig(**sizes)),
        "standard_input_as_it_is": sl.StandardSAE(sl.StandardSAEConfig(**sizes, apply_b_dec_to_input=False)),
        "gated": sl.GatedSAE(sl.GatedSAEConfig(**sizes)),
        "topk": sl.TopKSAE(sl.TopKSAEConfig(**sizes, k=K)),
        "topk_rescaled": sl.TopKSAE(sl.TopKSAEConfig(**sizes, k=K, rescale_acts_by_decoder_norm=True)),
        "jumprelu": sl.JumpReLUSAE(sl.JumpReLUSAEConfig(**sizes)),
        "transcoder": sl.Transcoder(sl.TranscoderConfig(**sizes, d_out=OUTPUT, apply_b_dec_to_input=False)),
        "jumprelu_transcoder": sl.JumpReLUTranscoder(
            sl.JumpReLUTranscoderConfig(**sizes, d_out=OUTPUT, apply_b_dec_to_input=False)
        ),
    }.items():
        randomize(sae, name)
        sae.save_model(folder / name)
        expect(folder / name, name, sl.SAE.load_from_disk(folder / name))
    for name, sae in {
        "batchtopk": sl.BatchTopKTrainingSAE(sl.BatchTopKTrainingSAEConfig(**sizes, k=2.5)),
        "matryoshka": sl.MatryoshkaBatchTopKTrainingSAE(
            sl.MatryoshkaBatchTopKTrainingSAEConfig(**sizes, k=K, matryoshka_widths=[3, 6, LATENTS])
        ),
    }.items():
        randomize(sae, name)
        sae.save_inference_model(folder / name)
        inference = sl.SAE.load_from_disk(folder / name)
        expect(folder / name, name, inference)
        sae.save_model(folder / f"{name}_checkpoint")
        expect(folder / f"{name}_checkpoint", name, inference)
    before_version_6(
        folder / "old_topk", folder / "topk", activation_fn_str="topk", activation_fn_kwargs={"k": K}
    )
    before_version_6(folder / "old_standard", folder / "standard", activation_fn_str="relu")
    for name, transcode in (("sparsify", False), ("sparsify_transcoder", True)):
        coder = sparsify.Sae(WIDTH, sparsify.SaeConfig(num_latents=LATENTS, k=K, transcode=transcode))
        randomize(coder, name)
        coder.save_to_disk(folder / name)
        expect(folder / name, name, coder)


def before_version_6(folder: Path, like: Path, **options: Any) -> None:
    """Save the weights of an autoencoder with a config as SAELens had it before its version 6."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath("sae_weights.safetensors").write_bytes(
        like.joinpath("sae_weights.safetensors").read_bytes()
    )
    config = {
        "architecture": "standard", "d_in": WIDTH, "d_sae": LATENTS, **options, "apply_b_dec_to_input": True,
        "finetuning_scaling_factor": False, "context_size": 128, "model_name": "gpt2-small",
        "hook_name": "blocks.8.hook_resid_pre", "hook_layer": 8, "hook_head_index": None, "prepend_bos": True,
        "dataset_path": "Skylion007/openwebtext", "dataset_trust_remote_code": True,
        "normalize_activations": "none", "dtype": "torch.float32", "device": "cpu",
        "sae_lens_training_version": None,
    }  # fmt: skip
    folder.joinpath("cfg.json").write_text(json.dumps(config))
    expect(folder, folder.name, sl.SAE.load_from_disk(folder))


@torch.no_grad()
def randomize(module: torch.nn.Module, name: str) -> None:
    """Fill every parameter with numbers that take part in what the module does."""
    draws = torch.Generator().manual_seed(len(name))
    for key, value in module.named_parameters():
        value.copy_(0.6 * torch.randn(value.shape, generator=draws))
        if key == "threshold":
            value.abs_()
    if hasattr(module, "topk_threshold"):
        module.topk_threshold = torch.tensor(0.7, dtype=torch.double)


@torch.no_grad()
def expect(folder: Path, name: str, module: Any) -> None:
    x = torch.randn(SAMPLES, WIDTH, generator=torch.Generator().manual_seed(100 + len(name)))
    found: dict[str, Tensor] = (
        {"x": x, "f": module.encode(x)} if isinstance(module, sl.SAE) else coded(module, x)
    )
    found["y"] = module(x) if isinstance(module, sl.SAE) else module.decode(*module.encode(x)[:2])
    save_file({key: value.contiguous() for key, value in found.items()}, folder / EXPECTED)


def coded(coder: "sparsify.Sae", x: Tensor) -> dict[str, Tensor]:
    acts, indices, pre = coder.encode(x)
    return {"x": x, "f": torch.zeros_like(pre).scatter_(-1, indices, acts)}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
