"""What the page of the recipe on known worlds shows of each: pictures, tables and the text between them."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from superscope.dictionary import DictionaryConfig
from superscope.dictionary.config import first_k
from superscope.plots import (
    RecoveryLine,
    plot_bars,
    plot_cosine_histograms,
    plot_matches,
    plot_recovery,
)
from superscope.recipes.claims import student_interval
from superscope.recipes.sae_toy_training import (
    DESCRIPTIONS,
    SETTINGS,
    SaeToyConfig,
    Training,
    WorldName,
    cosines,
    true_l0,
    values_of,
)
from superscope.report import DataTable, Picture, Prose, Section

Found = Mapping[Training, Mapping[str, Tensor]]
"""The decoder and the scores of each training."""
Part = tuple[Section, dict[str, pd.DataFrame], dict[str, Picture]]

PEERS: Mapping[WorldName, Mapping[str, Mapping[str, float]]] = {
    "even": {
        "sparsify": {"topk": 0.961},
        "dictionary_learning": {"topk": 0.919, "batchtopk": 0.788},
        "SAELens": {"topk": 0.824, "batchtopk": 0.702},
        "overcomplete": {"topk": 0.573},
        "a sketch of this library": {"topk": 0.996},
    },
    "decaying": {
        "sparsify": {"topk": 0.671},
        "dictionary_learning": {"topk": 0.685},
        "a sketch of this library": {"topk": 0.885},
    },
}
"""MCC of other libraries with their own defaults, same worlds, samples, latents and k; measured before this
library's trainer was written."""
NAMES = {
    "topk": "TopK",
    "batchtopk": "BatchTopK",
    "matryoshka": "Matryoshka",
    "standard": "standard (L1)",
    "gated": "gated",
    "jumprelu": "JumpReLU",
}
TEXTS = {
    "even": "256 features in 64 dimensions, each active with probability 4/256; 256 latents, k = 4; 4,000 "
    "steps of 1,024",
    "decaying": "512 features in 256 dimensions, five active on average, p_i ∝ 0.99^i; 512 latents, k = 5; "
    "2,000 steps of 1,024",
    "correlated": "50 orthogonal features in 100 dimensions, correlated firings; k at 0.5, 1 and 1.5 times "
    "the true L0; 2,000 steps of 1,024",
    "hierarchical": "20 roots with 3 children each in 100 dimensions; k at 0.5, 1 and 1.5 times the true L0; "
    "2,000 steps of 1,024",
}


def gain(
    config: SaeToyConfig,
    found: Found,
    world: WorldName,
    architecture: str,
    shares: Sequence[float] | None = None,
) -> list[float]:
    """Return by seed what the annealed k gains over a constant one in MCC, mean over ``shares``, or all k."""
    both = []
    for annealed in (True, False):
        by_share = [
            values_of(
                found, "MCC", config.seeds,
                world=world, architecture=architecture, share=share, annealed=annealed,
            )
            for share in shares or SETTINGS[world].ks
        ]  # fmt: skip
        both.append(torch.tensor(by_share, dtype=torch.float64).mean(0))
    return (both[0] - both[1]).tolist()


def _half(values: Sequence[float]) -> float:
    low, high = student_interval(values)
    return math.nan if low is None or high is None else (high - low) / 2


def recovery(config: SaeToyConfig, world: WorldName, found: Found) -> Part:
    """Return what a world shows where every architecture is trained once a seed."""
    own = {
        architecture: values_of(found, "MCC", config.seeds, world=world, architecture=architecture)
        for architecture in config.architectures
    }
    whole = config.size == config.steps == 1
    best = {
        architecture: max(
            (peer[architecture] for name, peer in PEERS[world].items()
             if architecture in peer and not name.startswith("a sketch")), default=math.nan,
        )
        for architecture in config.architectures
    }  # fmt: skip
    names = [NAMES[architecture] for architecture in config.architectures]
    means = [sum(values) / len(values) for values in own.values()]
    halves = [_half(values) for values in own.values()]
    peers = pd.DataFrame(
        [
            {"trainer": "superscope", "architecture": name, "MCC": mean, "± (95 %)": half}
            for name, mean, half in zip(names, means, halves, strict=True)
        ]
        + [
            {"trainer": library, "architecture": NAMES[architecture], "MCC": value, "± (95 %)": math.nan}
            for library, values in PEERS[world].items()
            for architecture, value in values.items()
        ]
    )
    firsts = {one.architecture: (one, parts["W"]) for one, parts in _first(config, found, world)}
    tables_of = {architecture: cosines(config, one, W) for architecture, (one, W) in firsts.items()}
    edges = torch.linspace(0, 1, 41)
    histograms = {
        NAMES[architecture]: (torch.histogram(table.diagonal().clamp(max=1), edges).hist, edges)
        for architecture, table in tables_of.items()
    }
    title = SETTINGS[world].title
    pictures = {
        f"mcc-{world}": Picture(
            plot_bars(
                means, names, halves, list(best.values()) if whole else None,
                value_name=f"MCC on {title} (95 % interval over seeds)",
            ),
            "Mean |cosine| of matched latents and features."
            + " Diamonds: the best of the other libraries with the same architecture, where one was measured."
            * whole,
            f"A bar for each of {len(names)} architectures.",
        ),
        f"cosines-{world}": Picture(
            plot_cosine_histograms(
                histograms,
                {NAMES[name]: float(table.diagonal().mean()) for name, table in tables_of.items()},
                overlaid=False,
                value_name="|cosine| of a feature and its latent",
            ),
            "How near each feature its latent comes, first seed.",
            f"A histogram for each of {len(names)} architectures.",
        ),
        f"heat-{world}": _heat(tables_of, title),
    }  # fmt: skip
    section = Section(
        title[0].upper() + title[1:],
        [
            Prose(_text(config, world)),
            pictures[f"mcc-{world}"],
            DataTable(
                peers,
                "Other libraries with their own defaults, at the full size, the same k and as many samples.",
                {"MCC": "{:.3f}", "± (95 %)": "{:.3f}"},
            ),
            pictures[f"cosines-{world}"],
            pictures[f"heat-{world}"],
        ],
    )
    return section, {f"peers-{world}": peers}, pictures


def _text(config: SaeToyConfig, world: WorldName) -> str:
    text = f"{TEXTS[world][0].upper()}{TEXTS[world][1:]}."
    if config.size == config.steps == 1:
        return text
    return f"{text} Here {config.size:.3g} of its size and {config.steps:.3g} of its steps."


def _first(
    config: SaeToyConfig, found: Found, world: WorldName
) -> list[tuple[Training, Mapping[str, Tensor]]]:
    """Return the trainings of the first seed at the true L0 and with the defaults."""
    return [
        (one, parts)
        for one, parts in found.items()
        if (one.world, one.seed, one.share, one.annealed) == (world, config.seeds[0], 1.0, True)
    ]


def _heat(tables: Mapping[str, Tensor], title: str) -> Picture:
    return Picture(
        plot_matches({NAMES[architecture]: table for architecture, table in tables.items()}),
        f"Features (rows) and their latents (columns) on {title}, first seed. A perfect dictionary has a "
        "diagonal of ones, and beside it only what the features share. Where children fire with their "
        "parents, a slanting line over the diagonal is latents of children that hold their parent's "
        "direction, too.",
        f"{len(tables)} square heat maps with a diagonal.",
    )


def compared(config: SaeToyConfig, world: WorldName, found: Found) -> Part:
    """Return what a world shows where k is varied, with an annealed k and with a constant one."""
    setting = SETTINGS[world]
    lines: dict[str, tuple[RecoveryLine, RecoveryLine | None]] = {}
    rows = []
    for architecture in config.architectures:
        ways = []
        for annealed in (True, False):
            at = [
                {
                    score: values_of(
                        found, score, config.seeds,
                        world=world, architecture=architecture, share=share, annealed=annealed,
                    )
                    for score in ("L0", "MCC", "F1", "FVU")
                }
                for share in setting.ks
            ]  # fmt: skip
            means = {score: [sum(each[score]) / len(each[score]) for each in at] for score in at[0]}
            halves = [_half(each["MCC"]) for each in at]
            ways.append(RecoveryLine(*(torch.tensor(part) for part in (means["L0"], means["MCC"], halves))))
            rows += [
                {
                    "architecture": NAMES[architecture],
                    "k of true L0": share,
                    "k over training": "annealed" if annealed else "constant",
                    **{score: means[score][i] for score in means},
                    "MCC ± (95 %)": halves[i],
                }
                for i, share in enumerate(setting.ks)
            ]
        lines[NAMES[architecture]] = (ways[0], ways[1])
    default = DictionaryConfig()
    parts_of = {f"k = {share:g} L0": (share,) for share in setting.ks} | {"all": setting.ks}
    gained = []
    for architecture in config.architectures:
        each = {name: gain(config, found, world, architecture, shares) for name, shares in parts_of.items()}
        means = {name: sum(values) / len(values) for name, values in each.items()}
        gained.append({"architecture": NAMES[architecture], **means, "± (95 %)": _half(each["all"])})
    tables = {f"l0-{world}": pd.DataFrame(rows), f"gain-{world}": pd.DataFrame(gained)}
    pictures = {
        f"l0-{world}": Picture(
            plot_recovery(
                lines, true_l0(config, world),
                names=("k annealed (default)", "k constant"), y_name="MCC (95 % interval over seeds)",
            ),
            "MCC against L0, each dictionary with k at half, once and one and a half times the true L0 (grey "
            "line). A penalty may steer to another L0 than k; where a line stands says so.",
            f"A panel for each of {len(lines)} architectures, with a full line and a dashed one.",
        ),
        f"heat-{world}": _heat(
            {
                one.architecture: cosines(config, one, parts["W"])
                for one, parts in _first(config, found, world)
            },
            f"{setting.title} (k at the true L0)",
        ),
    }  # fmt: skip
    formats = {
        **dict.fromkeys(("L0", "k of true L0"), "{:.2f}"),
        **dict.fromkeys(("MCC", "F1", "FVU", "MCC ± (95 %)"), "{:.3f}"),
    }
    starts = ", ".join(
        f"{first_k(one) / one.k:g} ({NAMES[one.architecture]})"
        for one in (DictionaryConfig(architecture=each) for each in config.architectures)
    )
    section = Section(
        setting.title[0].upper() + setting.title[1:],
        [
            Prose(
                f"{_text(config, world)} By default k starts at {starts} times its value and falls to it "
                f"over the first {100 * default.k_anneal:g} % of a training, where it is annealed at all; "
                "here every dictionary is trained with a constant k as well."
            ),
            pictures[f"l0-{world}"],
            DataTable(
                tables[f"gain-{world}"],
                "MCC with the annealed k less that with a constant one, by pairs of seeds, at each share of "
                "the true L0 and over all; the interval is that of the last.",
                dict.fromkeys(parts_of, "{:+.4f}") | {"± (95 %)": "{:.4f}"},
            ),
            DataTable(tables[f"l0-{world}"], "Means over seeds.", formats, DESCRIPTIONS),
            pictures[f"heat-{world}"],
        ],
    )
    return section, tables, pictures
