"""The list of recipes, and how to run one by its name."""

from pathlib import Path

from superscope.core import InputError
from superscope.recipes.affix_hallucination import AFFIX_HALLUCINATION
from superscope.recipes.cifar100_resnet50 import CIFAR100_RESNET50
from superscope.recipes.claims import Verdict
from superscope.recipes.concepts_distilbert import CONCEPTS_DISTILBERT
from superscope.recipes.mnist_mlp import MNIST_MLP
from superscope.recipes.recipe import Recipe, execute
from superscope.recipes.sae_digits import SAE_DIGITS
from superscope.recipes.sae_gpt2 import SAE_GPT2
from superscope.recipes.sae_toy import SAE_TOY
from superscope.recipes.simple_lm import SIMPLE_LM
from superscope.recipes.synth_sae_bench import SYNTH_SAE_BENCH
from superscope.recipes.toy_abs import TOY_ABS
from superscope.recipes.toy_adversarial import TOY_ADVERSARIAL
from superscope.recipes.toy_correlated import TOY_CORRELATED
from superscope.recipes.toy_demonstration import TOY_DEMONSTRATION
from superscope.recipes.toy_dynamics import TOY_DYNAMICS
from superscope.recipes.toy_exrelu import TOY_EXRELU
from superscope.recipes.toy_face import TOY_FACE
from superscope.recipes.toy_geometry import TOY_GEOMETRY
from superscope.recipes.toy_inhibition import TOY_INHIBITION
from superscope.recipes.toy_loss_terms import TOY_LOSS_TERMS
from superscope.recipes.toy_nonuniform import TOY_NONUNIFORM
from superscope.recipes.toy_pentagon import TOY_PENTAGON
from superscope.recipes.toy_phase import TOY_PHASE
from superscope.recipes.toy_privileged import TOY_PRIVILEGED

RECIPES: dict[str, Recipe] = {
    "toy-face": TOY_FACE,
    "toy-pentagon": TOY_PENTAGON,
    "toy-demonstration": TOY_DEMONSTRATION,
    "toy-loss-terms": TOY_LOSS_TERMS,
    "affix-hallucination": AFFIX_HALLUCINATION,
    "toy-adversarial": TOY_ADVERSARIAL,
    "toy-correlated": TOY_CORRELATED,
    "toy-exrelu": TOY_EXRELU,
    "toy-nonuniform": TOY_NONUNIFORM,
    "toy-phase": TOY_PHASE,
    "toy-geometry": TOY_GEOMETRY,
    "toy-dynamics": TOY_DYNAMICS,
    "toy-privileged": TOY_PRIVILEGED,
    "toy-abs": TOY_ABS,
    "toy-inhibition": TOY_INHIBITION,
    "mnist-mlp": MNIST_MLP,
    "cifar100-resnet50": CIFAR100_RESNET50,
    "simple-lm": SIMPLE_LM,
    "concepts-distilbert": CONCEPTS_DISTILBERT,
    "sae-toy": SAE_TOY,
    "synth-sae-bench": SYNTH_SAE_BENCH,
    "sae-gpt2": SAE_GPT2,
    "sae-digits": SAE_DIGITS,
}


def run_recipe(name: str, config: object, out: Path | None = None) -> tuple[Path, list[Verdict]]:
    """Run the recipe called ``name``; see :func:`superscope.recipes.recipe.execute`.

    Raises:
        InputError: when there is no such recipe, or the config is not one of its own or has faults.
        ArtifactError: when the run directory cannot be used.
    """
    if name not in RECIPES:
        raise InputError(f"there is no recipe {name!r}; choose from {', '.join(RECIPES)}")
    return execute(RECIPES[name], config, out)
