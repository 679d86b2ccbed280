"""Losses with ExReLU: of weights that were trained, and of two digons in closed form."""

from collections.abc import Sequence

import pandas as pd
import torch

from superscope.core import generator
from superscope.recipes.toy_training import Sweep
from superscope.toy import ToyConfig, draw, importances, loss, reconstruct
from superscope.toy.model import activation

N, M, RATE = 5, 2, 0.9
THRESHOLD = -0.25
_SAMPLES = 65_536
AUTOGRAD = (
    "ExReLU jumps from t to 0 where its input falls below t < 0. Automatic differentiation takes the slope "
    "on either side, 1 or 0, and does not see the jump: nothing tells a weight that it could push "
    "interference over the edge, where it costs nothing. Take an output that reads −a x of its antipode, "
    "with x from U[0, 1) and a > |t|. The interference costs |t|³/(3a), which falls with a; autograd's "
    "gradient is +2|t|³/(3a²), which pulls a down. Here, as in the review, autograd's gradient is what "
    "trains, so part of what ExReLU does is done by the gradient and not by the loss."
)


def model(threshold: float | None) -> ToyConfig:
    """Return the model with ExReLU, or with ReLU where there is no threshold."""
    if threshold is None:
        return ToyConfig(n_features=N, n_hidden=M, importance=RATE)
    return ToyConfig(n_features=N, n_hidden=M, importance=RATE, output="exrelu", threshold=threshold)


def judged_by_exrelu(
    seeds: Sequence[int], densities: Sequence[float], relu: Sweep, exrelu: Sweep
) -> pd.DataFrame:
    """Return the ExReLU loss of the weights that each activation trained, by density, on the same draws."""
    config = model(THRESHOLD)
    importance = importances(config)
    f = activation("exrelu", THRESHOLD)
    rows = []
    for k, p in enumerate(densities):
        pairs = []
        for s, seed in enumerate(seeds):
            x = draw(config, torch.full((N,), p), _SAMPLES, generator(seed, "compared", k))
            pairs.append(
                [float(loss(x, reconstruct(x, w.W[s, k], w.b[s, k], f), importance)) for w in (relu, exrelu)]
            )
        first, second = torch.tensor(pairs).T
        rows.append(
            {
                "density": p,
                "weights from ReLU": float(first.mean()),
                "weights from ExReLU": float(second.mean()),
                "seeds where those from ReLU are better": int((first < second).sum()),
            }
        )
    return pd.DataFrame(rows)


def digons_loss(t: float, density: float) -> float:
    """Return the ExReLU loss of the first four features as two digons with unit norms, t ≤ 0, b = 0.

    An output reads x_i − x_j. With one of the two active, density p(1 − p), it is wrong by the other's x
    below |t|: |t|³/3. With both, p², it is wrong by x_j where x_i − x_j ≥ t, and by x_i where it is cut off:
    E = ∫∫ x_j² over the first part and x_i² over the second. The fifth feature costs its second moment, less
    the square of its mean, which its bias is.
    """
    p, a = density, min(-t, 1.0)
    # cut off where x_j > x_i + a: ∫₀^{1−a} x²(1 − a − x) dx = (1−a)⁴/12; and x_j² there: ∫_a^1 y²(y − a) dy
    cut = (1 - a**4) / 4 - a * (1 - a**3) / 3
    both = 1 / 3 - cut + (1 - a) ** 4 / 12
    weights = importances(model(None))
    wrong = p * (1 - p) * a**3 / 3 + p * p * both
    return float(weights[:4].sum()) * wrong + float(weights[4]) * (p / 3 - p * p / 4)
