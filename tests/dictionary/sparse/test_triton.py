import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from superscope.core import InputError
from superscope.dictionary.sparse import triton as sums
from superscope.dictionary.sparse import triton_selection as selection
from superscope.dictionary.sparse.pairs import Pairs
from superscope.dictionary.sparse.triton_engine import TritonEngine

CASES = Path(__file__).with_name("triton_cases.py")


@pytest.fixture
def triton(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    return pytest.importorskip("triton")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("where", ["interpreter", "GPU"])
def test_the_cases_pass(where, tmp_path):
    pytest.importorskip("triton")
    if where == "GPU" and not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    # In a process of its own: the switch is read as triton is imported, and it would hold for all after it.
    switch = {"TRITON_INTERPRET": "1"} if where == "interpreter" else {}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", str(CASES)],
        env={**os.environ, "TRITON_CACHE_DIR": str(tmp_path), **switch},
        cwd=CASES.parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-2_000:]


INT64 = "offsets", "bounds", "starts", "order", "owners", "digits", "above", "ties", "counts"
NUMBERS = "samples", "width", "pairs", "k", "n_latents", "count", "elements", "per_program"
TYPES = {
    **dict.fromkeys(INT64, "*i64"),
    **dict.fromkeys(("latents", "rows", "group_of", "spare"), "*i32"),
    **dict.fromkeys(NUMBERS, "i32"),
    **dict.fromkeys(("pace", "root"), "fp32"),
}
WIDE = sums.tile(8_192, 8_192)
ROW = {"PAIRS": WIDE.pairs, "COLUMNS": WIDE.columns}
PART = {"PAIRS": sums.tile(512).pairs, "COLUMNS": 512}
COMPILED = {
    "fit_samples": ({"GROUPS": 1, **ROW}, WIDE.warps),
    "fit_samples, nested": ({"GROUPS": 5, **ROW}, WIDE.warps),
    "reconstruct": ({"GROUPS": 5, **PART}, 4),
    "value_gradients": ({"GROUPED": True, **PART}, 4),
    "boundary_sums": ({"GROUPED": True, "CHUNK": sums.CHUNK, **PART}, 4),
    "latent_sums": ({"GROUPED": False, "CHUNK": sums.CHUNK, **PART}, 4),
    "latent_totals": ({"LATENTS": 32, "PAIRS": 32}, 4),
    "top_k, one block": ({"SPARE": 1, "LATENTS": 4_096, "WRITTEN": 1_024}, 8),
    "top_k, many blocks": ({"SPARE": 1_024, "LATENTS": 4_096, "WRITTEN": 1_024}, 8),
    "count_digits": ({"PASS": 3, "BLOCK": 4_096}, 8),
    "count_batch": ({"LATENTS": 4_096}, 8),
    "write_batch": ({"LATENTS": 1_024}, 8),
    "count_above": ({"EACH": False, "LATENTS": 4_096}, 8),
    "write_above": ({"EACH": True, "LATENTS": 1_024}, 8),
    "held_squares": ({"COLUMNS": 8_192}, 16),
    "held_adam": ({"BETA_1": 0.9, "BETA_2": 0.999, "EPSILON": 1e-8, "COLUMNS": 8_192}, 16),
}


def kernels():
    """Every kernel by its name."""
    from superscope.dictionary.sparse import triton_adam_kernels, triton_kernels, triton_selection_kernels

    modules = triton_kernels, triton_selection_kernels, triton_adam_kernels
    named = [member for module in modules for member in inspect.getmembers(module)]
    return {name: value for name, value in named if hasattr(value, "arg_names") and not name.startswith("_")}


@pytest.mark.parametrize("case", COMPILED)
def test_the_compiler_takes_the_kernels_and_keeps_their_sums_in_float32(case, triton):
    """What runs on the interpreter need not compile; this goes as far as a GPU's machine code."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    name, (constants, warps) = case.split(",")[0], COMPILED[case]
    function = kernels()[name]
    signature = {
        a: "constexpr" if a in constants else TYPES.get(a, "*bf16" if a == "pre" else "*fp32")
        for a in function.arg_names
    }
    if name == "fit_samples":
        signature["scale"] = "fp32"
    aligned = {
        (i,): [["tt.divisibility", 16]]
        for i, a in enumerate(function.arg_names)
        if signature[a].startswith("*") or a in ("width", "n_latents")
    }
    made = triton.compile(
        ASTSource(function, signature, constants, aligned),
        target=GPUTarget("cuda", 90, 32),
        options={"num_warps": warps},
    )
    assert made.asm["cubin"]
    assert made.metadata.shared < 2**16
    # triton rewrites some sums of products into TF32 matrix products, which hold 10 bits
    assert "tt.dot" not in made.asm["ttir"]
    # additions in any order give other bits each time, unless they are of whole numbers
    assert ("atomic" in made.asm["ttir"]) == (name == "count_digits")
    if constants.get("COLUMNS"):
        assert "ld.global.v4" in made.asm["ptx"]  # rows are read by 128 bits a thread


def test_every_kernel_is_compiled_above(triton):
    assert kernels().keys() == {case.split(",")[0] for case in COMPILED}


def test_tiles_hold_the_row_and_thirty_two_numbers_a_thread():
    for width in (1, 5, 64, 512, 513, 768, 4_096, 8_192, 20_000):
        whole, part = sums.tile(width, width), sums.tile(width)
        assert width <= whole.columns < 2 * width
        assert part.columns <= 512
        for tile in (whole, part):
            assert tile.pairs & (tile.pairs - 1) == 0
            assert tile.pairs * tile.columns <= 32 * 32 * tile.warps or tile.pairs == 1


def test_what_does_not_fit_is_refused_before_a_launch():
    pre, pairs = torch.ones(2, 3), Pairs.from_dense(torch.ones(2, 3))
    for k in (0, 4):
        with pytest.raises(InputError, match="expected 1 to the number of latents, 3"):
            selection.top_k(pre, k)
    for count in (0, 7):
        with pytest.raises(InputError, match="the 6 elements"):
            selection.batch_top_k(pre, count)
    with pytest.raises(InputError, match="together with group_of"):
        sums.value_gradients(pairs, torch.ones(2, 2, 4), torch.ones(3, 4))
    with pytest.raises(InputError, match="together with group_of"):
        sums.latent_sums(*sums.by_latent(pairs, 3), pairs.rows, pairs.values, torch.ones(2, 2, 4))


def test_triton_that_is_missing_is_said(monkeypatch):
    assert sums.declines() is None
    monkeypatch.setitem(sys.modules, "triton", None)
    assert sums.declines() == "triton is not installed"


def test_an_engine_is_made_without_a_launch():
    assert TritonEngine().selected == float("inf")
