import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superscope.core import InputError, generator
from superscope.dictionary.sparse.pairs import Pairs

DENSE = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, -3.0]])


def test_the_pairs_of_dense_codes_are_written_by_hand():
    pairs = Pairs.from_dense(DENSE)
    assert pairs.offsets.tolist() == [0, 1, 1, 3]
    assert pairs.rows.tolist() == [0, 2, 2]
    assert pairs.latents.tolist() == [1, 0, 2]
    assert pairs.values.tolist() == [2.0, 1.0, -3.0]
    assert (len(pairs), pairs.samples) == (3, 3)


@settings(deadline=None)
@given(st.integers(0, 6), st.integers(1, 6), st.integers(0, 99))
def test_dense_codes_come_back(samples, n_latents, seed):
    f = torch.randn(samples, n_latents, generator=generator(seed, "codes")).relu()
    pairs = Pairs.from_dense(f)
    pairs.check(n_latents)
    assert torch.equal(pairs.to_dense(n_latents), f)


def test_pairs_of_equally_many_a_sample():
    latents, values = torch.tensor([[0, 2], [1, 2]]), torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    pairs = Pairs.from_rows(latents, values)
    pairs.check(3)
    assert pairs.to_dense(3).tolist() == [[1.0, 0.0, 0.0], [0.0, 3.0, 4.0]]
    assert pairs.offsets.tolist() == [0, 2, 4]
    assert pairs.with_values(-pairs.values).to_dense(3).tolist() == [[-1.0, 0.0, 0.0], [0.0, -3.0, -4.0]]


def test_half_precision_becomes_float32():
    assert Pairs.from_dense(DENSE.bfloat16()).values.dtype == torch.float32


def test_pairs_that_are_no_pairs_are_refused():
    pairs = Pairs.from_dense(DENSE)
    with pytest.raises(InputError, match="offsets are empty"):
        dataclasses.replace(pairs, offsets=pairs.offsets[:0])
    with pytest.raises(InputError, match="expected one device"):
        dataclasses.replace(pairs, values=pairs.values.to("meta"))


@pytest.mark.parametrize("name", ["rows", "latents", "values"])
def test_lengths_that_do_not_fit_are_refused(name):
    pairs = Pairs.from_dense(DENSE)
    # the shapes are checked here by jaxtyping before the class has a say, and elsewhere by the class
    with pytest.raises((InputError, TypeError)):
        dataclasses.replace(pairs, **{name: getattr(pairs, name)[:-1]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": [0, 1, 1, 2]}, "from 0 to 2"),
        ({"offsets": [0, 2, 1, 3]}, "without a step back"),
        ({"rows": [0, 1, 2]}, "rows are not what offsets say"),
        ({"latents": [1, 0, 3]}, "latents go from 0 to 3, expected 0 to 2"),
        ({"latents": [1, -1, 2]}, "latents go from -1 to 2"),
        ({"latents": [1, 2, 2]}, "a latent twice"),
    ],
)
def test_numbers_that_contradict_each_other_are_found(change, message):
    pairs = Pairs.from_dense(DENSE)
    for name, numbers in change.items():
        pairs = dataclasses.replace(pairs, **{name: torch.tensor(numbers, dtype=getattr(pairs, name).dtype)})
    with pytest.raises(InputError, match=message):
        pairs.check(3)
