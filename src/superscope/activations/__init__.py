"""Activations: which modules of a network to look at, and hooks that always come off."""

from superscope.activations.capture import Captured as Captured
from superscope.activations.capture import capture as capture
from superscope.activations.layers import EVERYTHING as EVERYTHING
from superscope.activations.layers import RESCALES as RESCALES
from superscope.activations.layers import first_tensor as first_tensor
from superscope.activations.layers import select_layers as select_layers
from superscope.activations.layers import unit_axis as unit_axis
from superscope.measures.moments import Moments as Moments
