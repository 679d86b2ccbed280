"""Configs: what is written is read back, and every fault is named at once."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from superscope.core import ConfigError, checked, config, fingerprint, from_json, to_json


@config
class Settings:
    """A config with a field of each kind."""

    name: str
    steps: Annotated[int, Field(ge=1)] = 10
    density: tuple[float, ...] = (1.0, 0.1)
    kind: Literal["linear", "relu"] = "relu"
    out: Path | None = None


@settings(deadline=None, max_examples=50)
@given(
    name=st.text(max_size=8),
    steps=st.integers(1, 10**9),
    density=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3).map(tuple),
    kind=st.sampled_from(["linear", "relu"]),
    out=st.sampled_from([None, Path("runs/a b"), Path("/ψ")]),
)
def test_what_is_written_is_read_back(
    name: str, steps: int, density: tuple[float, ...], kind: Literal["linear", "relu"], out: Path | None
) -> None:
    value = Settings(name, steps, density, kind, out)
    assert from_json(Settings, to_json(value)) == value
    assert checked(value) == value
    assert fingerprint(from_json(Settings, to_json(value))) == fingerprint(value)


def test_json_keeps_the_order_of_the_fields() -> None:
    text = to_json(Settings("a"))
    assert text.endswith("}\n")
    assert list(json.loads(text)) == ["name", "steps", "density", "kind", "out"]


def test_every_fault_is_named_at_once() -> None:
    text = json.dumps({"steps": 0, "density": ["x"], "kind": "tanh", "extra": 1})
    with pytest.raises(ConfigError) as caught:
        from_json(Settings, text)
    faults = caught.value.faults
    assert len(faults) == 5
    for part in ("name is missing", "steps: ", "density.0: ", "kind: ", "extra is not a field"):
        assert sum(fault.startswith(part) for fault in faults) == 1, part
    assert str(caught.value) == "Settings: " + "; ".join(faults)
    assert "got 0" in str(caught.value)


def test_a_config_made_with_faults_is_refused_when_checked() -> None:
    with pytest.raises(ConfigError, match=r"steps: .*greater than or equal to 1, got -3; kind: "):
        checked(Settings("a", steps=-3, kind="tanh"))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "3", "null"])
def test_what_is_no_config_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^Settings: "):
        from_json(Settings, text)


def test_configs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings("a").steps = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_fingerprints_tell_configs_apart_and_stay_the_same() -> None:
    assert fingerprint(Settings("a")) == "ea93b9d4"  # run directories are found by it, so it must not drift
    others = [Settings("b"), Settings("a", steps=11), Settings("a", kind="linear"), Settings("a", out=Path())]
    assert len({fingerprint(value) for value in (Settings("a"), *others)}) == 5
