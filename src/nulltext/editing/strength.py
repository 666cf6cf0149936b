"""Sampling from half-way: the last share of a schedule's steps."""

from nulltext.diffusion.levels import combine
from nulltext.diffusion.schedule import Schedule
from nulltext.errors import SettingError
from nulltext.types import Latents


def last_steps(schedule: Schedule, strength: float) -> Schedule:
    """The share of the steps that is sampled, by the arithmetic of diffusers' ``StableDiffusionImg2ImgPipeline``.

    Args:
        schedule: All T steps.
        strength: The share, above 0 to 1.

    Raises:
        SettingError: It leaves no step.
    """
    steps = len(schedule)
    first = steps - int(steps * strength)
    if first == steps:
        raise SettingError(
            f"got strength={strength:g}, which leaves none of the {steps} steps to sample; expected at least "
            f"{1 / steps:g}."
        )
    return Schedule(schedule[first:])


def first_latents(z0: Latents, noise: Latents, schedule: Schedule, strength: float) -> Latents:
    """Where an editor with a mask begins: with noise alone at strength 1, as diffusers' inpainting does.

    Args:
        z0: [1, C, h, w] the image's latents.
        noise: The noise, same shape.
        schedule: The steps that are sampled.
        strength: Their share of all.

    Returns:
        The noise, or the image with it at the level of the first step.
    """
    return noise if strength == 1 else combine(z0, noise, schedule[0].noisy)
