"""Models: found by name, filled with weights from a file, and checked before anything is measured on them."""

from superscope.models.affix import AffixNetwork as AffixNetwork
from superscope.models.digits import DigitsMLP as DigitsMLP
from superscope.models.loading import load_model as load_model
from superscope.models.simple_lm import SimpleLM as SimpleLM
from superscope.models.weights import check_finite as check_finite
from superscope.models.weights import load_weights as load_weights
