"""The noise levels of every beta schedule against diffusers'."""

import pytest
import torch
from diffusers import DDIMScheduler

from nulltext.diffusion.schedule import ScheduleConfig


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"beta_schedule": "linear", "beta_start": 0.001, "beta_end": 0.01},
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"beta_schedule": "scaled_linear", "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
        {"trained_betas": [0.01 * i for i in range(1, 51)], "num_train_timesteps": 50},
    ],
    ids=str,
)
def test_levels(config):
    theirs = DDIMScheduler(**config).alphas_cumprod
    torch.testing.assert_close(ScheduleConfig.read(config).alphas_cumprod(), theirs, rtol=1e-6, atol=1e-7)
