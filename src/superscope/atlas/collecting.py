"""One pass over the data: of every latent its examples, its frequency, its histogram, and its classes.

Memory does not grow with the number of samples. A sample counts for a latent by its largest activation, so
that an example list does not fill up with neighbours in one text or image.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from superscope.atlas.exhibits import Exhibits, token_ids
from superscope.atlas.positions import Positions
from superscope.atlas.states import RunningHistogram, RunningTop
from superscope.core import InputError, LayerError
from superscope.core.random import generator
from superscope.data import Batch
from superscope.dictionary import Dictionary
from superscope.measures.codes import CodeStatistics, CodeSummary

BEFORE, AFTER = 20, 12
"""Tokens of context that an example of text keeps the activations of, before its strongest one and after."""
_CELLS = 1 << 22
"""Codes at a time: 16 MiB in float32."""
_MOST_CLASSES = 1000


@dataclass(frozen=True)
class Examples:
    """Examples of each latent, [latent, example, ...]; a value of 0 where there is none."""

    values: Float[Tensor, "latent example"]
    """The sample's largest activation of the latent."""
    samples: Int[Tensor, "latent example"]
    """Its place in the data, from 0."""
    positions: Int[Tensor, "latent example"]
    """Where that activation is: the token, or the place in a map counted row by row."""
    labels: Int[Tensor, "latent example"]
    """The sample's class; −1 without one."""
    windows: Float[Tensor, "latent example token"]
    """Of texts, its activations from ``BEFORE`` tokens before the position to ``AFTER`` behind it."""


@dataclass(frozen=True)
class Collected:
    """What one pass found of every latent."""

    top: Examples
    """The samples with the largest activations, falling."""
    drawn: Examples
    """Samples drawn at random among those with any activation, by falling activation."""
    active: Int[Tensor, " latent"]
    """Positions with an activation."""
    sums: Float[Tensor, " latent"]
    """Of the activations, float64."""
    histogram: RunningHistogram
    classes: Float[Tensor, "latent class"] | None
    """The mean over each class' samples of their largest activation; None without labels."""
    exhibits: Exhibits
    grid: tuple[int, ...]
    """The axes of position of a sample: () for one vector a sample, (height, width) for a map."""
    samples: int
    rows: int
    """Positions that count."""
    nonfinite: int
    """Positions left out for a value that is not finite."""
    summary: CodeSummary
    """How sparse the codes are, and how well they reconstruct."""


class Collector:
    """The sink of the hook on a layer.

    Args:
        dictionary: reads the layer's vectors.
        top: examples to keep of each latent.
        drawn: examples to draw at random.
        skip: tokens at the start of each text to leave out.
        seed: of the random examples.
    """

    def __init__(
        self, dictionary: Dictionary, *, top: int = 12, drawn: int = 8, skip: int = 0, seed: int = 0
    ) -> None:
        latents = dictionary.n_latents
        window: tuple[torch.dtype, tuple[int, ...]] = (torch.float16, (BEFORE + 1 + AFTER,))
        fields: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
            "sample": (torch.int64, ()),
            "position": (torch.int32, ()),
            "label": (torch.int32, ()),
            "value": (torch.float32, ()),
        }
        self._dictionary, self._skip = dictionary, skip
        self._fields, self._window, self._sizes = fields, window, (latents, top, drawn)
        self._top: RunningTop | None = None
        self._drawn: RunningTop | None = None
        self._draws = generator(seed, "atlas", "examples")
        self._active = torch.zeros(latents, dtype=torch.int64)
        self._sums = torch.zeros(latents, dtype=torch.float64)
        self._histogram = RunningHistogram(latents)
        self._classes = torch.zeros(0, latents, dtype=torch.float64)
        self._per_class = torch.zeros(0, dtype=torch.int64)
        self._labelled = True
        self._exhibits = Exhibits()
        self._grid: tuple[int, ...] = ()
        self._samples = self._nonfinite = self._calls = 0
        self._statistics: CodeStatistics | None = None
        self._batch: Batch | None = None
        self.busy = False
        """Whether the sink is at work, or failed: the fault is then not the model's."""

    def expect(self, batch: Batch) -> None:
        """Say which batch the next call is about.

        Raises:
            LayerError: when the layer was not called once in the batch before.
        """
        self._check_calls()
        self._batch, self._calls = batch, 0

    def __call__(self, name: str, module: nn.Module, output: Tensor) -> None:
        """Take in what the layer put out for the batch."""
        self.busy = True
        batch = self._batch
        assert batch is not None
        self._calls += 1
        if self._calls == 1:
            self._add(name, module, output, batch)
        self.busy = False

    def _check_calls(self) -> None:
        if self._batch is not None and self._calls != 1:
            raise LayerError(
                f"the layer was called {self._calls} times in one pass of the network; an atlas needs one "
                "that is called once"
            )

    def _add(self, name: str, module: nn.Module, output: Tensor, batch: Batch) -> None:
        rows = Positions.of(batch, output.device, self._skip).rows(name, module, output)
        vectors = rows.vectors.reshape(len(batch), -1, rows.vectors.shape[-1])
        keep = rows.keep.reshape(len(batch), -1)
        self._grid = tuple(rows.vectors.shape[1:-1])
        check_width(name, vectors.shape[-1], self._dictionary)
        self._exhibits.look(batch)
        latents = self._sizes[0]
        step = max(1, _CELLS // max(1, latents * vectors.shape[1]))
        for start in range(0, len(vectors), step):
            part = slice(start, start + step)
            self._add_samples(vectors[part].float(), keep[part], batch, start)
        self._samples += len(batch)
        if self._exhibits.full:
            self._exhibits.forget(self._needed())

    def _add_samples(
        self,
        vectors: Float[Tensor, "sample position width"],
        keep: Bool[Tensor, "sample position"],
        batch: Batch,
        start: int,
    ) -> None:
        finite = vectors.isfinite().all(-1)
        self._nonfinite += int((keep & ~finite).sum())
        keep = keep & finite
        flat = vectors.masked_fill(~keep[..., None], 0.0).flatten(0, 1)
        codes = self._dictionary.encode(flat) * keep.reshape(-1, 1)
        self._count(codes)
        self._measure(flat[keep.flatten()], codes[keep.flatten()])
        codes = codes.view(*keep.shape, -1)
        peaks, where = codes.max(1)
        self._sort_by_class(peaks, batch, start)
        sample, latent = (each.cpu() for each in (peaks > 0).nonzero(as_tuple=True))
        values, place = peaks.cpu()[sample, latent].float(), where.cpu()[sample, latent]
        labels = torch.full((len(batch),), -1) if batch.labels is None else batch.labels.cpu()
        numbers, text = self._numbers(batch), token_ids(batch) is not None

        def carried(kept: Tensor) -> dict[str, Tensor]:
            fields = {
                "sample": numbers[sample[kept] + start],
                "position": place[kept],
                "label": labels[sample[kept] + start],
                "value": values[kept],
            }
            if text:
                fields["window"] = _windows(codes, sample[kept], place[kept], latent[kept])
            return fields

        top, drawn = self._states(text)
        entered = [top.offer(latent, values, carried)]
        entered.append(drawn.offer(latent, torch.rand(len(latent), generator=self._draws), carried))
        shown = (sample[torch.cat(entered)].unique() + start).tolist()
        self._exhibits.keep(batch, numbers.tolist(), shown)

    def _numbers(self, batch: Batch) -> Tensor:
        """Return which samples a batch holds: their places in the data, or in the pass where it has none."""
        if batch.indices is not None:
            return batch.indices.cpu()
        return torch.arange(self._samples, self._samples + len(batch))

    def _states(self, text: bool) -> tuple[RunningTop, RunningTop]:
        if self._top is None or self._drawn is None:
            latents, top, drawn = self._sizes
            fields = self._fields | ({"window": self._window} if text else {})
            self._top, self._drawn = RunningTop(latents, top, fields), RunningTop(latents, drawn, fields)
        return self._top, self._drawn

    def _count(self, codes: Float[Tensor, "row latent"]) -> None:
        row, latent = codes.nonzero(as_tuple=True)
        values = codes[row, latent].cpu()
        latent = latent.cpu()
        self._active += torch.bincount(latent, minlength=len(self._active))
        self._sums.scatter_add_(0, latent, values.double())
        self._histogram.add(latent, values)

    def _measure(self, x: Float[Tensor, "row width"], codes: Float[Tensor, "row latent"]) -> None:
        if self._statistics is None:
            self._statistics = CodeStatistics(self._dictionary.width, codes.shape[1], device=x.device)
        self._statistics.update(x, codes, self._dictionary.decode(codes))

    def _sort_by_class(self, peaks: Float[Tensor, "sample latent"], batch: Batch, start: int) -> None:
        if batch.labels is None or not self._labelled:
            self._labelled = False
            return
        labels = batch.labels[start : start + len(peaks)].cpu()
        if not len(labels) or int(labels.min()) < 0 or int(labels.max()) >= _MOST_CLASSES:
            self._labelled = False
            return
        if (more := int(labels.max()) + 1 - len(self._classes)) > 0:
            self._classes = nn.functional.pad(self._classes, (0, 0, 0, more))
            self._per_class = nn.functional.pad(self._per_class, (0, more))
        self._classes.index_add_(0, labels, peaks.double().cpu())
        self._per_class += torch.bincount(labels, minlength=len(self._per_class))

    def _needed(self) -> list[int]:
        found: set[int] = set()
        for state in (self._top, self._drawn):
            if state is not None:
                found.update(state.fields["sample"][state.keys > -torch.inf].unique().tolist())
        return sorted(found)

    def finish(self) -> Collected:
        """Return what was found.

        Raises:
            LayerError: when the layer was never called, or several times a pass.
            InputError: when no position was finite.
        """
        self._check_calls()
        statistics = self._statistics
        if self._top is None or self._drawn is None or statistics is None or not statistics.rows:
            raise InputError(
                f"the layer gave no finite vector ({self._nonfinite:,} were not finite); look at "
                "the network's activations with superscope measure"
            )
        self._exhibits.forget(self._needed())
        labelled = self._labelled and len(self._classes) > 1
        means = self._classes / self._per_class.clamp(min=1)[:, None]
        return Collected(
            top=_examples(self._top),
            drawn=_examples(self._drawn),
            active=self._active,
            sums=self._sums,
            histogram=self._histogram,
            classes=means.T.float().contiguous() if labelled else None,
            exhibits=self._exhibits,
            grid=self._grid,
            samples=self._samples,
            rows=statistics.rows,
            nonfinite=self._nonfinite,
            summary=statistics.summary(),
        )


def check_width(layer: str, width: int, dictionary: Dictionary) -> None:
    """Refuse a dictionary that does not go with a layer.

    Raises:
        InputError: when it reads vectors of another width, or reconstructs those of another layer.
    """
    if width != dictionary.width:
        raise InputError(
            f"layer {layer} is {width} wide and the dictionary reads {dictionary.width}; give the layer that "
            "it was trained on, or train another"
        )
    if dictionary.output_width != dictionary.width:
        raise InputError(
            f"the dictionary is a transcoder from width {dictionary.width} to {dictionary.output_width}; an "
            "atlas is of a dictionary that reconstructs what it reads"
        )


def _windows(codes: Tensor, sample: Tensor, place: Tensor, latent: Tensor) -> Tensor:
    """Return the activations around places, [entry, token]; 0 outside the text."""
    around = place[:, None] + torch.arange(-BEFORE, AFTER + 1)
    inside = (around >= 0) & (around < codes.shape[1])
    at = around.clamp(0, codes.shape[1] - 1).to(codes.device)
    found = codes[sample.to(codes.device)[:, None], at, latent.to(codes.device)[:, None]]
    return found.cpu() * inside


def _examples(state: RunningTop) -> Examples:
    """Return the entries of a state by falling activation."""
    filled = state.keys > -torch.inf
    values = torch.where(filled, state.fields["value"], 0.0)
    values, order = values.sort(dim=1, descending=True, stable=True)
    rows = torch.arange(len(order))[:, None]
    windows = state.fields.get("window")
    return Examples(
        values=values,
        samples=state.fields["sample"][rows, order],
        positions=state.fields["position"][rows, order].long(),
        labels=state.fields["label"][rows, order].long(),
        windows=torch.zeros(*values.shape, 0) if windows is None else windows[rows, order].float(),
    )
