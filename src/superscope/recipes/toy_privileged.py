"""A ReLU on the hidden units makes their basis privileged: neurons of one feature, then codes of several."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from superscope.core import Run, config
from superscope.plots import plot_neurons
from superscope.recipes.claims import Claim, Verdict, judge
from superscope.recipes.recipe import Outcome, Recipe
from superscope.recipes.toy_pictures import history_picture
from superscope.recipes.toy_training import (
    ANTIPODAL,
    ORTHOGONAL,
    Sweep,
    ToyTraining,
    cosines,
    embedded,
    train_seeds,
)
from superscope.report import DataTable, Picture, Prose, Section
from superscope.toy import ToyConfig

_N, _M, _IMPORTANCE = 10, 5, 0.75
_DENSITIES = (1.0, 0.7, 0.5, 0.35, 0.25, 0.2, 0.15, 0.12, 0.08, 0.065, 0.05, 0.04)
_LABELS = [f"density {p:g}" for p in _DENSITIES]
_HELD = 0.2
_SETTING = f"n = {_N}, m = {_M}, I = {_IMPORTANCE:g}^i, h = ReLU(W x); best of many starts"
_WORDS = (
    f"A neuron holds a feature that is embedded (‖W_i‖ > 0.5) with more than {_HELD:g} of the neuron's "
    "largest |weight|; a block is what hangs together by sharing, of two features or more"
)


class Code(NamedTuple):
    """How features are laid on neurons."""

    features: int
    """Features of the block; of all blocks where there are several."""
    neurons: int
    """Neurons of the block."""
    blocks: int
    """Groups of two features or more that hang together by shared neurons."""
    dedicated: tuple[int, ...]
    """Features with one neuron that holds nothing else, in order."""


def _claim(part: str, statement: str, densities: str) -> Claim:
    return Claim(f"T11-{part}", statement, f"{_SETTING}; density {densities}", "TMS")


def _block(features: int, neurons: int) -> str:
    return (
        f"One block of {features} features in {neurons} neurons, and a neuron of its own for each of "
        f"{_M - neurons} others"
    )


_CLAIMS = (
    _claim(
        "monosemantic",
        f"The {_M} most important features have a neuron each, which holds nothing else. {_WORDS}",
        "0.7 (published: above about 0.5)",
    ),
    _claim("dense", "The same where features are always active", "1 (published: above about 0.5)"),
    _claim(
        "three-in-two",
        f"{_block(3, 2)}, the most important ones",
        "0.35 and 0.25 (published: about 0.2 to 0.5)",
    ),
    _claim(
        "binary-code",
        "The block of 3 features in 2 neurons: one feature is orthogonal to the others (|cos| < 0.05), which "
        "are antipodal (cos < −0.95)",
        "0.35 and 0.25",
    ),
    _claim("five-in-three", _block(5, 3), "0.15"),
    _claim("six-in-four", _block(6, 4), "0.12"),
    _claim(
        "eight-in-five",
        "One block of 8 features in 5 neurons, and no others embedded",
        "0.065 (published: 0.05 to 0.08)",
    ),
    _claim(
        "pairs",
        "All 10 features are embedded, each held with a positive weight, which alone can switch a neuron on, "
        "by 2 neurons, and no two by the same 2",
        "0.04",
    ),
)


@config
class PrivilegedConfig(ToyTraining):
    """Twelve densities from 1 to 0.04."""


def _run(config: PrivilegedConfig, run: Run) -> Outcome:
    model = ToyConfig(n_features=_N, n_hidden=_M, importance=_IMPORTANCE, hidden="relu")
    sweep = train_seeds(run, "privileged", config, model, _DENSITIES)
    tables = {"codes": _table(sweep, config.seeds)}
    pictures = {"neurons": _picture(sweep), "history": history_picture(sweep, _LABELS)}
    sections = [
        Section(
            "From neurons of one feature to codes",
            [
                Prose(
                    f"{_WORDS}. Of {config.restarts} starts the one with the lowest loss is kept. The "
                    f"pictures show the first seed of {len(config.seeds)}, the table all of them."
                ),
                *pictures.values(),
                DataTable(tables["codes"], "Every density and seed."),
            ],
        )
    ]
    return Outcome(_judged(sweep.W), tables, pictures, sweep.tensors("privileged"), sections)


def _held(W: Float[Tensor, "hidden feature"]) -> Bool[Tensor, "hidden feature"]:
    """Tell which neuron holds which feature."""
    size = W.abs()
    return embedded(W) & (size > _HELD * size.amax(1, keepdim=True))


def _groups(held: Bool[Tensor, "hidden feature"]) -> list[tuple[list[int], list[int]]]:
    """Return the neurons and the features of each group that hangs together by what is held."""
    share = (held.float() @ held.float().mT > 0).numpy()
    count, group = connected_components(share, directed=False)
    members = [np.flatnonzero(group == g) for g in range(count)]
    return [(each.tolist(), held[each].any(0).nonzero().flatten().tolist()) for each in members]


def _code(W: Float[Tensor, "hidden feature"]) -> Code:
    groups = _groups(_held(W))
    blocks = [(len(neurons), len(features)) for neurons, features in groups if len(features) > 1]
    own = [features[0] for neurons, features in groups if len(features) == len(neurons) == 1]
    return Code(sum(k for _, k in blocks), sum(j for j, _ in blocks), len(blocks), tuple(sorted(own)))


def _monosemantic(W: Float[Tensor, "hidden feature"]) -> bool:
    return _code(W) == Code(0, 0, 0, tuple(range(_M)))


def _in_one_block(features: int, neurons: int) -> Callable[[Tensor], bool]:
    def holds(W: Float[Tensor, "hidden feature"]) -> bool:
        code = _code(W)
        return code[:3] == (features, neurons, 1) and len(code.dedicated) == _M - neurons

    return holds


def _three_in_two(W: Float[Tensor, "hidden feature"]) -> bool:
    return _code(W) == Code(3, 2, 1, tuple(range(_M - 2)))


def _binary_code(W: Float[Tensor, "hidden feature"]) -> bool:
    shared = [features for neurons, features in _groups(_held(W)) if (len(neurons), len(features)) == (2, 3)]
    if len(shared) != 1:
        return False
    among = cosines(W[:, shared[0]])
    alone = (among.abs() < ORTHOGONAL).all(1)
    return int(alone.sum()) == 1 and bool((among[~alone].amin(1) < ANTIPODAL).all())


def _pairs(W: Float[Tensor, "hidden feature"]) -> bool:
    excited = _held(W) & (W > 0)
    codes = {tuple(column) for column in excited.T.tolist()}
    return bool((excited.sum(0) == 2).all()) and len(codes) == excited.shape[1]


_RULES: Mapping[str, tuple[Callable[[Tensor], bool], tuple[float, ...]]] = {
    "monosemantic": (_monosemantic, (0.7,)),
    "dense": (_monosemantic, (1.0,)),
    "three-in-two": (_three_in_two, (0.35, 0.25)),
    "binary-code": (_binary_code, (0.35, 0.25)),
    "five-in-three": (_in_one_block(5, 3), (0.15,)),
    "six-in-four": (_in_one_block(6, 4), (0.12,)),
    "eight-in-five": (_in_one_block(8, 5), (0.065,)),
    "pairs": (_pairs, (0.04,)),
}
"""How each claim is decided, and at which densities it has to hold."""


def _judged(W: Float[Tensor, "seed instance hidden feature"]) -> list[Verdict]:
    rows = []
    for claim in _CLAIMS:
        holds, densities = _RULES[claim.id.removeprefix("T11-")]
        here = [(p, _DENSITIES.index(p)) for p in densities]
        values = [all(holds(seed[i]) for _, i in here) for seed in W]
        found = [f"{p:g}: {', '.join(_said(_code(seed[i])) for seed in W)}" for p, i in here]
        rows.append(judge(claim, values, f"Blocks by seed at density {'; '.join(found)}."))
    return rows


def _said(code: Code) -> str:
    if not code.blocks:
        return "none"
    return f"{code.features} in {code.neurons}" + (f" ({code.blocks} blocks)" if code.blocks > 1 else "")


def _table(sweep: Sweep, seeds: Sequence[int]) -> pd.DataFrame:
    rows = []
    for i, p in enumerate(_DENSITIES):
        for s, seed in enumerate(seeds):
            W = sweep.W[s, i]
            code, held = _code(W), _held(W)
            rows.append(
                {
                    "density": p,
                    "seed": seed,
                    "loss": sweep.loss[s, i].item(),
                    "features embedded": int(embedded(W).sum()),
                    "monosemantic neurons": int((held.sum(1) == 1).sum()),
                    "polysemantic neurons": int((held.sum(1) > 1).sum()),
                    "features in blocks": code.features,
                    "neurons in blocks": code.neurons,
                    "blocks": code.blocks,
                }
            )
    return pd.DataFrame(rows)


def _picture(sweep: Sweep) -> Picture:
    return Picture(
        plot_neurons(sweep.W[0], _LABELS, fraction=_HELD),
        "The weights of each neuron, stacked: one colour a feature, negative ones below the line. As "
        "features become sparse, neurons stop belonging to one feature each and spell features together.",
        f"Five stacks of bars, one a neuron, in a panel for each of {len(_DENSITIES)} densities.",
    )


TOY_PRIVILEGED = Recipe(
    name="toy-privileged",
    title="A privileged basis: features align with neurons",
    source="T11: Elhage et al. 2022, Toy Models of Superposition (arXiv 2209.10652)",
    introduction=(
        "A ReLU on the hidden units breaks the symmetry of the hidden space, so that single neurons can be "
        "read. Ten features of falling importance go through five neurons. Dense features get a neuron each; "
        "sparser ones are spelled by several neurons together: three in two, five in three, six in four, "
        "eight in five."
    ),
    config=PrivilegedConfig,
    presets={
        "smoke": PrivilegedConfig(seeds=(0, 1), steps=100, batch_size=256, lr=1e-2, restarts=2),
        "quick": PrivilegedConfig(steps=2_000, batch_size=512, lr=5e-3, restarts=64, schedule="cosine"),
        "paper": PrivilegedConfig(restarts=1_000),
    },
    claims=_CLAIMS,
    run=_run,
)
