from collections.abc import Iterator

import pytest
from torch import nn

from superscope.training import digits_mlp


@pytest.fixture(scope="session")
def digits_network() -> nn.Module:
    """The embedded network, trained once."""
    return digits_mlp()


@pytest.fixture(autouse=True)
def _hooks_come_off(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test leaves a hook on the shared network."""
    yield
    if "digits_network" in request.fixturenames:
        network = request.getfixturevalue("digits_network")
        assert not any(module._forward_hooks for module in network.modules())
