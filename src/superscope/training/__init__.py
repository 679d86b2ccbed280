"""Training on the spot: the embedded classifier, and models by name wherever they come from."""

from superscope.training.augmented import Curve as Curve
from superscope.training.augmented import Images as Images
from superscope.training.augmented import train_augmented as train_augmented
from superscope.training.classifier import accuracy as accuracy
from superscope.training.classifier import train_classifier as train_classifier
from superscope.training.subjects import digits_mlp as digits_mlp
from superscope.training.subjects import load_model as load_model
