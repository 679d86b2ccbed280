"""Atlases: the features of a layer, one by one: what excites each, how often, and what it does."""

from superscope.atlas.recovery import Recovery as Recovery
from superscope.atlas.recovery import loss_recovered as loss_recovered
