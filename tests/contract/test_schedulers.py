"""Our steps against diffusers' own.

`DDIMScheduler` and a `Schedule` walked forwards correspond interval by interval: at `timesteps[i]` the scheduler goes
from `schedule[i].noisy` to `schedule[i].clean`.

`DDIMInverseScheduler` has the same timesteps in ascending order, and its step *at* t goes from the level one stride
below t *up to* the level of t, with the network's output for t. So its i-th step is `schedule[T - 1 - i]` taken from
clean to noisy; its `initial_alpha_cumprod` plays the part of `final_alpha_cumprod`. There is no shift by one to account
for.
"""

import itertools
from typing import Any

import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler

from nulltext.diffusion.levels import denoise, renoise
from nulltext.diffusion.schedule import Schedule, ScheduleConfig

GRID = list(
    itertools.product(["epsilon", "v_prediction"], [0, 1], [False, True], ["leading", "trailing"], [1, 7, 20, 50])
)
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}


@pytest.mark.parametrize(("prediction", "offset", "to_one", "spacing", "steps"), GRID)
def test_walks_like_diffusers(prediction, offset, to_one, spacing, steps):
    config = BETAS | {
        "prediction_type": prediction,
        "steps_offset": offset,
        "set_alpha_to_one": to_one,
        "timestep_spacing": spacing,
    }
    ours = Schedule.from_config(config, steps)
    forwards: Any = DDIMScheduler(**config)
    backwards: Any = DDIMInverseScheduler(**config)
    forwards.set_timesteps(steps)
    backwards.set_timesteps(steps)
    generator = torch.Generator().manual_seed(steps)

    assert [interval.t for interval in ours] == forwards.timesteps.tolist()
    assert [interval.t for interval in reversed(ours)] == backwards.timesteps.tolist()
    for interval in ours:
        x, output = torch.randn(2, 1, 4, 3, 5, generator=generator)
        theirs = forwards.step(output, int(interval.t), x).prev_sample
        torch.testing.assert_close(denoise(x, output, interval, prediction), theirs, rtol=1e-5, atol=1e-5)
    for interval in reversed(ours):
        x, output = torch.randn(2, 1, 4, 3, 5, generator=generator)
        theirs = backwards.step(output, int(interval.t), x).prev_sample
        torch.testing.assert_close(renoise(x, output, interval, prediction), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("prediction", "to_one"), [("epsilon", False), ("v_prediction", True)])
def test_a_step_that_makes_noise_anew_is_diffusers(prediction, to_one, eta):
    config = BETAS | {"prediction_type": prediction, "set_alpha_to_one": to_one}
    ours = Schedule.from_config(config, 7)
    theirs: Any = DDIMScheduler(**config)
    theirs.set_timesteps(7)
    generator = torch.Generator().manual_seed(7)
    for interval in ours:
        x, output, noise = torch.randn(3, 1, 4, 3, 5, generator=generator)
        mean = denoise(x, output, interval, prediction, eta=eta)
        step = theirs.step(output, int(interval.t), x, eta=eta, variance_noise=noise).prev_sample
        torch.testing.assert_close(mean + interval.fresh(eta) * noise, step, rtol=1e-5, atol=1e-5)
        if eta == 0:
            assert torch.equal(mean, denoise(x, output, interval, prediction))


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_timesteps_agree_for_every_number_of_steps(spacing):
    config = BETAS | {"timestep_spacing": spacing}
    scheduler, ours = DDIMScheduler(**config), ScheduleConfig.read(config)
    for steps in range(1, 1001):
        scheduler.set_timesteps(steps)
        theirs = scheduler.timesteps.tolist()
        if spacing == "trailing" and theirs[-1] == -1:
            theirs.pop()  # for some numbers (61, 103, ...) np.arange rounds to one element too many
        assert ours.timesteps(steps) == theirs, steps
