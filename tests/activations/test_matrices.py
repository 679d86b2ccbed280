"""The matrix in a module, the rank that it allows, and what it is as a map of its input."""

import pytest
import torch
from torch import nn

from superscope.activations import rank_cap, weight_matrix, widening


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def output_rank(module: nn.Module, x: torch.Tensor) -> int:
    """Count the dimensions that the module's outputs really use on random inputs, the mean off."""
    with torch.no_grad():
        out = module(x)
    rows = (out if out.ndim == 2 else out.movedim(1, -1)).reshape(-1, out.shape[1]).double()
    return int(torch.linalg.matrix_rank(rows - rows.mean(0), rtol=1e-5))


@pytest.mark.parametrize(
    ("module", "shape", "cap"),
    [
        (nn.Linear(3, 8), (200, 3), 3),
        (nn.Linear(8, 3), (200, 8), 3),
        (nn.Conv2d(2, 30, 1), (40, 2, 5, 5), 2),
        (nn.Conv2d(2, 30, 3), (40, 2, 7, 7), 18),
        (nn.Conv2d(4, 12, 1, groups=2), (40, 4, 5, 5), 4),
        (nn.Conv2d(4, 4, 3, groups=4), (40, 4, 7, 7), 4),
    ],
)
def test_no_output_uses_more_dimensions_than_the_cap_and_a_random_one_uses_them_all(
    module: nn.Module, shape: tuple[int, ...], cap: int
) -> None:
    width = next(iter(module.parameters())).shape[0]
    assert rank_cap(module, width) == cap == output_rank(module, randn(*shape))


def test_caps_of_what_has_no_matrix_or_another_layout() -> None:
    assert rank_cap(nn.LayerNorm(7), 7) == 7
    assert rank_cap(nn.ReLU(), 9) == 9
    assert rank_cap(nn.Embedding(5, 16), 16) == 5
    assert rank_cap(nn.ConvTranspose2d(2, 6, 2), 6) == 6


def test_matrices_have_a_row_for_each_unit() -> None:
    conv = nn.Conv2d(3, 5, 2)
    matrix = weight_matrix(conv)
    assert matrix is not None
    assert torch.equal(matrix, conv.weight.flatten(1))
    assert weight_matrix(nn.LayerNorm(4)) is None
    assert weight_matrix(nn.ReLU()) is None
    half = weight_matrix(nn.Linear(3, 4).half())
    assert half is not None
    assert half.dtype == torch.float32
    turned = weight_matrix(nn.ConvTranspose2d(3, 5, 2))
    assert turned is not None
    assert turned.shape == (5, 12)


def test_transformers_own_linear_map_lies_the_other_way() -> None:
    from transformers.pytorch_utils import Conv1D

    module = Conv1D(7, 3)  # 3 inputs, 7 outputs, weight [3, 7]
    matrix = weight_matrix(module)
    assert matrix is not None
    assert torch.equal(matrix, module.weight.T)
    assert rank_cap(module, 7) == 3


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Linear(3, 8), (10, 4, 3)),
        (nn.Conv2d(3, 8, 1), (6, 3, 5, 7)),
        (nn.Conv2d(3, 8, 1, stride=2, bias=False), (6, 3, 5, 7)),
        (nn.Conv1d(3, 6, 1, stride=3), (6, 3, 10)),
    ],
)
def test_a_widening_map_is_its_weight_at_the_places_of_its_source(
    module: nn.Module, shape: tuple[int, ...]
) -> None:
    found = widening(module)
    assert found is not None
    x = randn(*shape)
    source = found.source(x)
    source = source if isinstance(module, nn.Linear) else source.movedim(1, -1)
    rebuilt = source @ found.weight.T + (0 if found.bias is None else found.bias)
    out = module(x)
    torch.testing.assert_close(rebuilt, out if isinstance(module, nn.Linear) else out.movedim(1, -1))


def test_what_is_no_plain_widening_map() -> None:
    hooked = nn.Linear(3, 8)
    hooked.register_forward_hook(lambda *_: None)
    for module in (
        nn.Linear(3, 5),
        nn.Conv2d(3, 8, 3),
        nn.Conv2d(3, 8, 1, padding=1),
        nn.Conv2d(4, 8, 1, groups=2),
        nn.Linear(3, 8).double(),
        nn.utils.parametrizations.weight_norm(nn.Linear(3, 8)),
        nn.ReLU(),
        hooked,
    ):
        assert widening(module) is None
