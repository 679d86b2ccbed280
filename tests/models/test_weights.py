import pickle
from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from superscope.core.errors import WeightsError
from superscope.models import check_finite, load_weights


def net():
    return nn.Sequential(OrderedDict(fc=nn.Linear(3, 2), bn=nn.BatchNorm1d(2), out=nn.Linear(2, 1)))


def save(path, state):
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def fails(model, path, *parts):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path)
    message = str(caught.value)
    assert same(model.state_dict(), before)
    assert str(path) in message
    assert "\n" not in message
    for part in parts:
        assert part in message, message


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".th", ".bin"])
def test_what_was_saved_is_loaded(tmp_path, suffix):
    source, target = net(), net()
    load_weights(target, save(tmp_path / f"w{suffix}", source.state_dict()))
    assert same(source.state_dict(), target.state_dict())


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state_dict"])
def test_wrappers_and_prefixes_come_off(tmp_path, prefix, wrapper):
    source, target = net(), net()
    state = {prefix + name: value for name, value in source.state_dict().items()}
    save(tmp_path / "w.pth", state if wrapper is None else {wrapper: state, "epoch": 3})
    load_weights(target, tmp_path / "w.pth")
    assert same(source.state_dict(), target.state_dict())


def test_a_prefix_that_is_the_models_own_stays(tmp_path):
    source, target = (nn.Sequential(OrderedDict(module=nn.Linear(2, 2))) for _ in range(2))
    load_weights(target, save(tmp_path / "w.pth", source.state_dict()))
    assert same(source.state_dict(), target.state_dict())


def test_an_old_batch_norm_without_a_count_is_loaded(tmp_path):
    state = {name: value for name, value in net().state_dict().items() if "num_batches" not in name}
    target = net()
    load_weights(target, save(tmp_path / "w.pth", state))
    assert torch.equal(target.state_dict()["fc.weight"], state["fc.weight"])


def test_names_and_shapes_that_do_not_fit_are_all_listed(tmp_path):
    state = net().state_dict()
    state["fc.weight"] = torch.zeros(2, 4)
    del state["out.bias"]
    state["extra"] = torch.zeros(1)
    fails(net(), save(tmp_path / "w.pth", state), "1 missing: out.bias", "1 unexpected: extra",
          "1 of another shape: fc.weight (file [2, 4], model [2, 3])")  # fmt: skip


def test_many_faults_are_counted(tmp_path):
    state = {f"layer{i}": torch.zeros(1) for i in range(8)}
    fails(net(), save(tmp_path / "w.safetensors", state),
          "8 missing: fc.weight, fc.bias, bn.weight, bn.bias, bn.running_mean and 3 more",
          "8 unexpected: layer0, layer1, layer2, layer3, layer4 and 3 more")  # fmt: skip


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_named(tmp_path, value):
    state = net().state_dict()
    state["fc.weight"][0, :2] = value
    fails(net(), save(tmp_path / "w.pth", state), "fc.weight (2 of 6)")


def test_missing_files_folders_and_unknown_names(tmp_path):
    fails(net(), tmp_path / "none.pth", "does not exist")
    fails(net(), tmp_path, "is a folder")
    (tmp_path / "w.txt").write_text("1")
    fails(net(), tmp_path / "w.txt", ".safetensors, .pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_damaged_files_are_refused_with_their_path(tmp_path_factory, suffix, data):
    folder = tmp_path_factory.mktemp("damaged")
    whole = save(folder / f"w{suffix}", net().state_dict()).read_bytes()
    cut = data.draw(
        st.one_of(st.binary(max_size=64), st.integers(0, len(whole) - 1).map(lambda n: whole[:n]))
    )
    (folder / f"cut{suffix}").write_bytes(cut)
    fails(net(), folder / f"cut{suffix}")


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, protocol):
    trap = tmp_path / "trap"
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"a": Hostile(str(trap))}, protocol))
    fails(net(), tmp_path / "w.pth", "cannot read")
    assert not trap.exists()


def test_a_whole_model_in_a_file_is_refused_with_the_remedy(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "w.pth")
    fails(net(), tmp_path / "w.pth", "torch.nn.modules.linear.Linear", "save model.state_dict()")


def test_files_without_a_state_dict_are_refused(tmp_path):
    fails(net(), save(tmp_path / "a.pth", [torch.zeros(1)]), "of type list")
    fails(net(), save(tmp_path / "b.pth", {"a": 1, "b": torch.zeros(1)}), "a (int)", "are not tensors")
    fails(net(), save(tmp_path / "c.pth", {}), "8 missing")


def test_check_finite_counts_parameters_and_buffers():
    model = net()
    check_finite(model)
    model.bn.running_var[1] = float("inf")
    with torch.no_grad():
        model.out.bias[0] = float("nan")
    with pytest.raises(WeightsError, match=r"bn.running_var \(1 of 2\), out.bias \(1 of 1\)"):
        check_finite(model)


def test_check_finite_leaves_masks_and_lazy_layers_alone():
    model = nn.Sequential(nn.LazyLinear(3), nn.Linear(2, 2, device="meta"))
    model.register_buffer("mask", torch.full((2, 2), -float("inf")), persistent=False)
    check_finite(model)


def test_eight_bit_floats_are_checked():
    model = nn.Module()
    model.register_buffer("x", torch.tensor([1.0, float("nan")]).to(torch.float8_e5m2))
    with pytest.raises(WeightsError, match=r"x \(1 of 2\)"):
        check_finite(model)


def test_a_lazy_layer_takes_its_shape_from_the_file(tmp_path):
    source, target = nn.Linear(4, 3), nn.LazyLinear(3)
    load_weights(target, save(tmp_path / "w.pth", source.state_dict()))
    assert torch.equal(target.weight, source.weight)
