"""What one pass finds of every latent, against all codes at once."""

import pytest
import torch
from torch import Tensor, nn

from superscope.atlas import collecting
from superscope.atlas.collecting import AFTER, BEFORE, Collected, Collector
from superscope.core import InputError, LayerError
from superscope.data import Batch
from superscope.dictionary import Dictionary, DictionaryConfig, make_dictionary

LAYER = nn.LayerNorm(6)


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    made = make_dictionary(DictionaryConfig(n_latents=20, k=3), 6, None, torch.Generator().manual_seed(0))
    with torch.no_grad():
        made.encoder[4] = 0.0  # never active
    return made.eval()


def texts(count: int, length: int = 50) -> tuple[dict[str, Tensor], Tensor]:
    """Tokens and what a layer makes of them, the texts of several lengths and padded on the right."""
    draws = torch.Generator().manual_seed(1)
    lengths = torch.randint(3, length + 1, (count,), generator=draws)
    mask = (torch.arange(length) < lengths[:, None]).long()
    ids = torch.randint(2, 90, (count, length), generator=draws) * mask
    return {"input_ids": ids, "attention_mask": mask}, torch.randn(count, length, 6, generator=draws)


def collect(
    dictionary: Dictionary,
    inputs: dict[str, Tensor] | Tensor,
    output: Tensor,
    size: int,
    module: nn.Module = LAYER,
    labels: Tensor | None = None,
    **options: int,
) -> Collected:
    collector = Collector(dictionary, **options)
    for rows in torch.arange(len(output)).split(size):
        part = (
            inputs[rows]
            if isinstance(inputs, Tensor)
            else {name: each[rows] for name, each in inputs.items()}
        )
        collector.expect(Batch(part, None if labels is None else labels[rows], rows + 1000))
        with torch.inference_mode():
            collector("layer", module, output[rows])
    return collector.finish()


@pytest.mark.parametrize(("size", "cells"), [(40, 1 << 24), (7, 1 << 24), (40, 20 * 50 * 3)])
@pytest.mark.parametrize("skip", [0, 2])
def test_texts_are_those_of_all_codes_at_once(
    dictionary: Dictionary, size: int, cells: int, skip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "_CELLS", cells)
    inputs, output = texts(40)
    found = collect(dictionary, inputs, output, size, top=5, drawn=4, skip=skip)
    keep = inputs["attention_mask"].bool() & (torch.arange(50) >= skip)
    with torch.no_grad():
        codes = dictionary.encode(output) * keep[..., None]
    assert (found.samples, found.rows) == (40, int(keep.sum()))
    assert torch.equal(found.active, (codes > 0).sum((0, 1)))
    torch.testing.assert_close(found.sums, codes.double().sum((0, 1)))
    assert found.summary.l0 == pytest.approx(3.0)
    assert torch.equal(found.histogram.counts.sum(1), found.active)
    peaks, where = codes.max(1)
    best = peaks.topk(5, dim=0).values.T
    torch.testing.assert_close(found.top.values, best)
    for latent in range(20):
        for place in range(int((best[latent] > 0).sum())):
            sample, position = (
                int(found.top.samples[latent, place]) - 1000,
                int(found.top.positions[latent, place]),
            )
            assert float(codes[sample, position, latent]) == float(found.top.values[latent, place])
            assert position == int(where[sample, latent])
            around = torch.nn.functional.pad(codes[sample, :, latent], (BEFORE, AFTER))
            window = around[position : position + BEFORE + 1 + AFTER]
            torch.testing.assert_close(found.top.windows[latent, place], window, atol=2e-3, rtol=2e-3)
            assert found.exhibits.items[sample + 1000][position] == inputs["input_ids"][sample, position]
    assert found.active[4] == 0
    assert float(found.top.values[4].max()) == 0


def test_other_examples_are_drawn_from_all_active_samples(dictionary: Dictionary) -> None:
    inputs, output = texts(200, 4)
    with torch.no_grad():
        codes = dictionary.encode(output) * inputs["attention_mask"][..., None]
    active = (codes > 0).any(1)
    one, other = (collect(dictionary, inputs, output, 50, drawn=6, seed=seed) for seed in (0, 1))
    assert not torch.equal(one.drawn.samples, other.drawn.samples)
    for latent in range(20):
        values = one.drawn.values[latent]
        assert bool((values[:-1] >= values[1:]).all())
        drawn = (one.drawn.samples[latent][values > 0] - 1000).tolist()
        assert len(set(drawn)) == len(drawn) == min(6, int(active[:, latent].sum()))
        assert bool(active[drawn, latent].all())
    assert (one.drawn.samples - 1000 >= 100).float().mean() > 0.3  # late ones, too


def test_batches_make_no_difference(dictionary: Dictionary) -> None:
    inputs, output = texts(60)
    one, other = (collect(dictionary, inputs, output, size) for size in (60, 11))
    for name in ("top", "drawn"):
        mine, its = getattr(one, name), getattr(other, name)
        assert torch.equal(mine.samples, its.samples)
        assert torch.equal(mine.windows, its.windows)
    assert torch.equal(one.histogram.counts, other.histogram.counts)
    assert one.exhibits.items.keys() == other.exhibits.items.keys()


def test_maps_count_places_row_by_row_and_classes_by_their_samples(dictionary: Dictionary) -> None:
    draws = torch.Generator().manual_seed(2)
    images, output = torch.rand(30, 3, 8, 8, generator=draws), torch.randn(30, 6, 4, 5, generator=draws)
    labels = torch.arange(30) % 3
    found = collect(dictionary, images, output, 8, nn.Conv2d(3, 6, 1), labels, top=3)
    with torch.no_grad():
        codes = dictionary.encode(output.movedim(1, -1))
    assert found.grid == (4, 5)
    assert found.exhibits.kind == "image"
    latent = int(found.active.argmax())
    sample, position = int(found.top.samples[latent, 0]) - 1000, int(found.top.positions[latent, 0])
    assert float(codes[sample, position // 5, position % 5, latent]) == float(codes[..., latent].max())
    assert found.top.labels[latent, 0] == sample % 3
    assert found.classes is not None
    peaks = codes.flatten(1, 2).amax(1)
    means = torch.stack([peaks[labels == label].mean(0) for label in range(3)], 1)
    torch.testing.assert_close(found.classes, means)


def test_values_that_are_not_finite_are_left_out_and_counted(dictionary: Dictionary) -> None:
    vectors = torch.randn(20, 6, generator=torch.Generator().manual_seed(3))
    clean = collect(dictionary, vectors, vectors.clone(), 20)
    vectors = torch.cat([vectors, torch.tensor([[torch.nan] * 6, [torch.inf] * 6])])
    found = collect(dictionary, torch.zeros(22, 6), vectors, 6)
    assert (found.nonfinite, found.rows) == (2, 20)
    assert torch.equal(found.active, clean.active)
    with pytest.raises(InputError, match="no finite vector"):
        collect(dictionary, torch.zeros(2, 6), vectors[-2:], 2)


def test_samples_that_no_latent_needs_are_forgotten(
    dictionary: Dictionary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("superscope.atlas.exhibits._SPARE", 10)
    vectors = torch.randn(3000, 6, generator=torch.Generator().manual_seed(4))
    found = collect(dictionary, vectors, vectors, 50, top=2, drawn=1)
    needed = set(found.top.samples[found.top.values > 0].tolist())
    needed |= set(found.drawn.samples[found.drawn.values > 0].tolist())
    assert set(found.exhibits.items) == needed
    assert len(needed) <= 60


def test_a_layer_of_another_width_or_called_twice_is_refused(dictionary: Dictionary) -> None:
    with pytest.raises(InputError, match="layer layer is 5 wide and the dictionary reads 6"):
        collect(dictionary, torch.zeros(2, 5), torch.zeros(2, 5), 2)
    collector = Collector(dictionary)
    collector.expect(Batch(torch.zeros(2, 6)))
    for _ in range(2):
        collector("layer", LAYER, torch.ones(2, 6))
    with pytest.raises(LayerError, match="called 2 times"):
        collector.expect(Batch(torch.zeros(2, 6)))
