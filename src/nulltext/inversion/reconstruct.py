"""An inversion sampled again: the source alone, or with edits beside it."""

from collections.abc import Sequence

import torch

from nulltext.attention.control import Control
from nulltext.attention.steering import Steering
from nulltext.bars import teller
from nulltext.checks import Guidance
from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.rule import CLASSIFIER_FREE, Rule
from nulltext.diffusion.sampling import AfterStep
from nulltext.inversion import match
from nulltext.inversion.base import Inversion
from nulltext.inversion.source import condition
from nulltext.models.base import Model, embed_negative
from nulltext.progress import Telling, silent
from nulltext.types import Latents, OnePixels


def replay(
    model: Model,
    inversion: Inversion,
    prompts: Sequence[str] = (),
    *,
    targets: Sequence[Conditioning | None] = (),
    guidance: Guidance | None = None,
    rule: Rule = CLASSIFIER_FREE,
    negative_prompt: str | None = None,
    control: Control | None = None,
    after: AfterStep | None = None,
    on_progress: Telling = silent,
) -> Latents:
    """Samples an inversion again, the source branch as its `Replay` says: the one way in which anything does.

    Args:
        model: The model it was made with.
        inversion: The inversion.
        prompts: B target prompts, sampled beside the source.
        targets: What further rows are told, one row each, behind those of the prompts; None is what the source is told.
        guidance: The scale w; None is the inversion's own.
        rule: How the outputs for the prompts and for none are made one.
        negative_prompt: What guidance leads away from; None is the inversion's own.
        control: What is done to the attention of all rows.
        after: Called after every step and its correction; what it returns is sampled on.
        on_progress: Called for every step, phase "sample".

    Returns:
        [1 + B, C, h, w] the latents z_0, the source first, on the model's device.

    Raises:
        MismatchError: Another model, schedule or guidance than the inversion's, or a rule or a negative prompt that its
            embeddings were not made for.
        PromptError: A prompt is empty, too long, or has an unknown word.
        SessionError: The model has no attention that the control wants.
    """
    on_progress = teller(on_progress)
    w = inversion.check(model, guidance)
    match.check_rule(inversion.replay, rule)
    negative = inversion.negative_prompt if negative_prompt is None else negative_prompt
    match.check_negative(inversion.replay, inversion.negative_prompt, negative)
    cond, pivot = source_and_targets(model, inversion, prompts), inversion.pivot.to(model.device)
    cond = Conditioning.cat([cond, *(cond[:1] if each is None else each for each in targets)]) if targets else cond
    size = (pivot.shape[-2], pivot.shape[-1])
    steering = None if control is None else Steering(control, prompts=len(cond), latent_size=size)
    latents = inversion.replay.sample(
        model,
        inversion.schedule,
        pivot,
        cond,
        null=embed_negative(model, negative, inversion.frame.fitted),
        guidance=w,
        rule=rule,
        on_progress=on_progress,
        after=after,
        steering=steering,
    )
    if steering is not None:
        steering.check()
    return latents


def source_and_targets(model: Model, inversion: Inversion, prompts: Sequence[str] = ()) -> Conditioning:
    """1 + B rows, what conditions the source, then each of B prompts, on the model's device.

    The conditional embedding of a replay that has one stands in the source prompt's place wherever that occurs, so that
    an edit whose prompt is the source's own samples the source.

    Raises:
        EmptyPromptError: A prompt has no word in it.
        PromptTooLongError: A prompt has more tokens than the model reads.
        UnknownWordError: The model does not know a word.
    """
    wanted = [inversion.prompt, *prompts]
    own = condition(model, inversion.prompt, inversion.photograph, inversion.frame.fitted, prompts)
    if inversion.replay.cond is None:
        return own
    cond = inversion.replay.cond.to(own.text)
    texts = [cond if prompt == inversion.prompt else row for prompt, row in zip(wanted, own.text, strict=True)]
    return own.with_text(torch.stack(texts))


def reconstruct(
    model: Model, inversion: Inversion, guidance: Guidance | None = None, on_progress: Telling = silent
) -> OnePixels:
    """Samples from z_T under the source prompt; a source that is corrected comes back without.

    Args:
        model: The model it was made with.
        inversion: The inversion.
        guidance: The scale w. None is the inversion's own. An inversion without optimised embeddings (DDIM) may be
            sampled at any, with the null text; one with such embeddings only at its own.
        on_progress: Called for every step, phase "sample".

    Returns:
        [1, 3, H, W] in [-1, 1], on the CPU.

    Raises:
        MismatchError: Another model, schedule or guidance than the inversion's.
        SettingError: The guidance is no finite number.
        DivergedError: The image became infinite or not-a-number.
    """
    on_progress = teller(on_progress)
    if inversion.replay.exact:
        inversion.check(model, guidance)
        return model.decode(inversion.pivot[-1:].to(model.device)).cpu()
    return model.decode(replay(model, inversion, guidance=guidance, on_progress=on_progress)).cpu()
