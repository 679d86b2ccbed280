"""A live source gives the rows of the layer, in a seed's order, from any batch on."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from superscope.activations import LiveActivations, harvest
from superscope.core import DataError, InputError, LayerError
from superscope.data import batches


def sorted_rows(x: Tensor) -> Tensor:
    return torch.tensor(sorted(x.tolist()))


def stored(net: nn.Module, data: object, layer: str, folder: Path) -> Tensor:
    return torch.cat([part.activations for part in harvest(net, data, layer, folder).in_order()])


@pytest.mark.parametrize("layer", ["up", "down:input"])
@pytest.mark.parametrize("buffer", [20, 60, 1_000])
def test_a_pass_gives_the_rows_that_a_harvest_stores(net, texts, tmp_path, layer, buffer) -> None:
    rows = stored(net, texts(), layer, tmp_path)
    live = LiveActivations(net, texts(), layer, buffer_rows=buffer)
    assert (live.samples, live.width, live.output_width) == (len(rows), 10, 10)
    found = list(live.batches(1, seed=0))
    assert all(len(batch) == 1 and batch.dtype == torch.float32 for batch in found)
    assert torch.allclose(sorted_rows(torch.cat(found)), sorted_rows(rows))
    assert [len(batch) for batch in live.batches(20, seed=0)] == [20] * (len(rows) // 20)


def test_any_batch_may_be_the_first_and_the_network_runs_no_more_than_needed(net, texts) -> None:
    live = LiveActivations(net, texts(12), "up", buffer_rows=45)
    whole = list(live.batches(10, seed=3))
    runs = []
    net.embed.register_forward_hook(lambda *_: runs.append(1))
    counts = []
    for start in range(0, len(whole) + 1, 2):
        runs.clear()
        again = list(LiveActivations(net, texts(12), "up", buffer_rows=45).batches(10, 3, start))
        assert all(torch.equal(a, b) for a, b in zip(whole[start:], again, strict=True))
        counts.append(len(runs))
    assert all(a >= b for a, b in pairwise(counts))
    assert counts[0] >= 12
    assert counts[-2] < 6


def test_each_seed_has_its_order_and_samples_that_can_be_indexed_come_in_another() -> None:
    net, x = nn.Sequential(nn.Linear(3, 4)), torch.randn(64, 3)
    live = LiveActivations(net, x, "0", batch_size=4, buffer_rows=8)
    a, b, c = (torch.cat(list(live.batches(8, seed))) for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.allclose(sorted_rows(a), sorted_rows(c))
    first = sorted_rows(next(live.batches(8, 0)))
    assert not torch.allclose(first, sorted_rows(net(x)[:8].detach()))  # not the first samples of the data


def test_the_same_subset_of_samples_in_each_pass() -> None:
    x = torch.arange(50.0)[:, None]
    live = LiveActivations(nn.Sequential(nn.ReLU()), x, "0", samples=10, seed=2)
    chosen = torch.cat([batch.inputs for batch in batches(x, samples=10, seed=2)]).flatten().tolist()
    for seed in range(3):
        assert sorted(chosen) == sorted(torch.cat(list(live.batches(5, seed))).flatten().tolist())


def test_maps_are_counted_without_reading_the_data() -> None:
    reads = []

    class Images(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 30

        def __getitem__(self, index: int) -> Tensor:
            reads.append(index)
            return torch.full((1, 4, 5), float(index))

    live = LiveActivations(nn.Sequential(nn.Conv2d(1, 3, 2)), Images(), "0", batch_size=7)
    assert live.samples == 30 * 12
    assert len(reads) == 7


def test_pairs_and_tokens_that_are_skipped(net, texts) -> None:
    live = LiveActivations(net, texts(), "up", target="down", skip_tokens=2, buffer_rows=30)
    tokens = [max(0, int(mask.sum()) - 2) for batch in texts() for mask in batch["attention_mask"]]
    assert (live.samples, live.width, live.output_width) == (sum(tokens), 10, 6)
    for x, y in live.batches(8, 0):
        assert torch.allclose(net.down(x.relu()), y, atol=1e-5)


def test_rows_with_nan_keep_their_place_and_are_counted(net, texts) -> None:
    clean = list(LiveActivations(net, texts(), "up").batches(8, 0))
    net.embed.register_forward_hook(lambda _, args, out: torch.where(args[0][..., None] == 5, torch.nan, out))
    live = LiveActivations(net, texts(), "up")
    assert live.not_finite == 0
    found = list(live.batches(8, 0))
    bad = torch.cat(found).isnan().any(1)
    tokens = torch.cat([each["input_ids"][each["attention_mask"] > 0] for each in texts()])
    assert live.not_finite == int((tokens == 5).sum()) >= int(bad.sum()) > 0
    assert torch.equal(torch.cat(found)[~bad], torch.cat(clean)[~bad])


def test_the_network_is_left_as_it_was_and_can_be_used_meanwhile(net, texts) -> None:
    net.train()
    pass_ = LiveActivations(net, texts(), "up", buffer_rows=10).batches(5, 0)
    x = next(pass_)
    assert not net.up._forward_hooks
    net(**texts().batches[0]).sum().backward()  # gradients are not switched off outside the network's own run
    assert net.up.weight.grad is not None
    (x @ torch.ones(10, requires_grad=True)).sum().backward()
    pass_.close()
    assert net.training
    assert net.up.training


def test_what_cannot_be_used(net, texts) -> None:
    with pytest.raises(LayerError, match="matches 3 layers"):
        LiveActivations(net, texts(), "*")
    with pytest.raises(InputError, match="buffer_rows is 0"):
        LiveActivations(net, texts(), "up", buffer_rows=0)
    with pytest.raises(DataError, match="only once"):
        LiveActivations(net, iter(texts()), "up")
    live = LiveActivations(net, texts(), "up", buffer_rows=30)
    for arguments, said in [
        ((40, 0), "room for 30 rows"),
        ((10_000, 0), "give a batch size"),
        ((5, 0, -1), "start"),
    ]:
        with pytest.raises(InputError, match=said):
            live.batches(*arguments)


def test_layers_whose_rows_vary_are_told(net, texts) -> None:
    class Chosen(nn.Module):
        """Gives the rows of positive numbers alone."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x[x[:, 0] > 0])

    x = torch.ones(20, 2)
    x[15] = -1
    with pytest.raises(DataError, match="put out 9 rows where 10 were counted on"):
        list(LiveActivations(Chosen(), [x[:10], x[10:]], "layer").batches(5, 0))
    with pytest.raises(DataError, match="9 rows for 10 samples"):
        LiveActivations(Chosen(), x[10:], "layer")


def test_data_that_changes_between_passes_is_told(net, texts) -> None:
    data = texts()
    live = LiveActivations(net, data, "up")
    data.batches.pop()
    with pytest.raises(DataError, match="the same in each pass"):
        list(live.batches(5, 0))


@pytest.mark.data
def test_a_real_language_model(real_data: Path) -> None:
    model, data = f"llama2c:{real_data}/weights/stories260K.bin", f"text:{real_data}/text/tinystories_2MB.txt"
    live = LiveActivations(model, data, "model.layers.2", samples=40, buffer_rows=2_000, batch_size=8)
    whole = list(live.batches(128, 0))
    assert len(whole) == live.samples // 128 > 40
    assert all(torch.equal(a, b) for a, b in zip(whole[33:], live.batches(128, 0, 33), strict=True))
