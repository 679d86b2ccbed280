"""Dictionaries: sparse autoencoders that resolve the features of a layer."""

from superscope.dictionary.architectures import ARCHITECTURES as ARCHITECTURES
from superscope.dictionary.architectures import make_dictionary as make_dictionary
from superscope.dictionary.config import Architecture as Architecture
from superscope.dictionary.config import DictionaryConfig as DictionaryConfig
from superscope.dictionary.dictionary import Dictionary as Dictionary
from superscope.dictionary.history import History as History
from superscope.dictionary.sources import Source as Source
from superscope.dictionary.training import train as train
