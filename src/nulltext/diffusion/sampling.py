"""The schedule walked: forwards from noise to picture, backwards from picture to noise."""

from collections.abc import Callable, Sequence

import torch

from nulltext.diffusion.fixed_point import FixedPoint
from nulltext.diffusion.guidance import Guided
from nulltext.diffusion.levels import denoise, renoise
from nulltext.diffusion.schedule import Schedule
from nulltext.diffusion.sharing import saying_what_fits
from nulltext.diffusion.steering import Steering
from nulltext.progress import OnProgress, Progress, silent
from nulltext.types import Latents, Null, Trajectory

AfterStep = Callable[[int, Latents], Latents]
"""(steps done, [B, C, h, w] latents) -> the latents to go on from."""


@torch.no_grad()
def sample(
    guided: Guided,
    schedule: Schedule,
    x: Latents,
    nulls: Sequence[Null],
    on_progress: OnProgress = silent,
    *,
    after: AfterStep | None = None,
    steering: Steering | None = None,
    eta: float = 0.0,
) -> Latents:
    """DDIM sampling: arXiv 2010.02502, eq. 12 with no fresh noise.

    Args:
        guided: What predicts, for B captions.
        schedule: The intervals to pass, T of them.
        x: [B, C, h, w] latents at the first interval's noisy end.
        nulls: T null embeddings, [1, L, D] each, in sampling order.
        on_progress: Told of every step, phase "sample".
        after: Called after every step; what it returns is sampled on.
        steering: What is done to the attention of the B rows, if anything.
        eta: Stochasticity of a step, see `denoise`; the noise that is left out is for `after` to add.

    Returns:
        [B, C, h, w] latents at the last interval's clean end.
    """
    with saying_what_fits(x):
        for step, (interval, null) in enumerate(zip(schedule, nulls, strict=True), start=1):
            attention = None if steering is None else steering.at(step - 1)
            out = guided.predict(x, interval.t, null, attention=attention)
            x = denoise(x, out, interval, guided.model.prediction, eta=eta)
            x = x if after is None else after(step, x)
            on_progress(Progress("sample", step, len(schedule), latents=x))
    return x


@torch.no_grad()
def ddim_inversion(
    guided: Guided,
    schedule: Schedule,
    x: Latents,
    null: Null,
    on_progress: OnProgress = silent,
    *,
    fixed_point: FixedPoint | None = None,
) -> Trajectory:
    """DDIM inversion: arXiv 2211.09794, section 3.1 (Dhariwal and Nichol, arXiv 2105.05233, appendix F).

    The sampler's step run backwards, as if the network said the same on both ends of it. It is told the time of the
    noisier end, as in the authors' code and in diffusers. With `fixed_point` the steps are solved instead, so that
    sampling under the same guidance leads back.

    Args:
        guided: What predicts, for one caption. With w = 1 it is the plain inversion.
        schedule: The intervals, in sampling order; they are walked in reverse. T of them.
        x: [1, C, h, w] the picture's latents z_0.
        null: [1, L, D] the null caption's embedding.
        on_progress: Told of every step, phase "invert".
        fixed_point: How well the steps are solved; None takes each as if the network said the same on both its ends.

    Returns:
        [T+1, C, h, w] the trajectory in sampling order, from z_T to z_0.
    """
    trajectory, past = [x], list[Latents]()
    for step, interval in enumerate(reversed(schedule), start=1):
        if fixed_point is None:
            x = renoise(x, guided.predict(x, interval.t, null), interval, guided.model.prediction)
        else:
            x, eps = fixed_point.solve(guided, x, interval, null, past)
            past = [*past[-1:], eps]
        trajectory.append(x)
        on_progress(Progress("invert", step, len(schedule), latents=x))
    return torch.cat(trajectory[::-1])
