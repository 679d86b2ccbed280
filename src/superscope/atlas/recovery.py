"""Loss recovered: how much of what a layer does for its network comes through a dictionary.

The network runs five times on the same samples: as it is (clean), with the dictionary's reconstruction in the
layer's place (spliced), with zeros there, and with the layer's mean there (ablated). In mean losses L,

    recovered = (L_ablated − L_spliced) / (L_ablated − L_clean)

is 1 where the reconstruction does all that the layer did and 0 where it does no more than the ablation; it is
negative where it does harm, and above 1 where the network does better with it. Against the mean it says more:
zeros are far from anything the network has seen, so that a share of a large loss is recovered by the mean
alone. Source: Bricken et al. 2023, "Towards Monosemanticity", and Cunningham et al. 2023 (arXiv 2309.08600).
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from superscope.activations import capture, select_layers, splice
from superscope.activations.inputs import evaluating, forward
from superscope.activations.rows import one_layer
from superscope.atlas.positions import Positions
from superscope.atlas.predictions import Answers, Kind, Scores, judged_answers, scores
from superscope.core.errors import InputError, LayerError, ModelError
from superscope.core.progress import progress
from superscope.core.runtime import resolve_device
from superscope.data import Batch, batches
from superscope.dictionary.dictionary import Dictionary
from superscope.measures.jackknife import jackknife

_GROUPS = 16
_CELLS = 1 << 24
"""Codes that are held at a time: 64 MiB in float32."""
_RATES = {
    "clean": "loss of clean",
    "spliced": "loss of spliced",
    "zeroed": "loss of zeroed",
    "averaged": "loss of averaged",
    "kl": "kl of spliced",
    "accuracy": "right of clean",
    "spliced_accuracy": "right of spliced",
}
"""Means over the predictions, and the sums that they are made of."""


@dataclass(frozen=True)
class Recovery:
    """How well a network does with a dictionary in a layer's place. Losses are cross-entropies in nats."""

    kind: Kind
    """What is predicted, and so what a prediction is: a token or a sample."""
    layer: str
    """What the dictionary reads."""
    target: str
    """What its reconstruction stands in for: the layer itself, another one for a transcoder."""
    samples: int
    predictions: int
    positions: int
    """Vectors that were replaced."""
    clean: float
    """Mean loss of a prediction by the network as it is."""
    spliced: float
    """The same with the reconstruction in the layer's place."""
    zeroed: float
    """The same with zeros there."""
    averaged: float
    """The same with the layer's mean over these positions there."""
    recovered: float
    """Against zeros; NaN where zeros do no harm."""
    recovered_from_mean: float
    """Against the mean; NaN where it does no harm."""
    kl: float
    """Mean divergence KL(clean ‖ spliced) of the predicted distributions, in nats."""
    accuracy: float
    """Share of the predictions whose most probable answer is right, of the network as it is."""
    spliced_accuracy: float
    """The same with the reconstruction."""
    fvu: float
    """Fraction of variance unexplained, Σ‖x − x̂‖² / Σ‖x − x̄‖², over the positions."""
    l0: float
    """Mean number of latents above 0 at a position."""
    errors: Mapping[str, float]
    """Standard error of each number above, from leaving out a sixteenth of the samples at a time; NaN for
    fewer than two samples."""


def loss_recovered(
    model: nn.Module,
    data: object,
    layer: str,
    dictionary: Dictionary,
    *,
    target: str | None = None,
    samples: int | None = None,
    skip_tokens: int = 0,
    batch_size: int = 16,
    seed: int = 0,
    device: str = "auto",
) -> Recovery:
    """Return the loss recovered by ``dictionary`` at ``layer`` of a causal language model or a classifier.

    Of a language model every real token but a text's first is predicted; of a classifier every sample with a
    label (a label below 0 names no class). All positions of the layer are replaced, padding aside: where the
    inputs have an ``attention_mask``, masked positions keep what they hold and count for nothing. That
    includes a text's first position, the beginning-of-text token if the tokenizer puts one there, unless
    ``skip_tokens`` says otherwise. FVU and L0 are over the replaced positions.

    Args:
        model: gives logits [sample, token, vocabulary] or [sample, class], as a tensor or as ``.logits``. It
            runs in eval mode and is given back in the mode and on the device it came in.
        data: as :func:`superscope.data.batches` takes it, with labels for a classifier. It is read twice: the
            second time with the mean that the first one found.
        layer: whose output the dictionary reads; ``NAME:input`` for what goes into a module.
        dictionary: as wide as the layer.
        target: for a transcoder, the layer whose output the reconstruction stands in for; it must be reached
            after ``layer``, at the same positions.
        samples: how many samples to look at; all of them by default.
        skip_tokens: real tokens at the start of each text that keep what they hold and count for nothing,
            such as 1 where the dictionary was trained without the first one.
        batch_size: samples a forward pass. Logits over a large vocabulary are large.
        seed: of the subset of samples.
        device: ``auto``, ``cpu``, ``cuda``, ...

    Raises:
        InputError: when the dictionary has another width than the layer, a classifier's data has no labels,
            ``skip_tokens`` is negative, or a loss is not finite with the reconstruction in place.
        LayerError: when no layer matches or several do, or one is never reached.
        ModelError: when the model gives no such logits, cannot take the data, or its own loss is not finite.
        DataError: when the data cannot be read, or only once.
    """
    if skip_tokens < 0:
        raise InputError(f"skip_tokens is {skip_tokens}; give 0, or how many of each text are left alone")
    where = resolve_device(device)
    stream = batches(data, batch_size=batch_size, samples=samples, seed=seed)
    trial = _Trial(model, dictionary, one_layer(model, layer), one_layer(model, target or layer))
    totals, kind = _Totals(), None
    with evaluating(model, where), evaluating(dictionary, where), torch.inference_mode():
        for batch in progress(stream, "splicing", unit="batch"):
            positions = Positions.of(batch, where, skip_tokens)
            clean = trial.run(batch, where)
            kind = clean.kind
            totals.score("clean", scores(clean), clean.sample)
            with trial.reconstructed(positions, totals):
                found = trial.run(batch, where)
            totals.score("spliced", scores(found, clean), found.sample)
            with trial.ablated(positions, None):
                found = trial.run(batch, where)
            totals.score("zeroed", scores(found), found.sample)
            totals.next(len(batch))
        mean = totals.mean("vectors").to(where)
        totals.restart()
        for batch in progress(stream, "splicing the mean", unit="batch"):
            with trial.ablated(Positions.of(batch, where, skip_tokens), mean):
                found = trial.run(batch, where)
            totals.score("averaged", scores(found), found.sample)
            totals.next(len(batch))
    assert kind is not None  # batches are never empty
    return _summed_up(trial, kind, totals)


class _Totals:
    """Sums by name, in float64, a row for each group of samples, which go to the groups in turn."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.samples = 0

    def add(self, name: str, values: Tensor, sample: Int[Tensor, " row"]) -> None:
        """Add values [row, ...] of samples of the current batch."""
        if name not in self.sums:
            self.sums[name] = torch.zeros(_GROUPS, *values.shape[1:], dtype=torch.float64)
        group = (self.samples + sample.cpu()) % _GROUPS
        self.sums[name].index_add_(0, group, values.cpu().double())  # not every device has float64

    def score(self, run: str, found: Scores, sample: Int[Tensor, " row"]) -> None:
        """Add what a run of the network scored."""
        for name, values in vars(found).items():
            self.add(f"{name} of {run}", values, sample)
        if run == "clean":
            self.add("predictions", torch.ones_like(found.loss), sample)

    def next(self, size: int) -> None:
        """Go on to the next batch, behind one of ``size`` samples."""
        self.samples += size

    def restart(self) -> None:
        """Begin a second pass over the same samples."""
        self.samples = 0

    def mean(self, name: str) -> Tensor:
        """Return the mean of the vectors whose sums are called ``name``."""
        return (self.sums[name].sum(0) / self.sums["positions"].sum()).float()


class _Trial:
    """A network with something else in a layer's place.

    Attributes:
        source: the layer that the dictionary reads.
        place: the one that is replaced.
    """

    def __init__(self, model: nn.Module, dictionary: Dictionary, source: str, place: str) -> None:
        self.model, self.dictionary, self.source, self.place = model, dictionary, source, place
        self._busy = False

    def run(self, batch: Batch, device: torch.device) -> Answers:
        """Return the network's answers for a batch, in which a fault of ours is not the network's."""
        return judged_answers(forward(self.model, batch, device, lambda: self._busy), batch)

    @contextlib.contextmanager
    def reconstructed(self, positions: Positions, totals: _Totals) -> Iterator[None]:
        """Have the reconstruction in the layer's place, and add up how good it is."""
        read: list[Tensor] = []

        def keep(name: str, module: nn.Module, output: Tensor) -> None:
            read[:] = [positions.rows(name, module, output).kept]

        def replace(module: nn.Module, output: Tensor) -> Tensor:
            rows = positions.rows(self.place, module, output)
            truth = rows.kept.float()
            x = truth if self.source == self.place else self._read(read, len(truth))
            found, active = self._reconstruct(x, truth.shape[1])
            sample = rows.sample[rows.keep]
            exact = truth.cpu().double()
            totals.add("vectors", exact, sample)
            totals.add("squares", exact.square().sum(1), sample)
            totals.add("missed", (exact - found.cpu().double()).square().sum(1), sample)
            totals.add("active", active, sample)
            totals.add("positions", torch.ones_like(active), sample)
            return rows.put(found)

        reading = (
            contextlib.nullcontext()
            if self.source == self.place
            else capture(self.model, self.source, sink=keep)
        )
        with reading, self._replaced(replace):
            yield

    def _read(self, read: list[Tensor], count: int) -> Tensor:
        if not read or len(read[0]) != count:
            got = f"{len(read[0]):,} positions" if read else "nothing yet"
            raise LayerError(
                f"{self.place} puts out {count:,} positions where {self.source}, which the dictionary reads, "
                f"had {got}; a transcoder needs a target behind what it reads, at the same positions"
            )
        return read[0].float()

    def _reconstruct(self, x: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Return x̂ and how many latents each of its rows is made of."""
        dictionary = self.dictionary
        if (x.shape[1], width) != (dictionary.width, dictionary.output_width):
            raise InputError(
                f"the dictionary reads vectors of {dictionary.width} and gives {dictionary.output_width}; "
                f"{self.source} has {x.shape[1]} units and {self.place} has {width}: give the layer that it "
                "was trained on"
            )
        found, active = [], []
        for part in x.split(max(1, _CELLS // dictionary.n_latents)):
            f = dictionary.encode(part)
            found.append(dictionary.decode(f))
            active.append((f > 0).sum(-1))
        return torch.cat(found), torch.cat(active)

    @contextlib.contextmanager
    def ablated(self, positions: Positions, mean: Float[Tensor, " unit"] | None) -> Iterator[None]:
        """Have the mean in the layer's place, or zeros."""

        def replace(module: nn.Module, output: Tensor) -> Tensor:
            rows = positions.rows(self.place, module, output)
            value = torch.zeros_like(rows.kept) if mean is None else mean.expand_as(rows.kept)
            return rows.put(value)

        with self._replaced(replace):
            yield

    @contextlib.contextmanager
    def _replaced(self, replace: Callable[[nn.Module, Tensor], Tensor]) -> Iterator[None]:
        [module] = select_layers(self.model, self.place).values()

        def watched(output: Tensor) -> Tensor:
            self._busy = True
            new = replace(module, output)
            self._busy = False
            return new

        with splice(self.model, self.place, watched) as spliced:
            yield
        if not spliced.calls:
            raise LayerError(f"layer {self.place} is never called in the forward pass; name another")


def _summed_up(trial: _Trial, kind: Kind, totals: _Totals) -> Recovery:
    _check(trial, totals)
    sums = _nonempty(totals.sums)
    counts = sums["predictions"][:, 0].long()

    def measure(groups: Tensor) -> dict[str, list[float]]:
        of = {name: groups.double() @ values for name, values in sums.items()}
        predictions, positions = of["predictions"], of["positions"]
        found = {name: of[part] / predictions for name, part in _RATES.items()}
        for name, ablation in (("recovered", "zeroed"), ("recovered_from_mean", "averaged")):
            harm = found[ablation] - found["clean"]
            share = (found[ablation] - found["spliced"]) / harm
            found[name] = torch.where(harm > 0, share, torch.nan)
        spread = of["squares"] - of["vectors"].square().sum(1, keepdim=True) / positions
        found["fvu"] = of["missed"] / spread
        found["l0"] = of["active"] / positions
        return {name: values[:, 0].tolist() for name, values in found.items()}

    values, errors = jackknife(measure, counts)
    return Recovery(
        kind=kind,
        layer=trial.source,
        target=trial.place,
        samples=totals.samples,
        predictions=int(counts.sum()),
        positions=int(sums["positions"].sum()),
        errors=errors,
        **values,
    )


def _nonempty(sums: Mapping[str, Tensor]) -> dict[str, Float[Tensor, "group _"]]:
    """Return the sums of the groups that predict anything; what the others hold goes to the first of them."""
    kept = sums["predictions"] > 0
    found = {}
    for name, values in sums.items():
        rows = values.view(len(values), -1)
        found[name] = rows[kept]
        found[name][0] += rows[~kept].sum(0)
    return found


def _check(trial: _Trial, totals: _Totals) -> None:
    if not bool((totals.sums["predictions"] > 0).any()):
        raise InputError(
            "the data holds nothing to predict: no text has two tokens, or no sample a label of 0 or more"
        )
    losses = {name: float(values.sum()) for name, values in totals.sums.items() if name.startswith("loss")}
    if not torch.tensor(losses["loss of clean"]).isfinite():
        raise ModelError(f"the model's own loss is {losses['loss of clean']}; look at its weights and data")
    if wrong := [name for name, value in losses.items() if not torch.tensor(value).isfinite()]:
        raise InputError(
            f"the {wrong[0]} is {losses[wrong[0]]} with {trial.place} replaced; the dictionary or the layer "
            "holds values that are not finite"
        )
