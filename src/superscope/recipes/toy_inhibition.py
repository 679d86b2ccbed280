"""How two features share a neuron of an absolute-value network: asymmetric superposition with inhibition."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from superscope.core import Run, config
from superscope.measures import InhibitionMotif, inhibition_motifs, neuron_census
from superscope.plots import plot_motif, plot_neurons, plot_sweep
from superscope.recipes.claims import Claim, Verdict, judge
from superscope.recipes.recipe import Outcome, Recipe
from superscope.recipes.toy_training import Sweep, ToyTraining, train_seeds
from superscope.report import Block, DataTable, Picture, Prose, Section
from superscope.toy import ToyConfig

_N, _M, _IMPORTANCE = 20, 10, 0.8
_DENSITIES = (0.5, 0.3, 0.2, 0.1)
_LABELS = [f"density {p:g}" for p in _DENSITIES]
_PUBLISHED, _INSTANCES = 0.5, 2
_SETTING = f"y = |x|; n = {_N}, m = {_M}, I = {_IMPORTANCE:g}^i"
_SHOWN = 4
_WORDS = (
    "In an instance one neuron does a side of |x_a| by a large in-weight and one of |x_b| by a large "
    "out-weight (paths |W| W_out within 0.5 of 1, weights that differ by a factor of 2 or more), and a "
    "second neuron, which a excites too, takes back at least half of what a does to output b"
)

_CLAIMS = (
    Claim(
        "T13-two",
        f"The best of many starts has {_INSTANCES} instances or more. {_WORDS}",
        f"{_SETTING}; density {_PUBLISHED:g}",
        "slides, TMS",
    ),
    Claim(
        "T13-start",
        f"Some start has {_INSTANCES} instances or more",
        f"{_SETTING}; density {_PUBLISHED:g}",
        "slides, TMS",
    ),
    Claim(
        "T13-density",
        f"At some density of {', '.join(f'{p:g}' for p in _DENSITIES)} the best of many starts has "
        f"{_INSTANCES} instances or more while at least {_M // 2} of its {_M} neurons are for one feature",
        f"{_SETTING}; the density of the published picture left open",
        "slides, TMS",
    ),
    Claim(
        "T13-asymmetry",
        "In-weights like [2, −½] and out-weights like [½, 2]: the larger is 4 times the smaller (geometric "
        "mean over in- and out-weights of every instance in the best of many starts)",
        f"{_SETTING}; all densities of the sweep",
        "slides, TMS",
        4.0,
        1.0,
    ),
)


@config
class InhibitionConfig(ToyTraining):
    """Twenty features in ten neurons at four densities; the motifs of every start are counted."""


@dataclasses.dataclass(frozen=True)
class Found:
    """What is in the models of a sweep."""

    motifs: Sequence[Sequence[Sequence[InhibitionMotif]]]
    """Of the best start of each seed and density."""
    monosemantic: Int[Tensor, "seed density"]
    """Neurons for one feature alone in the best start."""
    counts: Int[Tensor, "seed density start"]
    """Instances in every start, the best one first."""


def _run(config: InhibitionConfig, run: Run) -> Outcome:
    model = ToyConfig(
        n_features=_N, n_hidden=_M, importance=_IMPORTANCE,
        hidden="relu", tied=False, target="abs", amplitude="signed",
    )  # fmt: skip
    # every start is an instance of its own, so that motifs can be counted in all of them
    starts = config.restarts
    each = dataclasses.replace(config, restarts=1)
    sweep = train_seeds(run, "abs", each, model, [p for p in _DENSITIES for _ in range(starts)])
    W, W_out, loss = _sorted(sweep, starts)
    found = _found(W, W_out)

    tables = {
        "instances": _table(found, loss, config.seeds),
        "motifs": _motif_table(found, config.seeds),
    }
    pictures = _pictures(W, W_out, found)
    blocks: list[Block] = [
        Prose(
            f"{_WORDS}. Of {starts} starts the one with the lowest loss is the best. The pictures show the "
            f"first seed of {len(config.seeds)}, the tables all of them."
        ),
        *pictures.values(),
        DataTable(tables["instances"], "Instances at every density and seed."),
        DataTable(tables["motifs"], "The instances in the best start of every density and seed."),
    ]
    best = {"abs/W": W[:, :, 0], "abs/W_out": W_out[:, :, 0], "abs/counts": found.counts}
    return Outcome(_judged(found), tables, pictures, best, [Section("Two features in a neuron", blocks)])


def _sorted(sweep: Sweep, starts: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return W, W_out and loss as [seed, density, start, ...], the start with the lowest loss first."""
    assert sweep.W_out is not None, "the network is untied"
    W, W_out, loss = (value.unflatten(1, (-1, starts)) for value in (sweep.W, sweep.W_out, sweep.loss))
    order = loss.argsort(-1)
    pick = order[..., None, None]
    return W.take_along_dim(pick, 2), W_out.take_along_dim(pick, 2), loss.take_along_dim(order, 2)


def _found(
    W: Float[Tensor, "seed density start hidden feature"],
    W_out: Float[Tensor, "seed density start hidden feature"],
) -> Found:
    seeds, densities, starts = W.shape[:3]
    motifs = [
        [[inhibition_motifs(W[s, d, k], W_out[s, d, k]) for k in range(starts)] for d in range(densities)]
        for s in range(seeds)
    ]
    return Found(
        [[by_start[0] for by_start in seed] for seed in motifs],
        neuron_census(W[:, :, 0], W_out[:, :, 0]).monosemantic,
        torch.tensor([[[len(each) for each in by_start] for by_start in seed] for seed in motifs]),
    )


def _asymmetry(motif: InhibitionMotif) -> float:
    """Return √(W_a/W_b · W_out_b/W_out_a) of the shared neuron, by size; it does not depend on its scale."""
    a, b = motif.in_weights
    out_a, out_b = motif.out_weights
    return math.sqrt(abs(a / b * out_b / out_a))


def _judged(found: Found) -> list[Verdict]:
    at = _DENSITIES.index(_PUBLISHED)
    best, most = found.counts[:, :, 0], found.counts.amax(-1)
    fits = (best >= _INSTANCES) & (found.monosemantic >= _M // 2)
    sizes = [[_asymmetry(each) for motifs in seed for each in motifs] for seed in found.motifs]
    values: Mapping[str, Sequence[float]] = {
        "T13-two": (best[:, at] >= _INSTANCES).tolist(),
        "T13-start": (most[:, at] >= _INSTANCES).tolist(),
        "T13-density": fits.any(1).tolist(),
        "T13-asymmetry": [math.exp(sum(map(math.log, seed)) / len(seed)) for seed in sizes if seed],
    }
    by_density = [f"{p:g}: {_listed(best[:, d])}" for d, p in enumerate(_DENSITIES)]
    evidence = {
        "T13-two": f"Instances by seed: {_listed(best[:, at])}.",
        "T13-start": f"Most in one of {found.counts.shape[-1]} starts, by seed: {_listed(most[:, at])}.",
        "T13-density": f"Instances in the best start by seed, at density {'; '.join(by_density)}.",
        "T13-asymmetry": f"Instances by seed: {_listed(best.sum(1))}.",
    }
    return [judge(claim, values[claim.id], evidence[claim.id]) for claim in _CLAIMS]


def _listed(counts: Int[Tensor, " seed"]) -> str:
    return ", ".join(map(str, counts.tolist()))


def _table(found: Found, loss: Float[Tensor, "seed density start"], seeds: Sequence[int]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "density": p,
                "seed": seed,
                "lowest loss": loss[s, d, 0].item(),
                "median loss": loss[s, d].median().item(),
                "instances in the best start": int(found.counts[s, d, 0]),
                "starts with two or more": int((found.counts[s, d] >= _INSTANCES).sum()),
                "monosemantic neurons": int(found.monosemantic[s, d]),
            }
            for d, p in enumerate(_DENSITIES)
            for s, seed in enumerate(seeds)
        ]
    )


def _motif_table(found: Found, seeds: Sequence[int]) -> pd.DataFrame:
    rows = [
        {
            "density": p,
            "seed": seed,
            "neuron": each.neuron,
            "feature a": each.features[0],
            "feature b": each.features[1],
            **{f"in {x}": weight for x, weight in zip("ab", each.in_weights, strict=True)},
            **{f"out {x}": weight for x, weight in zip("ab", each.out_weights, strict=True)},
            "asymmetry": _asymmetry(each),
            "inhibitor": each.inhibitor,
            "taken back": each.strength,
            "left over": each.leak,
        }
        for d, p in enumerate(_DENSITIES)
        for s, seed in enumerate(seeds)
        for each in found.motifs[s][d]
    ]
    return pd.DataFrame(rows or [{"density": "no instance in the best start of any seed"}])


def _pictures(W: Tensor, W_out: Tensor, found: Found) -> dict[str, Picture]:
    pictures = {
        "neurons": Picture(
            plot_neurons(W[0, :, 0], _LABELS, W_out[0, :, 0]),
            "What each neuron of the best start does: paths |W_ai| W_out_ai from input to output, stacked.",
            f"Ten bars, one a neuron, in a panel for each of {len(_DENSITIES)} densities.",
        ),
        "counts": Picture(
            plot_sweep(
                torch.stack([found.counts[..., 0], found.counts.double().mean(-1)], 1).double(),
                _DENSITIES,
                ["best start", "mean of all starts"],
                x_name="density 1 − S",
                y_name="instances in a model",
            ),
            "Instances of asymmetric superposition with inhibition: mean over seeds, 95 % interval.",
            "Two curves over a log axis of density.",
        ),
    }
    drawn = [(each, p) for p, motifs in zip(_DENSITIES, found.motifs[0], strict=True) for each in motifs]
    if drawn:
        motifs, densities = zip(*drawn[:_SHOWN], strict=True)
        titles = [
            f"x{each.features[0]}, x{each.features[1]}; density {p:g}"
            for each, p in zip(motifs, densities, strict=True)
        ]
        pictures["motifs"] = Picture(
            plot_motif(motifs, titles),
            "Instances in the best start, densest models first: the upper neuron is shared by two features "
            "of unequal weights, the lower one takes back what the first does to the wrong output.",
            f"{len(motifs)} small graphs of two inputs, two neurons and two outputs.",
        )
    return pictures


TOY_INHIBITION = Recipe(
    name="toy-inhibition",
    title="Asymmetric superposition with inhibition",
    source="T13: Elhage et al. 2022, Toy Models of Superposition (arXiv 2209.10652), and the slides on it",
    introduction=(
        "How does a neuron compute two absolute values? One feature goes in with a large weight and out with "
        "a small one, the other the reverse: in like [2, −½], out like [½, 2]. The second hardly disturbs "
        "the first; the first disturbs the second heavily, and another neuron inhibits that."
    ),
    config=InhibitionConfig,
    presets={
        "smoke": InhibitionConfig(seeds=(0, 1), steps=100, batch_size=128, lr=1e-2, restarts=2),
        "quick": InhibitionConfig(steps=3_000, batch_size=512, lr=5e-3, restarts=32, schedule="cosine"),
        "paper": InhibitionConfig(restarts=100),
    },
    claims=_CLAIMS,
    run=_run,
)
