"""Measures of superposition: pure functions on tensors, and states that stream and merge."""

from superscope.measures.geometry import dimensions_per_feature as dimensions_per_feature
from superscope.measures.geometry import feature_dimensionality as feature_dimensionality
from superscope.measures.geometry import feature_norms as feature_norms
from superscope.measures.geometry import features_represented as features_represented
from superscope.measures.geometry import gram as gram
from superscope.measures.geometry import interference as interference
from superscope.measures.moments import Moments as Moments
from superscope.measures.similarity import CosineState as CosineState
from superscope.measures.similarity import CosineStatistics as CosineStatistics
from superscope.measures.similarity import pairwise_cosine as pairwise_cosine
from superscope.measures.similarity import pairwise_cosine_between_units as pairwise_cosine_between_units
from superscope.measures.sparsity import activation_frequency as activation_frequency
from superscope.measures.sparsity import dead_fraction as dead_fraction
from superscope.measures.sparsity import kurtosis as kurtosis
from superscope.measures.spectrum import RANKS as RANKS
from superscope.measures.spectrum import count_below as count_below
from superscope.measures.spectrum import energy_rank as energy_rank
from superscope.measures.spectrum import entropy_rank as entropy_rank
from superscope.measures.spectrum import participation_ratio as participation_ratio
from superscope.measures.spectrum import rank_ratio as rank_ratio
from superscope.measures.spectrum import spectral_entropy_rank as spectral_entropy_rank
from superscope.measures.spectrum import stable_rank as stable_rank
from superscope.measures.statistics import LayerStatistics as LayerStatistics
