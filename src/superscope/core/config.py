"""Configs: frozen dataclasses that are also the command line, checked as a whole before any work.

A field says its range with pydantic's ``Field`` inside ``Annotated`` (``Annotated[int, Field(ge=1)]``); the
same annotation is what tyro shows and what :func:`checked` and :func:`from_json` enforce. Every fault is
reported at once.
"""

import dataclasses
import hashlib
import json
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, TypeAdapter, ValidationError

from superscope.core.errors import ConfigError

C = TypeVar("C")


@dataclass_transform(frozen_default=True)
def config(cls: type[C]) -> type[C]:
    """Make ``cls`` a frozen dataclass that pydantic reads back with unknown fields forbidden."""
    made: Any = dataclasses.dataclass(frozen=True)(cls)
    made.__pydantic_config__ = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    return made


def checked(value: C) -> C:
    """Return ``value`` with every field checked against its annotation.

    Raises:
        ConfigError: with one line for each field at fault.
    """
    return _validate(type(value), dataclasses.asdict(value))  # pyright: ignore[reportArgumentType]


def to_json(value: object) -> str:
    """Write a config as JSON with its fields in order, ending in a newline."""
    return TypeAdapter(type(value)).dump_json(value, indent=2).decode() + "\n"


def from_json(cls: type[C], text: str | bytes) -> C:
    """Read a config back from JSON.

    Raises:
        ConfigError: when the text is no JSON, a field is unknown, missing or of the wrong kind; all faults at
            once.
    """
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise ConfigError(cls.__name__, [f"this is not JSON: {error}"]) from error
    return _validate(cls, fields)


def fingerprint(value: object) -> str:
    """Eight hexadecimal digits that tell one config from another (sha256 of its JSON)."""
    return hashlib.sha256(to_json(value).encode()).hexdigest()[:8]


def _validate(cls: type[C], fields: Any) -> C:
    try:
        return TypeAdapter(cls).validate_python(fields)
    except ValidationError as error:
        raise ConfigError(cls.__name__, [_sentence(fault) for fault in error.errors()]) from error


def _sentence(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"]) or "the whole"
    if fault["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{where} is not a field of this config"
    if fault["type"] == "missing":
        return f"{where} is missing"
    return f"{where}: {fault['msg'].lower()}, got {fault['input']!r}"
