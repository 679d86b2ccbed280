"""Small changes of the input that mislead a toy model most, and how much harm they do.

The output of feature i changes fastest along (WᵀW)_i, so among all changes of one length that is the one
which raises it most. Without superposition that row has one entry; with it, interference gives the others a
hold.
After Elhage et al. 2022, "Toy Models of Superposition" (arXiv 2209.10652), "Relationship to adversarial
robustness".
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from superscope.core import InputError
from superscope.toy.model import Activation, Output, activation

_CHUNK_NUMBERS = 2**22
SHARE = 0.1
"""Length of an attack over the mean length of the inputs, as published."""


@dataclass(frozen=True)
class Attack:
    """What the worst attack on each input does."""

    clean: Float[Tensor, "*instance"]
    """L, the loss without an attack."""
    attacked: Float[Tensor, "*instance"]
    """L′, the loss of the attacked inputs against what the clean ones should give."""
    feature: Int[Tensor, "*instance batch"]
    """The feature whose attack each input meets."""


def feature_attacks(
    W: Float[Tensor, "*instance hidden feature"],
) -> Float[Tensor, "*instance feature feature"]:
    """Return the best attack of length 1 on each output: row i is (WᵀW)_i / ‖(WᵀW)_i‖.

    Of all δ with ‖δ‖ ≤ 1 it has the largest (WᵀW)_i·δ, by the Cauchy–Schwarz inequality; output i of a tied
    model with linear hidden units and a monotone activation grows with that and with nothing else. A feature
    that is not embedded has a row of zeros: nothing reaches its output.

    >>> feature_attacks(torch.tensor([[3.0, 4.0, 0.0]]))
    tensor([[0.6000, 0.8000, 0.0000],
            [0.6000, 0.8000, 0.0000],
            [0.0000, 0.0000, 0.0000]])
    """
    return torch.nn.functional.normalize(W.mT @ W, dim=-1, eps=torch.finfo(W.dtype).tiny)


def attack(
    x: Float[Tensor, "*instance batch feature"],
    W: Float[Tensor, "*instance hidden feature"],
    b: Float[Tensor, "*instance feature"],
    epsilon: Float[Tensor, "*#instance"],
    importance: Float[Tensor, "*#instance feature"],
    output: Output | Activation = "relu",
    *,
    one: bool = False,
) -> Attack:
    """Attack each input with whichever feature's attack of length ε harms that input most.

    The loss is Σ_i I_i (x_i − x′_i)², the mean over the inputs, with x the clean input. Where every attack
    helps the model, the least helpful one is taken, so L′ can be below L.

    Args:
        x: clean inputs.
        W: weights of a tied model with linear hidden units.
        b: biases of the output.
        epsilon: lengths of the attacks.
        importance: I.
        output: the function on the output by name, exrelu with t = −0.25; or any function on tensors.
        one: attack all inputs with the one feature's attack that harms them most on average.

    >>> x, W = torch.tensor([[0.5, 0.0]]), torch.tensor([[1.0, 0.0]])  # the second feature is not embedded
    >>> found = attack(x, W, torch.zeros(2), torch.tensor(0.1), torch.ones(2))
    >>> float(found.clean), round(float(found.attacked), 6), found.feature.tolist()
    (0.0, 0.01, [0])
    """
    f = output if callable(output) else activation(output)
    G = W.mT @ W
    pre = x @ G + b.unsqueeze(-2)
    shift = epsilon[..., None, None] * feature_attacks(W) @ G
    weights = importance.unsqueeze(-2)

    def losses(given: Tensor, wanted: Tensor, I: Tensor) -> Tensor:  # noqa: E741
        return ((given - wanted).square() * I).sum(-1)

    clean = losses(f(pre), x, weights).mean(-1)
    size = max(1, _CHUNK_NUMBERS // shift.numel())
    harms = []
    for part, wanted in zip(pre.split(size, -2), x.split(size, -2), strict=True):
        given = f(part.unsqueeze(-2) + shift.unsqueeze(-3))
        harms.append(losses(given, wanted.unsqueeze(-2), weights.unsqueeze(-2)))
    harm = torch.cat(harms, -2)  # [*instance, batch, feature]
    if one:
        attacked, feature = harm.mean(-2).max(-1)
        return Attack(clean, attacked, feature.unsqueeze(-1).expand(harm.shape[:-1]))
    worst = harm.max(-1)
    return Attack(clean, worst.values.mean(-1), worst.indices)


def adversarial_vulnerability(
    x: Float[Tensor, "*instance batch feature"],
    W: Float[Tensor, "*instance hidden feature"],
    b: Float[Tensor, "*instance feature"],
    importance: Float[Tensor, "*#instance feature"],
    share: float = SHARE,
    output: Output | Activation = "relu",
    *,
    one: bool = False,
) -> Float[Tensor, "*instance"]:
    """Return the harm that attacks do, over the harm they do without superposition: (L′ − L)/(L′₀ − L₀).

    Attacks are as long as ``share`` of the mean length of the inputs, and each input meets the one that harms
    it most (:func:`attack`). The model without superposition embeds its most important features along the
    axes and no others: an attack of length ε on feature i then moves output i by ε and nothing else, so
    L′₀ − L₀ = ε² max_i I_i, for inputs of 0 or above.

    Without unit, and 1 without superposition. With superposition the change of the output is longer than that
    of the input, ‖WᵀWδ‖ > ‖δ‖, up to n/m times for n features spread evenly over m dimensions; what ReLU
    removes of it does no harm. It can be below 0 for a model so poor that every attack helps it.

    Args:
        x: clean inputs, of the density that the model was trained for.
        W: weights of a tied model with linear hidden units.
        b: biases of the output.
        importance: I.
        share: the length of the attacks over the mean length of the inputs.
        output: the function on the output.
        one: attack all inputs with one feature's attack, the worst on average, in place of one for each.

    Raises:
        InputError: when the share is not positive, every input is zero, or no feature has importance.

    >>> x = torch.tensor([[0.5, 0.2], [0.0, 0.4]])
    >>> round(float(adversarial_vulnerability(x, torch.eye(2), torch.zeros(2), torch.ones(2))), 4)
    1.0
    """
    epsilon = share * torch.linalg.vector_norm(x, dim=-1).mean(-1)
    if not (epsilon > 0).all():
        raise InputError(f"share is {share} of a mean length of inputs that may be 0; both must be positive")
    most = importance.amax(-1)
    if not (most > 0).all():
        raise InputError("importance holds no number above 0; one feature at least must count")
    found = attack(x, W, b, epsilon, importance, output, one=one)
    return (found.attacked - found.clean) / (epsilon.square() * most)
