"""The models and checks of the recipe on loss terms: closed forms against integrals, models and samples."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from superscope.core import config, generator
from superscope.core.runtime import threads
from superscope.recipes.toy_training import Count, Seeds
from superscope.toy import (
    best_polygon,
    four_feature_face,
    linear_loss,
    one_sparse_terms,
    reconstruct,
    regular_polygon,
    sample,
    variance,
)

SHAPES = ((2, 1), (5, 2), (20, 5))
"""n and m of the random models."""
DENSITIES = (1.0, 0.1, 0.01)
"""Of the linear model's inputs."""
CHECKS = (*(f"linear, density {p:g}" for p in DENSITIES), "ReLU, one feature active")
"""What is compared with Monte Carlo."""
_CHUNK = 100_000


@config
class LossTermsConfig:
    """How many models, and how many samples for each."""

    seeds: Seeds = (0, 1, 2, 3, 4)
    """Each draws its own models and samples; the claims are judged over them."""
    models: Count = 12
    """Random models of each shape."""
    samples: Annotated[int, Field(ge=1000)] = 200_000
    """Monte Carlo samples for each model and density."""
    threads: Count = 1
    """Of a CPU."""


@dataclass(frozen=True)
class Model:
    """A ReLU model that was not trained; the linear one has its W and a bias of its own."""

    name: str
    W: Float[Tensor, "hidden feature"]
    b: Float[Tensor, " feature"]
    importance: Float[Tensor, " feature"]


def untrained(config: LossTermsConfig, seed: int) -> list[Model]:
    """Return the models of a seed: random ones of each of ``SHAPES``, then the face, pentagon and hexagon."""
    g = generator(seed, "models")

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    drawn = [
        Model(
            f"random, n = {n}, m = {m}",
            normal(m, n) / m**0.5,
            0.3 * normal(n),
            torch.rand(n, generator=g, dtype=torch.float64),
        )
        for n, m in SHAPES
        for _ in range(config.models)
    ]
    face = Model("face", four_feature_face().double(), torch.zeros(4).double(), torch.ones(4).double())
    return [*drawn, face, _polygon("pentagon", 5), _polygon("hexagon", 6)]


def _polygon(name: str, k: int) -> Model:
    best = best_polygon(k)
    W = regular_polygon(k, best.radius).double()
    return Model(name, W, torch.full((k,), best.bias).double(), torch.ones(k).double())


def one_active(n: int, count: int, g: torch.Generator) -> Float[Tensor, "sample feature"]:
    """Draw inputs with one active feature each, any of the n alike, uniform on [0, 1)."""
    x = torch.zeros(count, n, dtype=torch.float64)
    active = torch.randint(n, (count,), generator=g)
    x[torch.arange(count), active] = torch.rand(count, generator=g, dtype=torch.float64)
    return x


def _monte_carlo(
    draw: Callable[[int], Tensor], samples: int, costs: Callable[[Tensor], Tensor]
) -> tuple[float, float]:
    """Return the mean cost of a sample and its standard error."""
    sizes = [_CHUNK] * (samples // _CHUNK) + [samples % _CHUNK] * (samples % _CHUNK > 0)
    each = torch.cat([costs(draw(size)) for size in sizes])
    return float(each.mean()), float(each.std() / samples**0.5)


def _compared(model: Model, samples: int, g: torch.Generator) -> list[tuple[float, float, float]]:
    """Return closed form, mean and standard error of each of ``CHECKS``."""
    W, b, importance = model.W, model.b, model.importance
    n = len(b)
    terms = float(sum(linear_loss(W, importance)))
    found = []
    for p in DENSITIES:
        density = torch.full((n,), p)
        mean = density.double() / 2
        best = mean - mean @ W.mT @ W
        measured = _monte_carlo(
            lambda size, density=density: sample(density, size, g).double(),
            samples,
            lambda x, best=best: (x - reconstruct(x, W, best, "linear")).square() @ importance,
        )
        found.append((float(variance(torch.tensor(p, dtype=torch.float64))) * terms, *measured))
    one = sum(float(term.sum()) for term in one_sparse_terms(W, b, importance)) / n
    measured = _monte_carlo(
        lambda size: one_active(n, size, g),
        samples,
        lambda x: (x - reconstruct(x, W, b)).square() @ importance,
    )
    return [*found, (one, *measured)]


def _from_integrals(model: Model) -> float:
    """Return by how much a feature's closed form is off its integrals, done numerically, at the most."""
    from scipy.integrate import quad

    G, n = (model.W.mT @ model.W).tolist(), len(model.b)

    def integral(target: float, slope: float, bias: float) -> float:
        def f(x: float) -> float:
            return (target * x - max(slope * x + bias, 0.0)) ** 2

        kink = min(max(-bias / slope, 0.0), 1.0) if slope else 0.0
        return sum(quad(f, *ends, epsabs=1e-13)[0] for ends in ((0.0, kink), (kink, 1.0)))

    furthest = 0.0
    for j, (benefit, interference) in enumerate(zip(*_one_sparse(model), strict=True)):
        weight, bias = float(model.importance[j]), float(model.b[j])
        own = weight * integral(1.0, G[j][j], bias)
        others = weight * sum(integral(0.0, G[i][j], bias) for i in range(n) if i != j)
        furthest = max(furthest, abs(own - benefit), abs(others - interference))
    return furthest


def _one_sparse(model: Model) -> tuple[list[float], list[float]]:
    benefit, interference = one_sparse_terms(model.W, model.b, model.importance)
    return benefit.tolist(), interference.tolist()


def _from_unit_vectors(model: Model) -> float:
    """Return by how much the form at x_i = 1 is off the model run on the unit vectors."""
    W, b, importance = model.W, model.b, model.importance
    eye = torch.eye(len(b), dtype=torch.float64)
    squares = (eye - reconstruct(eye, W, b)).square() * importance
    own = squares.diagonal()
    benefit, interference = one_sparse_terms(W, b, importance, "one")
    return float(torch.maximum((own - benefit).abs(), (squares.sum(0) - own - interference).abs()).max())


def _above_linear(model: Model) -> float:
    """Return by how much a term of the ReLU model is above the linear model's with the same W and b."""
    W, b, importance = model.W, model.b, model.importance
    G = W.mT @ W
    start, end = -b, torch.eye(len(b)) - G - b  # of the linear model's error, [active, read]
    squares = (start.square() + start * end + end.square()) / 3
    benefit, interference = one_sparse_terms(W, b, importance)
    own = squares.diagonal()
    above = torch.stack(
        [benefit - importance * own, interference - importance * (squares.sum(0) - own)],
    )
    return float(above.max())


def _is_free(model: Model) -> bool:
    off_diagonal = (model.W.mT @ model.W).fill_diagonal_(0)
    b = -off_diagonal.amax(0).clamp(min=0)
    below = one_sparse_terms(model.W, b, model.importance)[1]
    half = one_sparse_terms(model.W, b / 2, model.importance)[1]
    return bool((below == 0).all() and (half[b < 0] > 0).all())


def _best_bias(model: Model) -> float:
    """Return by how much the best bias of a feature of norm 0 is off 1/(2n)."""
    from scipy.optimize import minimize_scalar

    W, n = model.W.clone(), len(model.b)
    W[:, 0] = 0

    def cost(bias: float) -> float:
        b = model.b.clone()
        b[0] = bias
        return sum(float(term[0]) for term in one_sparse_terms(W, b, torch.ones(n, dtype=torch.float64)))

    # at or below 0 the ReLU is silent and the cost is flat, so that a search there would find no way out
    found = minimize_scalar(cost, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-12})
    return abs(float(found.x) - 1 / (2 * n))


def check_seed(config: LossTermsConfig, seed: int) -> dict[str, Tensor]:
    """Return what is found for the models of a seed.

    ``compared`` [model, check, 3] holds closed form, Monte Carlo mean and standard error of each of
    ``CHECKS``; the others [model] hold how far a closed form is off, at the most, and for ``free`` 1 or 0.
    """
    g = generator(seed, "samples")
    with threads(config.threads):
        models = untrained(config, seed)
        compared = torch.tensor([_compared(model, config.samples, g) for model in models])
        return {
            "compared": compared.double(),
            "integrals": torch.tensor([_from_integrals(model) for model in models], dtype=torch.float64),
            "at-one": torch.tensor([_from_unit_vectors(model) for model in models], dtype=torch.float64),
            "never-worse": torch.tensor([_above_linear(model) for model in models], dtype=torch.float64),
            "free": torch.tensor([float(_is_free(model)) for model in models]),
            "bias": torch.tensor([_best_bias(model) for model in models], dtype=torch.float64),
        }
