"""How far masks agree."""

import pytest
import torch

from nulltext.metrics import Missing, intersection_over_union

TOP, LEFT, NOWHERE = torch.zeros(3, 4, 6, dtype=torch.bool)
TOP[:2] = True
LEFT[:, :3] = True


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (TOP, TOP, 1.0),
        (TOP, ~TOP, 0.0),
        (TOP, ~NOWHERE, 1 / 2),
        (TOP, LEFT, 6 / 18),
        (TOP, NOWHERE, 0.0),
    ],
    ids=["equal", "disjoint", "a half of all", "a quarter in common", "one empty"],
)
def test_the_agreement_of_two_masks(a, b, expected):
    assert intersection_over_union(a, b) == expected
    assert intersection_over_union(b, a) == expected


def test_two_empty_masks_say_nothing():
    assert isinstance(intersection_over_union(NOWHERE, NOWHERE), Missing)
