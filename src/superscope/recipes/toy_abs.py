"""Absolute values in fewer neurons than they take: pure neurons, then, for sparse ones, polysemantic."""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, NamedTuple

import pandas as pd
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from superscope.core import Run, config
from superscope.measures import neuron_census
from superscope.plots import plot_neurons, plot_sweep
from superscope.recipes.claims import Claim, Verdict, judge
from superscope.recipes.recipe import Outcome, Recipe
from superscope.recipes.toy_pictures import history_picture
from superscope.recipes.toy_training import Count, Sweep, ToyTraining, train_seeds
from superscope.report import DataTable, Picture, Prose, Section
from superscope.toy import ToyConfig

_N, _M, _IMPORTANCE = 100, 40, 0.8
_DENSE, _SPARSE = (1.0, 0.3, 0.1, 0.03), (0.01, 0.003, 0.001)
_DENSITIES = _DENSE + _SPARSE
_LABELS = [f"density {p:g}" for p in _DENSITIES]
_SEEN, _HIGH, _FEW = 0.2, 0.5, 10
_EXACT = 0.05
_SETTING = f"y = |x|; n = {_N}, m = {_M}, I = {_IMPORTANCE:g}^i"
_WORDS = (
    "A neuron is judged by its second largest in-weight over its largest: up to "
    f"{_SEEN:g} it is monosemantic, below {_HIGH:g} slightly and from {_HIGH:g} on highly polysemantic; "
    "unused neurons (largest path at most 0.1 of the layer's largest) are left out"
)


def _claim(part: str, statement: str, density: str, source: str = "slides, TMS") -> Claim:
    return Claim(f"T12-{part}", statement, f"{_SETTING}; density {density}", source)


_CLAIMS = (
    Claim(
        "T12-exact",
        "Each feature has two neurons of its own, ReLU(x_i) and ReLU(−x_i): scaled to a largest in-weight of "
        f"1, out-weights are 1 and all other weights and biases 0, within {_EXACT:g}",
        "y = |x|; n = 3, m = 6, I = 1, density 1",
        "TMS",
    ),
    _claim("dense", f"All neurons are monosemantic. {_WORDS}", "1"),
    _claim("moderate", "All neurons are monosemantic", "0.3"),
    _claim(
        "slight", f"One to {_FEW} neurons of {_M} are polysemantic, all of them slightly", "0.1", "slides"
    ),
    _claim(
        "high",
        f"One to {_FEW} neurons of {_M} are highly polysemantic, each with a largest feature that is less "
        "important than that of the median neuron",
        "0.03",
        "slides",
    ),
    _claim(
        "grows",
        "More neurons are polysemantic at 0.03 than at 0.1, and more at 0.01 than at 0.03",
        "0.1 to 0.01",
    ),
    _claim(
        "below",
        "Not fewer are polysemantic at 0.003 than at 0.01, and at 0.001 than at 0.003",
        "0.01 to 0.001",
    ),
)


@config
class AbsConfig(ToyTraining):
    """Three features in six neurons, and a hundred in forty at seven densities."""

    gain: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.18
    """Deviation of the start over that of Xavier's normal one; the public notebooks' of ten such models."""
    sparse_lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    """The learning rate at densities ≤ 0.01, where quick biases shut outputs before weights grow."""
    exact_restarts: Count = 10
    """Starts of the small model, the best of which is kept."""


class Kinds(NamedTuple):
    """Neurons of a model by kind."""

    unused: int
    monosemantic: int
    slightly: int
    highly: int

    @property
    def polysemantic(self) -> int:
        """Slightly or highly."""
        return self.slightly + self.highly


def _run(config: AbsConfig, run: Run) -> Outcome:
    network = {"hidden": "relu", "tied": False, "target": "abs", "amplitude": "signed"}
    small = ToyConfig(n_features=3, n_hidden=6, **network)
    many = dataclasses.replace(config, restarts=config.exact_restarts, gain=1.0)
    exact = train_seeds(run, "exact", many, small, [1.0])
    model = ToyConfig(n_features=_N, n_hidden=_M, importance=_IMPORTANCE, **network)
    slower = dataclasses.replace(config, lr=config.sparse_lr)
    sweep = _side_by_side(
        train_seeds(run, "dense", config, model, _DENSE), train_seeds(run, "sparse", slower, model, _SPARSE)
    )

    tables = {"neurons": _table(sweep, config.seeds)}
    pictures = {"exact": _exact_picture(exact), **_pictures(sweep)}
    sections = [
        Section(
            "Two neurons a feature",
            [
                Prose("|x| = ReLU(x) + ReLU(−x): with two neurons a feature nothing has to be shared."),
                pictures["exact"],
            ],
        ),
        Section(
            "Fewer neurons than that",
            [
                Prose(
                    f"{_WORDS}. Of {config.restarts} starts the one with the lowest loss is kept. The "
                    f"pictures show the first seed of {len(config.seeds)}, the curves and the table all of "
                    "them. The column after the loss says what is left of the loss of a constant output; "
                    "where it is near 1, nothing was learned."
                ),
                *(pictures[name] for name in ("neurons", "counts", "paths", "history")),
                DataTable(tables["neurons"], "Every density and seed."),
            ],
        ),
    ]
    tensors = exact.tensors("exact") | sweep.tensors("sweep")
    return Outcome(_judged(exact, sweep), tables, pictures, tensors, sections)


def _side_by_side(*sweeps: Sweep) -> Sweep:
    """Return sweeps of the same seeds and records as one."""
    parts = {
        name: torch.cat([getattr(each, name) for each in sweeps], 1) for name in ("W", "W_out", "b", "loss")
    }
    history = torch.cat([each.history for each in sweeps], 2)
    return Sweep(**parts, history=history, steps=sweeps[0].steps)


def _weights(sweep: Sweep) -> tuple[Tensor, Tensor]:
    assert sweep.W_out is not None, "the network is untied"
    return sweep.W, sweep.W_out


def _scaled(
    W: Float[Tensor, "*batch hidden feature"], W_out: Float[Tensor, "*batch hidden feature"]
) -> tuple[Float[Tensor, "*batch hidden feature"], Float[Tensor, "*batch hidden feature"]]:
    """Return the same network with a largest in-weight of 1 in every neuron, as the paper draws it."""
    largest = W.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(W.dtype).tiny)
    return W / largest, W_out * largest


def _second(
    W: Float[Tensor, "hidden feature"], W_out: Float[Tensor, "hidden feature"]
) -> Float[Tensor, " hidden"]:
    """Return the second largest in-weight of each neuron over its largest; NaN where it is unused."""
    second = _scaled(W, W_out)[0].abs().topk(2, -1).values[:, 1]
    return second.where(neuron_census(W, W_out).features > 0, torch.nan)


def _kinds(W: Float[Tensor, "hidden feature"], W_out: Float[Tensor, "hidden feature"]) -> Kinds:
    second = _second(W, W_out)
    slightly = (second > _SEEN) & (second < _HIGH)
    counts = second.isnan(), second <= _SEEN, slightly, second >= _HIGH
    return Kinds(*(int(each.sum()) for each in counts))


def _unimportant(W: Float[Tensor, "hidden feature"], W_out: Float[Tensor, "hidden feature"]) -> bool:
    """Tell whether every highly polysemantic neuron is for a feature less important than the median's."""
    second, largest = _second(W, W_out), W.abs().argmax(-1)
    median = largest[~second.isnan()].median()
    return bool((largest[second >= _HIGH] > median).all())


def _is_exact(
    W: Float[Tensor, "hidden feature"], W_out: Float[Tensor, "hidden feature"], b: Float[Tensor, " feature"]
) -> bool:
    U, V = _scaled(W, W_out)
    largest = U.abs().argmax(-1)
    own = torch.nn.functional.one_hot(largest, W.shape[-1])
    signs = U.gather(-1, largest[:, None])[:, 0]
    sides = sorted(zip(largest.tolist(), signs.tolist(), strict=True))
    both = [(float(i), sign) for i in range(W.shape[-1]) for sign in (-1.0, 1.0)]
    off = max(float((U.abs() - own).abs().max()), float((V - own).abs().max()), float(b.abs().max()))
    return sides == both and off <= _EXACT


def _judged(exact: Sweep, sweep: Sweep) -> list[Verdict]:
    W, W_out = _weights(exact)
    pairs = [_is_exact(*model) for model in zip(W[:, 0], W_out[:, 0], exact.b[:, 0], strict=True)]
    kinds = _all_kinds(sweep)
    at = {p: [seed[i] for seed in kinds] for i, p in enumerate(_DENSITIES)}
    polysemantic = {p: [each.polysemantic for each in models] for p, models in at.items()}
    W, W_out = (each[:, _DENSITIES.index(0.03)] for each in _weights(sweep))
    unimportant = [_unimportant(*model) for model in zip(W, W_out, strict=True)]
    values = {
        "exact": pairs,
        "dense": [k == 0 for k in polysemantic[1.0]],
        "moderate": [k == 0 for k in polysemantic[0.3]],
        "slight": [each.highly == 0 and 1 <= each.slightly <= _FEW for each in at[0.1]],
        "high": [
            1 <= each.highly <= _FEW and below for each, below in zip(at[0.03], unimportant, strict=True)
        ],
        "grows": _rising(polysemantic, (0.1, 0.03, 0.01), least=1),
        "below": _rising(polysemantic, (0.01, 0.003, 0.001), least=0),
    }
    told = {
        "exact": "",
        "dense": _told(at, 1.0),
        "moderate": _told(at, 0.3),
        "slight": _told(at, 0.1),
        "high": f"{_told(at, 0.03)} Seeds where all highly so are unimportant: {sum(unimportant)}.",
        "grows": " ".join(_told(at, p) for p in (0.1, 0.03, 0.01)),
        "below": " ".join(_told(at, p) for p in (0.01, 0.003, 0.001)),
    }
    parts = [claim.id.removeprefix("T12-") for claim in _CLAIMS]
    return [judge(claim, values[part], told[part]) for claim, part in zip(_CLAIMS, parts, strict=True)]


def _all_kinds(sweep: Sweep) -> list[list[Kinds]]:
    """Return the neurons by kind, for each seed and density."""
    return [
        [_kinds(*model) for model in zip(*seed, strict=True)] for seed in zip(*_weights(sweep), strict=True)
    ]


def _rising(counts: Mapping[float, Sequence[int]], densities: Sequence[float], least: int) -> list[bool]:
    """Tell for each seed whether a count rises by ``least`` or more from each density to the next."""
    seeds = zip(*(counts[p] for p in densities), strict=True)
    return [all(after - before >= least for before, after in pairwise(seed)) for seed in seeds]


def _told(at: Mapping[float, Sequence[Kinds]], density: float) -> str:
    by_seed = ", ".join(f"{each.slightly} + {each.highly}" for each in at[density])
    return f"Slightly + highly polysemantic neurons at density {density:g}, by seed: {by_seed}."


def _table(sweep: Sweep, seeds: Sequence[int]) -> pd.DataFrame:
    paths = neuron_census(*_weights(sweep))
    ignored = _loss_of_nothing()
    return pd.DataFrame(
        [
            {
                "density": p,
                "seed": seed,
                "loss": sweep.loss[s, i].item(),
                "loss over that of a constant": sweep.loss[s, i].item() / ignored[i].item(),
                **kinds[i]._asdict(),
                "monosemantic by paths": int(paths.monosemantic[s, i]),
                "polysemantic by paths": int(paths.polysemantic[s, i]),
            }
            for s, (seed, kinds) in enumerate(zip(seeds, _all_kinds(sweep), strict=True))
            for i, p in enumerate(_DENSITIES)
        ]
    )


def _loss_of_nothing() -> Float[Tensor, " instance"]:
    """Return the loss Σ I_i Var|x_i| = Σ I_i (p/3 − p²/4) of the best constant output at each density."""
    p = torch.tensor(_DENSITIES)
    total = (1 - _IMPORTANCE**_N) / (1 - _IMPORTANCE)
    return total * (p / 3 - p.square() / 4)


def _exact_picture(exact: Sweep) -> Picture:
    W, W_out = _weights(exact)
    return Picture(
        plot_neurons(_scaled(W, W_out)[0][0], ["n = 3, m = 6"], fraction=_SEEN),
        "In-weights of each neuron, scaled to a largest one of 1: a positive and a negative side a feature.",
        "Six bars, two in the colour of each of three features, one up and one down.",
    )


def _pictures(sweep: Sweep) -> dict[str, Picture]:
    W, W_out = _weights(sweep)
    used = neuron_census(W, W_out).features > 0
    shown = _scaled(W, W_out)[0].abs() * used[..., None]
    kinds = torch.tensor(_all_kinds(sweep)).double()
    counts = torch.stack([kinds[..., 1], kinds[..., 2], kinds[..., 3]], 1)
    stacks = f"A row of stacked bars, one a neuron, for each of {len(_DENSITIES)} densities"
    return {
        "neurons": Picture(
            plot_neurons(shown[0], _LABELS, fraction=_SEEN, scale="own"),
            "Sizes of the in-weights of each neuron, scaled to a largest one of 1, stacked as in the paper: "
            "a rectangle a feature. A bar of one rectangle is a neuron for one feature alone.",
            f"{stacks}, each with its own scale; from one rectangle a bar to many.",
        ),
        "counts": Picture(
            plot_sweep(
                counts,
                _DENSITIES,
                ["monosemantic", "slightly polysemantic", "highly polysemantic"],
                x_name="density 1 − S",
                y_name=f"neurons of {_M}",
            ),
            "Neurons by kind against density: mean over seeds with its 95 % interval.",
            "Three curves over a log axis of density.",
        ),
        "paths": Picture(
            plot_neurons(W[0], _LABELS, W_out[0]),
            "The same neurons by their paths |W_ai| W_out_ai from input to output, which do not depend on a "
            "neuron's scale; below the line are outputs that it holds down.",
            f"{stacks}, with negative parts.",
        ),
        "history": history_picture(sweep, _LABELS),
    }


TOY_ABS = Recipe(
    name="toy-abs",
    title="Computing absolute values in superposition",
    source="T12: Elhage et al. 2022, Toy Models of Superposition (arXiv 2209.10652), and the slides on it",
    introduction=(
        "A hidden layer with ReLU has to compute |x| of a hundred features. An exact solution takes two "
        "neurons for each, and there are forty. While features are dense the network gives its neurons to "
        "the most important ones; as they become sparse, neurons compute several absolute values at once."
    ),
    config=AbsConfig,
    presets={
        "smoke": AbsConfig(seeds=(0,), steps=10, batch_size=128, lr=1e-2, restarts=1, exact_restarts=2),
        "quick": AbsConfig(steps=4_000, lr=5e-3, restarts=2, schedule="cosine"),
        "paper": AbsConfig(),
    },
    claims=_CLAIMS,
    run=_run,
)
