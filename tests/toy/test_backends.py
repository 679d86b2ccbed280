import pytest
import torch

from superscope.core import InputError
from superscope.toy import ToyConfig
from superscope.toy.backends import make_trainer
from superscope.toy.fused import FusedTrainer
from superscope.toy.problem import Problem, start_weights
from superscope.toy.reference import ReferenceTrainer


def made(backend, device="cpu", activation=None):
    rows = torch.full((1, 3), 0.5)
    posed = Problem(ToyConfig(3, 2), rows, rows, 1, 2, 8, 1e-3, 0.0, "constant", 0, activation)
    trainer, where, name = make_trainer(posed, start_weights(posed, None), torch.device(device), backend)
    assert where.type == device
    return type(trainer), name


def test_auto_takes_the_fast_path_where_it_does_what_is_asked():
    assert made("auto") == made("fused") == (FusedTrainer, "fused")
    assert made("reference") == (ReferenceTrainer, "reference")
    assert made("auto", activation=torch.tanh) == (ReferenceTrainer, "reference")


def test_a_device_without_a_fast_path_is_named():
    with pytest.raises(InputError, match="not there for the device meta; take auto or reference"):
        made("fused", device="meta")
