"""What the course says of a sparse autoencoder of one sentence, what it leaves out, how each is judged."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from superscope.core import generator
from superscope.measures import match_features, mcc
from superscope.recipes.claims import Claim, Verdict, judge
from superscope.recipes.sae_gpt2_published import LATENTS, PRINTED
from superscope.recipes.sae_gpt2_subject import Subject
from superscope.recipes.sae_gpt2_training import Measured, OneMeasured

BUDGET, RECOVERED = 16, 0.95
"""L0 at most, and the share of the loss at least, of a useful dictionary."""
_WITHIN = 0.15
"""Of each printed loss. Fixed before any run: the printed ones are of one unknown start."""
_FEW = LATENTS // 2
_POOR, _TIMES = 0.5, 2.0
_SAME = 0.9
_PUBLISHED = "GPT-2, last hidden state of one sentence, 16 latents, Adam 1e-3 halved each 100 steps, L1 0.01"
_HERE = "one sentence, as published; the evidence names the model"
_MANY = "dictionary of many tokens, texts held out; the evidence names the model"

CLAIMS = (
    *(
        Claim(
            f"N5-loss-{step}",
            f"Loss at step {step} of {max(PRINTED)}",
            _PUBLISHED,
            "course",
            value,
            round(_WITHIN * value, 4),
        )
        for step, value in PRINTED.items()
    ),
    Claim(
        "N5-sparse",
        f"The codes are sparse, with a few latents active: on average fewer than {_FEW} of {LATENTS} on a "
        "token",
        _HERE,
        "course",
    ),
    Claim(
        "N5-sparser",
        "Training makes the codes sparser: fewer active latents on a token than before the first step",
        _HERE,
        "ours",
        "expected if the L1 term does anything",
    ),
    Claim(
        "N5-starts",
        "The latents are the model's features, whatever the start: decoder directions of two starts, matched "
        f"one to one, have a mean cosine of at least {_SAME}",
        _HERE,
        "ours",
        "expected if the latents are found in the model",
    ),
    Claim(
        "N5-elsewhere",
        f"One sentence gives no dictionary of the model: on other texts at least {_POOR:.0%} of the variance "
        f"is unexplained, and at least {_TIMES:g} times as much as on the sentence",
        _HERE,
        "ours",
        "expected of so few tokens",
    ),
    Claim(
        "N5-spliced",
        "With the reconstruction of one sentence's dictionary in the last hidden state's place, the model "
        f"keeps less than {_POOR:.0%} of the loss on other texts",
        _HERE,
        "ours",
        "expected of so few tokens",
    ),
    Claim(
        "N5-useful",
        f"A dictionary of many tokens recovers at least {RECOVERED:.0%} of the loss, against zeros and "
        f"against the mean, with at most {BUDGET} active latents a token",
        f"residual stream behind the middle block; {_MANY}",
        "ours",
        "wanted",
    ),
    Claim(
        "N5-useful-blocks",
        "The same behind every block, of the first seed",
        f"residual stream; {_MANY}",
        "ours",
        "wanted",
    ),
)


def judged(
    subject: Subject,
    sentences: Sequence[OneMeasured],
    dictionaries: Sequence[Measured],
    middle: str,
    *,
    published: bool,
) -> list[Verdict]:
    """Judge every claim.

    Args:
        subject: the model.
        sentences: the published trainings, one a seed.
        dictionaries: those of many tokens.
        middle: the layer that N5-useful is about.
        published: whether the sentence is the published one.
    """
    values, evidence = _of_sentences(sentences)
    values["useful"], evidence["useful"] = _useful(dictionaries, middle)
    values["useful-blocks"], evidence["useful-blocks"] = _everywhere(dictionaries, subject.blocks)
    for part, said in evidence.items():
        evidence[part] = f"Model {subject.name}. {said}"
    here = "; ".join(", ".join(f"{loss:.4f}" for loss in each.trained.printed()) for each in sentences)
    for place, step in enumerate(PRINTED):
        part = f"loss-{step}"
        values[part] = [each.trained.printed()[place] for each in sentences]
        if not (subject.gpt2 and published):
            what = "GPT-2's" if not subject.gpt2 else "of another sentence"
            values[part] = ()
            evidence[part] = (
                f"The printed losses are {what}, and this run is of {subject.name}"
                f"{'' if published else ' on another sentence'}. By seed: {here}."
            )
    if subject.rehearsal:
        values = dict.fromkeys(values, ())
        reason = "A rehearsal with a tiny model of random weights settles nothing."
        evidence = dict.fromkeys(values, reason)
    return [judge(claim, values[_part(claim)], evidence.get(_part(claim), "")) for claim in CLAIMS]


Values = dict[str, Sequence[float] | Sequence[bool]]


def _part(claim: Claim) -> str:
    return claim.id.removeprefix("N5-")


def _of_sentences(sentences: Sequence[OneMeasured]) -> tuple[Values, dict[str, str]]:
    codes = _listed([each.l0 for each in sentences], ".1f")
    starts = _listed([each.l0_start for each in sentences], ".1f")
    own, other = [each.fvu for each in sentences], [each.elsewhere.numbers["fvu"] for each in sentences]
    kept = [each.elsewhere.numbers["recovered"] for each in sentences]
    agreed = agreement([each.trained.network.decoder.weight.T for each in sentences])
    values: Values = {
        "sparse": [each.l0 < _FEW for each in sentences],
        "sparser": [each.l0 < each.l0_start for each in sentences],
        "starts": [value >= _SAME for value in agreed],
        "elsewhere": [b >= max(_POOR, _TIMES * a) for a, b in zip(own, other, strict=True)],
        "spliced": [not value >= _POOR for value in kept],
    }
    width = sentences[0].trained.network.encoder.in_features
    evidence = {
        "sparse": f"Active latents of a token, by seed: {codes}.",
        "sparser": f"By seed {codes}; before the first step {starts}.",
        "starts": (
            f"Mean cosines of one start's directions with the next one's: {_listed(agreed)}; of "
            f"random directions {chance_agreement(LATENTS, width):.3f}."
            if agreed
            else "One seed has no other to agree with."
        ),
        "elsewhere": f"Unexplained by seed: {_listed(own)} on the sentence, {_listed(other)} elsewhere.",
        "spliced": f"Recovered by seed: {_listed(kept)}.",
    }
    return values, evidence


def agreement(decoders: Sequence[Tensor]) -> list[float]:
    """Return the mean cosine of each dictionary's directions with the next one's, matched one to one.

    The last one is compared with the first where there are three or more.
    """
    order = [*decoders, decoders[0]] if len(decoders) > 2 else decoders
    return [mcc(match_features(one, other, signed=True)) for one, other in pairwise(order)]


def chance_agreement(latents: int, width: int) -> float:
    """Return the same of random directions."""
    draws = generator(0, "sae-gpt2", "chance")
    return agreement([torch.randn(latents, width, generator=draws) for _ in range(2)])[0]


def within_budget(dictionaries: Sequence[Measured], layer: str) -> dict[int, Measured]:
    """Return, by seed, the dictionary of a layer with the most active latents that the budget allows."""
    found: dict[int, Measured] = {}
    for each in sorted(dictionaries, key=lambda each: each.numbers["l0"]):
        if each.layer == layer and each.numbers["l0"] <= BUDGET:
            found[each.seed] = each
    return found


def _useful(dictionaries: Sequence[Measured], layer: str) -> tuple[list[bool], str]:
    found = within_budget(dictionaries, layer)
    if not found:
        return [], f"No dictionary of {layer} has at most {BUDGET} active latents; lower --ks."
    said = "; ".join(map(_both, found.values()))
    return [_recovers(each) for each in found.values()], f"{layer}, against zeros and mean, by seed: {said}."


def _everywhere(dictionaries: Sequence[Measured], blocks: Sequence[str]) -> tuple[list[bool], str]:
    best: Mapping[str, Measured] = {
        block: next(iter(found.values())) for block in blocks if (found := within_budget(dictionaries, block))
    }
    if len(best) < len(blocks):
        return [], "Not every block has a dictionary within the budget; set --each-block to 16 or less."
    said = "; ".join(f"{block} {_both(each)}" for block, each in best.items())
    return [all(map(_recovers, best.values()))], f"Against zeros and mean: {said}."


def _recovers(each: Measured) -> bool:
    return min(each.numbers["recovered"], each.numbers["recovered_from_mean"]) >= RECOVERED


def _both(each: Measured) -> str:
    return f"{each.numbers['recovered']:.4f}, {each.numbers['recovered_from_mean']:.4f}"


def _listed(values: Sequence[float], pattern: str = ".3f") -> str:
    return ", ".join(format(value, pattern) for value in values)
