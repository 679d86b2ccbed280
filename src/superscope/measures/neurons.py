"""Neurons whose basis is privileged by a ReLU: the features that each one serves, and how two share one.

For h = ReLU(W x), y = f(W_outᵀ h + b) with W and W_out [*batch, hidden, feature]: neuron a reads feature i
by W_ai and writes it by W_out_ai. Multiplying a neuron's in-weights by c > 0 and dividing its out-weights by
c leaves the network as it is, so what counts here in a network with W_out is the path |W_ai| W_out_ai, which
does not change either.

After Elhage et al. 2022, "Toy Models of Superposition", arXiv 2209.10652.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from superscope.core.errors import InputError

Pair = tuple[float, float]


@dataclass(frozen=True)
class NeuronCensus:
    """How many neurons serve no feature, one, or more."""

    features: Int[Tensor, "*batch hidden"]
    """Features that each neuron serves."""
    unused: Int[Tensor, "*batch"]
    """Neurons with no weight to speak of."""
    monosemantic: Int[Tensor, "*batch"]
    """Neurons for one feature."""
    polysemantic: Int[Tensor, "*batch"]
    """Neurons for two features or more."""


@dataclass(frozen=True)
class InhibitionMotif:
    """Asymmetric superposition with inhibition: two features of unequal size in a neuron, and the remedy."""

    neuron: int
    """The neuron that both features share."""
    features: tuple[int, int]
    """The feature with the large in-weight, a, and the one with the large out-weight, b."""
    in_weights: Pair
    """Of the shared neuron for a and b, like 2 and −½."""
    out_weights: Pair
    """Of the shared neuron for a and b, like ½ and 2."""
    inhibitor: int
    """The neuron that a excites too, and that holds output b down."""
    inhibitor_in: Pair
    """Its in-weights for a and b."""
    inhibitor_out: Pair
    """Its out-weights for a and b; that for b is negative."""
    strength: float
    """Share of the wrong output on b that it takes back: 1 for all of it, more where it overshoots."""
    leak: float
    """What is left: rise of output b before its activation for a rise of a by 1, through all neurons."""


def weight_stacks(
    W: Float[Tensor, "*batch hidden feature"], W_out: Float[Tensor, "*batch hidden feature"] | None = None
) -> Float[Tensor, "*batch hidden feature"]:
    """Return what each neuron has to do with each feature, as neuron weight stacks show it.

    In a tied network the weight W_ai itself. With W_out the path |W_ai| W_out_ai: by how much output i rises
    through neuron a when |x_i| rises by 1 on the side that excites a; negative where the neuron holds the
    output of its own input down. In an exact |x| = ReLU(x) + ReLU(−x) every neuron has one path, of 1.

    Args:
        W: in-weights.
        W_out: out-weights; None for a tied network.

    Raises:
        InputError: when W has no neuron or no feature, or W_out has another shape.

    >>> weight_stacks(torch.tensor([[2.0, -0.5]]), torch.tensor([[0.5, 2.0]]))
    tensor([[1., 1.]])
    """
    if W.ndim < 2 or 0 in W.shape[-2:]:
        raise InputError(f"W has shape {tuple(W.shape)}, expected [*batch, hidden, feature] with one of each")
    if W_out is None:
        return W
    if W_out.shape != W.shape:
        raise InputError(
            f"W_out has shape {tuple(W_out.shape)} beside W of {tuple(W.shape)}; give both as "
            "[*batch, hidden, feature]"
        )
    return W.abs() * W_out


def neuron_census(
    W: Float[Tensor, "*batch hidden feature"],
    W_out: Float[Tensor, "*batch hidden feature"] | None = None,
    *,
    fraction: float = 0.25,
    floor: float = 0.1,
) -> NeuronCensus:
    """Return how many features each neuron serves, and how many neurons are mono- and polysemantic.

    A neuron serves the features whose entry of :func:`weight_stacks` is larger than ``fraction`` of the
    neuron's largest, by magnitude. The paper gives no number for this.

    Args:
        W: in-weights.
        W_out: out-weights; None for a tied network.
        fraction: ¼ is a path with half of the largest's in-weight and half of its out-weight; of a tied
            neuron's weight it is a sixteenth in squares.
        floor: a neuron whose largest entry is at most this share of the layer's largest is unused.

    Raises:
        InputError: when the shapes do not fit, a value is not finite, or a share is outside [0, 1).

    >>> census = neuron_census(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, -0.8], [0.0, 0.01, 0.0]]))
    >>> census.features.tolist(), int(census.monosemantic), int(census.polysemantic), int(census.unused)
    ([1, 2, 0], 1, 1, 1)
    """
    for name, value in (("fraction", fraction), ("floor", floor)):
        if not 0 <= value < 1:
            raise InputError(f"{name} is {value}; give a share in [0, 1)")
    sizes = _finite(weight_stacks(W, W_out), "W and W_out").abs()
    largest = sizes.amax(-1, keepdim=True)
    used = (largest > floor * largest.amax(-2, keepdim=True)) & (largest > 0)
    features = ((sizes > fraction * largest) & used).sum(-1)
    return NeuronCensus(features, (features == 0).sum(-1), (features == 1).sum(-1), (features > 1).sum(-1))


def neuron_order(
    W: Float[Tensor, "*batch hidden feature"],
    W_out: Float[Tensor, "*batch hidden feature"] | None = None,
    importance: Float[Tensor, "*#batch feature"] | None = None,
) -> Int[Tensor, "*batch hidden"]:
    """Return the neurons sorted by the importance of the feature that is largest in them, highest first.

    Neurons of the same feature are sorted by its entry of :func:`weight_stacks`, the largest first.

    Args:
        W: in-weights.
        W_out: out-weights; None for a tied network.
        importance: of each feature; where None, feature 0 is the most important, then 1, and so on.

    Raises:
        InputError: when the shapes do not fit or a value is not finite.

    >>> neuron_order(torch.tensor([[0.0, 1.0], [0.5, 0.1], [-2.0, 1.0]])).tolist()
    [2, 1, 0]
    """
    size, feature = _finite(weight_stacks(W, W_out), "W and W_out").abs().max(-1)
    rank = torch.arange(W.shape[-1], device=W.device)
    if importance is not None:
        if importance.shape[-1] != W.shape[-1]:
            raise InputError(f"importance has {importance.shape[-1]} entries for {W.shape[-1]} features")
        rank = _finite(importance, "importance").argsort(dim=-1, descending=True, stable=True).argsort(-1)
    place = rank.to(W.device).expand(*W.shape[:-2], W.shape[-1]).gather(-1, feature)
    by_size = size.argsort(dim=-1, descending=True, stable=True)
    return by_size.gather(-1, place.gather(-1, by_size).argsort(dim=-1, stable=True))


def inhibition_motifs(
    W: Float[Tensor, "hidden feature"],
    W_out: Float[Tensor, "hidden feature"],
    *,
    tolerance: float = 0.5,
    ratio: float = 2.0,
    inhibition: float = 0.5,
) -> tuple[InhibitionMotif, ...]:
    """Return every asymmetric superposition with inhibition in y = ReLU(W_outᵀ ReLU(W x) + b).

    Neuron h serves features a and b with paths |W_h| W_out_h near 1, what a full side of an absolute value
    needs, but a by a large in-weight and b by a large out-weight: in like [2, −½], out like [½, 2]. So b
    hardly disturbs output a (by ½·½), while a raises output b by 2·2, which is wrong. A second neuron g,
    which a excites on the same side, takes that back by a negative out-weight on b.

    In the numbers of the arguments: |path − 1| ≤ ``tolerance`` for a and b; |W_ha| ≥ ``ratio``·|W_hb| and
    W_out_hb ≥ ``ratio``·W_out_ha; W_ga of the sign of W_ha; W_out_gb < 0 and |W_ga W_out_gb| ≥
    ``inhibition``·|W_ha W_out_hb|. Of several such g the strongest is named.

    These stay as they are when a neuron's in-weights are scaled by c > 0 and its out-weights by 1/c (the
    weights in the answer are the given ones), when neurons or features are renumbered (but for the
    numbers), and, as |x| does not see it, when a feature's in-weights change sign.

    Args:
        W: in-weights of one model.
        W_out: its out-weights.
        tolerance: ½ leaves out a path that does less than half of a side's work.
        ratio: 2 is the geometric mean of equal sizes and of the paper's 4.
        inhibition: ½: most of the wrong output is taken back by one neuron.

    Raises:
        InputError: when W and W_out are not [hidden, feature] of one shape, hold a value that is not
            finite, or a threshold is out of range.

    >>> W = torch.tensor([[2.0, -0.5], [1.0, 0.0]])
    >>> W_out = torch.tensor([[0.5, 2.0], [0.1, -4.0]])
    >>> [motif] = inhibition_motifs(W, W_out)
    >>> motif.neuron, motif.features, motif.inhibitor, motif.strength, motif.leak
    (0, (0, 1), 1, 1.0, 0.0)
    """
    if not (0 <= tolerance < 1 and ratio > 1 and inhibition > 0):
        raise InputError(
            f"tolerance is {tolerance}, ratio {ratio}, inhibition {inhibition}; "
            "give one in [0, 1), one above 1 and one above 0"
        )
    if W.ndim != 2:
        raise InputError(
            f"W has shape {tuple(W.shape)}, expected [hidden, feature]; give one model at a time"
        )
    paths = _finite(weight_stacks(W, W_out), "W and W_out").detach().double().cpu()
    U, V = W.detach().double().cpu(), W_out.detach().double().cpu()
    full = (paths - 1).abs() <= tolerance
    larger_in = U.abs()[:, :, None] >= ratio * U.abs()[:, None]
    larger_out = V[:, None] >= ratio * V[:, :, None]
    shared = full[:, :, None] & full[:, None] & larger_in & larger_out
    found = []
    for h, a, b in shared.nonzero().tolist():
        excited = torch.relu(U[:, a] * U[h, a].sign())
        onto_b = excited * V[:, b]
        strengths = -onto_b / onto_b[h]
        strengths[h] = 0
        g = int(strengths.argmax())
        if strengths[g] < inhibition:
            continue
        shared_in, shared_out, held_in, held_out = (_pair(x, n, a, b) for n in (h, g) for x in (U, V))
        leak = float(onto_b.sum())
        found.append(
            InhibitionMotif(h, (a, b), shared_in, shared_out, g, held_in, held_out, float(strengths[g]), leak)
        )
    return tuple(found)


def _pair(weights: Tensor, neuron: int, a: int, b: int) -> Pair:
    return float(weights[neuron, a]), float(weights[neuron, b])


def _finite(values: Tensor, what: str) -> Tensor:
    if not bool(values.isfinite().all()):
        raise InputError(f"{what} hold a value that is not finite, and no neuron can be judged by it")
    return values
