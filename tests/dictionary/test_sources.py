import pytest
import torch

from superscope.core import InputError, generator
from superscope.dictionary.sources import LoaderSource, TensorSource, as_source


def rows(n=23, width=3):
    return torch.arange(n * width, dtype=torch.float32).view(n, width)


def test_a_tensor_is_read_once_in_an_order_of_its_seed():
    x = rows()
    first, again, other = (list(TensorSource(x).batches(5, seed)) for seed in (0, 0, 1))
    assert [len(batch) for batch in first] == [5, 5, 5, 5]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(torch.cat(first), torch.cat(other))
    assert len(torch.cat(first).unique(dim=0)) == 20


def test_start_leaves_out_the_first_batches():
    x = rows()
    assert torch.equal(
        torch.cat(list(TensorSource(x).batches(5, 0)))[10:], torch.cat(list(TensorSource(x).batches(5, 0, 2)))
    )


def test_targets_stay_beside_their_rows():
    x = rows()
    for a, b in TensorSource(x, 2 * x[:, :2]).batches(4, 3):
        assert torch.equal(2 * a[:, :2], b)


def test_a_loader_is_cut_into_batches_in_its_own_order():
    x = rows()
    source = LoaderSource([x[:7], x[7:9], x[9:]])
    assert source.samples == 23
    assert torch.equal(torch.cat([a for a, _ in source.batches(5, 0)]), x[:20])
    assert torch.equal(torch.cat([a for a, _ in source.batches(5, 0, 3)]), x[15:20])


def test_a_loader_of_pairs_has_targets():
    x = rows()
    source = LoaderSource([(x[:7], x[:7, :1]), (x[7:], x[7:, :1])])
    assert (source.width, source.output_width) == (3, 1)


def test_rows_that_are_not_finite_are_counted_and_the_first_is_named():
    x = rows()
    x[4, 1], x[9, 0] = torch.nan, torch.inf
    with pytest.raises(InputError, match=r"2 of 23 rows .* row 4"):
        as_source(x, None)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (torch.zeros(3), r"shape \[3\]"),
        (torch.zeros(3, 2, dtype=torch.int64), "int64"),
        (torch.zeros(0, 2), r"shape \[0, 2\]"),
        (iter([torch.zeros(3, 2)]), "only once"),
        ([], "empty"),
        ([torch.zeros(3)], "a batch of activations"),
        (7, "a int"),
    ],
)
def test_what_cannot_be_used_is_told(given, told):
    with pytest.raises(InputError, match=told):
        as_source(given, None)


def test_targets_of_another_number_are_refused():
    with pytest.raises(InputError, match="23 activations and 22 targets"):
        as_source(rows(), rows(22))


def test_a_loader_takes_no_target():
    with pytest.raises(InputError, match="pairs of input and target"):
        as_source([rows()], rows())


def test_half_precision_is_read_as_float32():
    x = torch.randn(8, 4, generator=generator(0, "x")).half()
    (batch,) = TensorSource(x).batches(8, 0)
    assert batch.dtype == torch.float32
