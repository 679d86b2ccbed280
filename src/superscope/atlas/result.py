"""What an atlas holds: a dictionary, and what was found of each of its latents."""

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from torch import Tensor

from superscope.atlas.collecting import Collected
from superscope.atlas.effects import Effects
from superscope.atlas.figures import plot_frequencies, plot_training, plot_values
from superscope.atlas.packing import pack
from superscope.atlas.pieces import Pieces
from superscope.atlas.recovery import Recovery
from superscope.core import artifacts
from superscope.dictionary import Dictionary
from superscope.measures.codes import DENSE
from superscope.report.atlas import ONE_FILE, atlas_files, render_atlas, size_of

FOLDER = "atlas"
_CLEARLY = 1.5
"""How many times its even share a class needs to give a latent its name."""
_LABEL = 3
"""Tokens that a latent is named by."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """The latents of a dictionary on a layer, one by one."""

    dictionary: Dictionary
    collected: Collected
    """What one pass over the data found."""
    nearest: Int[Tensor, "latent rank"]
    """The latents with the largest cosine between decoder rows, nearest first."""
    cosines: Float[Tensor, "latent rank"]
    effects: Effects | str
    """On the logits; or why none are known."""
    recovery: Recovery | str
    """The loss that the network keeps with the dictionary in the layer's place; or why none is known."""
    pieces: Pieces
    """Tokens as text."""
    model: str
    data: str
    layer: str
    seconds: float
    """All of it, without loading."""
    classes: tuple[str, ...] | None = None
    """The names of the labels, where the data has them."""
    field: tuple[float, float] = (1.0, 1.0)
    """Height and width of what a place in a map sees, as shares of an image's."""
    notes: tuple[str, ...] = ()

    @property
    def frequency(self) -> Float[Tensor, " latent"]:
        """The share of positions at which each latent is active."""
        return self.collected.active / self.collected.rows

    @property
    def maxima(self) -> Float[Tensor, " latent"]:
        """The largest activation of each latent; 0 for a dead one."""
        return self.collected.top.values[:, 0]

    @property
    def means(self) -> Float[Tensor, " latent"]:
        """The mean activation of each latent where it is active; 0 for a dead one."""
        return (self.collected.sums / self.collected.active.clamp(min=1)).float()

    @cached_property
    def states(self) -> list[str]:
        """Whether each latent is dead (never active), dense (at more than a tenth of positions) or alive."""
        return [
            "dead" if share == 0 else "dense" if share > DENSE else "alive"
            for share in self.frequency.tolist()
        ]

    @cached_property
    def strongest_tokens(self) -> list[list[str]]:
        """Of texts, the tokens that each latent is strongest at, the commonest of its examples first."""
        top, items = self.collected.top, self.collected.exhibits.items
        found: list[list[str]] = []
        entries = zip(top.values.tolist(), top.samples.tolist(), top.positions.tolist(), strict=True)
        for values, samples, positions in entries:
            tokens = [
                int(items[sample][position])
                for value, sample, position in zip(values, samples, positions, strict=True)
                if value > 0
            ]
            counted = Counter(self.pieces.text(token) for token in tokens)
            found.append([text for text, _ in counted.most_common()])
        return found

    @cached_property
    def top_classes(self) -> tuple[Int[Tensor, " latent"], Float[Tensor, " latent"]] | None:
        """The class that each latent is strongest for, and its share of the means of all classes."""
        means = self.collected.classes
        if means is None:
            return None
        value, index = means.max(1)
        return index, value / means.sum(1).clamp(min=1e-30)

    @cached_property
    def labels(self) -> list[str]:
        """A name for each latent: the tokens it is strongest at, or a class it is clearly for; or none."""
        if self.collected.exhibits.kind == "text":
            return [" · ".join(map(_shown, tokens[:_LABEL])) for tokens in self.strongest_tokens]
        if self.top_classes is None:
            return [""] * self.dictionary.n_latents
        index, share = (each.tolist() for each in self.top_classes)
        assert self.collected.classes is not None
        least = _CLEARLY / self.collected.classes.shape[1]
        return [
            f"{self.class_name(number)} ({part:.0%})" if part >= least else ""
            for number, part in zip(index, share, strict=True)
        ]

    def class_name(self, number: int) -> str:
        """Return what a class is called."""
        name = self.classes[number] if self.classes and number < len(self.classes) else str(number)
        return f"class {name}" if name.isdecimal() else name

    def logit_name(self, number: int) -> str:
        """Return what a logit is for: a token's text or a class' name."""
        assert not isinstance(self.effects, str)
        return self.pieces.text(number) if self.effects.of == "token" else self.class_name(number)

    @property
    def table(self) -> pd.DataFrame:
        """One row per latent.

        ``latent``, ``state``, ``active`` (positions), ``frequency``, ``mean`` (when active), ``max``,
        ``decoder_norm``, ``nearest`` and ``cosine`` (of the nearest latent), ``label``; with labelled data
        ``top_class`` and ``class_share``; with a way to the logits ``raised`` and ``lowered`` (those it
        changes most) and ``effect`` (the largest rise above the mean, per unit of activation).
        """
        latents = self.dictionary.n_latents
        columns: dict[str, object] = {
            "latent": range(latents),
            "state": self.states,
            "active": self.collected.active.tolist(),
            "frequency": self.frequency.tolist(),
            "mean": self.means.tolist(),
            "max": self.maxima.tolist(),
            "decoder_norm": self.norms.tolist(),
            "nearest": self.nearest[:, 0].tolist() if self.nearest.shape[1] else [-1] * latents,
            "cosine": self.cosines[:, 0].tolist() if self.cosines.shape[1] else [math.nan] * latents,
            "label": self.labels,
        }
        if self.top_classes is not None:
            index, share = self.top_classes
            columns |= {"top_class": [self.class_name(each) for each in index.tolist()]}
            columns |= {"class_share": share.tolist()}
        if not isinstance(self.effects, str):
            for name in ("raised", "lowered"):
                numbers = getattr(self.effects, name)[:, :_LABEL].tolist()
                columns[name] = [" · ".join(_shown(self.logit_name(each)) for each in row) for row in numbers]
            columns["effect"] = self.effects.strength.tolist()
        return pd.DataFrame(columns)

    @property
    def norms(self) -> Float[Tensor, " latent"]:
        """The norm of each decoder row."""
        return torch.linalg.vector_norm(self.dictionary.W_dec.detach().float().cpu(), dim=1)

    def tensors(self) -> dict[str, Tensor]:
        """Return what is kept in ``tensors.safetensors``, an entry or a row for each latent."""
        found = self.collected
        kept = {
            "active": found.active,
            "frequency": self.frequency,
            "mean": self.means,
            "max": self.maxima,
            "histogram": found.histogram.counts,
            "histogram_top": found.histogram.tops,
            "nearest": self.nearest,
            "nearest_cosine": self.cosines,
        }
        for name, examples in (("top", found.top), ("drawn", found.drawn)):
            kept |= {
                f"{name}/values": examples.values,
                f"{name}/samples": examples.samples,
                f"{name}/positions": examples.positions,
            }
        if found.classes is not None:
            kept["class_means"] = found.classes
        if not isinstance(self.effects, str):
            for name in ("raised", "raised_by", "lowered", "lowered_by"):
                kept[f"effects/{name}"] = getattr(self.effects, name)
        return kept

    def figures(self) -> dict[str, Figure]:
        """Draw the frequencies, the largest activations against them, and the training where it is known."""
        drawn = {
            "frequencies": plot_frequencies(self.frequency, self.collected.rows),
            "values": plot_values(self.frequency, self.maxima),
        }
        history = self.dictionary.history
        if history is not None and len(history.steps) > 1:
            drawn["training"] = plot_training(history.steps, history.fvu)
        return drawn

    def facts(self) -> dict[str, object]:
        """Return what was found on the whole, by name, as text."""
        config, summary = self.dictionary.config, self.collected.summary
        counts = Counter(self.states)
        recovered = self.recovery
        facts: dict[str, object] = {
            "model": self.model,
            "layer": f"{self.layer}, width {self.dictionary.width:,}",
            "data": f"{self.data}: {self.collected.samples:,} samples, {summary.rows:,} positions",
            "dictionary": f"{config.architecture}, {self.dictionary.n_latents:,} latents, k {config.k}",
            "L0": f"{summary.l0:.2f}",
            "FVU": f"{summary.fvu:.4f} (explained variance {summary.explained_variance:.2%})",
        }
        if isinstance(recovered, str):
            facts["loss recovered"] = f"not measured: {recovered}"
        else:
            unit = "nats a token" if recovered.kind == "next token" else "nats a sample"
            facts["loss recovered"] = (
                f"{recovered.recovered:.2%} against zeros, {recovered.recovered_from_mean:.2%} against the "
                f"mean ({recovered.clean:.3f} as it is, {recovered.spliced:.3f} with the dictionary, {unit})"
            )
        facts["latents"] = f"{counts['alive']:,} alive, {counts['dense']:,} dense, {counts['dead']:,} dead"
        facts["features"] = f"{summary.effective_features:.0f} effective, {summary.psi:.2f} a dimension"
        history = self.dictionary.history
        if history is not None and history.steps:
            facts["training"] = f"{history.steps[-1]:,} steps of {config.batch_size:,}"
        facts["time of the pass"] = f"{self.seconds:.1f} s"
        return facts

    def summary(self) -> str:
        """Return the main facts as lines of text, for a terminal."""
        return "\n".join(f"{name}: {value}" for name, value in self.facts().items())

    def page(self, folder: str | None = None) -> tuple[str, dict[str, bytes]]:
        """Return the page as HTML, and the files that go with it, by name.

        Args:
            folder: where those files go, beside the page; None for a page that has everything in it, up to
                32 MB. A larger one is divided all the same, into ``atlas``.
        """
        page = pack(self)
        if folder is None and size_of(page) > ONE_FILE:
            folder = FOLDER
        if folder is None:
            return render_atlas(page), {}
        return render_atlas(page, folder), {f"{folder}/{name}": data for name, data in atlas_files(page)}

    def report(self, path: str | Path, folder: str | None = None) -> Path:
        """Write :meth:`page` to ``path``, its files beside it.

        Raises:
            ArtifactError: when it cannot be written.
        """
        path = Path(path)
        html, files = self.page(folder)
        for name, data in files.items():
            artifacts.write_bytes(path.parent / name, data)
        return artifacts.write_text(path, html)


def _shown(text: str) -> str:
    r"""Return a token's text as it can be seen.

    >>> _shown(" the"), _shown("\n"), _shown(" ")
    ('the', '⏎', '␣')
    """
    text = text.replace("\n", "⏎").replace("\t", "⇥")
    return text.strip(" ") or "␣" * bool(text)
