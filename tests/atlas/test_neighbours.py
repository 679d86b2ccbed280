"""The nearest latents against all cosines at once."""

import pytest
import torch

from superscope.atlas import neighbours
from superscope.atlas.neighbours import nearest_latents


@pytest.mark.parametrize("cells", [1, 60, 1 << 20])
def test_nearest_latents_are_those_of_all_cosines(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_CELLS", cells)
    decoder = torch.randn(25, 6, generator=torch.Generator().manual_seed(0))
    near, cosines = nearest_latents(decoder, 4)
    whole = torch.nn.functional.cosine_similarity(decoder[:, None], decoder[None], dim=2)
    expected = whole.fill_diagonal_(-2.0).topk(4)
    assert torch.equal(near, expected.indices)
    torch.testing.assert_close(cosines, expected.values)


def test_few_latents_and_rows_of_zeros() -> None:
    near, cosines = nearest_latents(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), 8)
    assert near.tolist() == [[1], [0]]
    assert cosines.tolist() == [[0.0], [0.0]]
    assert nearest_latents(torch.ones(1, 3))[0].shape == (1, 0)
