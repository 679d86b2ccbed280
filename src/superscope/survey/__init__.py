"""The survey: every layer of a network measured in one pass over the data."""

from superscope.survey.command import MeasureConfig as MeasureConfig
from superscope.survey.command import run_measure as run_measure
from superscope.survey.measure import measure as measure
from superscope.survey.result import Survey as Survey
