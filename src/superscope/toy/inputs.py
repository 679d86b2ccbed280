"""What :func:`superscope.toy.train` accepts: every fault of its arguments is found before any work."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from superscope.core import ConfigError, InputError, checked
from superscope.toy.model import ToyConfig, importances
from superscope.toy.problem import Schedule

BACKENDS = ("auto", "reference", "fused")

Numbers = Tensor | Sequence[float] | Sequence[Sequence[float]]


def option_faults(
    counts: Mapping[str, int], *, lr: float, weight_decay: float, gain: float, schedule: str, backend: str
) -> list[str]:
    """Return a line for each option that cannot be used; ``counts`` are those that must be at least 1."""
    faults = [f"{name} is {value}; at least 1 is needed" for name, value in counts.items() if value < 1]
    if not 0 < lr < math.inf:
        faults.append(f"lr is {lr}; a finite number above 0 is needed")
    if not 0 <= weight_decay < math.inf:
        faults.append(f"weight_decay is {weight_decay}; a finite number of at least 0 is needed")
    if not 0 < gain < math.inf:
        faults.append(f"gain is {gain}; a finite number above 0 is needed")
    if schedule not in get_args(Schedule):
        faults.append(f"schedule {schedule!r} is unknown; choose from {', '.join(get_args(Schedule))}")
    if backend not in BACKENDS:
        faults.append(f"backend {backend!r} is unknown; choose from {', '.join(BACKENDS)}")
    return faults


def checked_sweep(
    config: ToyConfig,
    density: Numbers,
    importance: Numbers | None,
    faults: Sequence[str],
    initial: Tensor | None = None,
) -> tuple[Float[Tensor, "instance feature"], Float[Tensor, "instance feature"]]:
    """Return density and importance of each feature in each instance.

    Raises:
        ConfigError: with ``faults`` and those of config, density, importance and start, if there are any.
    """
    found = list(faults)
    p = weights = torch.empty(0, 0)
    with _collected(found):
        default = importances(checked(config))
        found.extend(_model_faults(config))
        if importance is None:
            weights = default
    with _collected(found):
        p = _density(density, config.n_features)
    with _collected(found):
        if importance is not None:
            weights = _importance(importance, config.n_features, len(p))
    if len(p) and not found:
        found.extend(_group_faults(config, p))
    if initial is not None:
        found.extend(_initial_faults(config, initial, len(p)))
    if found:
        raise ConfigError("train", found)
    return p.contiguous(), weights.expand(p.shape).contiguous()


def _model_faults(config: ToyConfig) -> Iterator[str]:
    n, m, grouped = config.n_features, config.n_hidden, sum(config.correlated) + sum(config.anticorrelated)
    if config.hidden == "linear" and m > n:
        yield (
            f"n_hidden is {m} for {n} features; linear hidden units beyond the features hold nothing: "
            f"give at most {n}, or hidden='relu'"
        )
    if grouped > n:
        yield f"the groups have {grouped} features together and there are {n}; make them smaller"


def _group_faults(config: ToyConfig, p: Float[Tensor, "instance feature"]) -> Iterator[str]:
    start = 0
    for name, sizes in (("correlated", config.correlated), ("anticorrelated", config.anticorrelated)):
        by_feature = name == "anticorrelated" and config.marginal == "feature"
        for k in sizes:
            group = p[:, start : start + k]
            which = f"the {name} features {start} to {start + k - 1}"
            if by_feature and (group.sum(1) > 1 + 1e-6).any():
                yield (
                    f"the densities of {which} add up to {group.sum(1).max():g}; at most one is active at a "
                    "time, so at most 1 is possible"
                )
            if not by_feature and (group != group[:, :1]).any():
                yield f"{which} have different densities; they share one gate, so give them one density"
            start += k


def _initial_faults(config: ToyConfig, initial: Tensor, instances: int) -> Iterator[str]:
    wanted = [instances, config.n_hidden, config.n_features]
    if not config.tied:
        yield "initial weights are for tied models; leave them out"
    elif list(initial.shape) != wanted or not initial.isfinite().all():
        yield f"initial has shape {list(initial.shape)}; finite weights of shape {wanted} are needed"


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
