from typing import Any

import torch

from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.guidance import Guided, guide

NULL = Conditioning(text=torch.zeros(1, 3, 4))


class Echo:
    """Says the text's mean and counts how many latents it was asked about."""

    prediction = "epsilon"

    def __init__(self):
        self.asked = []

    def predict(self, x, t, conditioning, attention=()):
        self.asked.append(len(x))
        return x * 0 + conditioning.text.mean((1, 2))[:, None, None, None]


def test_the_equation():
    null, cond = torch.full((1, 1, 2, 2), 1.0), torch.full((1, 1, 2, 2), 3.0)
    assert guide(null, cond, 7.5).unique().item() == 16
    torch.testing.assert_close(guide(null, cond, 0.0), null)
    torch.testing.assert_close(guide(null, cond, 1.0), cond)


def test_one_pass_for_both_halves_and_each_prompt_its_own():
    echo: Any = Echo()
    cond = Conditioning(text=torch.tensor([1.0, 2.0])[:, None, None].expand(2, 3, 4))
    out = Guided(echo, cond, 2.0).predict(torch.zeros(2, 1, 2, 2), 5.0, NULL)
    assert echo.asked == [4]
    assert out[:, 0, 0, 0].tolist() == [2, 4]


def test_at_weight_one_the_null_half_is_not_computed():
    echo: Any = Echo()
    Guided(echo, NULL.expand(2), 1.0).predict(torch.zeros(2, 1, 2, 2), 5.0, NULL)
    assert echo.asked == [2]
