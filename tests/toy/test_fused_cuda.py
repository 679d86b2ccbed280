import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from superscope.toy import fused_cuda
from superscope.toy.fused_cuda import (
    CudaTrainer,
    declines,
    draw_constants,
    launch_options,
    plan,
    train_constants,
)
from superscope.toy.model import ToyConfig
from superscope.toy.problem import Problem, start_weights

CASES = Path(__file__).with_name("fused_cuda_cases.py")


def problem(n, m, batch=1_024, activation=None, **kwargs):
    config = ToyConfig(n_features=n, n_hidden=m, **kwargs)
    return Problem(
        config, torch.ones(1, n), torch.ones(1, n), 1, 10, batch, 1e-3, 0.01, "constant", 0, activation
    )


@pytest.fixture
def triton(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    return pytest.importorskip("triton")


@pytest.mark.timeout(600)
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
        cwd=CASES.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-2_000:]


COMPILED = {
    "small": problem(5, 2),
    "wide": problem(
        20, 10, batch=1_000, tied=False, hidden="relu", target="abs", amplitude="gaussian", correlated=(2,)
    ),
}


@pytest.mark.parametrize(
    ("kernel", "name"), [("train_copies", "small"), ("train_copies", "wide"), ("draw_batch", "wide")]
)
def test_the_compiler_takes_the_kernels_and_keeps_their_sums_in_float32(kernel, name, triton):
    """What runs on the interpreter need not compile; this goes as far as a GPU's machine code."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from superscope.toy import fused_cuda_kernel

    task, function = COMPILED[name], getattr(fused_cuda_kernel, kernel)
    constants = (train_constants if kernel == "train_copies" else draw_constants)(task)
    kinds = {
        "keys": "*i64",
        "gates": "*i32",
        **dict.fromkeys(("start", "step", "steps", "restarts", "batch"), "i32"),
        **dict.fromkeys(("threshold", "cut"), "fp32"),
        **dict.fromkeys(constants, "constexpr"),
    }
    made = triton.compile(
        ASTSource(function, {name: kinds.get(name, "*fp32") for name in function.arg_names}, constants),
        target=GPUTarget("cuda", 90, 32),
        options=launch_options(task),
    )
    assert made.asm["cubin"]
    assert made.metadata.shared < 2**16
    # triton rewrites some sums of products into TF32 matrix products, which hold 10 bits
    assert "tt.dot" not in made.asm["ttir"]
    assert ("tt.reduce" in made.asm["ttir"]) == (kernel == "train_copies")


def test_what_it_cannot_train_is_declined_with_the_reason(monkeypatch):
    assert declines(problem(5, 2)) is None
    assert declines(problem(64, 16)) is None
    assert "200 features in 20 dimensions are 8192 padded weights" in declines(problem(200, 20))
    assert "2048 padded weights" in declines(problem(64, 16, tied=False))
    assert "caller's" in declines(problem(5, 2, activation=torch.tanh))
    monkeypatch.setitem(sys.modules, "triton", None)
    assert declines(problem(5, 2)) == "triton is not installed"
    assert "padded" in declines(problem(200, 20))


def test_the_layout_fits_the_threads_and_covers_the_batch():
    for n, m, batch, tied in ((1, 1, 1, True), (5, 2, 1_024, True), (20, 5, 1_000, False), (256, 3, 7, True)):
        task = problem(n, m, batch, tied=tied)
        N, M, blocks, warps = plan(task)
        constants = train_constants(task)
        assert n <= N < 2 * n
        assert m <= M < 2 * m
        assert 4 * blocks * constants["TILES"] >= batch > 4 * blocks * (constants["TILES"] - 1)
        assert constants["RAGGED"] == (4 * blocks * constants["TILES"] != batch)
        assert N * M * (1 if tied else 2) * blocks <= 32 * 32 * warps
        assert 32 * warps * launch_options(task)["maxnreg"] <= 2**16


def test_weights_and_state_are_given_back_without_the_padding_and_without_a_launch(triton):
    task = problem(5, 3, tied=False)
    start = start_weights(task, None)
    trainer = CudaTrainer(task, start, torch.device("cpu"))
    for name, value in trainer.weights().tensors().items():
        assert torch.equal(value, start.tensors()[name])
    trainer.weights().W.zero_()
    state = trainer.state()
    state["biases"] += 1
    assert torch.equal(trainer.weights().W, start.W)
    trainer.restore(state)
    assert torch.equal(trainer.weights().b, torch.ones(1, 5))


def test_a_step_of_adamw_has_the_rates_of_the_schedule():
    paces = fused_cuda._paces(problem(5, 2), 0, 2).double()
    expected = torch.tensor([[1e-3 / 0.1, 1 - 1e-5, 0.001**-0.5], [1e-3 / 0.19, 1 - 1e-5, 0.001999**-0.5]])
    torch.testing.assert_close(paces, expected.double(), rtol=1e-6, atol=0)
