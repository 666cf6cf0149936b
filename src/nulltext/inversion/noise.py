"""Trajectories that are drawn at random instead of inverted."""

import torch

from nulltext.diffusion.levels import combine
from nulltext.diffusion.schedule import Schedule
from nulltext.types import Latents, Trajectory


def draw_noise(x0: Latents, generator: torch.Generator) -> Latents:
    """Gaussian noise of the shape of some latents, drawn on the CPU so that every device has the same."""
    return torch.randn(x0.shape, generator=generator).to(x0.device)


def random_trajectory(x0: Latents, schedule: Schedule, generator: torch.Generator) -> Trajectory:
    """An image under one noise at every level: arXiv 2211.09794, eq. 5, with the same noise throughout.

    Args:
        x0: [1, C, h, w] the image's latents z_0.
        schedule: T intervals, in sampling order.
        generator: On the CPU; one noise is drawn from it.

    Returns:
        [T+1, C, h, w] in sampling order; the last is z_0 itself.
    """
    noise = draw_noise(x0, generator)
    return torch.cat([*(combine(x0, noise, interval.noisy) for interval in schedule), x0])
