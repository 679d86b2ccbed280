"""Streams of random numbers: equal by name, independent otherwise, the same on every machine."""

import itertools

import torch

from superscope.core import generator

PATHS = [(0,), (1,), (0, "init"), (0, "init", 1), (0, "init", 2), (0, "data"), (10,), (1, "0")]


def test_equal_paths_give_equal_streams_and_others_do_not() -> None:
    def draw(path: tuple) -> torch.Tensor:
        return torch.rand(1000, generator=generator(*path))

    for path in PATHS:
        assert torch.equal(draw(path), draw(path))
    for one, other in itertools.combinations(PATHS, 2):
        correlation = torch.corrcoef(torch.stack([draw(one), draw(other)]))[0, 1]
        assert abs(float(correlation)) < 0.15, (one, other)  # 4.7 standard errors


def test_streams_are_pinned_and_leave_the_global_one_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    drawn = torch.rand(2, generator=generator(0, "init"))
    assert torch.equal(torch.rand(1), expected)
    torch.testing.assert_close(
        drawn, torch.tensor([0.4353511333465576, 0.7541024684906006])
    )  # a run of last year must come out again
