"""Activations: which modules of a network to look at, and hooks that always come off."""

from superscope.activations.capture import Captured as Captured
from superscope.activations.capture import capture as capture
from superscope.activations.harvest import harvest as harvest
from superscope.activations.layers import EVERYTHING as EVERYTHING
from superscope.activations.layers import RESCALES as RESCALES
from superscope.activations.layers import first_tensor as first_tensor
from superscope.activations.layers import select_layers as select_layers
from superscope.activations.layers import unit_axis as unit_axis
from superscope.activations.live import LiveActivations as LiveActivations
from superscope.activations.matrices import Widening as Widening
from superscope.activations.matrices import rank_cap as rank_cap
from superscope.activations.matrices import weight_matrix as weight_matrix
from superscope.activations.matrices import widening as widening
from superscope.activations.rows import samples_first as samples_first
from superscope.activations.splice import Spliced as Spliced
from superscope.activations.splice import splice as splice
from superscope.activations.store import ActivationStore as ActivationStore
from superscope.activations.transformers import INPUT as INPUT
from superscope.activations.transformers import transformer_layers as transformer_layers
from superscope.measures.moments import Moments as Moments
