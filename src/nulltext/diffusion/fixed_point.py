"""Steps of DDIM inversion solved instead of guessed.

A step of the sampler from z_t to z_{t-1} asks the network at z_t. Its inverse needs the answer at the very z_t that is
looked for, ``z_t = renoise(z_{t-1}, eps(z_t, t))``, and plain DDIM inversion puts the answer at z_{t-1} in its place.
(Of a flow it is the velocity and not eps: where all is noise, z_t is its own eps whatever the network says.)
Iterating the equation solves it: Pan et al., arXiv 2309.04907; Meiri et al., arXiv 2312.12540. From one step to the
next eps changes little and evenly, so that the last two tell where to begin, which costs no evaluation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from nulltext.checks import Count, Weight, check_numbers
from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.levels import Interval, Prediction, renoise, split
from nulltext.types import Latents


@final
@dataclass(frozen=True, kw_only=True)
class FixedPoint:
    """How well the steps of a DDIM inversion are solved.

    Attributes:
        iterations: At most so many a step, each one evaluation of the network. With 1 an inversion costs what a plain
            one costs, but for one evaluation more at its first step.
        tolerance: A step is solved once an iteration moves z_t by less, root mean square; 0 takes all iterations, and
            is the only one that never waits for the device.

    Raises:
        SettingError: A setting is out of range.
    """

    iterations: Count = 1
    tolerance: Weight = 0.0

    def __post_init__(self) -> None:
        check_numbers(self)

    @staticmethod
    def a_step(fixed_point: "FixedPoint | None") -> int:
        """Evaluations of the network that a step of an inversion takes at most; None is the plain inversion."""
        return 1 if fixed_point is None else fixed_point.iterations

    def solve(
        self,
        guided: Guided,
        x: Latents,
        interval: Interval,
        null: Conditioning,
        past: Sequence[Latents],
        *,
        step: int = 0,
        steps: int = 1,
    ) -> tuple[Latents, Latents]:
        """The z_t from which the sampler's step leads to z_{t-1}.

        Args:
            guided: What predicts.
            x: [B, C, h, w] z_{t-1}.
            interval: The step.
            null: What stands for no prompt, one row.
            past: The eps, or velocities, of the steps before, the last one last.
            step: Which step of the schedule it is, 0 for the first that is sampled.
            steps: Of how many.

        Returns:
            z_t, and the eps or velocity that led there; both [B, C, h, w].
        """
        prediction = guided.model.prediction
        solved: Prediction = "flow" if prediction == "flow" else "epsilon"
        if past:
            eps = past[-1] if len(past) == 1 else 2 * past[-1] - past[-2]
        else:
            output = guided.predict(x, interval.t, null, step, steps=steps)
            eps = output if solved == prediction else split(x, output, interval.clean, prediction)[1]
        z = renoise(x, eps, interval, solved)
        for _ in range(self.iterations):
            output = guided.predict(z, interval.t, null, step, steps=steps)
            eps = output if solved == prediction else split(z, output, interval.noisy, prediction)[1]
            z, before = renoise(x, eps, interval, solved), z
            if self.tolerance > 0 and (z - before).square().mean().sqrt().item() < self.tolerance:
                break
        return z, eps
