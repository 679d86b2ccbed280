"""What the page of the recipe on GPT-2 shows: the published pictures, and those of dictionaries of use."""

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from superscope.plots import Heatmap, plot_bars, plot_heatmaps, plot_history, plot_sweep
from superscope.recipes.sae_gpt2_claims import BUDGET, RECOVERED, within_budget
from superscope.recipes.sae_gpt2_published import PRINTED
from superscope.recipes.sae_gpt2_subject import Subject
from superscope.recipes.sae_gpt2_training import Measured, OneMeasured, SaeGpt2Config, Sentence, codes_of_text
from superscope.report import Picture

_TOKENS, _LATENTS = 32, 20


def tabulate_sentences(sentences: Sequence[OneMeasured]) -> pd.DataFrame:
    """Return a row for each start of the published training."""
    return pd.DataFrame(
        [
            {"seed": each.elsewhere.seed}
            | {f"loss at {step}": loss for step, loss in zip(PRINTED, each.trained.printed(), strict=True)}
            | {
                "active latents": each.l0,
                "active at the start": each.l0_start,
                "FVU on the sentence": each.fvu,
                "FVU elsewhere": each.elsewhere.numbers["fvu"],
                "recovered elsewhere": each.elsewhere.numbers["recovered"],
            }
            for each in sentences
        ]
    )


def tabulate_dictionaries(dictionaries: Sequence[Measured]) -> pd.DataFrame:
    """Return a row for each dictionary of many tokens."""
    return pd.DataFrame(
        [
            {"layer": each.layer, "k": each.k, "seed": each.seed}
            | {"L0": each.numbers["l0"], "FVU": each.numbers["fvu"]}
            | {
                "recovered": each.numbers["recovered"],
                "error": each.errors["recovered"],
                "recovered from the mean": each.numbers["recovered_from_mean"],
                "clean": each.numbers["clean"],
                "spliced": each.numbers["spliced"],
                "zeros": each.numbers["zeroed"],
                "mean": each.numbers["averaged"],
                "KL": each.numbers["kl"],
                "accuracy": each.numbers["accuracy"],
                "spliced accuracy": each.numbers["spliced_accuracy"],
            }
            for each in dictionaries
        ]
    )


def draw(
    subject: Subject,
    sentence: Sentence,
    sentences: Sequence[OneMeasured],
    dictionaries: Sequence[Measured],
    middle: str,
    options: SaeGpt2Config,
    *,
    published: bool,
) -> dict[str, Picture]:
    """Return all pictures, those of single dictionaries of the first seed."""
    pictures = _of_one_sentence(subject, sentence, sentences, published=published)
    pictures["recovered"] = _against_l0([each for each in dictionaries if each.layer == middle])
    if blocks := _blocks(subject, dictionaries):
        pictures["blocks"] = blocks
    some = within_budget(dictionaries, middle) or {each.seed: each for each in dictionaries}
    shown = next(iter(some.values()))
    tokens, f = codes_of_text(subject, shown, options, _TOKENS)
    pictures["latents"] = _over_tokens(tokens, f, shown)
    return pictures


def _of_one_sentence(
    subject: Subject, sentence: Sentence, sentences: Sequence[OneMeasured], *, published: bool
) -> dict[str, Picture]:
    first = sentences[0]
    network, seed = first.trained.network, first.elsewhere.seed
    f = network(sentence.hidden)[0]
    numbers = [str(k + 1) for k in range(f.shape[1])]
    history = [each.trained.history for each in sentences]
    labels = [f"seed {each.elsewhere.seed}" for each in sentences]
    if subject.gpt2 and published:
        printed = torch.full_like(history[0], torch.nan)
        printed[torch.tensor(list(PRINTED)) - 1] = torch.tensor(list(PRINTED.values()))
        history, labels = [*history, printed], [*labels, "printed"]
    return {
        "loss": Picture(
            plot_history(torch.stack(history, 1), labels, torch.arange(1, len(history[0]) + 1)),
            "Loss of the published training, one line for each start. The learning rate is halved each 100 "
            "steps.",
            "Falling curves that level off.",
        ),
        "features": Picture(
            plot_heatmaps(
                [
                    Heatmap(
                        network.encoder.weight,
                        f"seed {seed}",
                        "unit of the last hidden state",
                        "latent",
                        rows=numbers,
                    )
                ],
                "encoder weight",
            ),
            "The “learned features” of the course: the encoder's weights, a row for each latent.",
            "A heat map of sixteen rows with small weights of both signs.",
        ),
        "strengths": Picture(
            plot_bars(f.mean(0), numbers, value_name="mean activation over the sentence's tokens"),
            f"The “activation strengths” of the course, of each latent, seed {seed}.",
            "Sixteen bars.",
        ),
        "sentence": Picture(
            plot_heatmaps(
                [Heatmap(f.T, f"seed {seed}", "token", "latent", sentence.tokens, numbers)], "activation"
            ),
            "The same activations token by token: which latent reads which token. A stroke stands for the "
            "space in front of a word.",
            "A heat map with a row for each latent and a column for each token.",
        ),
    }


def _against_l0(dictionaries: Sequence[Measured]) -> Picture:
    ks = sorted({each.k for each in dictionaries})
    seeds = sorted({each.seed for each in dictionaries})
    lines = {"against zeros": "recovered", "against the mean": "recovered_from_mean"}
    values = torch.full((len(seeds), len(lines), len(ks)), torch.nan)
    l0 = torch.full((len(seeds), len(ks)), torch.nan)
    for each in dictionaries:
        place = seeds.index(each.seed), ks.index(each.k)
        l0[place] = each.numbers["l0"]
        for line, name in enumerate(lines.values()):
            values[place[0], line, place[1]] = each.numbers[name]
    return Picture(
        plot_sweep(
            values,
            l0.nanmean(0),
            list(lines),
            x_name="L0, active latents a token",
            y_name="share of the loss recovered",
            marks=[float(BUDGET)],
        ),
        f"Loss recovered behind {dictionaries[0].layer} on the texts held out, for dictionaries of several "
        f"k; mean over seeds with its 95 % interval. Dashed: {BUDGET} latents, at which {RECOVERED:.0%} are "
        "asked for.",
        "Two rising curves that come near to 1.",
    )


def _blocks(subject: Subject, dictionaries: Sequence[Measured]) -> Picture | None:
    best = {block: found for block in subject.blocks if (found := within_budget(dictionaries, block))}
    if len(best) < 2:
        return None
    chosen = [next(iter(found.values())) for found in best.values()]
    series = {"against zeros": "recovered", "against the mean": "recovered_from_mean"}
    return Picture(
        plot_bars(
            {label: torch.tensor([each.numbers[name] for each in chosen]) for label, name in series.items()},
            list(best),
            {
                label: torch.tensor([1.96 * each.errors[name] for each in chosen])
                for label, name in series.items()
            },
            value_name="share of the loss recovered, 95 % interval over texts",
        ),
        f"Loss recovered behind each block with at most {BUDGET} active latents a token, first seed.",
        "Two bars for each block, all near 1.",
    )


def _over_tokens(tokens: Sequence[str], f: Float[Tensor, "token latent"], shown: Measured) -> Picture:
    order = f.amax(0).argsort(descending=True)[:_LATENTS]
    order = order[f[:, order].argmax(0).argsort(stable=True)]
    return Picture(
        plot_heatmaps(
            [Heatmap(f[:, order].T, "", "token", "latent", tokens, order.tolist())],
            "activation",
        ),
        f"The {len(order)} strongest latents of the dictionary of many tokens ({shown.layer}, "
        f"k = {shown.k}, seed {shown.seed}) on the beginning of a text held out, in the order in which they "
        "are at their strongest.",
        "A heat map, mostly empty, with the active latents of each token.",
    )
