"""The two algorithms of null-text inversion: an embedding for each step, and one embedding for all of them.

Mokady et al., "Null-text Inversion for Editing Real Images using Guided Diffusion Models", CVPR 2023, arXiv 2211.09794.
"""

from collections.abc import Callable

import torch
from torch.nn.functional import mse_loss

from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.guidance import guide
from nulltext.diffusion.levels import denoise
from nulltext.diffusion.sharing import descend
from nulltext.inversion.problem import Problem
from nulltext.inversion.solvers import SOLVERS, Adam, Solver
from nulltext.inversion.stopping import DescentSchedule, Stopping
from nulltext.progress import Progress
from nulltext.types import Embeddings, Latents, Null, Nulls, Trajectory

Mix = Callable[[Latents, Latents], Latents]
"""(output for the embedding that is optimised, output for the one that stays) -> the guided output."""


def optimise_each(
    problem: Problem, pivot: Trajectory, *, inner_steps: int, descent: DescentSchedule, solver: Solver = "adam"
) -> tuple[Nulls, Latents]:
    """Algorithm 1. In its words `pivot` is z*, `z` is z-bar, `null` is the empty-set sign, and `cond` is C.

    Args:
        problem: The image and its prompt, and w.
        pivot: [T+1, C, h, w] from z*_T to z*_0.
        inner_steps: N, at most so many for each step of the sampler.
        descent: Learning rate and early stop.
        solver: What takes the inner steps.

    Returns:
        [T, L, D] the null embeddings, and [1, C, h, w] where the guided sampler ends with them.
    """
    denoiser, schedule, z, null, nulls = problem.denoiser, problem.schedule, pivot[:1], problem.null, list[Null]()
    stopping, error = Stopping(problem, descent, z), torch.tensor(torch.nan)
    for i, step in enumerate(schedule):  # t = T, ..., 1
        target, out_cond = pivot[i + 1 : i + 2], denoiser.predict(z, step.t, problem.cond)

        def land(out_null: Latents) -> Latents:  # z_{t-1}(z_t, null, C)
            return denoise(z, guide(out_null, out_cond, problem.w), step, denoiser.prediction)

        optimiser, tolerance = SOLVERS[solver](null.text, descent.rate_at(i)), stopping.below(i, land)
        for _ in range(inner_steps):  # j = 0, ..., N-1
            error, gradient = descend(denoiser, z, step.t, null, lambda out_null: mse_loss(land(out_null), target))
            null = null.with_text(optimiser.move(gradient))
            if tolerance > 0 and error.item() < tolerance:
                break
        nulls.append(null.text)  # and the next step starts from it
        z = land(denoiser.predict(z, step.t, null))
        problem.on_progress(Progress("optimise", i + 1, len(schedule), error.item(), latents=z))
    return torch.cat(nulls), z


def optimise_one(
    problem: Problem,
    pivot: Trajectory,
    start: Conditioning,
    *,
    other: Conditioning,
    mix: Mix,
    passes: int,
    learning_rate: float,
) -> Embeddings:
    """Algorithm 2, for either of the two embeddings that guidance mixes.

    The iterations of algorithm 1 in another order: since a change at one step is felt at all others, every pass walks
    from t = T to 1 with one step of Adam at each, and there are N passes. As in algorithm 1, and as in sampling, each
    step goes on from where the one before has led and not from the pivot, so that it learns to lead back to it. Adam
    is the same throughout, and no early stop ends a pass.

    Args:
        problem: The image and its prompt.
        pivot: [T+1, C, h, w] from z*_T to z*_0.
        start: One row, whose text embedding is optimised, as it is at first.
        other: One row, the conditioning that stays.
        mix: How the outputs for the two make the guided one.
        passes: N.
        learning_rate: Adam's.

    Returns:
        [1, L, D] the optimised embedding.
    """
    denoiser, schedule, own, adam, done = problem.denoiser, problem.schedule, start, Adam(start.text, learning_rate), 0
    for _ in range(passes):
        z = pivot[:1]
        for i, step in enumerate(schedule):
            target, out_other = pivot[i + 1 : i + 2], denoiser.predict(z, step.t, other)

            def land(out: Latents) -> Latents:
                return denoise(z, mix(out, out_other), step, denoiser.prediction)

            error, gradient = descend(denoiser, z, step.t, own, lambda out: mse_loss(land(out), target))
            own = own.with_text(adam.move(gradient))
            z = land(denoiser.predict(z, step.t, own))
            done += 1
            problem.on_progress(Progress("optimise", done, passes * len(schedule), error.item()))
    return own.text
