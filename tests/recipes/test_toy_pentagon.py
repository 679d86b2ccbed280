import pytest
import torch

from superscope.recipes import toy_pentagon
from superscope.toy import four_feature_face, regular_polygon


def states(W, index):
    """Six models, all without any feature but the one at ``index``; one seed."""
    stack = torch.zeros(1, 6, 2, 5)
    stack[0, index] = W
    return stack


FACE = torch.cat([four_feature_face(), torch.full((2, 1), 0.1)], 1)
ORTHOGONAL = torch.eye(2, 5)
PENTAGON = regular_polygon(5, 1.13)


@pytest.mark.parametrize(
    ("claim", "index", "W", "measured"),
    [
        ("T2-dense", 0, ORTHOGONAL, 1.0),
        ("T2-dense", 0, ORTHOGONAL.flip(1), 1.0),
        ("T2-dense", 0, FACE, 0.0),
        ("T2-dense", 0, PENTAGON, 0.0),
        ("T2-antipodal", 1, FACE, 1.0),
        ("T2-antipodal", 1, FACE.flip(1), 0.0),  # the most important feature is the one left out
        ("T2-antipodal", 1, ORTHOGONAL, 0.0),
        ("T2-antipodal", 1, PENTAGON, 0.0),
        ("T2-pentagon-falling", 2, PENTAGON, 1.0),
        ("T2-pentagon-falling", 2, FACE, 0.0),
        ("T2-pentagon-equal", 5, PENTAGON, 1.0),
        ("T2-pentagon-equal", 5, 0.4 * PENTAGON, 0.0),  # too short to be embedded
        ("T2-norm-falling", 2, PENTAGON, 5 * 1.13**2),
        ("T2-norm-equal", 5, FACE, 4.02),
    ],
)
def test_claims_are_judged_by_the_geometry_of_their_own_model(claim, index, W, measured):
    rows = {row.id: row for row in toy_pentagon._judged(states(W, index))}
    assert list(rows) == [each.id for each in toy_pentagon.TOY_PENTAGON.claims]
    assert rows[claim].measured == pytest.approx(measured, rel=1e-5)
    others = [row.measured for row in rows.values() if row.id.split("-", 1)[1] in claim]
    assert len(others) == 1
