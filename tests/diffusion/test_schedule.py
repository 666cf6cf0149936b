import itertools

import pytest

from nulltext.diffusion.schedule import Schedule
from nulltext.errors import SettingError, UnsupportedScheduleError

SD = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def test_stable_diffusion_in_fifty_steps():
    schedule = Schedule.from_config(SD, 50)
    assert [schedule[0].t, schedule[1].t, schedule[-1].t] == [981, 961, 1]
    assert all(a.clean == b.noisy for a, b in itertools.pairwise(schedule))
    assert all(
        level.alpha**2 + level.sigma**2 == pytest.approx(1) for step in schedule for level in (step.noisy, step.clean)
    )
    assert schedule[-1].clean.alpha == pytest.approx((1 - 0.00085) ** 0.5, abs=1e-7)


def test_reversed_is_the_order_of_inversion():
    schedule = Schedule.from_config(SD, 5)
    assert list(reversed(schedule)) == list(schedule)[::-1]
    assert len(schedule) == 5


def test_ends_on_no_noise_with_set_alpha_to_one():
    assert Schedule.from_config(SD | {"set_alpha_to_one": True}, 50)[-1].clean.sigma == 0


def test_unknown_keys_and_clipping_are_left_aside():
    assert Schedule.from_config(SD | {"clip_sample": True, "skip_prk_steps": True}, 9) == Schedule.from_config(SD, 9)


@pytest.mark.parametrize("steps", [0, -3, 1001, 1000])  # 1000 steps with an offset of 1 would begin at time 1000
def test_steps_out_of_range(steps):
    with pytest.raises(SettingError, match=rf"got (steps=)?{steps}\b"):
        Schedule.from_config(SD, steps)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"beta_schedule": "sigmoid"}, "sigmoid"),
        ({"timestep_spacing": "karras"}, "karras"),
        ({"prediction_type": "sample"}, "sample"),
        ({"thresholding": True}, "thresholding"),
        ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr"),
    ],
)
def test_schedules_that_cannot_be_walked_both_ways(config, named):
    with pytest.raises(UnsupportedScheduleError, match=named):
        Schedule.from_config(SD | config, 10)
