"""The errors that callers are meant to see.

Each message says what came, what was expected and what to do. The command line prints it on one line and
leaves with ``exit_code``; anything that is not a ``SuperscopeError`` is a bug in superscope and keeps its
traceback.
"""

from collections.abc import Sequence


class SuperscopeError(Exception):
    """Base of every error that superscope raises on purpose."""

    exit_code = 2


class InputError(SuperscopeError, ValueError):
    """An argument that cannot be used: a wrong shape, range or name."""


class ConfigError(InputError):
    """A config with faults; ``faults`` lists every one of them."""

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        self.name, self.faults = name, tuple(faults)
        super().__init__(f"{name}: " + "; ".join(self.faults))

    def __reduce__(self) -> tuple[type, tuple[str, tuple[str, ...]]]:
        """Cross to another process with the faults, as parallel runs need."""
        return type(self), (self.name, self.faults)


class ModelError(InputError):
    """A model that cannot be found, built, or run on the data."""


class WeightsError(ModelError):
    """A weights file that cannot be read, or that does not fit the model."""


class LayerError(InputError):
    """A layer pattern that no module of the model matches."""


class DataError(InputError):
    """A data set that cannot be found or read."""


class ArtifactError(SuperscopeError, OSError):
    """A file of a run that cannot be written or read."""
