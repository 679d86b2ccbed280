"""Data: a set found by name or given as it is, and handed on in batches."""

from superscope.data.affixes import AFFIXES as AFFIXES
from superscope.data.affixes import AffixWords as AffixWords
from superscope.data.affixes import encode as encode
from superscope.data.affixes import shipped_words as shipped_words
from superscope.data.batching import Batch as Batch
from superscope.data.batching import Batches as Batches
from superscope.data.batching import batches as batches
from superscope.data.images import ImageFolder as ImageFolder
from superscope.data.loading import load_data as load_data
from superscope.data.samples import IMAGENET as IMAGENET
from superscope.data.samples import ArraySamples as ArraySamples
from superscope.data.samples import Normalization as Normalization
from superscope.data.samples import Samples as Samples
from superscope.data.text import TextSamples as TextSamples
from superscope.data.word_lists import ListedWords as ListedWords
from superscope.data.word_lists import load_word_lists as load_word_lists
