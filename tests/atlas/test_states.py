"""The largest entries and the histograms of many latents, against one latent at a time."""

import pytest
import torch
from torch import Tensor

from superscope.atlas.states import RunningHistogram, RunningTop


def entries(count: int, latents: int, *, ties: bool = False) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(0)
    values = torch.rand(count, generator=draws) * torch.exp2(torch.arange(count) % 7 - 3.0)
    values = (values * 4).round() / 4 if ties else values
    return torch.randint(latents, (count,), generator=draws), values


def offered(latents: Tensor, keys: Tensor, parts: int, number: int, count: int) -> RunningTop:
    top = RunningTop(number, count, {"row": (torch.int32, ()), "near": (torch.float16, (2,))})
    for rows in torch.arange(len(keys)).chunk(parts):
        fields = {"row": rows, "near": torch.stack([rows, rows + 1], 1)}
        top.offer(latents[rows], keys[rows], lambda kept, f=fields: {name: f[name][kept] for name in f})
    return top


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("parts", [1, 3, 50])
def test_the_largest_entries_of_each_latent_are_kept_in_order(parts: int, ties: bool) -> None:
    latents, keys = entries(400, 7, ties=ties)
    top = offered(latents, keys, parts, 9, 5)
    for latent in range(9):
        own = torch.nonzero(latents == latent).flatten()
        best = sorted(own.tolist(), key=lambda row: (-float(keys[row]), row))[:5]
        assert top.fields["row"][latent, : len(best)].tolist() == best
        assert top.fields["near"][latent, : len(best)].tolist() == [[row, row + 1] for row in best]
        assert top.keys[latent, : len(best)].tolist() == keys[best].tolist()
        assert bool((top.keys[latent, len(best) :] == -torch.inf).all())


def test_what_enters_is_told_and_fields_are_asked_for_no_more() -> None:
    top = RunningTop(1, 2, {})
    asked: list[list[int]] = []

    def carried(kept: Tensor) -> dict[str, Tensor]:
        asked.append(kept.tolist())
        return {}

    same = torch.zeros(3, dtype=torch.int64)
    assert top.offer(same, torch.tensor([1.0, 3.0, 2.0]), carried).tolist() == [1, 2]
    assert top.offer(same, torch.tensor([2.0, 0.5, 2.5]), carried).tolist() == [2]
    assert asked == [[1, 2], [2]]


@pytest.mark.parametrize("parts", [1, 4, 100])
def test_histograms_are_those_of_all_values_over_the_last_range(parts: int) -> None:
    latents, values = entries(600, 5)
    values = values.clamp(min=1e-4)
    state = RunningHistogram(6, 16)
    for rows in torch.arange(600).chunk(parts):
        state.add(latents[rows], values[rows])
    for latent in range(5):
        own = values[latents == latent].double()
        top = float(state.tops[latent])
        assert own.max() < top <= 2 * own.max()
        assert state.counts[latent].tolist() == torch.histogram(own, 16, range=(0.0, top))[0].tolist()
    assert state.tops[5].isnan()
    assert int(state.counts[5].sum()) == 0


def test_a_range_that_grows_by_far_keeps_every_count() -> None:
    state = RunningHistogram(1, 8)
    for value in (1e-30, 0.7, 1e30):
        state.add(torch.tensor([0]), torch.tensor([value]))
    assert state.counts.tolist() == [[2, 0, 0, 0, 0, 0, 1, 0]]
