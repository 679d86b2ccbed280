"""Fixtures and rules for the whole suite."""

import os
from pathlib import Path

import pytest
import torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that need the real data where SUPERSCOPE_DATA does not point at it."""
    if os.environ.get("SUPERSCOPE_DATA"):
        return
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(pytest.mark.skip(reason="set SUPERSCOPE_DATA to the folder with the real data"))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tests run beside each other, so each process keeps to one thread."""
    torch.set_num_threads(1)


@pytest.fixture
def real_data() -> Path:
    """The folder with the real data."""
    return Path(os.environ["SUPERSCOPE_DATA"])
