"""The error family: every member is meant for a person, and fits Python's own kinds."""

import pickle

import pytest

from superscope.core import errors

FAMILY = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", FAMILY)
def test_every_error_is_one_of_the_family(kind: type[Exception]) -> None:
    assert issubclass(kind, errors.SuperscopeError)
    assert kind is errors.SuperscopeError or issubclass(kind, ValueError | OSError)
    assert kind.exit_code == 2  # pyright: ignore[reportAttributeAccessIssue]


def test_a_config_error_lists_its_faults_and_crosses_processes() -> None:
    error = errors.ConfigError("Settings", ["a is missing", "b: wrong"])
    assert str(error) == "Settings: a is missing; b: wrong"
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.faults) == (str(error), error.faults)
