"""Configs, artifacts, randomness, runtime and errors: what every other folder stands on."""

from superscope.core.config import checked as checked
from superscope.core.config import config as config
from superscope.core.config import fingerprint as fingerprint
from superscope.core.config import from_json as from_json
from superscope.core.config import to_json as to_json
from superscope.core.errors import ArtifactError as ArtifactError
from superscope.core.errors import ConfigError as ConfigError
from superscope.core.errors import DataError as DataError
from superscope.core.errors import InputError as InputError
from superscope.core.errors import LayerError as LayerError
from superscope.core.errors import ModelError as ModelError
from superscope.core.errors import SuperscopeError as SuperscopeError
from superscope.core.errors import WeightsError as WeightsError
from superscope.core.progress import progress as progress
from superscope.core.random import generator as generator
from superscope.core.runs import Run as Run
from superscope.core.runs import open_run as open_run
from superscope.core.runtime import resolve_device as resolve_device
