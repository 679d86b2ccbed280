"""Device, threads and distribution."""

import json
import sys
from importlib.metadata import version

import numba
import pytest
import torch

from superscope.core import InputError, resolve_device
from superscope.core.runtime import Distribution, distribution, environment, kept_memory, threads


def test_devices_by_name() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cpu:x", "cuda:99"])
def test_a_device_that_is_not_here_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"device {name!r} cannot be used here") as caught:
        resolve_device(name)
    assert "\n" not in str(caught.value)


def test_threads_come_back_even_after_an_error() -> None:
    numba_count = numba.get_num_threads()  # the first call starts Numba's threads, which sets torch's count
    before = torch.get_num_threads(), numba_count

    def inside() -> None:
        with threads(1):
            assert (torch.get_num_threads(), numba.get_num_threads()) == (1, 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inside()
    with threads(None):
        assert (torch.get_num_threads(), numba.get_num_threads()) == before
    with threads(5):  # Numba takes no more than it was started with
        assert torch.get_num_threads() == 5
    assert (torch.get_num_threads(), numba.get_num_threads()) == before


def test_distribution_is_what_torchrun_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert distribution() == Distribution(0, 1, 0)
    for name, value in (("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert distribution() == Distribution(5, 8, 1)


def test_the_environment_can_be_written_down() -> None:
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["libraries"]["torch"] == version("torch")  # pyright: ignore[reportIndexIssue]


@pytest.mark.skipif(sys.platform != "linux", reason="the system's allocator is another one")
def test_freed_memory_is_kept_and_then_given_back() -> None:
    resource = pytest.importorskip("resource")

    def faults() -> int:
        """Count the pages that allocating and freeing 40 MB ten times faults in."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            torch.ones(10_000_000)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    with kept_memory():
        faults()
        kept = faults()
    assert kept < 1_000  # ten times 40 MB are 100,000 pages of 4 KiB, or 200 huge ones
    with pytest.raises(ZeroDivisionError), kept_memory():
        _ = 1 / 0
