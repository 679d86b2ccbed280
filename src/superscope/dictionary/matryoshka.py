"""Matryoshka: nested dictionaries in one (Bussmann et al. 2025, arXiv 2503.17547), BatchTopK inside."""

from superscope.dictionary.batchtopk import BatchCounted
from superscope.dictionary.config import group_sizes


class Matryoshka(BatchCounted):
    """The first latents reconstruct by themselves, and so does each longer prefix of groups.

    The loss is the mean over the prefixes of their mean squared errors. Early latents so keep the general
    features, which a flat dictionary splits and absorbs into special ones.
    """

    @property
    def sizes(self) -> tuple[int, ...]:
        """The groups of latents."""
        return group_sizes(self.config)
