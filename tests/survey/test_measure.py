"""One pass measures what the whole activation matrix would, and says what it could not measure."""

import gc
import itertools
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from superscope.activations import capture
from superscope.core import DataError, InputError, LayerError, ModelError, WeightsError
from superscope.core.artifacts import tensor_hashes
from superscope.data import batches, load_data
from superscope.measures.statistics import LayerStatistics
from superscope.survey import Survey, measure
from superscope.survey.recorder import Recorder


class Net(nn.Module):
    """A convnet with what a survey meets: a layer called twice, one never called, an in-place ReLU."""

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(0)
        self.conv = nn.Conv2d(2, 6, 3)
        self.relu = nn.ReLU(inplace=True)
        self.mix = nn.Conv2d(6, 6, 1)
        self.unused = nn.Linear(2, 2)
        self.fc = nn.Linear(6, 3)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.4, generator=draws)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mix(self.relu(self.conv(x)))
        return self.fc(self.mix(x).mean((2, 3)))


def images(count: int = 40, seed: int = 0) -> Tensor:
    return torch.randn(count, 2, 7, 7, generator=torch.Generator().manual_seed(seed))


def linear(*widths: int, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(*(nn.Linear(a, b) for a, b in itertools.pairwise(widths)))


def row(survey: Survey, name: str) -> dict[str, float]:
    return survey.table.set_index("name").loc[name].to_dict()


def plain(maps: np.ndarray) -> dict[str, float]:
    """Measure activations [sample, unit, position] the slow and plain way, from the published formulas."""
    rows = maps.transpose(0, 2, 1).reshape(-1, maps.shape[1])
    width = rows.shape[1]
    s = np.linalg.svd(rows - rows.mean(0), full_matrices=False)[1]
    energy, p = s**2 / (s**2).sum(), s / s.sum()
    pooled = maps.mean(2)
    unit = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[~np.eye(len(unit), dtype=bool)]
    spread = rows - rows.mean(1, keepdims=True)
    spread = spread[(spread != 0).any(1)]  # a row without spread has no kurtosis
    ranks = {
        "energy_rank": int((np.cumsum(energy) < 0.99).sum()) + 1,
        "count_below": int((np.cumsum(energy) < 0.99).sum()),
        "entropy_rank": math.exp(-(p * np.log(p)).sum()),
        "spectral_entropy_rank": math.exp(-(energy * np.log(energy)).sum()),
        "stable_rank": 1 / energy[0],
        "participation_ratio": 1 / (energy**2).sum(),
    }
    return (
        ranks
        | {f"{name}_ratio": value / width for name, value in ranks.items()}
        | {
            "cosine_mean": cosines.mean(),
            "cosine_std": cosines.std(),
            "dead_fraction": ((rows > 0).sum(0) == 0).mean(),
            "activation_frequency": (rows > 0).mean(),
            "kurtosis": ((spread**4).mean(1) / (spread**2).mean(1) ** 2).mean(),
        }
    )


def test_a_convnet_measures_as_its_whole_activation_matrices_do() -> None:
    model, x = Net().eval(), images()
    survey = measure(model, x, "conv,relu,fc", batch_size=7)
    with torch.no_grad(), capture(model, "conv,relu,fc") as found:
        model(x)
    for name, positions in (("conv", 25), ("relu", 25), ("fc", 1)):
        expected = plain(found[name].double().reshape(40, -1, positions).numpy())
        got = row(survey, name)
        assert (got["width"], got["samples"], got["rows"]) == (found[name].shape[1], 40, 40 * positions)
        for measured, value in expected.items():
            assert_allclose(got[measured], value, rtol=2e-5, atol=1e-6, err_msg=f"{name} {measured}")
    assert set(expected) <= set(survey.table.columns)


def test_the_digits_network_measures_as_its_whole_activation_matrices_do(digits_network: nn.Module) -> None:
    survey = measure(digits_network, "digits")
    (test,) = batches(load_data("digits"), batch_size=1000)
    assert isinstance(test.inputs, Tensor)
    with torch.no_grad(), capture(digits_network) as found:
        digits_network(test.inputs)
    assert list(survey.table["name"]) == ["fc1", "relu1", "fc2", "relu2", "fc3"]
    assert list(survey.table["kind"]) == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    for name, activations in found.items():
        got = row(survey, name)
        for measured, value in plain(activations.double().numpy()[..., None]).items():
            assert_allclose(got[measured], value, rtol=2e-5, atol=1e-6, err_msg=f"{name} {measured}")
    assert (survey.table["warnings"] == "").all()


def test_the_batch_size_makes_no_difference() -> None:
    model, x = Net(), images(61)
    surveys = [measure(model, x, batch_size=size) for size in (1, 16, 61)]
    for other in surveys[1:]:
        assert list(other.table.columns) == list(surveys[0].table.columns)
        for name, value in surveys[0].table.items():
            if str(name).endswith("_se") or name == "warnings":  # errors rest on how samples fell into groups
                continue
            if value.dtype.kind in "fi":
                assert_allclose(other.table[name], value, rtol=1e-5, atol=1e-7, err_msg=str(name))
            else:
                assert list(other.table[name]) == list(value)


def held(recorder: Recorder) -> int:
    """Count the bytes that the states keep alive, each memory block once and whole."""
    blocks, seen, queue = {}, set(), list(recorder.states.values())
    while queue:
        value = queue.pop()
        if id(value) in seen or isinstance(value, type):
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            block = value.untyped_storage()
            blocks[block.data_ptr()] = block.nbytes()
        else:
            queue.extend(gc.get_referents(value) if isinstance(value, list | dict) else vars_of(value))
    return sum(blocks.values())


def vars_of(value: object) -> list[object]:
    return list(getattr(value, "__dict__", {}).values())


def test_memory_does_not_grow_with_the_number_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("superscope.measures.samples._POOLED_VALUES", 2**12)  # to see it emptied soon
    model, sizes = Net().eval(), {}
    recorder = Recorder(torch.device("cpu"), ("ranks", "similarity", "sparsity"))
    with torch.inference_mode(), capture(model, "conv", source_sink=recorder):
        for step in range(1, 201):
            model(images(64, seed=step))
            sizes[step] = held(recorder)
    # Up to 2¹⁷ single values wait for the histograms and 2¹² means for the cosines.
    assert max(sizes.values()) < 4 * 2**17 + 8 * 2**12 + 100_000
    assert max(sizes[step] for step in range(50, 200)) <= max(sizes[step] for step in range(1, 50)) * 1.1


def test_what_is_kept_is_not_changed_by_what_works_in_place() -> None:
    survey = measure(Net(), images(), "conv,relu")
    kept = {found.name: found.values for found in survey.rows}
    assert float(kept["conv"].min()) < 0
    assert float(kept["relu"].min()) == 0


def test_values_that_are_not_finite_are_counted_kept_out_and_told(tmp_path: Path) -> None:
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    spoiled = x.clone()
    spoiled[3, 1], spoiled[9] = math.nan, math.inf
    model = nn.Sequential(nn.ReLU(), nn.Sigmoid())
    survey = measure(model, spoiled, "0")
    clean = measure(model, x[[i for i in range(50) if i not in (3, 9)]], "0")
    assert (row(survey, "0")["rows"], row(survey, "0")["samples"]) == (48, 50)
    assert row(survey, "0")["warnings"] == "5 values not finite, their rows kept out"
    for measured in ("participation_ratio", "cosine_mean", "kurtosis"):
        assert_allclose(row(survey, "0")[measured], row(clean, "0")[measured], rtol=1e-6)
    assert "5 values not finite" in survey.report(tmp_path / "r.html").read_text()
    nothing = measure(model, torch.full((20, 4), math.nan))
    assert row(nothing, "0")["warnings"] == "80 values not finite, their rows kept out; no finite row"
    assert math.isnan(row(nothing, "0")["energy_rank"])
    assert nothing.tensors() == {}
    assert "no finite row" in nothing.page()
    assert "no finite row" not in nothing.summary()


def test_every_module_gets_its_own_mode_back() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 3))
    model.train()
    model[1].eval()
    before = tensor_hashes(model.state_dict())
    first, second = measure(model, images(20).flatten(1)[:, :3]), measure(model, images(20).flatten(1)[:, :3])
    assert [module.training for module in model] == [True, False, True, True]
    assert tensor_hashes(first.tensors()) == tensor_hashes(second.tensors())  # dropout was off
    assert tensor_hashes(model.state_dict()) == before
    with pytest.raises(ModelError):
        measure(model, torch.zeros(2, 9))
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("dtype", "rel"), [(torch.bfloat16, 0.1), (torch.float16, 0.02), (torch.float64, 1e-5)]
)
def test_models_of_other_precision_take_the_data_in_theirs(dtype: torch.dtype, rel: float) -> None:
    x = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    single, other = measure(linear(6, 5, 4), x), measure(linear(6, 5, 4).to(dtype), x)
    for name in ("0", "1"):
        for measured in ("participation_ratio", "stable_rank", "kurtosis"):
            assert_allclose(row(other, name)[measured], row(single, name)[measured], rtol=rel)


def test_layers_that_are_never_called_or_called_twice_are_told() -> None:
    survey = measure(Net(), images())
    assert list(survey.table["name"]) == ["conv", "relu", "mix", "fc"]  # the model's order
    assert survey.left_out == {"unused": "never called in the forward pass"}
    assert row(survey, "mix")["warnings"] == "called 2 times a pass"
    assert row(survey, "mix")["rows"] == 2 * 40 * 25
    assert "never called in the forward pass" in survey.page()
    with pytest.raises(ModelError, match=r"no layer could be measured: unused \(never called in the forward"):
        measure(Net(), images(), "unused")


def test_a_layer_too_wide_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[Recorder.__module__], "WIDEST", 5)
    survey = measure(linear(3, 6, 5), images(20).flatten(1)[:, :3])
    assert list(survey.table["name"]) == ["1"]
    assert survey.left_out == {"0": "6 units wide, more than 5"}


def test_a_layer_whose_width_changes_is_refused() -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.same = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.same(self.same(x)[:, 1:])

    with pytest.raises(LayerError, match="layer same put out 3 units, then 2"):
        measure(Cut(), torch.zeros(4, 3))


def test_one_unit_a_constant_layer_and_one_sample() -> None:
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    one = row(measure(linear(3, 1), x), "0")
    assert [one[name] for name in ("width", "energy_rank", "stable_rank", "participation_ratio")] == [1] * 4
    constant = linear(3, 2)
    nn.init.zeros_(constant[0].weight)
    survey = measure(constant, x)
    assert row(survey, "0")["warnings"] == "no unit varies"
    assert row(survey, "0")["cosine_mean"] == pytest.approx(1)
    assert "no unit varies" in survey.page()
    survey.figure()
    single = measure(linear(3, 2), x[:1])
    assert row(single, "0")["warnings"] == (
        "1 rows for 2 units, so no rank can exceed 0; no standard errors from fewer than 8 samples"
    )
    assert "of one sample" in single.page() or "1 samples" in single.page()


def test_tokens_are_positions_of_a_sample() -> None:
    x = torch.randn(24, 5, 4, generator=torch.Generator().manual_seed(0))
    model = linear(4, 3)
    got = row(measure(model, x, batch_size=5), "0")
    assert (got["width"], got["samples"], got["rows"]) == (3, 24, 120)
    with torch.no_grad():
        expected = plain(model(x).double().numpy().transpose(0, 2, 1))
    for measured, value in expected.items():
        assert_allclose(got[measured], value, rtol=2e-5, atol=1e-6, err_msg=measured)


def test_a_batch_may_be_a_mapping_of_arguments() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(10, 4)
            self.head = nn.Linear(4, 3)

        def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
            return {"logits": self.head(self.embed(ids) * mask[..., None])}

    ids = torch.arange(60).reshape(12, 5) % 10
    survey = measure(Tokens(), [{"ids": ids, "mask": torch.ones(12, 5)}])
    assert list(survey.table["rows"]) == [60, 60]
    assert math.isnan(survey.accuracy)
    with pytest.raises(ModelError, match=r"batch of shape ids \[12, 5\]: .*unexpected keyword"):
        measure(linear(3, 3), [{"ids": ids}])


def test_a_batch_of_the_wrong_size_is_one_line() -> None:
    with pytest.raises(ModelError) as caught:
        measure(Net(), torch.zeros(2, 3, 7, 7))
    message = str(caught.value)
    assert message.startswith("the model cannot take a batch of shape [2, 3, 7, 7]: ")
    assert "expected input" in message
    assert "\n" not in message


@pytest.mark.parametrize("error", [AssertionError("side must be 32"), KeyError("x"), AssertionError()])
def test_whatever_a_persons_model_raises_is_told(error: Exception) -> None:
    class Failing(nn.Linear):
        def forward(self, *_: object) -> Tensor:
            raise error

    with pytest.raises(
        ModelError, match=r"batch of shape \[4, 3\]: (side must be 32|'x'|AssertionError); give"
    ):
        measure(Failing(3, 3), torch.zeros(4, 3))


def test_a_bug_in_the_measuring_is_not_laid_at_the_models_door(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(LayerStatistics, "update", fail)
    with pytest.raises(ZeroDivisionError):
        measure(Net(), images())


def test_ctrl_c_leaves_the_model_as_it_was() -> None:
    model = Net()

    def interrupted() -> Iterator[Tensor]:
        yield images(4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(model, interrupted())
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_weights_that_are_not_finite_are_refused_before_the_pass() -> None:
    model = Net()
    with torch.no_grad():
        model.mix.weight[0, 0] = math.nan
    with pytest.raises(
        WeightsError, match=r"the model Net holds NaN or infinite values: mix\.weight \(1 of 36\)"
    ):
        measure(model, images())


def test_arguments_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="weights go with a model given by name"):
        measure(Net(), images(), weights="w.pth")
    with pytest.raises(InputError, match="samples is 0"):
        measure(Net(), images(), samples=0)
    with pytest.raises(InputError, match="device 'gpu' cannot be used"):
        measure("no-such-model", images(), device="gpu")
    with pytest.raises(LayerError, match="did you mean conv"):
        measure(Net(), images(), "cnv")
    with pytest.raises(DataError, match="no data 'digit'; did you mean digits"):
        measure(Net(), "digit")


def test_labels_give_an_accuracy_where_there_is_one_logit_a_class() -> None:
    x = torch.eye(4).repeat(5, 1)
    labels = torch.arange(4).repeat(5)
    wrong = torch.where(torch.arange(20) < 5, (labels + 1) % 4, labels)
    model = linear(4, 4)
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(4))
        model[0].bias.zero_()
    loader = DataLoader(TensorDataset(x, wrong), batch_size=6)
    assert measure(model, loader).accuracy == 0.75
    assert math.isnan(measure(model, x).accuracy)
    assert math.isnan(
        measure(model, (x, labels + 4)).accuracy
    )  # labels beyond the logits are of something else
    assert measure(model, (x, wrong), samples=20).facts()["accuracy"] == "75.00%"
    finer = torch.where(torch.arange(20) < 18, wrong, 9)  # four logits: the first batches fit by chance
    assert math.isnan(measure(model, (x, finer), batch_size=6).accuracy)
    one_logit = nn.Sequential(nn.Linear(4, 1))
    assert math.isnan(measure(one_logit, (x, torch.zeros(20, dtype=torch.int64))).accuracy)


def test_samples_are_the_number_asked_for_and_a_seeds_own() -> None:
    x = images(60)
    surveys = [measure(Net(), x, "conv", samples=25, seed=seed) for seed in (0, 0, 1)]
    assert [survey.samples for survey in surveys] == [25, 25, 25]
    hashes = [tensor_hashes(survey.tensors()) for survey in surveys]
    assert hashes[0] == hashes[1] != hashes[2]
    assert measure(Net(), x, "conv", samples=1000).samples == 60


def test_the_same_seed_gives_the_same_hashes_from_training_on() -> None:
    hashes = [
        tensor_hashes(measure("digits-mlp", "digits", "fc2", seed=seed).tensors()) for seed in (3, 3, 4)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.data
def test_resnet20_on_cifar10(real_data: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "resnet20.py"
    survey = measure(
        f"{example}:resnet20",
        load_data(f"cifar10:{real_data}/cifar10", normalize="imagenet"),
        "*conv*",
        512,
        weights=real_data / "weights" / "resnet20-12fca82f.th",
    )
    assert survey.accuracy > 0.88
    assert len(survey.rows) == 19
    assert set(survey.table["kind"]) == {"Conv2d"}
    assert survey.table["rows"].tolist() == [512 * 1024] * 7 + [512 * 256] * 6 + [512 * 64] * 6
    assert survey.table["energy_rank"].between(2, survey.table["width"]).all()
    assert (survey.table["warnings"] == "").all()
