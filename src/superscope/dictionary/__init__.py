"""Dictionaries: sparse autoencoders that resolve the features of a layer."""

from superscope.dictionary.architectures import ARCHITECTURES as ARCHITECTURES
from superscope.dictionary.architectures import make_dictionary as make_dictionary
from superscope.dictionary.config import Architecture as Architecture
from superscope.dictionary.config import DictionaryConfig as DictionaryConfig
from superscope.dictionary.dictionary import Dictionary as Dictionary
from superscope.dictionary.formats import from_hub as from_hub
from superscope.dictionary.formats import read_dictionary as read_dictionary
from superscope.dictionary.formats import to_hub as to_hub
from superscope.dictionary.formats import write_saelens as write_saelens
from superscope.dictionary.history import History as History
from superscope.dictionary.sources import Source as Source
from superscope.dictionary.training import train as train
