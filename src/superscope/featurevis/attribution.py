"""Integrated and expected gradients: how much each entry of an input adds to one logit.

Both share a logit out over the input along straight paths from a baseline, so that the shares add up to its
difference from the baseline's logit. The model is used in evaluation mode with frozen parameters; its modes
and flags are put back, and its ``.grad`` are never touched.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from superscope.core.errors import InputError, ModelError

Method = Literal["gauss-legendre", "midpoint", "trapezoid"]
Targets = Int[Tensor, " sample"] | Sequence[int] | int


@dataclass(frozen=True, eq=False)
class Attribution:
    """Shares of a logit, and how well they add up."""

    values: Float[Tensor, "sample ..."]
    """Of the inputs' shape and device: what each entry adds to the logit, in the logit's unit."""
    convergence: Float[Tensor, " sample"]
    """Σ values − (logit of the input − logit of the baseline): 0 for an exact integral."""
    logits: Float[Tensor, " sample"]
    """F(x), the logit of the target."""
    baseline_logits: Float[Tensor, " sample"]
    """F(baseline); its mean over the background for expected gradients."""
    standard_errors: Float[Tensor, "sample ..."] | None = None
    """Of ``values``, over the draws of expected gradients; NaN with a single draw."""
    convergence_error: Float[Tensor, " sample"] | None = None
    """The standard error of Σ values, over the draws of expected gradients; NaN with a single draw."""


def integrated_gradients(
    model: nn.Module,
    inputs: Float[Tensor, "sample ..."],
    targets: Targets,
    *,
    baselines: Float[Tensor, "..."] | None = None,
    steps: int = 64,
    method: Method = "gauss-legendre",
    batch_size: int = 256,
) -> Attribution:
    """Return (x − b) ⊙ ∫₀¹ ∇F(b + α(x − b)) dα, F being the target's logit (Sundararajan et al. 2017).

    The values of a sample add up to F(x) − F(b) (completeness), up to the error of the quadrature that
    ``convergence`` tells; with a linear model they are exactly w ⊙ (x − b). An entry with x = b gets 0.

    Args:
        model: returns logits [sample, class], or an output with ``.logits``.
        inputs: x, any shape after the first axis; brought to the model's device and dtype.
        targets: the class of each sample, or one for all.
        baselines: b, broadcast over samples; zeros where None.
        steps: points of the quadrature.
        method: ``gauss-legendre`` is exact where the slope is a polynomial in α of degree 2 · steps − 1 or
            less, and has about half the Riemann sums' error over the kinks of a ReLU network too;
            ``midpoint`` and ``trapezoid`` are those sums.
        batch_size: rows of one forward pass.

    Raises:
        InputError: when inputs are no floating-point tensor or empty, a target is no class, the baselines do
            not fit, or steps or batch_size is too small.
        ModelError: when the model returns no [sample, class], logits that do not depend on the input by
            gradients, or a logit or gradient that is not finite.
    """
    places, weights = _quadrature(method, steps)
    _at_least_one(batch_size, "batch_size")
    x, ends = _on_model(model, inputs), torch.zeros((), dtype=inputs.dtype)
    b = _on_model(model, ends if baselines is None else baselines, "baselines")
    try:
        b = b.expand_as(x)
    except RuntimeError as error:
        raise InputError(
            f"baselines has the shape {list(b.shape)} and inputs {list(x.shape)}; give one that broadcasts"
        ) from error
    with _evaluation(model):
        after = _logits(model, x, batch_size)
        chosen = _targets(targets, *after.shape).to(x.device)
        before = _logits(model, b, batch_size)

        def path(sample: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
            return b[sample], places.to(x)[step]

        total = torch.zeros(x.shape, dtype=_wide(x), device=x.device)
        for sample, step, slope in _slopes(model, x, chosen, steps, path, batch_size):
            weight = weights.to(total)[step].reshape(-1, *[1] * (x.ndim - 1))
            total.index_add_(0, sample, slope.to(total) * weight)
    values = total * (x - b)
    return _attribution(inputs, values, _pick(after, chosen), _pick(before, chosen))


def expected_gradients(
    model: nn.Module,
    inputs: Float[Tensor, "sample ..."],
    targets: Targets,
    background: Float[Tensor, "row ..."],
    *,
    generator: torch.Generator,
    samples: int = 200,
    batch_size: int = 256,
) -> Attribution:
    """Return E[(x − b) ⊙ ∇F(b + α(x − b))] over baselines b of the background and α from U(0, 1).

    It is the mean of integrated gradients over baselines (Erion et al. 2021), by independent draws as in
    SHAP's ``GradientExplainer``, with the standard error of each mean. No single baseline has to stand for
    "nothing": with black as the baseline a black pixel has no share, here it has.

    Args:
        model: returns logits [sample, class], or an output with ``.logits``.
        inputs: x, any shape after the first axis; brought to the model's device and dtype.
        targets: the class of each sample, or one for all.
        background: inputs to draw baselines from, such as some hundred of the training set.
        generator: makes the draws, on its own device; they do not depend on ``batch_size``.
        samples: draws for each input.
        batch_size: rows of one forward pass.

    Raises:
        InputError: when inputs are no floating-point tensor or empty, a target is no class, the background is
            empty or does not fit, or samples or batch_size is below 1.
        ModelError: as in :func:`integrated_gradients`.
    """
    _at_least_one(samples, "samples")
    _at_least_one(batch_size, "batch_size")
    x, rows = _on_model(model, inputs), _on_model(model, background, "background")
    if rows.shape[1:] != x.shape[1:] or len(rows) == 0:
        raise InputError(
            f"background has the shape {list(rows.shape)} beside inputs of {list(x.shape)}; give as wide"
        )
    shape, device = (len(x), samples), generator.device
    drawn = torch.randint(len(rows), shape, generator=generator, device=device).to(x.device)
    alphas = torch.rand(shape, generator=generator, device=device).to(x)
    with _evaluation(model):
        after = _logits(model, x, batch_size)
        chosen = _targets(targets, *after.shape).to(x.device)
        before = _logits(model, rows, batch_size).double().mean(0, keepdim=True).expand(len(x), -1)

        def path(sample: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
            return rows[drawn[sample, step]], alphas[sample, step]

        mean = torch.zeros(x.shape, dtype=_wide(x), device=x.device)
        square, sums = torch.zeros_like(mean), torch.zeros(shape, dtype=mean.dtype, device=x.device)
        for sample, step, slope in _slopes(model, x, chosen, samples, path, batch_size):
            shares = slope.to(mean) * (x[sample] - path(sample, step)[0])
            mean.index_add_(0, sample, shares / samples)
            square.index_add_(0, sample, shares.square() / samples)
            sums[sample, step] = shares.flatten(1).sum(1)
    spread = (square - mean.square()).clamp_min(0)
    few = samples < 2
    errors = torch.full_like(mean, torch.nan) if few else (spread / (samples - 1)).sqrt()
    made = _attribution(inputs, mean, _pick(after, chosen), _pick(before, chosen))
    of_sum = torch.full_like(sums[:, 0], torch.nan) if few else sums.std(1) / samples**0.5
    return Attribution(
        made.values, made.convergence, made.logits, made.baseline_logits,
        errors.to(inputs), of_sum.to(made.convergence),
    )  # fmt: skip


def _slopes(
    model: nn.Module,
    x: Tensor,
    targets: Tensor,
    steps: int,
    path: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    batch_size: int,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (sample, step, ∇F) of every step of every sample, batch by batch.

    ``path`` gives the baseline and α of each (sample, step).
    """
    for rows in torch.arange(len(x) * steps, device=x.device).split(batch_size):
        sample, step = rows // steps, rows % steps
        baseline, alpha = path(sample, step)
        between = baseline + alpha.reshape(-1, *[1] * (x.ndim - 1)) * (x[sample] - baseline)
        between.requires_grad_()
        picked = _pick(_forward(model, between), targets[sample])
        slope = None
        if picked.requires_grad:
            [slope] = torch.autograd.grad(picked.sum(), between, allow_unused=True)
        if slope is None:
            raise ModelError(
                f"the logits of {type(model).__name__} do not depend on its inputs by gradients; give a "
                "model without argmax, rounding, detach or no_grad on the way"
            )
        _finite(slope, sample, "gradient")
        yield sample, step, slope


def _forward(model: nn.Module, x: Tensor) -> Tensor:
    returned = model(x)
    logits = getattr(returned, "logits", returned)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(x):
        shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"{type(model).__name__} returns {shape} for {len(x)} samples; give a model that returns logits "
            "[sample, class], or an output with .logits"
        )
    return logits


def _logits(model: nn.Module, x: Tensor, batch_size: int) -> Float[Tensor, "sample class"]:
    with torch.no_grad():
        logits = torch.cat([_forward(model, rows) for rows in x.split(batch_size)])
    _finite(logits, torch.arange(len(x)), "logit")
    return logits


def _finite(values: Tensor, sample: Tensor, what: str) -> None:
    good = values.isfinite().flatten(1).all(1).cpu()
    if not good.all():
        first = int(sample.cpu()[~good][0])
        raise ModelError(
            f"a {what} on the way to sample {first} is not finite; look for NaN or infinity in the inputs, "
            "baselines or weights"
        )


def _targets(targets: Targets, count: int, classes: int) -> Int[Tensor, " sample"]:
    given = torch.as_tensor(targets).cpu()
    whole = not given.is_floating_point() and given.dtype != torch.bool and given.ndim < 2
    if not whole or (given.ndim == 1 and len(given) != count):
        raise InputError(
            f"targets is {given.dtype} of the shape {list(given.shape)} for {count} samples; give one class "
            "number, or one for each sample"
        )
    chosen = given.long().expand(count)
    if int(chosen.min()) < 0 or int(chosen.max()) >= classes:
        wrong = chosen[(chosen < 0) | (chosen >= classes)][0]
        raise InputError(f"target {int(wrong)} is no class of {classes} logits; give 0 to {classes - 1}")
    return chosen


def _pick(logits: Float[Tensor, "sample class"], targets: Int[Tensor, " sample"]) -> Float[Tensor, " sample"]:
    return logits.gather(1, targets.to(logits.device)[:, None])[:, 0]


def _quadrature(method: str, steps: int) -> tuple[Float[Tensor, " step"], Float[Tensor, " step"]]:
    """Return places in [0, 1] and their weights, which add up to 1."""
    _at_least_one(steps, "steps")
    match method:
        case "gauss-legendre":
            places, weights = np.polynomial.legendre.leggauss(steps)
            places, weights = (1 + places) / 2, weights / 2
        case "midpoint":
            places, weights = (np.arange(steps) + 0.5) / steps, np.full(steps, 1 / steps)
        case "trapezoid":
            if steps < 2:
                raise InputError("steps is 1; a trapezoid needs 2 or more")
            places, weights = np.linspace(0, 1, steps), np.full(steps, 1 / (steps - 1))
            weights[[0, -1]] /= 2
        case _:
            raise InputError(f"method is {method!r}; give gauss-legendre, midpoint or trapezoid")
    return torch.from_numpy(places), torch.from_numpy(weights)


def _on_model(model: nn.Module, given: Tensor, what: str = "inputs") -> Tensor:
    if not given.is_floating_point() or given.numel() == 0:
        raise InputError(
            f"{what} is {given.dtype} of the shape {list(given.shape)}; give floating-point values, at least "
            "one, and for token numbers the embeddings they stand for"
        )
    like = next((p for p in model.parameters() if p.is_floating_point()), None)
    return given.detach().to(given if like is None else like)


def _wide(x: Tensor) -> torch.dtype:
    """Return the dtype to add many numbers in: Apple's GPUs have no float64."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def _attribution(inputs: Tensor, values: Tensor, after: Tensor, before: Tensor) -> Attribution:
    after, before = after.to(values), before.to(values)
    gap = values.flatten(1).sum(1) - (after - before)
    return Attribution(values.to(inputs), gap, after, before)


def _at_least_one(value: int, name: str) -> None:
    if value < 1:
        raise InputError(f"{name} is {value}; give 1 or more")


@contextlib.contextmanager
def _evaluation(model: nn.Module) -> Iterator[None]:
    """Hold the model in evaluation mode with frozen parameters, and put all back as it was."""
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval()
        for parameter, _ in flags:
            parameter.requires_grad = False
        with torch.inference_mode(mode=False), torch.enable_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, flag in flags:
            parameter.requires_grad = flag
