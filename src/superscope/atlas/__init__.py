"""Atlases: the features of a layer, one by one: what excites each, how often, and what it does."""

from superscope.atlas.command import ResolveConfig as ResolveConfig
from superscope.atlas.command import run_resolve as run_resolve
from superscope.atlas.harvesting import HarvestConfig as HarvestConfig
from superscope.atlas.harvesting import harvested as harvested
from superscope.atlas.harvesting import kept_rows as kept_rows
from superscope.atlas.harvesting import run_harvest as run_harvest
from superscope.atlas.recovery import Recovery as Recovery
from superscope.atlas.recovery import loss_recovered as loss_recovered
from superscope.atlas.resolve import default_config as default_config
from superscope.atlas.resolve import resolve as resolve
from superscope.atlas.result import Atlas as Atlas
