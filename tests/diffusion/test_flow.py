"""The levels and steps of flow matching, beside diffusers' own scheduler and the exact solution of a linear flow."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.levels import denoise
from nulltext.diffusion.sampling import ddim_inversion, sample
from nulltext.diffusion.schedule import Schedule
from nulltext.errors import SettingError, UnsupportedScheduleError

NONE = Conditioning(text=torch.zeros(1, 1, 1))
DYNAMIC = {"shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}


def beside(settings, steps, tokens=None):
    """Our schedule, and diffusers' scheduler with the same levels."""
    scheduler = FlowMatchEulerDiscreteScheduler(**settings)
    if settings.get("use_dynamic_shifting"):
        shifts = calculate_shift(tokens, 256, 4096, settings["base_shift"], settings["max_shift"])
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=shifts)
    else:
        scheduler.set_timesteps(steps)
    config = {**scheduler.config, "_class_name": type(scheduler).__name__}
    return Schedule.from_config(config, steps, tokens), scheduler


@pytest.mark.parametrize("steps", [1, 7, 28])
@pytest.mark.parametrize(
    ("settings", "tokens"),
    [
        ({}, None),
        ({"shift": 3.0}, None),
        ({"shift": 1.7, "num_train_timesteps": 500}, 9),
        (DYNAMIC, 256),
        (DYNAMIC, 1000),
    ],
)
def test_the_levels_and_times_are_the_schedulers_own(settings, tokens, steps):
    schedule, scheduler = beside(settings, steps, tokens)
    sigmas = torch.tensor([step.noisy.sigma for step in schedule] + [schedule[-1].clean.sigma])
    torch.testing.assert_close(sigmas, scheduler.sigmas, rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.tensor([step.t for step in schedule]), scheduler.timesteps, rtol=1e-6, atol=1e-6)
    assert all(level.alpha + level.sigma == 1 for step in schedule for level in (step.noisy, step.clean))


@pytest.mark.parametrize("at", [0, 3, 7])
def test_a_step_is_the_schedulers_step(at):
    schedule, found = beside({"shift": 3.0}, 8)
    scheduler: Any = found
    x, velocity = torch.randn(2, 2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    expected = scheduler.step(velocity, scheduler.timesteps[at], x).prev_sample
    torch.testing.assert_close(denoise(x, velocity, schedule[at], "flow"), expected, rtol=0, atol=1e-6)


class Linear:
    """The velocity of a flow whose data are normal with mean `mean` and deviation `deviation`: linear in x.

    Along it x - (1 - sigma) mean grows as the deviation of x does, which is the exact solution.
    """

    prediction = "flow"
    mean, deviation = 0.3, 0.5

    def predict(self, x, t, conditioning, attention=()):
        s = t / 1000
        variance = (1 - s) ** 2 * self.deviation**2 + s**2
        return (s - (1 - s) * self.deviation**2) / variance * (x - (1 - s) * self.mean) - self.mean

    def exact(self, noise):
        return self.mean + self.deviation * noise


def test_walked_forwards_it_nears_the_exact_flow_with_the_first_order_of_euler():
    linear: Any = Linear()
    guided, noise = Guided(linear, NONE, 1.0), torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    off = {}
    for steps in (50, 100):
        schedule, _ = beside({"shift": 1.0}, steps)
        off[steps] = (sample(guided, schedule, noise, [NONE] * steps) - Linear().exact(noise)).abs().max().item()
    assert off[100] < 0.02
    assert off[50] / off[100] == pytest.approx(2, rel=0.15)


def test_walked_backwards_it_leads_back_to_the_noise():
    linear: Any = Linear()
    guided, noise = Guided(linear, NONE, 1.0), torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    schedule, _ = beside({"shift": 1.0}, 100)
    z0 = Linear().exact(noise)
    plain = ddim_inversion(guided, schedule, z0, NONE)
    assert (plain[:1] - noise).abs().max() < 0.05
    solved = ddim_inversion(guided, schedule, z0, NONE, fixed_point=FixedPoint(iterations=8))
    back = sample(guided, schedule, solved[:1], [NONE] * 100)
    torch.testing.assert_close(back, z0, rtol=0, atol=1e-4)  # 100 steps of float32 each way


def test_where_all_is_noise_a_step_is_solved_by_the_velocity():
    """There z is its own eps whatever the network says."""
    linear: Any = Linear()
    guided, z0 = Guided(linear, NONE, 1.0), torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    schedule, _ = beside({"shift": 3.0}, 4)
    solved = ddim_inversion(guided, schedule, z0, NONE, fixed_point=FixedPoint(iterations=60))
    torch.testing.assert_close(sample(guided, schedule, solved[:1], [NONE] * 4), z0, rtol=0, atol=1e-5)


def test_what_depends_on_the_size_needs_one():
    config = {**DYNAMIC, "_class_name": "FlowMatchEulerDiscreteScheduler"}
    with pytest.raises(SettingError, match="size of the image"):
        Schedule.from_config(config, 4)
    small, large = (Schedule.from_config(config, 4, tokens)[1].noisy.sigma for tokens in (256, 4096))
    assert small < large
    assert small == pytest.approx(math.exp(0.5) * 0.75 / (1 + (math.exp(0.5) - 1) * 0.75), abs=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"invert_sigmas": True},
        {"use_karras_sigmas": True},
        {"stochastic_sampling": True},
        {"shift_terminal": 0.02},
        {"use_dynamic_shifting": True, "time_shift_type": "linear"},
    ],
)
def test_levels_that_are_not_known(settings):
    with pytest.raises(UnsupportedScheduleError, match=list(settings)[-1]):
        Schedule.from_config({**settings, "_class_name": "FlowMatchEulerDiscreteScheduler"}, 4)
    with pytest.raises(SettingError, match="steps=1001"):
        Schedule.from_config({"_class_name": "FlowMatchEulerDiscreteScheduler"}, 1001)
