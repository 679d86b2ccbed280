"""The survey: every layer of a network measured in one pass over the data, and surveys compared."""

from superscope.survey.command import MeasureConfig as MeasureConfig
from superscope.survey.command import run_measure as run_measure
from superscope.survey.compare import CompareConfig as CompareConfig
from superscope.survey.compare import run_compare as run_compare
from superscope.survey.comparison import Comparison as Comparison
from superscope.survey.comparison import compare as compare
from superscope.survey.describe import DescribeConfig as DescribeConfig
from superscope.survey.describe import Description as Description
from superscope.survey.describe import describe as describe
from superscope.survey.describe import run_describe as run_describe
from superscope.survey.measure import measure as measure
from superscope.survey.result import Survey as Survey
