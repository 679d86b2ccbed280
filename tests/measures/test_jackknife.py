"""The jackknife over groups, against its formula written out for a mean."""

import math

import pytest
import torch

from superscope.measures.jackknife import jackknife


def test_the_error_of_a_mean_is_the_spread_of_the_groups() -> None:
    sums, counts = torch.tensor([3.0, 5.0, 10.0, 2.0]), torch.tensor([2, 2, 2, 2])

    def mean(chosen: torch.Tensor) -> dict[str, list[float]]:
        return {"mean": ((chosen @ sums) / (chosen @ counts.float())).tolist()}

    values, errors = jackknife(mean, counts)
    assert values["mean"] == 2.5
    groups = sums / 2  # for groups of one size it is the standard error of the groups' means
    assert errors["mean"] == pytest.approx(float(groups.std() / 2), rel=1e-6)


@pytest.mark.parametrize("counts", [[5], [3, 0, 4]])
def test_one_group_or_an_empty_one_has_no_error(counts: list[int]) -> None:
    values, errors = jackknife(lambda chosen: {"rows": [float(len(chosen))]}, torch.tensor(counts))
    assert values == {"rows": 1}
    assert math.isnan(errors["rows"])
