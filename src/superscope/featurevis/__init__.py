"""Feature visualization: what in an input a network's answer rests on."""

from superscope.featurevis.attribution import Attribution as Attribution
from superscope.featurevis.attribution import expected_gradients as expected_gradients
from superscope.featurevis.attribution import integrated_gradients as integrated_gradients
