"""Models: found by name, filled with weights from a file, and checked before anything is measured on them."""

from superscope.models.affix import AffixNetwork as AffixNetwork
from superscope.models.digits import DigitsMLP as DigitsMLP
from superscope.models.llama2c import load_llama2c as load_llama2c
from superscope.models.loading import load_model as load_model
from superscope.models.mnist import MnistMLP as MnistMLP
from superscope.models.preparation import Preparation as Preparation
from superscope.models.preparation import load_preparation as load_preparation
from superscope.models.resnet import ResNet as ResNet
from superscope.models.resnet import resnet18 as resnet18
from superscope.models.resnet import resnet50 as resnet50
from superscope.models.simple_lm import SimpleLM as SimpleLM
from superscope.models.transformer import Precision as Precision
from superscope.models.transformer import load_transformer as load_transformer
from superscope.models.weights import check_finite as check_finite
from superscope.models.weights import load_weights as load_weights
