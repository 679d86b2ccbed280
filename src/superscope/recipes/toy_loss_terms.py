"""The loss as feature benefit and interference: closed forms against integrals and Monte Carlo."""

from collections.abc import Mapping

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from superscope.core import Run, generator
from superscope.plots import plot_closed_form, plot_deviations, plot_terms
from superscope.recipes.claims import Claim, Verdict, judge
from superscope.recipes.loss_checks import (
    CHECKS,
    DENSITIES,
    SHAPES,
    LossTermsConfig,
    Model,
    check_seed,
    one_active,
    untrained,
)
from superscope.recipes.recipe import Outcome, Recipe
from superscope.report import DataTable, Picture, Prose, Section
from superscope.toy import best_polygon, linear_terms, one_sparse_terms, reconstruct, regular_polygon

_POLYGONS = tuple(range(1, 13))
_FURTHEST, _SPREAD = 4.0, 1.25
_INTEGRAL, _EXACT = 1e-10, 1e-12
_BIAS = 1e-6
_CURVE_SAMPLES = 2_000
_NORMAL_95 = 1.96

_SHAPES = "; ".join(f"{n}, {m}" for n, m in SHAPES)
_SETTING = f"random W, b, I with n, m = {_SHAPES}; and the face, pentagon and hexagon"
_LISTED = ", ".join(f"{p:g}" for p in DENSITIES)
_WITHIN = (
    f"every one within {_FURTHEST:g} standard errors of Monte Carlo, their root mean square at most "
    f"{_SPREAD:g} standard errors"
)
_STATEMENTS = {
    "linear": (
        f"The linear model's loss is Σ_i I_i(1−‖W_i‖²)² + Σ_{{i≠j}} I_j(W_j·W_i)² up to a constant and "
        f"scale: with the best bias they are 0 and Var[x]; densities {_LISTED}; {_WITHIN}"
    ),
    "integrals": (
        "The ReLU model's one-sparse loss is the sum of the integrals I_i(x−ReLU(‖W_i‖²x+b_i))² and I_j "
        "ReLU(W_j·W_i x+b_j)² over [0, 1]: closed form and adaptive quadrature differ by at most "
        f"{_INTEGRAL:g} for each feature"
    ),
    "monte-carlo": f"The same loss is what the model costs on inputs with one active feature: {_WITHIN}",
    "at-one": (
        f"At x_i = 1 it is Σ_i I_i(1−ReLU(‖W_i‖²+b_i))² + Σ_{{i≠j}} I_j ReLU(W_j·W_i+b_j)²: equal to the "
        f"model run on the unit vectors within {_EXACT:g}"
    ),
    "never-worse": (
        "ReLU never makes things worse: no feature's benefit or interference term is above that of the "
        f"linear model with the same W and b, by more than {_EXACT:g}"
    ),
    "free": (
        "Interference that is negative, or that a negative bias pushes below zero, is free: with b_j = "
        "−max_{i≠j}(W_j·W_i)₊ the interference term is 0 exactly, and at half that bias it is not, "
        "wherever that bias is below 0"
    ),
    "bias": (
        "The bias helps when a feature is not represented by taking on the expected value: with W_i = 0 "
        f"the best b_i is E[x_i] = 1/(2n), one of n features active, within {_BIAS:g}"
    ),
}
_CLAIMS = tuple(Claim(f"T4-{part}", text, _SETTING, "slides, TMS") for part, text in _STATEMENTS.items())


def _run(config: LossTermsConfig, run: Run) -> Outcome:
    parts = [run.stage(f"seed-{seed}", lambda seed=seed: check_seed(config, seed)) for seed in config.seeds]
    stacked = {name: torch.stack([part[name] for part in parts]) for name in parts[0]}
    z = _deviations(stacked["compared"])
    for index, seed in enumerate(config.seeds):
        run.metric(seed=seed, root_mean_square=z[index].square().mean().sqrt().item())
    comparisons = _comparison_table(config, stacked["compared"], z)
    polygons = _polygon_table()
    pictures = {
        "terms": _terms_picture(untrained(config, config.seeds[0])[2 * config.models]),
        "pentagon": _pentagon_picture(config.seeds[0]),
        "polygons": _polygons_picture(),
        "deviations": _deviations_picture(z),
    }
    sections = [
        Section(
            "Benefit and interference",
            [
                Prose(
                    "Each feature's loss has a part from how it is read itself and a part from what is "
                    "read of the others. A ReLU takes away the interference that is negative."
                ),
                pictures["terms"],
                pictures["pentagon"],
            ],
        ),
        Section(
            "Closed form and Monte Carlo",
            [pictures["deviations"], DataTable(comparisons, "Every seed, model and check.")],
        ),
        Section(
            "Regular polygons",
            [
                Prose(
                    "Features of equal importance in the plane, in the limit where at most one is active "
                    "at a time. Up to four cost nothing, as antipodal pairs or as a triangle. A fifth is "
                    "better taken in, as a pentagon with a larger radius and a negative bias, than left "
                    "out beside two antipodal pairs."
                ),
                pictures["polygons"],
                DataTable(polygons, "Best radius and bias of each regular polygon."),
            ],
        ),
    ]
    return Outcome(
        _judged(stacked, z), {"comparisons": comparisons, "polygons": polygons}, pictures, stacked, sections
    )


def _deviations(compared: Float[Tensor, "seed model check 3"]) -> Float[Tensor, "seed model check"]:
    """Return (mean − closed form)/standard error; 0 where the loss is 0 in every sample."""
    closed, mean, error = compared.unbind(-1)
    return (mean - closed) / error.clamp(min=_EXACT)


def _judged(found: Mapping[str, Tensor], z: Float[Tensor, "seed model check"]) -> list[Verdict]:
    linear, one = z[..., :-1].flatten(1), z[..., -1]
    values = {
        "linear": _agree(linear),
        "monte-carlo": _agree(one),
        "integrals": (found["integrals"] <= _INTEGRAL).all(1).tolist(),
        "at-one": (found["at-one"] <= _EXACT).all(1).tolist(),
        "never-worse": (found["never-worse"] <= _EXACT).all(1).tolist(),
        "free": found["free"].bool().all(1).tolist(),
        "bias": (found["bias"] <= _BIAS).all(1).tolist(),
    }
    evidence = {
        "linear": f"{_scale(found['compared'])} {_spread(linear)}",
        "monte-carlo": _spread(one),
        "integrals": _largest(found["integrals"]),
        "at-one": _largest(found["at-one"]),
        "never-worse": f"Largest excess: {max(float(found['never-worse'].max()), 0.0):.1e}.",
        "bias": _largest(found["bias"]),
    }
    parts = [claim.id.removeprefix("T4-") for claim in _CLAIMS]
    return [
        judge(claim, values[part], evidence.get(part, "")) for claim, part in zip(_CLAIMS, parts, strict=True)
    ]


def _agree(z: Float[Tensor, "seed comparison"]) -> list[bool]:
    near = (z.abs() <= _FURTHEST).all(1) & (z.square().mean(1).sqrt() <= _SPREAD)
    return near.tolist()


def _spread(z: Float[Tensor, "seed comparison"]) -> str:
    by_seed = ", ".join(f"{value:.2f}" for value in z.square().mean(1).sqrt().tolist())
    return (
        f"{z.shape[1]} comparisons a seed; root mean square deviation in standard errors, by seed: "
        f"{by_seed}; the largest of all is {float(z.abs().max()):.2f}."
    )


def _largest(off: Float[Tensor, "seed model"]) -> str:
    return f"Largest difference: {float(off.max()):.1e}."


def _scale(compared: Float[Tensor, "seed model check 3"]) -> str:
    """Say what a straight line through the measured losses has for a scale and a constant, at density 1."""
    closed, mean, error = compared[:, :, 0].flatten(0, 1).unbind(-1)
    weights = (1 / error)[:, None]
    fitted = torch.linalg.lstsq(
        weights * torch.stack([closed, torch.ones_like(closed)], 1), weights * mean[:, None]
    ).solution.flatten()
    return f"Fitted at density 1: scale {float(fitted[0]):.4f} Var[x], constant {float(fitted[1]):.1e}."


def _comparison_table(
    config: LossTermsConfig,
    compared: Float[Tensor, "seed model check 3"],
    z: Float[Tensor, "seed model check"],
) -> pd.DataFrame:
    names = [model.name for model in untrained(config, config.seeds[0])]
    return pd.DataFrame(
        [
            {"seed": seed, "model": name, "check": check}
            | dict(
                zip(("closed form", "Monte Carlo", "standard error"), compared[s, k, c].tolist(), strict=True)
            )
            | {"deviation in standard errors": z[s, k, c].item()}
            for s, seed in enumerate(config.seeds)
            for k, name in enumerate(names)
            for c, check in enumerate(CHECKS)
        ]
    )


def _polygon_table() -> pd.DataFrame:
    rows = [best_polygon(k) for k in _POLYGONS]
    return pd.DataFrame(
        {
            "features": [row.k for row in rows],
            "radius": [row.radius for row in rows],
            "bias": [row.bias for row in rows],
            "one-sparse loss": [row.loss for row in rows],
            "a feature": [row.loss / row.k for row in rows],
            "best polygon of some, others left out": [_some(row.k) for row in rows],
            "two antipodal pairs, others left out": [_two_pairs(row.k) for row in rows],
            "all left out": [row.k / 3 for row in rows],
        }
    )


def _two_pairs(n: int) -> float:
    return max(n - 4, 0) / 3


def _some(n: int) -> float:
    return min(best_polygon(k).loss + (n - k) / 3 for k in range(1, n + 1))


def _terms_picture(model: Model) -> Picture:
    importance = torch.ones_like(model.importance)
    zero = torch.zeros_like(model.b)
    # ∫ x² = 1/3 of the terms without a bias is the linear model's one-sparse loss
    linear = torch.stack(linear_terms(model.W, importance)) / 3
    relu = torch.stack(one_sparse_terms(model.W, zero, importance))
    both = torch.stack([linear, relu], 1)
    return Picture(
        plot_terms(both[0], both[1], ["linear model", "ReLU model"]),
        f"One-sparse loss of each feature in its two terms, for the same W ({model.name}), b = 0 and I = 1.",
        "Two panels of bars in two parts; in the panel of the ReLU model the interference parts are "
        "about half.",
    )


def _pentagon_picture(seed: int) -> Picture:
    best, g = best_polygon(5), generator(seed, "curve")
    unit, b, ones = regular_polygon(5).double(), torch.full((5,), best.bias).double(), torch.ones(5).double()
    radius = torch.linspace(0, 1.6, 161, dtype=torch.float64)
    benefit, interference = (
        term.sum(-1) / 5 for term in one_sparse_terms(radius[:, None, None] * unit, b, ones)
    )
    at = radius[::10]
    measured = []
    for r in at.tolist():
        x = one_active(5, _CURVE_SAMPLES, g)
        cost = (x - reconstruct(x, r * unit, b)).square() @ ones
        measured.append((float(cost.mean()), _NORMAL_95 * float(cost.std()) / _CURVE_SAMPLES**0.5))
    value, half = torch.tensor(measured, dtype=torch.float64).unbind(-1)
    curves = {"benefit term": benefit, "interference term": interference, "loss": benefit + interference}
    return Picture(
        plot_closed_form(
            radius,
            curves,
            axes=("radius ‖W_i‖", "loss, one feature active"),
            measured=(at, value, half),
            measured_label="Monte Carlo, 95 %",
        ),
        f"A pentagon with its best bias, {best.bias:.3f}: closed form and {_CURVE_SAMPLES:,} samples a "
        f"point. The loss is lowest at radius {best.radius:.3f}.",
        "Three curves over the radius, and points with error bars along the highest of them.",
    )


def _polygons_picture() -> Picture:
    curves = {
        "regular polygon": [best_polygon(n).loss for n in _POLYGONS],
        "polygon of some": [_some(n) for n in _POLYGONS],
        "two antipodal pairs": [_two_pairs(n) for n in _POLYGONS],
        "nothing represented": [n / 3 for n in _POLYGONS],
    }
    return Picture(
        plot_closed_form(
            [float(n) for n in _POLYGONS],
            curves,
            axes=("features in the plane", "one-sparse loss L₁"),
            dots=True,
        ),
        "What features cost in the plane as a regular polygon of all of them; as the best polygon of some of "
        "them, or as two antipodal pairs, with the others left out; and with all left out.",
        "Four rising curves. Those of the polygons are 0 up to four features, and the lowest beyond; they "
        "part at eight features.",
    )


def _deviations_picture(z: Float[Tensor, "seed model check"]) -> Picture:
    groups = {"linear": z[..., :-1].flatten(), "ReLU, one active": z[..., -1].flatten()}
    return Picture(
        plot_deviations(groups),
        "Monte Carlo against closed form: deviations of all seeds and models. Those of a right formula "
        "are spread as the curve.",
        "Two histograms along a bell curve.",
    )


TOY_LOSS_TERMS = Recipe(
    name="toy-loss-terms",
    title="The loss as feature benefit and interference",
    source="T4: the slides on toy models, after Elhage et al. 2022 (arXiv 2209.10652), section 3",
    introduction=(
        "The loss of a toy model falls into what a feature gains from being represented and what it "
        "costs the others. For the linear model this is exact; for the ReLU model it is so when one "
        "feature is active at a time. Both are put beside numerical integrals and Monte Carlo, for "
        "weights that are drawn and not trained."
    ),
    config=LossTermsConfig,
    presets={
        "smoke": LossTermsConfig(seeds=(0, 1), models=3, samples=20_000),
        "quick": LossTermsConfig(),
        "paper": LossTermsConfig(models=30, samples=1_000_000),
    },
    claims=_CLAIMS,
    run=_run,
)
