"""Five features in the plane, one of them varied: pentagon or two digons, and where one turns to the other.

A *pentagon* has all five features embedded (‖W_i‖ > 0.5) with gaps of 30° to 120° between neighbours, so that
a deformed one is one too. *Two digons* are the four others as two antipodal pairs (cos < −0.95), the varied
feature not embedded. Fixed before any run.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from superscope.recipes.toy_training import antipodal_pairs, embedded

VARIED = 0
"""The feature whose density differs."""
GAPS = 30.0, 120.0
_N = 5


def gaps(W: Float[Tensor, "2 feature"]) -> Float[Tensor, " k"]:
    """Return the angle in degrees from each embedded feature to the next one, in order of their angles."""
    x, y = W[:, embedded(W)]
    angles = torch.atan2(y, x).rad2deg().sort().values
    return (angles.roll(-1) - angles) % 360


def is_pentagon(W: Float[Tensor, "2 feature"]) -> bool:
    """Tell whether the features stand as a pentagon around the origin, perhaps a deformed one."""
    between = gaps(W)
    low, high = GAPS
    return len(between) == _N and bool(((between >= low) & (between <= high)).all())


def is_digons(W: Float[Tensor, "2 feature"]) -> bool:
    """Tell whether the varied feature is dropped and the others are two antipodal pairs."""
    others = torch.arange(W.shape[1]) != VARIED
    return torch.equal(embedded(W), others) and antipodal_pairs(W) == 2


def room(W: Float[Tensor, "2 feature"]) -> float:
    """Return the sum of the two gaps beside the varied feature, in degrees, for five embedded features."""
    x, y = W
    angles = (torch.atan2(y, x) - torch.atan2(y[VARIED], x[VARIED])).rad2deg() % 360
    others = angles[torch.arange(len(angles)) != VARIED]
    return float(others.min() + 360 - others.max())


def crossings(
    relative: Sequence[float],
    losses: Float[Tensor, "2 point"],
    standing: Bool[Tensor, "2 point"],
) -> list[float]:
    """Return the relative densities at which the loss of the pentagon and that of the digons change places.

    Between two points where both solutions stand, on the straight line of the difference over log density;
    only changes to the pentagon's favour with more density.
    """
    difference = losses[0] - losses[1]
    places = [k for k in range(len(relative)) if standing[:, k].all()]
    found = []
    for a, b in pairwise(places):
        before, after = float(difference[a]), float(difference[b])
        if before > 0 >= after:
            share = before / (before - after)
            found.append(math.exp((1 - share) * math.log(relative[a]) + share * math.log(relative[b])))
    return found


def turns(kinds: Sequence[str], relative: Sequence[float]) -> float | None:
    """Return the relative density where digons turn to pentagons, None if they do not do so once and for all.

    The geometric mean of the last density with digons and the first with a pentagon; solutions that are
    neither may stand between them.
    """
    digons = [k for k, kind in enumerate(kinds) if kind == "digons"]
    pentagons = [k for k, kind in enumerate(kinds) if kind == "pentagon"]
    if not digons or not pentagons or digons[-1] > pentagons[0]:
        return None
    return math.sqrt(relative[digons[-1]] * relative[pentagons[0]])


def kind(W: Float[Tensor, "2 feature"]) -> str:
    """Name the geometry."""
    return "pentagon" if is_pentagon(W) else "digons" if is_digons(W) else "other"


def aligned(W: Float[Tensor, "2 feature"], feature: int) -> Float[Tensor, "2 feature"]:
    """Turn a solution until ``feature`` points up, and reflect it so that the lower index is at its right."""
    x, y = W[:, feature] / W[:, feature].norm()
    turned = torch.stack([torch.stack([y, -x]), torch.stack([x, y])]) @ W
    side = next((float(v) for v in turned[0] if v.abs() > 0.1), 1.0)
    return turned * torch.tensor([[math.copysign(1.0, side)], [1.0]])
