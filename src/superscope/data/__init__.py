"""Data: a set found by name or given as it is, and handed on in batches."""

from superscope.data.batching import Batch as Batch
from superscope.data.batching import Batches as Batches
from superscope.data.batching import batches as batches
from superscope.data.images import ImageFolder as ImageFolder
from superscope.data.loading import load_data as load_data
from superscope.data.samples import IMAGENET as IMAGENET
from superscope.data.samples import ArraySamples as ArraySamples
from superscope.data.samples import Normalization as Normalization
from superscope.data.samples import Samples as Samples
