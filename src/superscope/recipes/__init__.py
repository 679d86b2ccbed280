"""The published results: each one run again, its numbers beside those that were published."""

from superscope.recipes.catalogue import RECIPES as RECIPES
from superscope.recipes.catalogue import run_recipe as run_recipe
from superscope.recipes.claims import Claim as Claim
from superscope.recipes.claims import Verdict as Verdict
from superscope.recipes.claims import judge as judge
from superscope.recipes.recipe import Outcome as Outcome
from superscope.recipes.recipe import Recipe as Recipe
from superscope.recipes.tour import TourConfig as TourConfig
from superscope.recipes.tour import run_tour as run_tour
