"""What the course says of concepts in hidden states, the controls that it lacks, and how each is judged."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from scipy import stats
from torch import Tensor

from superscope.measures import embed, silhouette
from superscope.recipes.claims import Claim, Verdict, judge, student_interval
from superscope.recipes.concepts_encoder import CONCEPTS, REHEARSAL, Encoder, Means, correlations

PUBLISHED = {"positive": 0.3354, "negative": 0.3390, "neutral": 0.375}
"""Mean correlation of 1,000 sentences with each concept; the last one is cut off in print."""
READINGS = {
    "padded": "as published: mean over all 512 positions, padding included",
    "masked": "masked: mean over the sentence's own tokens",
}
_TOLERANCE = 0.005
_CLUSTERS = 0.25
_SAME = 0.02
_SHARE = 0.95
_HERE = "the first 1,000 sentences and disjoint draws; the evidence names the model"


def _controls(key: str) -> list[Claim]:
    setting = f"{READINGS[key]}; {_HERE}"
    return [
        Claim(
            f"N4-control-{key}",
            "Sentences correlate more with each concept than with 95 % of the lists of five random words",
            setting,
            "ours",
            "expected if the correlation tells of the concept",
        ),
        Claim(
            f"N4-own-{key}",
            "Positive sentences lean to the positive concept: the correlation with it less that with the "
            "negative one is larger over them than over negative sentences, 95 % interval (Welch) above 0",
            setting,
            "ours",
            "expected if the concepts are encoded",
        ),
    ]


CLAIMS = (
    *(
        # One model on one set of sentences leaves only rounding and the library's version.
        Claim(
            f"N4-{concept}",
            f"Mean correlation of a sentence's state with the {concept} concept",
            f"distilbert-base-uncased, 1,000 SST-2 training sentences; {READINGS['padded']}",
            "course",
            value,
            _TOLERANCE,
        )
        for concept, value in PUBLISHED.items()
    ),
    Claim(
        "N4-clusters",
        "Sentences of different sentiment are clusters in the plane of two principal components: silhouette "
        f"at least {_CLUSTERS}, below which no structure is substantial (Kaufman and Rousseeuw)",
        f"{READINGS['padded']}; {_HERE}",
        "course",
    ),
    Claim(
        "N4-padding",
        f"Padding does not matter: the mean correlation with each concept, as published, is within {_SAME} "
        "of the masked one",
        _HERE,
        "ours",
        "expected if the published mean is one of the sentence",
    ),
    *_controls("padded"),
    *_controls("masked"),
)


@dataclass(frozen=True)
class Draw:
    """Sentences and their correlations."""

    means: Means
    padded: Float[Tensor, "sentence concept"]
    masked: Float[Tensor, "sentence concept"]
    lists_padded: Float[Tensor, " list"]
    """Mean correlation of the sentences with each list of random words."""
    lists_masked: Float[Tensor, " list"]

    def states(self, key: str) -> Float[Tensor, "sentence unit"]:
        """Return the sentences' vectors in a reading."""
        return self.means.padded if key == "padded" else self.means.masked

    def with_concepts(self, key: str) -> Float[Tensor, "sentence concept"]:
        """Return the correlations in a reading."""
        return self.padded if key == "padded" else self.masked

    def with_lists(self, key: str) -> Float[Tensor, " list"]:
        """Return the mean correlations with random words in a reading."""
        return self.lists_padded if key == "padded" else self.lists_masked


@dataclass(frozen=True)
class Leaning:
    """Correlation with the positive concept less that with the negative one, and whose it is."""

    positive: float
    """Mean over positive sentences."""
    negative: float
    low: float
    high: float
    """95 % interval (Welch) of the difference of the two means."""
    auc: float
    """How often a positive sentence leans more to the positive concept than a negative one."""


def compare(means: Means, concepts: Float[Tensor, "concept unit"], lists: Float[Tensor, "list unit"]) -> Draw:
    """Return a draw of sentences with its correlations."""
    return Draw(
        means,
        correlations(means.padded, concepts),
        correlations(means.masked, concepts),
        correlations(means.padded, lists).mean(0),
        correlations(means.masked, lists).mean(0),
    )


def leaning(draw: Draw, key: str) -> Leaning:
    """Return how much sentences lean to their own concept."""
    r = draw.with_concepts(key)
    lean = r[:, 0] - r[:, 1]
    ours, others = (lean[draw.means.labels == label].numpy() for label in (1, 0))
    interval = stats.ttest_ind(ours, others, equal_var=False).confidence_interval(0.95)
    wins = stats.mannwhitneyu(ours, others).statistic / (len(ours) * len(others))
    return Leaning(
        float(ours.mean()), float(others.mean()), float(interval.low), float(interval.high), float(wins)
    )


def plane_silhouette(draw: Draw, key: str) -> float:
    """Return the silhouette of the two sentiments in the plane of the first two principal components."""
    return silhouette(embed(draw.states(key), "pca").points, draw.means.labels).mean


def judged(model: str, encoder: Encoder, draws: Sequence[Draw]) -> list[Verdict]:
    """Return a verdict for each claim; ``draws[0]`` are the published sentences."""
    called = "/".join(model.removeprefix("hf:").rstrip("/").split("/")[-2:])
    about = f"Model {called}."
    values: dict[str, list[float]] = {}
    evidence: dict[str, str] = {}
    for position, concept in enumerate(CONCEPTS):
        found = [float(draw.padded[:, position].mean()) for draw in draws]
        name, others = f"N4-{concept}", _interval(found[1:])
        if encoder.distilbert:
            values[name] = found[:1]
            evidence[name] = f"{about} Other draws: {others}."
        else:
            evidence[name] = (
                f"The number is one of distilbert-base-uncased; {called} is another model. "
                f"Here {found[0]:.4f}, other draws {others}."
            )
    planes = [plane_silhouette(draw, "padded") for draw in draws]
    values["N4-clusters"] = [float(each >= _CLUSTERS) for each in planes]
    masked = [plane_silhouette(draw, "masked") for draw in draws]
    evidence["N4-clusters"] = f"{about} Silhouette by draw: {_list(planes)}; masked: {_list(masked)}."
    gaps = [(draw.padded - draw.masked).mean(0) for draw in draws]
    values["N4-padding"] = [float(each.abs().max() <= _SAME) for each in gaps]
    evidence["N4-padding"] = (
        f"{about} As published less masked, first draw: "
        + ", ".join(f"{name} {float(gap):+.3f}" for name, gap in zip(CONCEPTS, gaps[0], strict=True))
        + "."
    )
    for key in READINGS:
        above = [
            (draw.with_concepts(key).mean(0)[:, None] > draw.with_lists(key)).double().mean(1)
            for draw in draws
        ]
        values[f"N4-control-{key}"] = [float(bool((each > _SHARE).all())) for each in above]
        evidence[f"N4-control-{key}"] = (
            f"{about} Lists that correlate less, first draw: "
            + ", ".join(f"{name} {float(share):.0%}" for name, share in zip(CONCEPTS, above[0], strict=True))
            + f"; mean correlation with a list {float(draws[0].with_lists(key).mean()):.3f}."
        )
        leans = [leaning(draw, key) for draw in draws]
        first = leans[0]
        values[f"N4-own-{key}"] = [float(each.low > 0) for each in leans]
        evidence[f"N4-own-{key}"] = (
            f"{about} First draw: {first.positive:+.4f} over positive, {first.negative:+.4f} over negative "
            f"sentences, difference [{first.low:.4f}, {first.high:.4f}]; a positive sentence leans more than "
            f"a negative one in {_list([each.auc for each in leans], '.0%')} of the pairs, by draw."
        )
    if model == REHEARSAL:
        reason = "A rehearsal with random weights and embedded sentences settles nothing."
        return [judge(claim, (), reason) for claim in CLAIMS]
    return [judge(claim, values.get(claim.id, ()), evidence[claim.id]) for claim in CLAIMS]


def _interval(values: Sequence[float]) -> str:
    if not values:
        return "none"
    low, high = student_interval(values)
    mean = sum(values) / len(values)
    return f"{mean:.4f}" if low is None else f"{mean:.4f} [{low:.4f}, {high:.4f}]"


def _list(values: Sequence[float], pattern: str = ".3f") -> str:
    return ", ".join(format(value, pattern) for value in values)
