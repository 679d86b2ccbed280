"""What :func:`superscope.toy.train` accepts: every fault of its arguments is found before any work."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from superscope.core import ConfigError, InputError, checked
from superscope.toy.model import ToyConfig, importances

BACKENDS = ("auto", "reference")

Numbers = Tensor | Sequence[float] | Sequence[Sequence[float]]


def option_faults(counts: Mapping[str, int], *, lr: float, weight_decay: float, backend: str) -> list[str]:
    """Return a line for each option that cannot be used; ``counts`` are those that must be at least 1."""
    faults = [f"{name} is {value}; at least 1 is needed" for name, value in counts.items() if value < 1]
    if not 0 < lr < math.inf:
        faults.append(f"lr is {lr}; a finite number above 0 is needed")
    if not 0 <= weight_decay < math.inf:
        faults.append(f"weight_decay is {weight_decay}; a finite number of at least 0 is needed")
    if backend not in BACKENDS:
        faults.append(f"backend {backend!r} is unknown; choose from {', '.join(BACKENDS)}")
    return faults


def checked_sweep(
    config: ToyConfig, density: Numbers, importance: Numbers | None, faults: Sequence[str]
) -> tuple[Float[Tensor, "instance feature"], Float[Tensor, "instance feature"]]:
    """Return density and importance of each feature in each instance.

    Raises:
        ConfigError: with ``faults`` and those of config, density and importance, when there are any.
    """
    found = list(faults)
    p = weights = torch.empty(0, 0)
    with _collected(found):
        default = importances(checked(config))
        if importance is None:
            weights = default
    with _collected(found):
        p = _density(density, config.n_features)
    with _collected(found):
        if importance is not None:
            weights = _importance(importance, config.n_features, len(p))
    if found:
        raise ConfigError("train", found)
    return p.contiguous(), weights.expand(p.shape).contiguous()


@contextlib.contextmanager
def _collected(faults: list[str]) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        faults.extend(error.faults)
    except InputError as error:
        faults.append(str(error))


def _density(values: Numbers, n: int) -> Float[Tensor, "instance feature"]:
    given = _numbers("density", values)
    p = given[:, None].expand(-1, n) if given.ndim == 1 else given
    if p.ndim != 2 or len(p) == 0 or p.shape[1] != n:
        raise InputError(f"density has shape {list(given.shape)}; [instance] or [instance, {n}] is needed")
    _refuse("density", p, ~((p > 0) & (p <= 1)), "above 0 and at most 1")
    return p


def _importance(values: Numbers, n: int, instances: int) -> Float[Tensor, "..."]:
    weights = _numbers("importance", values)
    allowed = [(n,), (instances, n)] if instances else [(n,), (len(weights), n)]
    if tuple(weights.shape) not in allowed:
        raise InputError(f"importance has shape {list(weights.shape)}; [{n}] or [instance, {n}] is needed")
    _refuse("importance", weights, ~(weights.isfinite() & (weights >= 0)), "finite and at least 0")
    return weights


def _refuse(name: str, values: Tensor, wrong: Bool[Tensor, "..."], range_: str) -> None:
    if wrong.any():
        raise InputError(f"{name} holds {values[wrong][0]:g}; each must be {range_}")


def _numbers(name: str, values: Numbers) -> Tensor:
    try:
        return torch.as_tensor(values, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} is no table of numbers: {error}") from error
