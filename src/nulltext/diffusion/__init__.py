"""The mathematics of diffusion: noise levels, schedules, guidance, sampling. Knows torch and nothing of networks."""
