"""Four features in the plane as two antipodal pairs: the exact values of the measures of superposition."""

import pandas as pd
import torch

from superscope.core import Run, config
from superscope.measures import feature_dimensionality, feature_norms, gram, interference
from superscope.plots import plot_features, plot_gram, plot_norms
from superscope.recipes.claims import Claim, judge
from superscope.recipes.recipe import Outcome, Recipe
from superscope.report import DataTable, Picture, Section
from superscope.toy import four_feature_face

_SETTING = "W = [[1, 0, −1, 0], [0, 1, 0, −1]], exact"
_GRAM = [[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0], [-1.0, 0.0, 1.0, 0.0], [0.0, -1.0, 0.0, 1.0]]
_ROUNDING = 1e-6
_CLAIMS = (
    Claim("T1-gram", f"WᵀW = {_GRAM}".replace(".0", "").replace("-", "−"), _SETTING, "slides"),
    Claim(
        "T1-interference",
        "Each feature has superposition Σ_{j≠i}(Ŵ_i·W_j)² = 1",
        _SETTING,
        "slides",
        1.0,
        _ROUNDING,
    ),
    Claim("T1-dimensionality", "Each feature has dimensionality D_i = ½", _SETTING, "slides", 0.5, _ROUNDING),
)


@config
class FaceConfig:
    """Nothing to choose: the solution is written down, not trained."""


def _run(_: FaceConfig, run: Run) -> Outcome:
    W = four_feature_face()
    b = torch.zeros(4)
    G, shared, D = gram(W), interference(W), feature_dimensionality(W)
    exact = "Computed from W as it stands; the feature furthest from the published value counts."
    rows = [
        judge(_CLAIMS[0], [float(torch.equal(G, torch.tensor(_GRAM)))], exact),
        judge(_CLAIMS[1], [_furthest(shared, 1.0)], exact),
        judge(_CLAIMS[2], [_furthest(D, 0.5)], exact),
    ]
    for row in rows:
        run.metric(claim=row.id, measured=row.measured)
    table = pd.DataFrame(
        {"feature": range(4), "norm": feature_norms(W), "interference": shared, "dimensionality": D}
    )
    titles = ["two antipodal pairs"]
    pictures = {
        "features": Picture(
            plot_features(W[None], titles),
            "The columns of W, the directions of the features.",
            "Four arrows of length 1 in the plane, to the right, up, left and down.",
        ),
        "gram": Picture(
            plot_gram(W[None], b[None], titles),
            "WᵀW: each feature reads itself with weight 1 and its opposite with weight −1.",
            "A 4 by 4 heat map with ones on the diagonal and minus ones two places beside it.",
        ),
        "norms": Picture(
            plot_norms(W[None], titles),
            "Norms of the features, coloured by how much the others interfere.",
            "Four bars of length 1 in the colour of interference 1.",
        ),
    }
    sections = [
        Section("The solution", [pictures["features"], pictures["gram"], pictures["norms"]]),
        Section("Measures", [DataTable(table)]),
    ]
    return Outcome(rows, {"features": table}, pictures, {"W": W, "b": b, "gram": G}, sections)


def _furthest(values: torch.Tensor, published: float) -> float:
    return float(values[(values - published).abs().argmax()])


TOY_FACE = Recipe(
    name="toy-face",
    title="Four features in two dimensions",
    source="T1: the four-feature face of the slides on toy models of superposition",
    introduction=(
        "Two dimensions hold four features when each shares its line with an opposite. For inputs with one "
        "active feature, ReLU(WᵀW x) = x exactly: the opposite reads a negative number, which ReLU removes. "
        "Nothing is trained here; the solution is written down and measured."
    ),
    config=FaceConfig,
    presets={"smoke": FaceConfig(), "quick": FaceConfig(), "paper": FaceConfig()},
    claims=_CLAIMS,
    run=_run,
)
