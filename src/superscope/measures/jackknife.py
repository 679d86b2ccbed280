"""Standard errors of whatever can be computed from a subset of groups of samples."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor


def jackknife(
    measure: Callable[[Tensor], dict[str, list[float]]], counts: Int[Tensor, " group"]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return what ``measure`` says of all groups together, and the standard error of each value.

    The delete-a-group jackknife (Kott 2001): √((G−1)/G · Σ_g (θ₋g − θ̄)²) over the G groups left out in turn.
    NaN for all where a group is empty or there is only one.

    Args:
        measure: values by name for each subset of the groups, which a row of ones and 0s marks.
        counts: what each group holds.
    """
    groups = len(counts)
    everything = torch.ones(1, groups)
    if groups == 1 or bool((counts == 0).any()):
        values = {name: value[0] for name, value in measure(everything).items()}
        return values, dict.fromkeys(values, math.nan)
    found = measure(torch.cat([everything, 1 - torch.eye(groups)]))
    without = torch.tensor([values[1:] for values in found.values()], dtype=torch.float64)
    errors = ((groups - 1) * without.var(1, correction=0)).sqrt()
    return {name: values[0] for name, values in found.items()}, dict(zip(found, errors.tolist(), strict=True))
