import math

import pytest
import torch

from superscope.core import generator
from superscope.recipes.exrelu_losses import digons_loss
from superscope.recipes.toy_exrelu import TOY_EXRELU, _judged, paired, superposition
from superscope.toy import exrelu, four_feature_face, loss, reconstruct, regular_polygon, sample

TWO = torch.eye(2, 5)
FACE = torch.cat([four_feature_face(), torch.zeros(2, 1)], 1)
PENTAGON = regular_polygon(5, 1.13)


def measured(relu, other):
    rows = _judged(torch.stack(relu)[None], torch.stack(other)[None])
    assert [row.id for row in rows] == [claim.id for claim in TOY_EXRELU.claims]
    return [row.measured for row in rows]


@pytest.mark.parametrize(
    ("relu", "other", "expected"),
    [
        ([TWO, FACE, PENTAGON], [TWO, TWO, FACE], [1.0, 1.0, 1.0, 1.0]),
        ([TWO, FACE, PENTAGON], [TWO, FACE, PENTAGON], [0.0, 1.0, 0.0, 0.0]),
        ([TWO, FACE, PENTAGON], [FACE, TWO, FACE], [1.0, 0.0, 1.0, 1.0]),  # more features when dense
        ([TWO, FACE, PENTAGON], [TWO, TWO, PENTAGON], [1.0, 1.0, 0.0, 1.0]),  # not at the lowest density
        ([TWO, TWO, FACE], [TWO, TWO, PENTAGON], [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_claims_are_judged_pair_by_pair(relu, other, expected):
    assert measured(relu, other) == expected


def test_superposition_is_the_mean_over_what_is_embedded():
    assert superposition(torch.stack([TWO, FACE])).tolist() == [0.0, 1.0]
    assert float(superposition(torch.zeros(2, 5))) == 0.0
    # by hand: cos² of 72° and of 144°, each twice, times the squared norm
    expected = 1.13**2 * 2 * (math.cos(math.radians(72)) ** 2 + math.cos(math.radians(144)) ** 2)
    assert float(superposition(PENTAGON)) == pytest.approx(expected, rel=1e-5)


def test_paired_differences_with_students_interval_by_hand():
    relu = torch.stack([torch.stack([TWO, PENTAGON])] * 3)
    other = torch.stack([torch.stack([TWO, W]) for W in (FACE, FACE, TWO)])
    table = paired([1.0, 0.05], relu, other)
    assert table["density"].tolist() == ["1", "0.05", "all together"]
    assert table["mean difference"].tolist() == pytest.approx([0, -5 / 3, -5 / 3])
    half = 4.302653 * (4 / 3) ** 0.5 / 3**0.5  # of −1, −1, −3: s² = 4/3
    assert table["low"].tolist()[1:] == pytest.approx([-5 / 3 - half] * 2, rel=1e-5)
    assert table["high"].tolist()[1:] == pytest.approx([-5 / 3 + half] * 2, rel=1e-5)
    assert paired([1.0, 0.05], relu[:1], other[:1])["low"].isna().all()


def test_autograd_does_not_see_the_jump_and_has_the_sign_against_it():
    # the loss of an output that reads −a x and wants 0, x from U[0, 1): |t|³/(3a) for a > |t|
    t, a = -0.25, torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    x = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000

    def cost(weight):
        return exrelu(-weight * x, t).square().mean()

    value = cost(a)
    assert float(value.detach()) == pytest.approx(0.25**3 / (3 * 0.8), rel=1e-4)
    (gradient,) = torch.autograd.grad(value, a)
    assert float(gradient) == pytest.approx(2 * 0.25**3 / (3 * 0.8**2), rel=1e-4)
    with torch.no_grad():
        slope = float(cost(a + 0.01) - cost(a - 0.01)) / 0.02
    assert slope == pytest.approx(-(0.25**3) / (3 * 0.8**2), rel=1e-3)


@pytest.mark.parametrize(("t", "density"), [(0.0, 0.05), (-0.25, 0.2), (-0.5, 1.0), (-1.0, 0.3)])
def test_the_loss_of_digons_is_that_of_many_draws(t, density):
    W = torch.cat([four_feature_face()[:, [0, 1, 2, 3]], torch.zeros(2, 1)], 1)
    b = torch.tensor([0.0, 0.0, 0.0, 0.0, density / 2])
    x = sample(torch.full((5,), density), 400_000, generator(0, "digons"))
    drawn = loss(x, reconstruct(x, W, b, lambda z: exrelu(z, t)), 0.9 ** torch.arange(5.0))
    assert digons_loss(t, density) == pytest.approx(float(drawn), rel=0.015)
