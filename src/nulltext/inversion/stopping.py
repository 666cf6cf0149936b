"""When an optimisation has learned enough: learning rate and early stop, and what the network's rounding hides."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, final

import torch
from torch.nn.functional import mse_loss

from nulltext.checks import Rate, check_numbers
from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.sharing import Denoiser
from nulltext.errors import SettingError
from nulltext.inversion.problem import Problem
from nulltext.models.precision import FLOAT32_ROUNDING
from nulltext.spelling.fields import Option
from nulltext.types import Latents


@dataclass(frozen=True, kw_only=True)
class DescentSchedule:
    """Learning rate and early stop as functions of the step i = 0 ... T-1, counted from t = T.

    Attributes:
        learning_rate: Adam's at i = 0.
        decay: What of it is taken off per step: at step i it is ``learning_rate * (1 - decay * i)``.
        tolerance: The mean-squared error below which a step counts as done, at i = 0.
        tolerance_growth: What is added to that per step: at step i it is ``tolerance + tolerance_growth * i``.

    Raises:
        SettingError: A number is out of range.
    """

    learning_rate: Rate
    decay: float
    tolerance: float
    tolerance_growth: float

    def __post_init__(self) -> None:
        check_numbers(self)

    def rate_at(self, i: int) -> float:
        """The learning rate at step i."""
        return self.learning_rate * (1 - self.decay * i)

    def tolerance_at(self, i: int) -> float:
        """The error below which step i counts as done."""
        return self.tolerance + self.tolerance_growth * i

    def check(self, steps: int) -> None:
        """Makes sure that the learning rate lasts for T steps.

        Raises:
            SettingError: It does not.
        """
        if self.rate_at(steps - 1) <= 0:
            raise SettingError(
                f"got steps={steps}: with decay={self.decay:g} the learning rate is used up after {1 / self.decay:g} "
                "steps. Take fewer, or the paper's constants, whose rate does not: NullText.paper(), --preset paper."
            )


PAPER = DescentSchedule(learning_rate=1e-2, decay=0.0, tolerance=1e-5, tolerance_growth=0.0)
"""As section 4 of the paper says."""

PUBLISHED = DescentSchedule(learning_rate=1e-2, decay=1e-2, tolerance=1e-5, tolerance_growth=2e-5)
"""As in the authors' published code."""

Preset = Annotated[DescentSchedule, Option(name="--preset", named={"published": PUBLISHED, "paper": PAPER})]
"""Constants as the setting of a method, which an option takes by name."""


@final
class Stopping:
    """The early stop of one run: below the tolerance, or where the network's rounding is all that is left."""

    def __init__(self, problem: Problem, descent: DescentSchedule, z: Latents) -> None:
        """Measures the rounding at z_T, where the network rounds more than float32.

        Args:
            problem: The problem.
            descent: The tolerances.
            z: [1, C, h, w] z_T.
        """
        self._descent, self._noise = descent, None
        if problem.rounding > FLOAT32_ROUNDING:
            t = problem.schedule[0].t
            self._noise = rounding_noise(problem.denoiser, z, t, problem.null, problem.rounding)

    def below(self, i: int, land: Callable[[Latents], Latents] | None = None) -> float:
        """Below which mean-squared error step i is done; 0 for never, so that no error need be read.

        Args:
            i: The step, from 0.
            land: Where the step leads, by the network's output; None leaves the rounding out.
        """
        tolerance = self._descent.tolerance_at(i)
        if tolerance <= 0 or self._noise is None or land is None:
            return max(0.0, tolerance)
        return max(tolerance, mse_loss(land(self._noise), land(torch.zeros_like(self._noise))).item())


def rounding_noise(denoiser: Denoiser, z: Latents, t: float, conditioning: Conditioning, rounding: float) -> Latents:
    """How the network's output differs by its rounding alone.

    The last bit of every latent is turned; what that changes in the output has the rounding of two evaluations in it,
    and so is divided by the square root of two. Measured on the embedded model it is within 30 % of the difference to
    float32.

    Args:
        denoiser: The network.
        z: [1, C, h, w] latents.
        t: The time given to the network.
        conditioning: What else the network is told, one row.
        rounding: How much, relatively, the network rounds, see `nulltext.models.precision.rounding_of`.

    Returns:
        [1, C, h, w] the noise.
    """
    signs = 1 - 2 * (torch.arange(z.numel(), device=z.device) % 2).view_as(z)
    turned = z * (1 + signs * rounding / 2)
    output = denoiser.predict(z, t, conditioning)
    return (denoiser.predict(turned, t, conditioning) - output) / 2**0.5
