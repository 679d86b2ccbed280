import sys

import pytest
import torch

from superscope.core import InputError
from superscope.dictionary.sparse import CPUEngine, DenseEngine, TritonEngine, make_engine

CPU, GPU, OTHER = torch.device("cpu"), torch.device("cuda"), torch.device("meta")


def test_each_device_has_its_engine(monkeypatch):
    assert make_engine("reference", CPU) is None
    assert isinstance(make_engine("dense", CPU), DenseEngine)
    assert isinstance(make_engine("auto", OTHER), DenseEngine)
    for backend in ("auto", "sparse"):
        assert isinstance(make_engine(backend, CPU), CPUEngine)
    monkeypatch.setitem(sys.modules, "triton", None)
    assert isinstance(make_engine("auto", GPU), DenseEngine)
    with pytest.raises(InputError, match="triton is not installed; choose auto or dense"):
        make_engine("sparse", GPU)
    with pytest.raises(InputError, match="no kernels for meta"):
        make_engine("sparse", OTHER)
    with pytest.raises(InputError, match="no backend 'quick'"):
        make_engine("quick", CPU)


def test_a_gpu_has_the_kernels_where_triton_is():
    pytest.importorskip("triton")
    for backend in ("auto", "sparse"):
        assert isinstance(make_engine(backend, GPU), TritonEngine)
