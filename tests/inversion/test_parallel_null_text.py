from typing import Any

import pytest
import torch
from torch.nn.functional import mse_loss

from nulltext import ParallelNullText
from nulltext.errors import SettingError

PROMPT = "a red ball on grass"


@pytest.mark.parametrize("any_model", ["epsilon", "v_prediction"], indirect=True)
def test_all_timesteps_are_optimised_at_once_each_from_the_pivot(any_model, source_image, plain):
    """Against each timestep written out by itself; nothing closes the loop."""
    w, n, steps = 3.0, 3, 5
    inversion = ParallelNullText(steps=steps, inner_steps=n, sequential_steps=0, guidance=w)(
        any_model, source_image, PROMPT
    )
    by_hand = plain(any_model, source_image.pixels, PROMPT, steps)
    pivot = by_hand.ddim_pivot()
    torch.testing.assert_close(inversion.pivot, torch.cat(pivot), rtol=0, atol=1e-4)
    for i, t in enumerate(by_hand.times):
        null = by_hand.null.clone().requires_grad_()
        adam = torch.optim.Adam([null], lr=1e-2)
        for _ in range(n):
            adam.zero_grad()
            mse_loss(by_hand.land(pivot[i], t, null, by_hand.cond, w), pivot[i + 1]).backward()
            adam.step()
        torch.testing.assert_close(inversion.replay.nulls[i : i + 1], null.detach(), rtol=0, atol=2e-3)


def test_one_batch_serves_all_timesteps(model, source_image, passes_with_gradient):
    with passes_with_gradient(model) as batches:
        ParallelNullText(steps=6, inner_steps=2, sequential_steps=0, guidance=3.0)(model, source_image, PROMPT)
    assert batches == [6, 6]


def test_the_loop_is_closed_from_where_the_batch_ended(model, source_image, passes_with_gradient):
    """The closing pass starts each step at that step's own embedding."""
    with passes_with_gradient(model) as batches:
        closed: Any = ParallelNullText(steps=4, inner_steps=2, sequential_steps=1, guidance=3.0)(
            model, source_image, PROMPT
        )
    assert batches == [4, 4, 1, 1, 1, 1]
    opened = ParallelNullText(steps=4, inner_steps=2, sequential_steps=0, guidance=3.0)(model, source_image, PROMPT)
    moved = (closed.replay.nulls - opened.replay.nulls).abs().amax((1, 2))
    assert (moved > 0).all()
    assert (moved < 1.5e-2).all()  # one step of Adam each


def test_bad_settings():
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"inner_steps": 0}, "inner_steps=0"),
        ({"sequential_steps": -1}, "-1"),
        ({"guidance": 1.0}, "DDIM"),
    ]
    for settings, named in wrong:
        with pytest.raises(SettingError, match=named):
            ParallelNullText(**settings)
