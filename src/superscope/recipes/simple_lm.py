"""An untrained language model beside random concepts: the printed correlations, and what chance gives."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from math import sqrt
from typing import Annotated, NamedTuple

import pandas as pd
import torch
from jaxtyping import Float
from pydantic import Field
from scipy import stats
from torch import Tensor

from superscope.core import Run, config, progress
from superscope.core.runtime import threads
from superscope.models import SimpleLM
from superscope.plots import Heatmap, plot_chance, plot_correlation, plot_heatmaps
from superscope.recipes.claims import Claim, Verdict, judge
from superscope.recipes.recipe import Outcome, Recipe
from superscope.recipes.toy_training import Count, Seeds
from superscope.report import DataTable, Picture, Prose, Section

_SEED, _HIDDEN, _CONCEPTS = 42, 20, 5
PRINTED = (
    (1.0000, 0.2627, -0.0627, 0.0544, 0.1577, -0.2853),
    (0.2627, 1.0000, 0.0604, -0.0051, 0.5944, 0.3043),
    (-0.0627, 0.0604, 1.0000, 0.0394, 0.1046, -0.1701),
    (0.0544, -0.0051, 0.0394, 1.0000, -0.2142, 0.0359),
    (0.1577, 0.5944, 0.1046, -0.2142, 1.0000, -0.1420),
    (-0.2853, 0.3043, -0.1701, 0.0359, -0.1420, 1.0000),
)
"""The printed matrix: the mean activation of each hidden neuron, then five concepts."""
_HALF_A_DIGIT = 5e-5  # of four decimals
_PAIRS = _CONCEPTS * (_CONCEPTS + 1) // 2
_FIRST_CHANCE_SEED = 1_000  # the networks that show chance are others than those of the config
_SHARE, _SHARE_WITHIN = 0.05, 0.005
_SQUARE, _SQUARE_WITHIN = round(1 / (_HIDDEN - 1), 4), 0.002
_SETTING = "untrained; vocabulary 1000, embedding 50, hidden 20, 5 concepts"
_PUBLISHED = f"seed {_SEED}; {_SETTING}"
_OTHERS = f"other seeds, one value each; {_SETTING}"
_CLAIMS = (
    Claim(
        "N3-matrix",
        "Largest deviation of the 36 correlations from the printed 6×6 matrix, which has four decimals",
        _PUBLISHED,
        "course",
        0.0,
        _HALF_A_DIGIT,
    ),
    *(
        Claim(
            f"N3-concept-{number}",
            f"Correlation of the mean activations with concept {number}, over the hidden neurons",
            _PUBLISHED,
            "course",
            printed,
            _HALF_A_DIGIT,
        )
        for number, printed in enumerate(PRINTED[0][1:], 1)
    ),
    Claim(
        "N3-encoded",
        "The hidden layer encodes concepts: its mean activations correlate with at least one of the five "
        "more than chance allows (two-sided 5 % for the five together, so 1 % for each)",
        _SETTING,
        "course",
    ),
    Claim(
        "N3-spread",
        "Mean square of the 15 correlations. Of vectors whose entries are exchangeable and independent of "
        f"the other vector it is 1/(n − 1) = 1/{_HIDDEN - 1}, a standard deviation of 0.229",
        _OTHERS,
        "ours",
        _SQUARE,
        _SQUARE_WITHIN,
    ),
    Claim(
        "N3-outside",
        "Share of the 15 correlations that lie outside 95 % of chance",
        _OTHERS,
        "ours",
        _SHARE,
        _SHARE_WITHIN,
    ),
)


@config
class SimpleLMConfig:
    """Untrained language models of the published sizes, each beside five random concepts."""

    seeds: Seeds = (_SEED, 0, 1, 2, 3)
    """One network for each; the printed matrix is that of 42."""
    chance: Count = 2_000
    """Further networks, by whose correlations chance is known."""
    positions: Annotated[int, Field(ge=1)] = 100
    """Tokens of the random input; 100 in print."""


class _Draw(NamedTuple):
    hidden: Float[Tensor, "position neuron"]
    concepts: Float[Tensor, "concept neuron"]
    matrix: Float[Tensor, "row row"]


@torch.inference_mode()
def draw(seed: int, positions: int = 100) -> _Draw:
    """Return the activations, the concepts and their correlations, in the published order of draws.

    The course seeds torch's global generator and builds the network, then draws the tokens U{0, 999} and the
    concepts U[0, 1]. A generator of its own with the same seed gives the same stream, so no global state is
    touched; :func:`superscope.core.generator`, which hashes its seed, would give another.
    """
    draws = torch.Generator().manual_seed(seed)
    model = SimpleLM(hidden=_HIDDEN, generator=draws)
    tokens = torch.randint(0, model.embedding.num_embeddings, (positions,), generator=draws)
    hidden = model.hidden(tokens)
    concepts = torch.rand(_CONCEPTS, _HIDDEN, generator=draws)
    return _Draw(hidden, concepts, torch.corrcoef(torch.cat([hidden.mean(0)[None], concepts])))


def critical(level: float, n: int = _HIDDEN) -> float:
    """Return the limit that |r| of two independent Gaussian vectors of n entries keeps to with ``level``.

    r √((n − 2)/(1 − r²)) has Student's distribution with n − 2 degrees of freedom.

    >>> round(critical(0.95), 4)
    0.4438
    """
    t = float(stats.t.ppf((1 + level) / 2, n - 2))
    return t / sqrt(n - 2 + t * t)


def _run(config: SimpleLMConfig, run: Run) -> Outcome:
    drawn = [draw(seed, config.positions) for seed in config.seeds]
    matrices = torch.stack([each.matrix for each in drawn])
    chance = run.stage("chance", lambda: {"pairs": _chance(config)})["pairs"]
    for seed, matrix in zip(config.seeds, matrices, strict=True):
        run.metric(seed=seed, mean_with_concepts=matrix[0, 1:].tolist())
    index = config.seeds.index(_SEED) if _SEED in config.seeds else 0
    tables = {"matrix": _matrix_table(matrices[index]), "seeds": _seed_table(config.seeds, matrices)}
    pictures = _pictures(config.seeds[index], drawn[index], chance)
    return Outcome(
        _judged(config, matrices, chance),
        tables,
        pictures,
        {
            "matrices": matrices,
            "hidden": drawn[index].hidden,
            "concepts": drawn[index].concepts,
            "chance": chance,
        },
        _sections(config, tables, pictures, matrices[index], chance),
    )


def _chance(config: SimpleLMConfig) -> Float[Tensor, "network pair"]:
    seeds = range(_FIRST_CHANCE_SEED, _FIRST_CHANCE_SEED + config.chance)
    bar: Iterable[int] = progress(seeds, "drawing networks", unit="network")
    with threads(1):  # for so small tensors more threads wait for each other
        return pairs(torch.stack([draw(seed, config.positions).matrix for seed in bar]))


def pairs(matrix: Float[Tensor, "*batch row row"]) -> Float[Tensor, "*batch pair"]:
    """Return the entries above the diagonal, row by row: the first five are those of the mean activations."""
    row, column = torch.triu_indices(matrix.shape[-1], matrix.shape[-1], 1)
    return matrix[..., row, column]


def _judged(
    config: SimpleLMConfig, matrices: Float[Tensor, "seed row row"], chance: Float[Tensor, "network pair"]
) -> list[Verdict]:
    values: dict[str, Sequence[float]] = {}
    evidence: dict[str, str] = {}
    if _SEED in config.seeds and config.positions == 100:
        published = matrices[config.seeds.index(_SEED)].double()
        printed = torch.tensor(PRINTED, dtype=torch.float64)
        values["N3-matrix"] = [float((published - printed).abs().max())]
        values |= {f"N3-concept-{k}": [float(published[0, k])] for k in range(1, _CONCEPTS + 1)}
    else:
        missing = f"The config leaves out seed {_SEED} or the 100 positions, of which the matrix is printed."
        evidence = {claim.id: missing for claim in _CLAIMS if claim.setting == _PUBLISHED}
    limit = critical(1 - 0.05 / _CONCEPTS)
    largest = matrices[:, 0, 1:].abs().amax(-1)
    values["N3-encoded"] = (largest > limit).tolist()
    told = ", ".join(f"{each:.3f}" for each in largest.tolist())
    evidence["N3-encoded"] = f"Largest |r| with a concept, by seed: {told}; chance allows {limit:.3f}."
    values["N3-spread"] = chance.double().square().mean(-1).tolist()
    values["N3-outside"] = (chance.abs() > critical(0.95)).double().mean(-1).tolist()
    return [judge(claim, values.get(claim.id, ()), evidence.get(claim.id, "")) for claim in _CLAIMS]


def _names() -> list[str]:
    return ["mean activation", *(f"concept {number}" for number in range(1, _CONCEPTS + 1))]


def _matrix_table(matrix: Float[Tensor, "row row"]) -> pd.DataFrame:
    names = _names()
    return pd.DataFrame(
        [
            {
                "of": names[i],
                "and": names[j],
                "printed": PRINTED[i][j],
                "measured": float(matrix[i, j]),
                "p": _p_value(float(matrix[i, j])),
            }
            for i, j in combinations(range(len(matrix)), 2)
        ]
    )


def _p_value(r: float) -> float:
    t = abs(r) * sqrt((_HIDDEN - 2) / (1 - r * r))
    return 2 * float(stats.t.sf(t, _HIDDEN - 2))


def _seed_table(seeds: Sequence[int], matrices: Float[Tensor, "seed row row"]) -> pd.DataFrame:
    outside = (pairs(matrices).abs() > critical(0.95)).sum(-1)
    return pd.DataFrame(
        [
            {
                "seed": seed,
                **{f"concept {k}": float(matrix[0, k]) for k in range(1, _CONCEPTS + 1)},
                "largest |r| of 15": float(pairs(matrix).abs().max()),
                "outside 95 %": int(count),
            }
            for seed, matrix, count in zip(seeds, matrices, outside, strict=True)
        ]
    )


def _pictures(seed: int, drawn: _Draw, chance: Float[Tensor, "network pair"]) -> dict[str, Picture]:
    maps = [
        Heatmap(drawn.hidden.mT, "hidden layer", "position in the input", "hidden neuron"),
        Heatmap(drawn.concepts, "concepts", "hidden neuron", "concept"),
    ]
    return {
        "activations": Picture(
            plot_heatmaps(maps, "activation"),
            f"Seed {seed}, as the course draws it. Above the activations of the hidden layer on random "
            "tokens, below the “concept activations”, which are uniform random numbers.",
            "Two heat maps without visible structure: hidden neurons by position, concepts by hidden neuron.",
        ),
        "correlations": Picture(
            plot_correlation(drawn.matrix, _names()),
            f"The correlation matrix of seed {seed}, over the {_HIDDEN} hidden neurons.",
            "A heat map of six rows and columns: ones on the diagonal, mostly pale elsewhere.",
        ),
        "chance": Picture(
            plot_chance(
                chance.flatten(),
                {
                    "with the mean activation": pairs(drawn.matrix)[:_CONCEPTS],
                    "between concepts": pairs(drawn.matrix)[_CONCEPTS:],
                },
                value_name="correlation over the hidden neurons",
                limit=critical(0.95),
            ),
            f"The 15 correlations of seed {seed} as marks, below those of {len(chance):,} other networks. "
            "Between the dashed lines lie 95 % of what chance gives.",
            "A bell around 0 with a row of five marks and one of ten below it, nearly all between the lines.",
        ),
    }


def _sections(
    config: SimpleLMConfig,
    tables: dict[str, pd.DataFrame],
    pictures: dict[str, Picture],
    matrix: Float[Tensor, "row row"],
    chance: Float[Tensor, "network pair"],
) -> list[Section]:
    limit = critical(0.95)
    outside = int((pairs(matrix).abs() > limit).sum())
    shown = config.seeds[config.seeds.index(_SEED) if _SEED in config.seeds else 0]
    any_outside = float((chance.abs() > limit).any(-1).double().mean())
    any_concept = float((chance[:, :_CONCEPTS].abs() > limit).any(-1).double().mean())
    largest = float(pairs(matrix).abs().max())
    as_large = float((chance.abs().amax(-1) >= largest).double().mean())
    return [
        Section(
            "What is drawn",
            [
                Prose(
                    "The network is not trained, its input is random tokens, and the five concepts are "
                    "uniform random numbers drawn after it. The network never sees them, so nothing about "
                    "them can be encoded in it, in superposition or otherwise."
                ),
                pictures["activations"],
            ],
        ),
        Section(
            "The printed matrix",
            [
                pictures["correlations"],
                DataTable(
                    tables["matrix"],
                    f"The 15 correlations of seed {shown} beside the printed ones.",
                    {"printed": "{:.4f}", "measured": "{:.4f}", "p": "{:.3f}"},
                    {"p": "how often chance gives one at least as large, for Gaussian entries"},
                ),
            ],
        ),
        Section(
            "What chance gives",
            [
                Prose(
                    f"Over {_HIDDEN} neurons, the correlation of two vectors that know nothing of each other "
                    f"spreads by 1/√{_HIDDEN - 1} = {1 / sqrt(_HIDDEN - 1):.3f}, and 95 % of them lie within "
                    f"±{limit:.3f}. Of {config.chance:,} other networks, each with concepts of its own, the "
                    f"15 correlations have the standard deviation {float(chance.double().std()):.4f}; "
                    f"{float((chance.abs() > limit).double().mean()):.1%} of them lie outside."
                    f"\n\nSeed {shown} has {outside} of 15 outside, and chance leads one to expect "
                    f"{_SHARE * _PAIRS:.2f}; {any_outside:.0%} of the other networks have at least one. Its "
                    f"largest is {largest:.4f}; {as_large:.1%} of the other networks have one as large or "
                    f"larger. In {any_concept:.0%} of them some concept seems to be encoded, if one looks at "
                    "each of the five by itself."
                ),
                pictures["chance"],
                DataTable(
                    tables["seeds"],
                    "Correlations of the mean activations with each concept, by seed: a draw of chance.",
                ),
            ],
        ),
    ]


SIMPLE_LM = Recipe(
    name="simple-lm",
    title="A language model that was never trained: are concepts in its hidden layer?",
    source="N3: Unravelling Superposition, section 4",
    introduction=(
        "The course draws the hidden layer of a small language model beside five “concepts”, prints their "
        "correlations, and reads from them that the same neurons encode both. The network is untrained and "
        "the concepts are random numbers. So the printed matrix comes out to the last digit, and the "
        "question is whether it differs from what chance gives."
    ),
    config=SimpleLMConfig,
    presets={
        "smoke": SimpleLMConfig(chance=300),
        "quick": SimpleLMConfig(),
        "paper": SimpleLMConfig(chance=10_000),
    },
    claims=_CLAIMS,
    run=_run,
)
