"""What the page on concepts shows: two tables, bars, correlations of mean vectors, sentences in the plane."""

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from superscope.measures import class_overlap, embed, silhouette
from superscope.plots import plot_bars, plot_correlation, plot_embedding
from superscope.recipes.concepts_claims import PUBLISHED, Draw, leaning, plane_silhouette
from superscope.recipes.concepts_encoder import CONCEPTS, correlations
from superscope.report import Picture

_NAMES = {"padded": "as published", "masked": "masked"}
CAPTION = "The first draw: the published sentences. Random lists: where 90 % of the lists lie."
COLUMNS = {
    "published": "of distilbert-base-uncased, padding included",
    "as published": "mean over all positions, padding included",
    "masked": "mean over the sentence's own tokens",
}
FORMATS = {"published": "{:.4f}"} | {
    f"{name}{part}": "{:.4f}"
    for name in _NAMES.values()
    for part in ("", ", positive sentences", ", negative sentences")
}
BY_DRAW = (
    "Each draw in both readings: mean correlations, how sentences lean, and how far apart sentiments are."
)
DRAW_COLUMNS = {
    "low": "of the 95 % interval (Welch) of the difference of the two leans",
    "high": "of the same",
    "pairs": "of a positive and a negative sentence, the positive one leaning more to the positive concept",
    "silhouette": "of the two sentiments, in all units",
    "nearer to the other class": "sentences nearer to the other sentiment's centroid than to their own",
}
DRAW_FORMATS = (
    dict.fromkeys((*CONCEPTS, "silhouette", "silhouette in the plane"), "{:.3f}")
    | dict.fromkeys(("lean of positive sentences", "lean of negative sentences", "low", "high"), "{:+.4f}")
    | dict.fromkeys(("pairs", "variance in the plane", "nearer to the other class"), "{:.1%}")
)


def tabulate_concepts(draws: Sequence[Draw]) -> pd.DataFrame:
    """Return a row for each concept, of the first draw."""
    first, labels = draws[0], draws[0].means.labels
    rows = []
    for position, concept in enumerate(CONCEPTS):
        row: dict[str, object] = {"concept": concept, "published": PUBLISHED[concept]}
        for key, name in _NAMES.items():
            r, lists = first.with_concepts(key)[:, position], first.with_lists(key)
            row |= {
                name: float(r.mean()),
                f"{name}, positive sentences": float(r[labels == 1].mean()),
                f"{name}, negative sentences": float(r[labels == 0].mean()),
                f"{name}, random lists": "{:.3f} to {:.3f}".format(
                    *torch.quantile(lists, torch.tensor([0.05, 0.95], dtype=lists.dtype)).tolist()
                ),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def tabulate_draws(draws: Sequence[Draw]) -> pd.DataFrame:
    """Return a row for each draw and reading."""
    rows = []
    for number, draw in enumerate(draws):
        for key, name in _NAMES.items():
            means, lean = draw.with_concepts(key).mean(0).tolist(), leaning(draw, key)
            states = draw.states(key).double()
            plane = embed(states, "pca").points
            rows.append(
                {"draw": "first" if number == 0 else str(number), "reading": name}
                | dict(zip(CONCEPTS, means, strict=True))
                | {
                    "lean of positive sentences": lean.positive,
                    "lean of negative sentences": lean.negative,
                    "low": lean.low,
                    "high": lean.high,
                    "pairs": lean.auc,
                    "variance in the plane": float(plane.var(0).sum() / states.var(0).sum()),
                    "silhouette in the plane": silhouette(plane, draw.means.labels).mean,
                    "silhouette": silhouette(states, draw.means.labels).mean,
                    "nearer to the other class": float(
                        class_overlap(draw.states(key), draw.means.labels).nanmean()
                    ),
                }
            )
    return pd.DataFrame(rows)


def draw_pictures(
    draws: Sequence[Draw],
    concepts: Float[Tensor, "concept unit"],
    lists: Float[Tensor, "list unit"],
) -> dict[str, Picture]:
    """Return the pictures: bars of the concepts, mean vectors against each other, and two planes."""
    first = draws[0]
    means = {
        name: torch.stack([draw.with_concepts(key).mean(0) for draw in draws]) for key, name in _NAMES.items()
    }
    half = {name: _half_intervals(each) for name, each in means.items()}
    series = {name: each[0] for name, each in means.items()}
    series |= {
        f"random, {name}": first.with_lists(key).mean().expand(len(CONCEPTS)) for key, name in _NAMES.items()
    }
    half |= {
        f"random, {name}": 1.96 * first.with_lists(key).std().expand(len(CONCEPTS))
        for key, name in _NAMES.items()
    }
    bars = Picture(
        plot_bars(
            series,
            list(CONCEPTS),
            {name: half[name] for name in series},
            torch.tensor(list(PUBLISHED.values())),
            value_name="mean correlation with the sentences",
        ),
        "Mean correlation of the first draw's sentences with each concept. Whiskers: of a concept, the 95 % "
        "interval over the other draws; of random words, 1.96 standard deviations of a list. Published: of "
        "distilbert-base-uncased.",
        "Bars for three concepts in four series, with diamonds at the published values.",
    )
    labels, states = first.means.labels, first.means.masked
    vectors = torch.stack(
        [states[labels == 1].mean(0), states[labels == 0].mean(0), *concepts, lists.mean(0)]
    )
    shown = [
        "positive sentences",
        "negative sentences",
        *(f"{name} words" for name in CONCEPTS),
        "random words",
    ]
    heat = Picture(
        plot_correlation(correlations(vectors, vectors), shown),
        "Correlation over units of mean vectors, masked: of the sentences of each sentiment, of each "
        "concept's words, and of random words.",
        "A heat map of six rows and columns.",
    )
    pictures = {"concepts": bars, "vectors": heat}
    for key, name, text in (
        ("padded", "pca-published", "as published, padding included"),
        ("masked", "pca-masked", "masked"),
    ):
        plane = embed(first.states(key), "pca")
        pictures[name] = Picture(
            plot_embedding(plane.points, labels, ["negative", "positive"], axes=plane.axes),
            f"The first draw's sentences in the plane of their two principal components, {text}. Silhouette "
            f"of the two sentiments there: {plane_silhouette(first, key):.3f}.",
            "A cloud of dots in two colours.",
        )
    return pictures


def _half_intervals(values: Float[Tensor, "draw concept"]) -> Float[Tensor, " concept"]:
    """Return half the width of the 95 % interval (Student) of the mean over the disjoint draws."""
    count = len(values) - 1
    if count < 2:
        return torch.full_like(values[0], torch.nan)
    return values[1:].std(0) * float(stats.t.ppf(0.975, count - 1)) / count**0.5
