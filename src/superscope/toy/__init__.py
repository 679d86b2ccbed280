"""Toy models of superposition: worlds whose features are known, and networks trained on them."""

from superscope.toy.data import draw as draw
from superscope.toy.data import gates as gates
from superscope.toy.data import sample as sample
from superscope.toy.model import ToyConfig as ToyConfig
from superscope.toy.model import exrelu as exrelu
from superscope.toy.model import importances as importances
from superscope.toy.model import loss as loss
from superscope.toy.model import reconstruct as reconstruct
from superscope.toy.model import target as target
from superscope.toy.problem import Schedule as Schedule
from superscope.toy.problem import initial_weights as initial_weights
from superscope.toy.theory import four_feature_face as four_feature_face
from superscope.toy.theory import linear_loss as linear_loss
from superscope.toy.theory import regular_polygon as regular_polygon
from superscope.toy.theory import variance as variance
from superscope.toy.training import ToyResult as ToyResult
from superscope.toy.training import train as train
