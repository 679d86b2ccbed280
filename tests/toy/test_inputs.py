import re

import pytest
import torch

from superscope.core import ConfigError, InputError
from superscope.toy import ToyConfig, train
from superscope.toy.inputs import checked_sweep

CONFIG = ToyConfig(n_features=3, n_hidden=2)


@pytest.mark.parametrize(
    ("density", "message"),
    [
        ([0.0], "density holds 0; each must be above 0 and at most 1"),
        ([0.5, 1.5], "density holds 1.5"),
        ([-0.1], "density holds -0.1"),
        ([float("nan")], "density holds nan"),
        ([1e-60], "density holds 0"),  # nothing is left of it in float32
        ([], "density has shape [0]; [instance] or [instance, 3] is needed"),
        ([[0.5, 0.5]], "density has shape [1, 2]"),
        (torch.full((1, 1, 3), 0.5), "density has shape [1, 1, 3]"),
        ([[0.5], [0.5, 0.5]], "density is no table of numbers"),
    ],
)
def test_densities_that_cannot_be_used(density, message):
    with pytest.raises(InputError, match=re.escape(message)):
        train(CONFIG, density)


@pytest.mark.parametrize(
    ("importance", "message"),
    [
        ([1.0, 2.0], "importance has shape [2]; [3] or [instance, 3] is needed"),
        ([[1.0, 2.0, 3.0]], "importance has shape [1, 3]"),
        ([1.0, -1.0, 1.0], "importance holds -1; each must be finite and at least 0"),
        ([1.0, float("inf"), 1.0], "importance holds inf"),
        ([1.0, float("nan"), 1.0], "importance holds nan"),
    ],
)
def test_importances_that_cannot_be_used(importance, message):
    with pytest.raises(InputError, match=re.escape(message)):
        train(CONFIG, [0.5, 0.5], importance)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0; at least 1 is needed"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"restarts": 0}, "restarts is 0"),
        ({"lr": 0.0}, "lr is 0.0; a finite number above 0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"gain": 0.0}, "gain is 0.0; a finite number above 0 is needed"),
        ({"gain": float("nan")}, "gain is nan"),
        ({"weight_decay": float("inf")}, "weight_decay is inf"),
        ({"backend": "fast"}, "backend 'fast' is unknown; choose from auto, reference"),
        ({"device": "gpu"}, "device 'gpu' cannot be used here"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        train(CONFIG, [0.5], **options)


def test_every_fault_is_in_one_message():
    config = ToyConfig(n_features=3, n_hidden=0, importance=(1.0, 2.0))
    with pytest.raises(ConfigError) as caught:
        train(config, [2.0], [1.0], steps=0, restarts=0, lr=-1.0, backend="none")
    faults = caught.value.faults
    assert len(faults) == 7
    for name in ("steps", "restarts", "lr", "backend", "n_hidden", "density", "importance"):
        assert sum(fault.startswith(name) for fault in faults) == 1, name


def test_a_list_of_importances_in_the_config_must_fit_the_features():
    with pytest.raises(ConfigError, match="importance lists 2 numbers for 3 features"):
        train(ToyConfig(n_features=3, n_hidden=1, importance=(1.0, 2.0)), [0.5])


def test_density_and_importance_become_one_number_a_feature_and_instance():
    p, importance = checked_sweep(CONFIG, [0.5, 0.25], [1.0, 2.0, 3.0], [])
    assert p.tolist() == [[0.5] * 3, [0.25] * 3]
    assert importance.tolist() == [[1.0, 2.0, 3.0]] * 2
