"""Dictionaries as files: SAELens' layout, sparsify's, and the Hugging Face hub."""

from superscope.dictionary.formats.hub import from_hub as from_hub
from superscope.dictionary.formats.hub import to_hub as to_hub
from superscope.dictionary.formats.reading import read_dictionary as read_dictionary
from superscope.dictionary.formats.saelens import write_saelens as write_saelens
