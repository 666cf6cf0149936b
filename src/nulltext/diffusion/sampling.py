"""The schedule walked: forwards from noise to image, backwards from image to noise."""

from collections.abc import Callable, Sequence

import torch

from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.levels import denoise, renoise
from nulltext.diffusion.schedule import Schedule
from nulltext.diffusion.sharing import saying_what_fits
from nulltext.diffusion.steering import Steering
from nulltext.progress import OnProgress, Progress, silent
from nulltext.types import Latents, Trajectory

AfterStep = Callable[[int, Latents], Latents]
"""(steps done, [B, C, h, w] latents) -> the latents to go on from."""


@torch.no_grad()
def sample(
    guided: Guided,
    schedule: Schedule,
    x: Latents,
    nulls: Sequence[Conditioning],
    on_progress: OnProgress = silent,
    *,
    after: AfterStep | None = None,
    steering: Steering | None = None,
    eta: float = 0.0,
    first: int = 0,
) -> Latents:
    """DDIM sampling: arXiv 2010.02502, eq. 12 with no fresh noise.

    Args:
        guided: What predicts, for B prompts.
        schedule: The intervals to pass, T of them.
        x: [B, C, h, w] latents at the noisy end of the first interval that is passed.
        nulls: What stands for no prompt at each of T steps, one row each, in sampling order.
        on_progress: Called for every step, phase "sample".
        after: Called after every step; what it returns is sampled on.
        steering: What is done to the attention of the B rows, if anything.
        eta: Stochasticity of a step, see `denoise`; the noise that is left out is for `after` to add.
        first: The step to begin with. Those before it are skipped; all keep their numbers.

    Returns:
        [B, C, h, w] latents at the last interval's clean end.
    """
    with saying_what_fits(x):
        for i, (interval, null) in list(enumerate(zip(schedule, nulls, strict=True)))[first:]:
            attention = None if steering is None else steering.at(i)
            output = guided.predict(x, interval.t, null, i, attention, steps=len(schedule))
            x = denoise(x, output, interval, guided.model.prediction, eta=eta)
            x = x if after is None else after(i + 1, x)
            on_progress(Progress("sample", i + 1 - first, len(schedule) - first, latents=x))
    return x


@torch.no_grad()
def ddim_inversion(
    guided: Guided,
    schedule: Schedule,
    x: Latents,
    null: Conditioning,
    on_progress: OnProgress = silent,
    *,
    fixed_point: FixedPoint | None = None,
) -> Trajectory:
    """DDIM inversion: arXiv 2211.09794, section 3.1 (Dhariwal and Nichol, arXiv 2105.05233, appendix F).

    The sampler's step run backwards, as if the network said the same on both ends of it. It is told the time of the
    noisier end, as in the authors' code and in diffusers. With `fixed_point` the steps are solved instead, so that
    sampling under the same guidance leads back.

    Args:
        guided: What predicts, for one prompt. With w = 1 it is the plain inversion.
        schedule: The intervals, in sampling order; they are walked in reverse. T of them.
        x: [1, C, h, w] the image's latents z_0.
        null: What stands for no prompt, one row.
        on_progress: Called for every step, phase "invert".
        fixed_point: How well the steps are solved; None takes each as if the network said the same on both its ends.

    Returns:
        [T+1, C, h, w] the trajectory in sampling order, from z_T to z_0.
    """
    trajectory, past, steps = [x], list[Latents](), len(schedule)
    for done, interval in enumerate(reversed(schedule), start=1):
        if fixed_point is None:
            output = guided.predict(x, interval.t, null, steps - done, steps=steps)
            x = renoise(x, output, interval, guided.model.prediction)
        else:
            x, eps = fixed_point.solve(guided, x, interval, null, past, step=steps - done, steps=steps)
            past = [*past[-1:], eps]
        trajectory.append(x)
        on_progress(Progress("invert", done, steps, latents=x))
    return torch.cat(trajectory[::-1])
