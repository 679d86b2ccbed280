import json
from collections.abc import Callable, Iterator
from pathlib import Path

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


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a finished run of a survey below the working folder, and return its name."""
    monkeypatch.chdir(tmp_path)

    def write(
        name: str,
        *,
        table: str | None = "name,width,rank\nfc,4,2.5\n",
        config: dict[str, object] | None = None,
        report: bool = True,
        layers: int | None = None,
        **fields: object,
    ) -> str:
        folder = tmp_path / name
        (folder / "tables").mkdir(parents=True)
        settings = {"model": "net.py:net", "data": "digits", "weights": None, "seed": 0, "out": None} | fields
        (folder / "config.json").write_text(json.dumps(settings if config is None else config))
        (folder / "metrics.jsonl").write_text("{}\n" if layers is None else f'{{"layers": {layers}}}\n')
        if table is not None:
            (folder / "tables" / "layers.csv").write_text(table)
        if report:
            (folder / "report.html").write_text("")
        return name

    return write
