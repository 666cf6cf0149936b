"""Noise levels, and the one pair of functions that every step is made of.

A latent at a level is ``x = alpha * x0 + sigma * eps``. A network's output is *split* into ``(x0, eps)`` at one level
and *combined* at another: towards less noise that is a step of DDIM sampling, towards more noise one of DDIM inversion.
"""

import math
from dataclasses import dataclass
from typing import Literal, assert_never

from nulltext.types import Latents

Prediction = Literal["epsilon", "v_prediction", "flow"]
"""What a network was trained to output: the noise, v = alpha * eps - sigma * x0, or a flow's velocity eps - x0."""


@dataclass(frozen=True, slots=True)
class NoiseLevel:
    """How much of a latent is image and how much noise.

    Attributes:
        alpha: Weight of the image, 0 to 1: the square root of the cumulative product of alphas; of a flow
            ``1 - sigma``.
        sigma: Weight of the noise, 0 to 1: ``sqrt(1 - alpha²)``; of a flow its time.
    """

    alpha: float
    sigma: float


@dataclass(frozen=True, slots=True)
class Interval:
    """One step of a schedule, between two noise levels.

    Attributes:
        t: The time given to the network, in either direction.
        noisy: The end with more noise, where sampling enters.
        clean: The end with less noise, where inversion enters.
    """

    t: float
    noisy: NoiseLevel
    clean: NoiseLevel

    def fresh(self, eta: float) -> float:
        """The standard deviation of the noise that a step makes anew: DDIM, arXiv 2010.02502, eq. 16.

        Written without ``sigma² = 1 - alpha²``, it holds on any path from noise to image.

        Args:
            eta: Stochasticity: 0 is DDIM, 1 DDPM.
        """
        scale = self.noisy.alpha / self.clean.alpha
        made = max(self.noisy.sigma**2 - (scale * self.clean.sigma) ** 2, 0.0)
        return eta * self.clean.sigma / self.noisy.sigma * math.sqrt(made)


def split(x: Latents, output: Latents, level: NoiseLevel, prediction: Prediction) -> tuple[Latents, Latents]:
    """Reads a network's output as an image and a noise.

    For epsilon: DDIM, arXiv 2010.02502, eq. 9. For v: Salimans and Ho, arXiv 2202.00512, appendix D. For a flow, whose
    levels have alpha + sigma = 1: Esser et al., arXiv 2403.03206, eq. 13.

    Args:
        x: [B, C, h, w] the latents at `level`.
        output: The network's output for them, same shape.
        level: The level of `x`.
        prediction: What the output is.

    Returns:
        ``(x0, eps)`` with ``x = alpha * x0 + sigma * eps``.
    """
    match prediction:
        case "epsilon":
            return (x - level.sigma * output) / level.alpha, output
        case "v_prediction":
            return level.alpha * x - level.sigma * output, level.alpha * output + level.sigma * x
        case "flow":
            return x - level.sigma * output, x + level.alpha * output
        case _:
            assert_never(prediction)


def combine(x0: Latents, eps: Latents, level: NoiseLevel) -> Latents:
    """The latents that have this image and this noise at a level: DDIM, arXiv 2010.02502, eq. 12 with no fresh noise.

    Args:
        x0: [B, C, h, w] the image.
        eps: The noise, same shape.
        level: The level to go to.

    Returns:
        ``alpha * x0 + sigma * eps``.
    """
    return level.alpha * x0 + level.sigma * eps


def denoise(x: Latents, output: Latents, interval: Interval, prediction: Prediction, *, eta: float = 0.0) -> Latents:
    """One step of DDIM sampling, from the interval's noisy end to its clean end: arXiv 2010.02502, eq. 12.

    With `eta` above 0 it is that equation's mean: of the noise at the clean end it leaves room for what is made anew,
    and adds none.
    """
    end = interval.clean
    if eta > 0:
        end = NoiseLevel(end.alpha, math.sqrt(max(end.sigma**2 - interval.fresh(eta) ** 2, 0.0)))
    return combine(*split(x, output, interval.noisy, prediction), end)


def renoise(x: Latents, output: Latents, interval: Interval, prediction: Prediction) -> Latents:
    """One step of DDIM inversion: from the interval's clean end to its noisy end."""
    return combine(*split(x, output, interval.clean, prediction), interval.noisy)
