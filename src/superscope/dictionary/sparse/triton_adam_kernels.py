"""Adam on CUDA for a matrix whose rows are held at norm 1, in Triton: a row a program, kept in its registers.

In PyTorch a step of it is six passes over the decoder: along each row, take off, norm of all, clip, Adam,
norm and divide: eighteen matrices' worth of memory read or written. Here it is two launches and nine of them.

Only :mod:`superscope.dictionary.sparse.triton_adam` imports this module, when it launches.
"""

# Triton compiles these functions from their source; as plain Python they do not type-check.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false

from typing import no_type_check  # keeps jaxtyping's import hook from hiding the source from triton

import triton
import triton.language as tl


@triton.jit
@no_type_check
def _held(W, gradient, at, inside):
    """Return a row and its gradient without the part along the row."""
    w, g = tl.load(W + at, inside, 0.0), tl.load(gradient + at, inside, 0.0)
    return w, g - tl.sum(w * g, 0) * w


@triton.jit
@no_type_check
def held_squares(out, W, gradient, width, COLUMNS: tl.constexpr):
    """Write Σ g² of each row's gradient to out [row], without what lies along the row."""
    row, column = tl.program_id(0), tl.arange(0, COLUMNS)
    _, g = _held(W, gradient, row.to(tl.int64) * width + column, column < width)
    tl.store(out + row, tl.sum(g * g, 0))


# A kernel is compiled anew for an argument that is 1 or a multiple of 16, unless it is listed.
@triton.jit
@no_type_check
def held_adam(
    W, gradient, first, second, scale, pace, root, width,
    BETA_1: tl.constexpr, BETA_2: tl.constexpr, EPSILON: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Take a step of Adam with each row's gradient without what lies along the row, and give it norm 1 again.

    Args:
        W: [row, column], of rows of norm 1.
        gradient: likewise; left as it is.
        first: likewise, its running mean.
        second: likewise, that of its squares.
        scale: a scalar in memory, what the gradient is multiplied with.
        pace: lr/(1 − β₁ᵗ).
        root: 1/√(1 − β₂ᵗ).
        width: columns.
        BETA_1: Adam's.
        BETA_2: Adam's.
        EPSILON: Adam's.
        COLUMNS: at least the width.
    """
    column = tl.arange(0, COLUMNS)
    at, inside = tl.program_id(0).to(tl.int64) * width + column, column < width
    w, g = _held(W, gradient, at, inside)
    g *= tl.load(scale)
    m, v = tl.load(first + at, inside, 0.0), tl.load(second + at, inside, 0.0)
    m += (1 - BETA_1) * (g - m)
    v = BETA_2 * v + (1 - BETA_2) * g * g
    w -= pace * m / (tl.sqrt(v) * root + EPSILON)
    w /= tl.maximum(tl.sqrt(tl.sum(w * w, 0)), 1e-12)  # as torch.nn.functional.normalize
    tl.store(W + at, w, inside)
    tl.store(first + at, m, inside)
    tl.store(second + at, v, inside)
