import math

import pytest
import torch

from superscope.core import generator
from superscope.toy import ToyConfig, draw, gates, sample

DRAWS = 40_000


def drawn(density, **options):
    return sample(torch.tensor(density), DRAWS, generator(0, "test"), **options)


def near(share, p):
    return (share - p).abs() < 4.5 * (p * (1 - p) / DRAWS).sqrt() + 1e-9


def test_gates_of_groups_by_hand():
    p = torch.tensor([0.3, 0.3, 0.5, 0.5, 0.1])
    found = gates(p, correlated=(2,), anticorrelated=(2,))
    assert found.gate.tolist() == [0, 0, 2, 2, 4]
    torch.testing.assert_close(found.low, torch.tensor([0, 0, 0, 0.25, 0]))
    torch.testing.assert_close(found.high, torch.tensor([0.3, 0.3, 0.25, 0.5, 0.1]))
    by_feature = gates(p, correlated=(2,), anticorrelated=(2,), marginal="feature")
    torch.testing.assert_close(by_feature.high, torch.tensor([0.3, 0.3, 0.5, 1.0, 0.1]))


@pytest.mark.parametrize(
    ("amplitude", "mean", "square"),
    [("uniform", 1 / 2, 1 / 3), ("signed", 0, 1 / 3), ("gaussian", 0, 1), ("constant", 1, 1)],
)
@pytest.mark.parametrize("groups", [{}, {"correlated": (2,)}, {"anticorrelated": (2,)}])
def test_amplitudes_of_active_features(amplitude, mean, square, groups):
    x = drawn([0.4, 0.4, 0.9], amplitude=amplitude, **groups)
    for column in x.T:
        active = column[column != 0]
        assert abs(active.mean() - mean) < 4.5 * math.sqrt(square / len(active))
        assert abs(active.square().mean() - square) < 4.5 * math.sqrt(3 * square**2 / len(active))


def test_a_correlated_group_is_active_together_with_amplitudes_of_its_own():
    x = drawn([0.2, 0.2, 0.2, 0.5], correlated=(3,))
    active = x != 0
    assert (active[:, :3].all(1) == active[:, :3].any(1)).all()
    assert near(active.float().mean(0), torch.tensor([0.2, 0.2, 0.2, 0.5])).all()
    together = x[active[:, 0], :3]
    off = together.T.corrcoef().fill_diagonal_(0).abs().max()
    assert off < 4.5 / math.sqrt(len(together))
    both = (active[:, 0] & active[:, 3]).float().mean()
    assert near(both, torch.tensor(0.1))


@pytest.mark.parametrize(("marginal", "each"), [("group", 0.3 / 3), ("feature", 0.3)])
def test_an_anticorrelated_group_has_one_active_at_most(marginal, each):
    x = drawn([0.3, 0.3, 0.3, 0.5], anticorrelated=(3,), marginal=marginal)
    active = x != 0
    assert (active[:, :3].sum(1) <= 1).all()
    assert near(active.float().mean(0), torch.tensor([each] * 3 + [0.5])).all()


def test_groups_of_all_kinds_beside_each_other_and_instances():
    p = torch.tensor([[0.1] * 6, [0.8] * 6])
    config = ToyConfig(6, 2, correlated=(2,), anticorrelated=(3,), amplitude="constant")
    x = draw(config, p, DRAWS, generator(1, "test"))
    assert x.shape == (2, DRAWS, 6)
    for row, density in zip(x, p, strict=True):
        shares = torch.cat([density[:2], density[2:5] / 3, density[5:]])
        assert near((row != 0).float().mean(0), shares).all()
        assert torch.equal(row[:, 0], row[:, 1])
        assert (row[:, 2:5].sum(1) <= 1).all()
